// Count mode: what a GPU's memory would see of the kernels' loads and stores, for which g++ calls
// the functions at the end (-fsanitize=thread; its own library is not linked), and of the way that
// each thread takes through the code (-fsanitize-coverage=trace-pc).
//
// A warp's 32 lanes execute an instruction together, here they run one after another. So what they
// do is noted until a barrier, and put together then: of the lanes, those that are at the lowest
// address in the code go on, all at once. Lanes that took different branches so meet again behind
// them (Collange, "Stack-less SIMT reconvergence at low cost", 2011).
//
//   global memory   moves sectors of 32 bytes: those that a warp's access touches, and how few its
//                   bytes would fit into (CUDA C++ Best Practices Guide, "Coalesced Access to
//                   Global Memory")
//   shared memory   has 32 banks of 4 bytes; a warp whose lanes want different words of one bank
//                   is served again for each (ibid., "Shared Memory and Memory Banks"). Counted
//                   for accesses of at most 4 bytes; how wider ones are split is not documented.

#include <stddef.h>

#include <algorithm>
#include <map>
#include <set>
#include <vector>

#include "state.h"

namespace emulated {

enum Kind : int { LOAD, STORE, COPY, ATOMIC, NO_ACCESS };

// What the warps' accesses by one instruction add up to. The front end has the same (counts.py).
struct Count {
    unsigned long code;  // bytes into the library
    int kind, shared, bytes;
    long requests, sectors, ideal, conflicts;
};

namespace {

const int SECTOR = 32, BANKS = 32, BANK = 4;

struct Step {  // of a thread: an access, or the beginning of a piece of code without branches
    unsigned long code;
    char *address;
    int kind, shared, bytes;
};

bool running;
std::vector<Step> noted[MAX_THREADS];
std::map<std::pair<unsigned long, int>, Count> counts;  // by instruction, and memory: copies use both
std::vector<Count> result;

bool inside(Range range, char *address) { return range.begin <= address && address < range.end; }

unsigned long place_of(void *code) { return (char *)code - launch->image.begin; }

void note(char *address, int bytes, int kind, void *code) {
    if (!running) return;
    bool shared = inside(launch->statics, address) ||
                  inside({dynamic_shared, dynamic_shared + launch->shared}, address);
    bool global = false;
    for (int i = 0; i < launch->arrays && !shared; i++)
        global |= inside(launch->memory[i], address);
    if (!shared && !global) return;  // the thread's own
    noted[current - threads].push_back({place_of(code), address, kind, shared, bytes});
}

// Adds up an access by all lanes that make it at once.
void add(const std::vector<Step> &lanes) {
    const Step &first = lanes[0];
    Count &count = counts[{first.code, first.shared}];
    count.code = first.code;
    count.kind = first.kind;
    count.shared = first.shared;
    count.bytes = first.bytes;
    count.requests++;
    std::set<uintptr_t> bytes, sectors, words;
    for (const Step &step : lanes)
        for (int i = 0; i < step.bytes; i++) {
            uintptr_t byte = (uintptr_t)step.address + i;
            bytes.insert(byte);
            sectors.insert(byte / SECTOR);
            words.insert(byte / BANK);
        }
    if (!first.shared) {
        count.sectors += sectors.size();
        count.ideal += (bytes.size() + SECTOR - 1) / SECTOR;
    } else if (first.bytes <= BANK) {
        int wanted[BANKS] = {};
        for (uintptr_t word : words) wanted[word % BANKS]++;
        count.conflicts += *std::max_element(wanted, wanted + BANKS) - 1;
    }
}

// What the lanes of a warp did since the last barrier.
void add_up(std::vector<Step> *warp, int lanes) {
    size_t next[WARP] = {};
    std::vector<Step> together;
    for (;;) {
        together.clear();
        unsigned long lowest = ~0ul;
        for (int lane = 0; lane < lanes; lane++)
            if (next[lane] < warp[lane].size())
                lowest = std::min(lowest, warp[lane][next[lane]].code);
        if (lowest == ~0ul) return;
        for (int lane = 0; lane < lanes; lane++)
            if (next[lane] < warp[lane].size() && warp[lane][next[lane]].code == lowest)
                together.push_back(warp[lane][next[lane]++]);
        if (together[0].kind != NO_ACCESS) add(together);
    }
}

void add_noted() {
    for (int thread = 0; thread < thread_count; thread += WARP)
        add_up(noted + thread, std::min(WARP, thread_count - thread));
    for (std::vector<Step> &steps : noted) steps.clear();
}

}  // namespace

void on_launch() {
    counts.clear();
    running = true;
}

void on_block() { add_noted(); }  // those of the block before

void on_barrier() { add_noted(); }

void on_exchange(Thread *, unsigned) {}

void on_end() {
    add_noted();
    running = false;
    result.clear();
    for (auto &[_, count] : counts) result.push_back(count);
}

void on_atomic(void *address, int size, void *code) { note((char *)address, size, ATOMIC, code); }

void on_hold(void *to, const void *from, int size, void *code) {
    // The emulated copy has just read and written like any code: these go, the copy comes.
    std::vector<Step> &own = noted[current - threads];
    for (size_t i = own.size(); i--;) {
        if (own[i].kind == NO_ACCESS) continue;
        if (!inside({(char *)to, (char *)to + size}, own[i].address) &&
            !inside({(char *)from, (char *)from + size}, own[i].address))
            break;
        own[i].kind = NO_ACCESS;
    }
    note((char *)from, size, COPY, code);
    note((char *)to, size, COPY, code);
}

void on_copied(void *, int, void *) {}

}  // namespace emulated

// The counts of the last launch; returns how many.
extern "C" int emulated_counts(const emulated::Count **first) {
    *first = emulated::result.data();
    return (int)emulated::result.size();
}

// --- what g++ calls ---------------------------------------------------------------------------

#define ACCESS(name, size, kind)                                                               \
    extern "C" void __tsan_##name(void *address) {                                             \
        emulated::note((char *)address, size, emulated::kind, __builtin_return_address(0));    \
    }
#define ACCESSES(size)                                                                         \
    ACCESS(read##size, size, LOAD)                                                             \
    ACCESS(write##size, size, STORE)                                                           \
    ACCESS(unaligned_read##size, size, LOAD)                                                   \
    ACCESS(unaligned_write##size, size, STORE)

ACCESSES(1)
ACCESSES(2)
ACCESSES(4)
ACCESSES(8)
ACCESSES(16)

extern "C" void __tsan_read_range(void *address, size_t size) {
    emulated::note((char *)address, (int)size, emulated::LOAD, __builtin_return_address(0));
}
extern "C" void __tsan_write_range(void *address, size_t size) {
    emulated::note((char *)address, (int)size, emulated::STORE, __builtin_return_address(0));
}
extern "C" void __sanitizer_cov_trace_pc() {
    using namespace emulated;
    if (running)
        noted[current - threads].push_back(
            {place_of(__builtin_return_address(0)), nullptr, NO_ACCESS, 0, 0});
}
extern "C" void __tsan_init() {}
extern "C" void __tsan_func_entry(void *) {}
extern "C" void __tsan_func_exit(void *) {}
