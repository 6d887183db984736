// Sanitize mode: AddressSanitizer looks for accesses outside of arrays, shared ones and those of
// one thread among them. Undefined arithmetic calls the functions at the end.

#include <fcntl.h>
#include <sanitizer/asan_interface.h>
#include <stdio.h>
#include <string.h>

#include "state.h"

extern "C" const char *__asan_default_options() {
    // The library is loaded late, into a program that does not use it.
    return "verify_asan_link_order=0:detect_leaks=0:halt_on_error=0:suppress_equal_pcs=0:"
           "handle_segv=0:handle_sigbus=0:handle_sigfpe=0:handle_sigill=0";
}
namespace emulated {

static bool running;

static void on_report(const char *) {
    if (!running) return;
    char text[200];
    bool write = __asan_get_report_access_type() == 1;
    snprintf(text, sizeof text, "%s outside of an array (%s)", write ? "writes" : "reads",
             __asan_get_report_description());
    find(strdup(text), __asan_get_report_pc());
}

void on_launch() {
    __asan_set_error_report_callback(on_report);
    static intptr_t nowhere = open("/dev/null", O_WRONLY);
    __sanitizer_set_report_fd((void *)nowhere);  // on_report tells what there is to tell
    __asan_unpoison_memory_region(stacks, STACK * MAX_THREADS);
    for (int i = 0; i < launch->arrays; i++) {
        Range memory = launch->memory[i];
        __asan_poison_memory_region(memory.begin, memory.end - memory.begin);
    }
    for (int i = 0; i < launch->arrays; i++) {
        Range view = launch->views[i];
        __asan_unpoison_memory_region(view.begin, view.end - view.begin);
    }
    __asan_poison_memory_region(dynamic_shared + launch->shared, MAX_SHARED - launch->shared);
    running = true;
}

void on_end() {
    running = false;
    for (int i = 0; i < launch->arrays; i++) {
        Range memory = launch->memory[i];
        __asan_unpoison_memory_region(memory.begin, memory.end - memory.begin);
    }
    __asan_unpoison_memory_region(dynamic_shared, MAX_SHARED);
}

void on_block() {}
void on_barrier() {}
void on_exchange(Thread *, unsigned) {}
void on_atomic(void *, int, void *) {}
void on_hold(void *, const void *, int, void *) {}
void on_copied(void *, int, void *) {}

}  // namespace emulated

// --- what g++ calls for undefined arithmetic ----------------------------------------------------

#define UNDEFINED(name, what)                                                                  \
    extern "C" void __ubsan_handle_##name() {                                                  \
        emulated::find(what, __builtin_return_address(0));                                     \
        emulated::stop();                                                                      \
    }

UNDEFINED(type_mismatch_v1, "uses an address that is null or not a multiple of the width")
UNDEFINED(alignment_assumption, "uses an address that is not a multiple of the width")
UNDEFINED(pointer_overflow, "moves a pointer beyond the address space")
UNDEFINED(out_of_bounds, "has an index outside of an array")
UNDEFINED(add_overflow, "has a signed integer overflow in a sum")
UNDEFINED(sub_overflow, "has a signed integer overflow in a difference")
UNDEFINED(mul_overflow, "has a signed integer overflow in a product")
UNDEFINED(negate_overflow, "has a signed integer overflow in a negation")
UNDEFINED(divrem_overflow, "divides by zero")
UNDEFINED(shift_out_of_bounds, "shifts by too many bits, or a negative number")
UNDEFINED(load_invalid_value, "reads a value that its type does not have")
UNDEFINED(invalid_builtin, "counts the leading or trailing zeros of 0")
UNDEFINED(nonnull_arg, "gives null to a function that takes none")
UNDEFINED(builtin_unreachable, "reaches a place that it says it cannot reach")
UNDEFINED(missing_return, "ends without the value it returns")
UNDEFINED(vla_bound_not_positive, "has an array without elements")
