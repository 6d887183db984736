// Functions with stacks of their own, which can stop in the middle and go on later.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace emulated {

#ifdef __x86_64__

struct Fiber { void *stack_pointer; };

// Keeps the state of the running function in `from` and goes on with `to`. A jump ends it, since
// the processor would expect a return to go to the caller.
extern "C" void emulated_switch(void **from, void *to);
asm(R"(
    .text
    .type emulated_switch, @function
emulated_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    popq %rcx
    jmp *%rcx
    .size emulated_switch, .-emulated_switch
)");

inline void switch_fiber(Fiber &from, Fiber &to) {
    emulated_switch(&from.stack_pointer, to.stack_pointer);
}

// `function` never returns: it switches to another fiber for the last time.
inline void make_fiber(Fiber &fiber, char *stack, size_t size, void (*function)()) {
    // What emulated_switch takes off the stack: six registers and the address to go to.
    uintptr_t *top = (uintptr_t *)(((uintptr_t)stack + size) & ~(uintptr_t)15) - 2;
    top[0] = (uintptr_t)function;
    fiber.stack_pointer = top - 6;
}

#else  // slower, since it makes a system call for each switch

}
#include <ucontext.h>
namespace emulated {

struct Fiber { ucontext_t context; };

inline void switch_fiber(Fiber &from, Fiber &to) { swapcontext(&from.context, &to.context); }

inline void make_fiber(Fiber &fiber, char *stack, size_t size, void (*function)()) {
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = stack;
    fiber.context.uc_stack.ss_size = size;
    makecontext(&fiber.context, function, 0);
}

#endif

}  // namespace emulated
