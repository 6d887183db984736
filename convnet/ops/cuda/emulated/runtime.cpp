// Runs kernels on the host: one block after another, each thread of a block on a fiber.
//
// A fiber takes up a thread that has not begun, and after it the next, until a thread has to
// wait; another fiber then takes up the rest. So kernels in which nobody waits are plain loops.

#include "runtime.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include <vector>

#include "fibers.h"
#include "state.h"

namespace emulated {

Place place;
alignas(256) char dynamic_shared[MAX_SHARED];

Thread threads[MAX_THREADS];
Thread *current;
unsigned current_block;
int thread_count;
Launch *launch;
char *stacks;

static Fiber scheduler;
static std::vector<Copy> copies[MAX_THREADS];  // that each thread has not waited for
static std::vector<size_t> groups[MAX_THREADS];  // sizes of the groups of these, one by one
static int order[MAX_THREADS];
static int begun, fibers;
static bool stopped;
static uint32_t random_state;

Finding *find(const char *what, void *code) {
    if (launch->findings == MAX_FINDINGS) return nullptr;
    unsigned long address = (unsigned long)code;
    for (int i = 0; i < launch->findings; i++)
        if (!strcmp(launch->finding[i].what, what) && launch->finding[i].code == address)
            return nullptr;
    Finding &finding = launch->finding[launch->findings++];
    unsigned thread = (unsigned)(current - threads);
    finding = Finding{what, current_block, thread, current_block, thread, address, 0, NONE, 0};
    return &finding;
}

static void find_pair(const char *what, Thread &thread, Thread &other) {
    current = &thread;
    if (Finding *finding = find(what, thread.code)) {
        finding->other_block = current_block;
        finding->other_thread = (unsigned)(&other - threads);
        finding->other_code = (unsigned long)other.code;
    }
    stopped = true;
}

void stop() {
    stopped = true;
    switch_fiber(current->fiber, scheduler);
}

// --- order ----------------------------------------------------------------------------------

static uint32_t next_random() {  // Marsaglia's xorshift
    random_state ^= random_state << 13;
    random_state ^= random_state >> 17;
    return random_state ^= random_state << 5;
}

static void make_order(int *numbers, int count) {
    bool reverse = launch->schedule == REVERSE;
    for (int i = 0; i < count; i++) numbers[i] = reverse ? count - 1 - i : i;
    if (launch->schedule != RANDOM) return;
    for (int i = count - 1; i > 0; i--) {
        int j = next_random() % (i + 1), kept = numbers[i];
        numbers[i] = numbers[j];
        numbers[j] = kept;
    }
}

// --- threads --------------------------------------------------------------------------------

static void work() {
    while (begun < thread_count) {
        current = &threads[order[begun++]];
        place.thread = current->index;
        launch->call(launch->arguments);
        current->state = DONE;
    }
    switch_fiber(current->fiber, scheduler);
}

static void wait(State state, int line, void *code) {
    current->state = state;
    current->line = line;
    current->code = code;
    switch_fiber(current->fiber, scheduler);
}

void barrier(int line) { wait(AT_BARRIER, line, __builtin_return_address(0)); }

void exchange(unsigned mask, int line, const void *mine, void *all, int size) {
    int lane = (int)(current - threads) % WARP;
    Thread *warp = current - lane;
    void *code = __builtin_return_address(0);
    current->mask = mask;
    current->mine = mine;
    current->all = all;
    if (!(mask >> lane & 1)) {
        find("calls a warp function with a mask that leaves out its own lane", code);
        stop();
    }
    bool complete = true;
    for (int i = 0; i < WARP; i++) {
        if (i == lane || !(mask >> i & 1)) continue;
        Thread &other = warp[i];
        bool exists = &other < threads + thread_count;
        if (exists && other.state == IN_WARP && (other.mask != mask || other.line != line)) {
            current->code = code;
            find_pair("meets a lane of its mask in another warp function or with another mask",
                      *current, other);
            stop();
        }
        complete &= exists && other.state == IN_WARP;
    }
    if (!complete) {
        wait(IN_WARP, line, code);
        return;
    }
    for (int to = 0; to < WARP; to++) {
        if (!(mask >> to & 1)) continue;
        for (int from = 0; from < WARP; from++)
            if (mask >> from & 1)
                memcpy((char *)warp[to].all + from * size, warp[from].mine, size);
        warp[to].state = READY;
    }
    on_exchange(warp, mask);
}

void absent_lane() {
    find("asks for the value of a lane that its mask leaves out", __builtin_return_address(0));
    stop();
}

void atomic(void *address, int size, void *code) { on_atomic(address, size, code); }

void hold_copy(void *to, const void *from, const void *value, int size) {
    Copy copy{to, {}, size};
    memcpy(copy.value, value, size);
    copies[current - threads].push_back(copy);
    on_hold(to, from, size, __builtin_return_address(0));
}

// Writes the first copies of the current thread.
static void write_copies(size_t count, void *code) {
    std::vector<Copy> &held = copies[current - threads];
    for (size_t i = 0; i < count; i++) {
        memcpy(held[i].to, held[i].value, held[i].size);
        on_copied(held[i].to, held[i].size, code);
    }
    held.erase(held.begin(), held.begin() + count);
}

void commit_copies() {
    std::vector<size_t> &sizes = groups[current - threads];
    size_t count = copies[current - threads].size();
    for (size_t size : sizes) count -= size;
    sizes.push_back(count);
}

void wait_copies(int last) {
    std::vector<size_t> &sizes = groups[current - threads];
    while (sizes.size() > (size_t)last) {
        write_copies(sizes.front(), __builtin_return_address(0));
        sizes.erase(sizes.begin());
    }
}

void finish_copies() {
    groups[current - threads].clear();
    write_copies(copies[current - threads].size(), __builtin_return_address(0));
}

// Called when no thread can go on: opens the barrier if all wait at it. False: the block is over.
static bool open_barrier() {
    Thread *waiting = nullptr, *done = nullptr, *in_warp = nullptr;
    for (int i = 0; i < thread_count; i++) {
        Thread &thread = threads[i];
        if (thread.state == DONE) done = &thread;
        if (thread.state == IN_WARP) in_warp = &thread;
        if (thread.state != AT_BARRIER) continue;
        if (waiting && waiting->line != thread.line) {
            find_pair("waits at another __syncthreads than another thread", thread, *waiting);
            return false;
        }
        waiting = &thread;
    }
    if (in_warp) {
        find_pair("waits in a warp function for a lane of its mask that does not come", *in_warp,
                  done ? *done : waiting ? *waiting : *in_warp);
        return false;
    }
    if (waiting && done) {
        find_pair("waits at __syncthreads, which another thread never reaches", *waiting, *done);
        return false;
    }
    if (!waiting) return false;
    for (int i = 0; i < thread_count; i++) threads[i].state = READY;
    on_barrier();
    return true;
}

static void run_block() {
    for (int i = 0; i < thread_count; i++) {
        Thread &thread = threads[i];
        unsigned x = place.block_size.x, y = place.block_size.y;
        thread.state = READY;
        thread.index = {i % x, i / x % y, i / (x * y)};
        thread.code = nullptr;
        copies[i].clear();
        groups[i].clear();
    }
    make_order(order, thread_count);
    on_block();
    begun = fibers = 0;
    while (begun < thread_count && !stopped) {
        Fiber fiber;
        make_fiber(fiber, stacks + STACK * fibers++, STACK, work);
        switch_fiber(scheduler, fiber);
    }
    do {
        for (bool progress = true; progress && !stopped;) {
            progress = false;
            make_order(order, thread_count);
            for (int i = 0; i < thread_count && !stopped; i++) {
                if (threads[order[i]].state != READY) continue;
                current = &threads[order[i]];
                place.thread = current->index;
                switch_fiber(scheduler, current->fiber);
                progress = true;
            }
        }
    } while (!stopped && open_barrier());
}

void run(Launch &given) {
    launch = &given;
    Index grid = place.grid_size = given.grid, size = place.block_size = given.block;
    thread_count = size.x * size.y * size.z;
    random_state = given.seed * 2654435761u | 1;
    stopped = false;
    if (!stacks)
        stacks = (char *)mmap(nullptr, STACK * MAX_THREADS, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    // All bits set is NaN: shared memory holds no useful values until a kernel writes it.
#ifndef EMULATED_SANITIZE  // which has variables of its own among the shared arrays
    memset(given.statics.begin, 0xff, given.statics.end - given.statics.begin);
#endif
    memset(dynamic_shared, 0xff, given.shared);
    on_launch();
    int blocks = grid.x * grid.y * grid.z;
    int *block_order = new int[blocks];
    make_order(block_order, blocks);
    for (int i = 0; i < blocks && !stopped; i++) {
        int block = block_order[i];
        current_block = block;
        place.block = {block % grid.x, block / grid.x % grid.y,
                       block / (grid.x * grid.y)};
        run_block();
    }
    delete[] block_order;
    on_end();
}

}  // namespace emulated
