// Check mode: follows every load and store of the kernels, for which g++ calls the functions at
// the end (-fsanitize=thread; its own library is not linked).
//
// For each word of memory that a kernel may use two writes and two reads are remembered.
// Two accesses by different threads, one of them a write, are a race unless a barrier or a warp
// function stands between them. This does not depend on the order in which the threads ran.

#include <stddef.h>

#include <algorithm>
#include <vector>

#include "state.h"

namespace emulated {

namespace {

struct Access {
    uint32_t time, block, code;  // code: bytes into the library
    uint16_t thread;
    uint8_t bytes;               // which of the word's four, as bits; 0: there was no access
    bool atomic;
};

struct Word {
    Access writes[2] = {}, reads[2] = {};
    uint32_t block = ~0u;  // that a word of shared memory belongs to
    uint8_t written = 0;   // bytes that have a value, as bits
};

struct Zone {
    char *begin, *end;
    int array;  // see Finding
    std::vector<Word> words;
};

bool running;
std::vector<Zone> zones;
uint32_t now, opened;                  // opened: when the last barrier was
uint32_t known[MAX_THREADS][WARP];     // up to when a thread knows what each lane of its warp did

void add_zone(Range range, int array) {
    if (range.begin == range.end) return;
    size_t words = (range.end - range.begin + 3) / 4;
    zones.push_back(Zone{range.begin, range.end, array, std::vector<Word>(words)});
}

bool inside(Range range, char *address) { return range.begin <= address && address < range.end; }

bool is_private(char *address) {
    Range stack{stacks, stacks + STACK * MAX_THREADS};
    Range arguments{launch->arguments, launch->arguments + 8 * launch->parameters};
    return inside(stack, address) || inside(arguments, address) ||
           inside(launch->image, address) || inside({(char *)&place, (char *)(&place + 1)}, address);
}

Zone *zone_of(char *address) {
    static size_t last;
    if (last < zones.size() && inside({zones[last].begin, zones[last].end}, address))
        return &zones[last];
    for (last = 0; last < zones.size(); last++)
        if (inside({zones[last].begin, zones[last].end}, address)) return &zones[last];
    return nullptr;
}

void find_outside(char *address, bool write, void *code) {
    Finding *finding = find(write ? "writes outside of" : "reads outside of", code);
    if (finding && inside({dynamic_shared, dynamic_shared + MAX_SHARED}, address)) {
        finding->array = DYNAMIC_SHARED;
        finding->offset = address - dynamic_shared;
        stop();
    }
    long nearest = -1;
    for (Zone &zone : zones) {
        long distance = address < zone.begin ? zone.begin - address : address - zone.end + 1;
        if (finding && (nearest < 0 || distance < nearest)) {
            nearest = distance;
            finding->array = zone.array;
            finding->offset = address - zone.begin;
        }
    }
    stop();
}

bool is_ordered(const Access &before) {
    if (before.block != current_block) return false;
    int thread = (int)(current - threads);
    if (before.thread == thread || before.time < opened) return true;
    return before.thread / WARP == thread / WARP && before.time < known[thread][before.thread % WARP];
}

struct Conflict { const char *within_block, *between_blocks; };
const Conflict WRITE_WRITE = {"writes what another thread writes, no barrier between, in",
                              "writes what another block writes, in"};
const Conflict WRITE_READ = {"writes what another thread reads, no barrier between, in",
                             "writes what another block reads, in"};
const Conflict READ_WRITE = {"reads what another thread writes, no barrier between, in",
                             "reads what another block writes, in"};

void check_pair(const Access &before, const Access &access, const Conflict &conflict, Zone &zone,
                char *address, void *code) {
    if (!(before.bytes & access.bytes) || (before.atomic && access.atomic)) return;
    if (is_ordered(before)) return;
    bool within = before.block == current_block;
    Finding *finding = find(within ? conflict.within_block : conflict.between_blocks, code);
    if (!finding) return;
    finding->other_block = before.block;
    finding->other_thread = before.thread;
    finding->other_code = (unsigned long)(launch->image.begin + before.code);
    finding->array = zone.array;
    finding->offset = address - zone.begin;
}

// Keeps an access for later ones to be compared with. Of those that nothing orders two are enough,
// as the later thread can have made only one of them; best of two blocks.
void remember(Access (&accesses)[2], const Access &access) {
    for (Access &old : accesses)
        if (!old.bytes || is_ordered(old)) {
            old = access;
            return;
        }
    if (accesses[0].block == accesses[1].block) accesses[1] = access;
}

void follow(char *address, int size, bool write, bool atomic, bool aligned, void *code) {
    if (!running) return;
    Zone *zone = zone_of(address);
    if (!zone && is_private(address)) return;
    if (!zone || address + size > zone->end) find_outside(address, write, code);
    if (aligned && (uintptr_t)address % size) {
        if (Finding *finding = find("uses an address that is not a multiple of the width, in", code))
            finding->array = zone->array, finding->offset = address - zone->begin;
        stop();
    }
    Access access{now, current_block, (uint32_t)((char *)code - launch->image.begin),
                  (uint16_t)(current - threads), 0, atomic};
    for (char *end = address + size; address < end;) {
        Word &word = zone->words[(address - zone->begin) / 4];
        if (zone->array < NONE && word.block != current_block) {  // each block has its own
            word = Word();
            word.block = current_block;
        }
        int first = (uintptr_t)address % 4, count = std::min<long>(4 - first, end - address);
        access.bytes = ((1 << count) - 1) << first;
        if (zone->array < NONE && (!write || atomic) && access.bytes & ~word.written) {
            if (Finding *finding = find("reads what was not written before, in", code))
                finding->array = zone->array, finding->offset = address - zone->begin;
        }
        for (Access &old : word.writes)
            check_pair(old, access, write ? WRITE_WRITE : READ_WRITE, *zone, address, code);
        if (write) {
            for (Access &old : word.reads)
                check_pair(old, access, WRITE_READ, *zone, address, code);
            word.written |= access.bytes;
        }
        remember(write ? word.writes : word.reads, access);
        address += count;
    }
}

}  // namespace

void on_launch() {
    zones.clear();
    add_zone(launch->statics, STATIC_SHARED);
    add_zone({dynamic_shared, dynamic_shared + launch->shared}, DYNAMIC_SHARED);
    // Views of the same memory, such as an operation in place, share their words.
    std::vector<std::pair<Range, int>> views;
    for (int i = 0; i < launch->arrays; i++) views.push_back({launch->views[i], i});
    std::stable_sort(views.begin(), views.end(),
                     [](auto &a, auto &b) { return a.first.begin < b.first.begin; });
    for (size_t i = 0; i < views.size();) {
        auto [range, array] = views[i];
        for (i++; i < views.size() && views[i].first.begin < range.end; i++)
            range.end = std::max(range.end, views[i].first.end);
        add_zone(range, array);
    }
    now = 0;
    running = true;
}

void on_block() {
    std::fill(known[0], known[thread_count], 0);
    on_barrier();
}

void on_barrier() { opened = ++now; }

void on_exchange(Thread *warp, unsigned mask) {
    uint32_t(*lanes)[WARP] = known + (warp - threads);
    uint32_t together[WARP] = {};
    now++;
    for (int other = 0; other < WARP; other++) {
        for (int lane = 0; lane < WARP; lane++)
            if (mask >> lane & 1) together[other] = std::max(together[other], lanes[lane][other]);
        if (mask >> other & 1) together[other] = now;
    }
    for (int lane = 0; lane < WARP; lane++)
        if (mask >> lane & 1) std::copy(together, together + WARP, lanes[lane]);
}

void on_end() { running = false; }

void on_atomic(void *address, int size, void *code) {
    follow((char *)address, size, true, true, true, code);
}

void on_hold(void *to, const void *, int size, void *) {
    char *address = (char *)to;
    if (Zone *zone = zone_of(address))
        for (int i = 0; i < size; i += 4) zone->words[(address + i - zone->begin) / 4].written = 0;
}

void on_copied(void *to, int size, void *code) {
    follow((char *)to, size, true, false, true, code);
}

}  // namespace emulated

// --- what g++ calls ---------------------------------------------------------------------------

#define ACCESS(name, size, write, aligned)                                                     \
    extern "C" void __tsan_##name(void *address) {                                             \
        emulated::follow((char *)address, size, write, false, aligned,                         \
                         __builtin_return_address(0));                                         \
    }
#define ACCESSES(size)                                                                         \
    ACCESS(read##size, size, false, true)                                                      \
    ACCESS(write##size, size, true, true)                                                      \
    ACCESS(unaligned_read##size, size, false, false)                                           \
    ACCESS(unaligned_write##size, size, true, false)

ACCESSES(1)
ACCESSES(2)
ACCESSES(4)
ACCESSES(8)
ACCESSES(16)

extern "C" void __tsan_read_range(void *address, size_t size) {
    emulated::follow((char *)address, size, false, false, false, __builtin_return_address(0));
}
extern "C" void __tsan_write_range(void *address, size_t size) {
    emulated::follow((char *)address, size, true, false, false, __builtin_return_address(0));
}
extern "C" void __tsan_init() {}
extern "C" void __tsan_func_entry(void *) {}
extern "C" void __tsan_func_exit(void *) {}
