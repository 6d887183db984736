// What a kernel's library and the runtime of the emulated device know of each other.
#pragma once

namespace emulated {

struct Index { unsigned x, y, z; };

// Where the running thread is.
struct Place { Index thread, block, block_size, grid_size; };
extern Place place;

const int WARP = 32;
const int MAX_THREADS = 1024;
const int MAX_SHARED = 256 * 1024;
extern char dynamic_shared[MAX_SHARED];

struct Range { char *begin, *end; };

// A launch and what came of it. The front end has the same structures (launch.py).
struct Finding {
    const char *what;
    unsigned block, thread, other_block, other_thread;
    unsigned long code, other_code;  // addresses of instructions
    int array;                       // which of the launch's arrays it is about, or a Memory
    long offset;                     // bytes into that
};

enum Memory { NONE = -1, STATIC_SHARED = -2, DYNAMIC_SHARED = -3 };

const int MAX_FINDINGS = 16;

struct Launch {
    void (*call)(char *arguments);  // the kernel, for one thread
    char *arguments;                // 8 bytes for each
    int parameters;                 // how many
    Index grid, block;
    long shared;                    // bytes of dynamic shared memory
    int schedule;                   // order of blocks and threads, a Schedule
    unsigned seed;                  // of a random order
    int arrays;                     // arguments that are arrays; of each
    Range *views;                   //   what the kernel may use
    Range *memory;                  //   all that was allocated for it and its neighbours
    Range statics;                  // the library's static shared memory
    Range image;                    // all that the library loads, its constants too
    int findings;
    Finding finding[MAX_FINDINGS];
};

enum Schedule { FORWARD, REVERSE, RANDOM };

void run(Launch &launch);

// Called by kernels. `line` tells one call in the source from another.
void barrier(int line);
// Each lane named in `mask` gives a value of `size` bytes and gets those of all 32 lanes.
void exchange(unsigned mask, int line, const void *mine, void *all, int size);
// The kernel is about to access memory atomically.
void atomic(void *address, int size, void *code);
// The kernel asks for the value of a lane that its mask leaves out.
void absent_lane();

// A copy that goes on while the thread does: keeps `value`, which stands at `from`, until it is
// waited for and written to `to`.
void hold_copy(void *to, const void *from, const void *value, int size);
// cp.async.commit_group: makes a group of the copies that this thread started since the last.
void commit_copies();
// cp.async.wait_group: waits for all groups of this thread but the last so many.
void wait_copies(int groups);
// cp.async.wait_all: waits for all copies that this thread started, in groups or not.
void finish_copies();

}  // namespace emulated
