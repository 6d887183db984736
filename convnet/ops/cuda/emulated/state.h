// What the parts of the runtime share: the state of the running block, and the hooks by which
// the checks follow it.
#pragma once

#include <stdint.h>

#include "fibers.h"
#include "runtime.h"

namespace emulated {

enum State : uint8_t { READY, AT_BARRIER, IN_WARP, DONE };

struct Thread {
    Fiber fiber;
    State state;
    Index index;
    // Where it waits, and what it gave in a warp function.
    int line;
    void *code;
    unsigned mask;
    const void *mine;
    void *all;
};

struct Copy {
    void *to;
    char value[16];
    int size;
};

const long STACK = 64 * 1024;

extern Launch *launch;
extern Thread threads[MAX_THREADS];
extern Thread *current;
extern unsigned current_block;
extern int thread_count;
extern char *stacks;

// A new finding about the current thread; nullptr if it is known or there are too many.
Finding *find(const char *what, void *code);
// Ends the launch; called by the running thread, does not return.
void stop();

#ifndef EMULATED_FAST
void on_launch();
void on_block();
void on_barrier();
void on_exchange(Thread *warp, unsigned mask);
void on_end();
void on_atomic(void *address, int size, void *code);
void on_hold(void *to, const void *from, int size, void *code);
void on_copied(void *to, int size, void *code);
#else
inline void on_launch() {}
inline void on_block() {}
inline void on_barrier() {}
inline void on_exchange(Thread *, unsigned) {}
inline void on_end() {}
inline void on_atomic(void *, int, void *) {}
inline void on_hold(void *, const void *, int, void *) {}
inline void on_copied(void *, int, void *) {}
#endif

}  // namespace emulated
