// The matrix product behind every convolution and fully-connected layer.
//
// A block computes a tile of ROWS x COLUMNS sums over k of a(k, row) * b(k, column). It goes
// through k in steps of DEPTH. Of each factor STAGES panels lie in shared memory: while the sums
// take one, the next are copied from global memory (cp.async).
//
// What a and b are, and where sums go, says a `Problem`:
//   Tile                   its ROWS, COLUMNS and THREADS
//   A, B                   the panels of the factors
//   load(step, a, b)       starts the copies of a step
//   place(row, column)     where a sum belongs; null outside of the result
//   SPAN                   how many (1 or 4) consecutive columns are stored at once
//   finish(place, row, column, sums)   stores SPAN sums
//
// What a thread does with two panels says a `Core`: Ffma here, on float32, or those of mma.cuh.
//   HIGH, WIDE             the sums of a thread: HIGH rows and WIDE columns
//   row(i), column(j)      which of the tile these are; SPAN columns are consecutive
//   add(a, b)              adds the products of a step
//
// Sources: sums in registers are due to Volkov and Demmel, "Benchmarking GPUs to tune dense linear
// algebra", SC 2008; implicit GEMM is that of Chetlur et al., "cuDNN: Efficient primitives for deep
// learning", 2014.

#pragma once

constexpr int DEPTH = 16;
constexpr int QUAD = 4;

// Threads of a block with this tile. The host computes the same.
template <int ROWS, int COLUMNS>
constexpr int TILE_THREADS = ROWS * COLUMNS / 64 > 64 ? ROWS * COLUMNS / 64 : 64;

// Copies that go on while the thread does. commit_copies makes one group of those that the thread
// has started since the last; wait_copies<N> waits until all but the last N groups are done.
#if defined(CONVNET_EMULATED)
template <int SPAN>
__device__ inline void start_copy(float* target, const float* source) {
    emulated::start_copy<4 * SPAN>(target, source);
}
__device__ inline void commit_copies() { emulated::commit_copies(); }
template <int N>
__device__ inline void wait_copies() {
    emulated::wait_copies(N);
}
#elif defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
template <int SPAN>
__device__ inline void start_copy(float* target, const float* source) {
    if constexpr (SPAN == QUAD) {
        *reinterpret_cast<float4*>(target) = *reinterpret_cast<const float4*>(source);
    } else {
        *target = *source;
    }
}
__device__ inline void commit_copies() {}
template <int N>
__device__ inline void wait_copies() {}
#else
template <int SPAN>
__device__ inline void start_copy(float* target, const float* source) {
    const unsigned int address = static_cast<unsigned int>(__cvta_generic_to_shared(target));
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2;"
                 :: "r"(address), "l"(source), "n"(SPAN * 4) : "memory");
}
__device__ inline void commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int N>
__device__ inline void wait_copies() {
    asm volatile("cp.async.wait_group %0;" :: "n"(N) : "memory");
}
#endif

// Panels of a factor in shared memory, for two factors of so many bytes in all: as many as static
// shared memory has room for, but copies four steps ahead are early enough. Plain copies, before
// compute capability 8.0, need two.
template <int BYTES>
constexpr int STAGES =
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
    2;
#else
    48 * 1024 / BYTES < 4 ? 48 * 1024 / BYTES : 4;
#endif

// Copies whose addresses a thread works out together; those of more would not fit its registers.
template <int SPAN>
constexpr int AT_ONCE = SPAN == 1 ? 4 : 2;

// Reads or writes 1 or 4 numbers.
template <int SPAN>
__device__ inline void read(const float* source, float* numbers) {
    if constexpr (SPAN == QUAD) {
        const float4 quad = *reinterpret_cast<const float4*>(source);
        numbers[0] = quad.x, numbers[1] = quad.y, numbers[2] = quad.z, numbers[3] = quad.w;
    } else {
        *numbers = *source;
    }
}

template <int SPAN>
__device__ inline void write(float* target, const float* numbers) {
    if constexpr (SPAN == QUAD) {
        *reinterpret_cast<float4*>(target) =
            make_float4(numbers[0], numbers[1], numbers[2], numbers[3]);
    } else {
        *target = *numbers;
    }
}

// Copies SPAN numbers to shared memory, or zeros if there is no source.
template <int SPAN>
__device__ inline void copy_or_clear(float* target, const float* source) {
    if (source) {
        start_copy<SPAN>(target, source);
    } else {
        const float zeros[SPAN] = {};
        write<SPAN>(target, zeros);  // at once, else the threads of a warp meet in the same banks
    }
}

// numbers += what memory holds.
template <int SPAN>
__device__ inline void add_held(const float* source, float* numbers) {
    float held[SPAN];
    read<SPAN>(source, held);
    for (int i = 0; i < SPAN; ++i) numbers[i] += held[i];
}

// DEPTH x SIDE numbers of a factor, copied SPAN at once. There are two kinds, as the copies need
// memory that is contiguous. `place` says which rows (or columns) of a tile a thread works on.
//
// Lines are padded so that the threads of a warp meet different ones of the 32 banks of shared
// memory, each 4 bytes wide. Reads of 16 bytes are made by 8 lanes at a time.

// For memory that is contiguous along the side. A number's bank is place + 8 k, mod 32, as SIDE is
// 32 n. Reads are of 4 places, 16 bytes: by Ffma, of neighbouring quads of a line; by mma.cuh, of
// 8 lanes (g, t), g an even and an odd one, t = 0 .. 3, from place 4 g of line t + 4 j: banks
// 4 g + 8 t.
template <int SIDE_, int SPAN>
struct Lines {
    static constexpr int SIDE = SIDE_;
    float numbers[DEPTH][SIDE + 2 * QUAD];

    // Quads, so many threads apart.
    __device__ static int place(int thread, int threads, int i) {
        return (thread + i / QUAD * threads) * QUAD + i % QUAD;
    }

    // The only place that this thread loads.
    __device__ static int own_place() { return threadIdx.x % (SIDE / SPAN) * SPAN; }

    // From source(k, own_place).
    template <int THREADS, class Source>
    __device__ void load(Source source) {
        constexpr int LINE = SIDE / SPAN, LINES = THREADS / LINE;
        static_assert(THREADS % LINE == 0 && DEPTH % LINES == 0, "all threads copy equally much");
#pragma unroll AT_ONCE<SPAN>
        for (int i = 0; i < DEPTH; i += LINES) {
            const int k = threadIdx.x / LINE + i;
            copy_or_clear<SPAN>(&numbers[k][own_place()], source(k, own_place()));
        }
    }

    // The numbers of COUNT places at k, k + APART, ..
    template <int APART, int COUNT>
    __device__ void fetch(int k, int thread, int threads, float (&fetched)[QUAD][COUNT]) const {
#pragma unroll
        for (int j = 0; j < QUAD; ++j)
#pragma unroll
            for (int i = 0; i < COUNT; i += QUAD)
                read<QUAD>(&numbers[k + j * APART][place(thread, threads, i)], &fetched[j][i]);
    }
};

// For memory that is contiguous along k. A number's bank is 20 place + k, mod 32. Of 8 neighbouring
// places the first are 0, 20, 8, 28, 16, 4, 24, 12: 8 different quads, which Ffma reads at once.
// mma.cuh reads single numbers, of places g = 0 .. 7 at k = t + 4 j, t = 0 .. 3: banks 20 g + t.
template <int SIDE_, int SPAN>
struct Columns {
    static constexpr int SIDE = SIDE_;
    float numbers[SIDE][DEPTH + QUAD];

    __device__ static int place(int thread, int threads, int i) { return thread + i * threads; }

    // From source(k, place).
    template <int THREADS, class Source>
    __device__ void load(Source source) {
        constexpr int LINE = DEPTH / SPAN, LINES = THREADS / LINE;
        static_assert(THREADS % LINE == 0 && SIDE % LINES == 0, "all threads copy equally much");
        const int k = threadIdx.x % LINE * SPAN;
#pragma unroll AT_ONCE<SPAN>
        for (int i = 0; i < SIDE; i += LINES) {
            // Copied one by one, the two rows of a warp are 4 apart: 16 banks.
            const int row = threadIdx.x / LINE + i;
            const int p = SPAN == QUAD ? row : row / 8 * 8 + row % 2 * 4 + row % 8 / 2;
            copy_or_clear<SPAN>(&numbers[p][k], source(k, p));
        }
    }

    template <int APART, int COUNT>
    __device__ void fetch(int k, int thread, int threads, float (&fetched)[QUAD][COUNT]) const {
#pragma unroll
        for (int i = 0; i < COUNT; ++i) {
            const int p = place(thread, threads, i);
            if constexpr (APART == 1) {
                float quad[QUAD];
                read<QUAD>(&numbers[p][k], quad);
                for (int j = 0; j < QUAD; ++j) fetched[j][i] = quad[j];
            } else {
                for (int j = 0; j < QUAD; ++j) fetched[j][i] = numbers[p][k + j * APART];
            }
        }
    }
};

// Multiply-adds of float32.
template <class A, class B, int THREADS>
struct Ffma {
    static constexpr int WIDE = 2 * QUAD, ACROSS = B::SIDE / WIDE, DOWN = THREADS / ACROSS;
    static constexpr int HIGH = A::SIDE / DOWN;
    static_assert(HIGH % QUAD == 0, "a thread must have whole quads of rows");

    float sums[HIGH][WIDE] = {};
    const int x = threadIdx.x % ACROSS, y = threadIdx.x / ACROSS;

    __device__ int row(int i) const { return A::place(y, DOWN, i); }
    __device__ int column(int j) const { return B::place(x, ACROSS, j); }

    __device__ void add(const A& a, const B& b) {
#pragma unroll
        for (int k = 0; k < DEPTH; k += QUAD) {
            float down[QUAD][HIGH], across[QUAD][WIDE];
            a.template fetch<1>(k, y, DOWN, down);
            b.template fetch<1>(k, x, ACROSS, across);
#pragma unroll
            for (int term = 0; term < QUAD; ++term)
#pragma unroll
                for (int i = 0; i < HIGH; ++i)
#pragma unroll
                    for (int j = 0; j < WIDE; ++j) sums[i][j] += down[term][i] * across[term][j];
        }
    }
};

// Sums over the steps first .. last - 1.
template <template <class, class, int> class Core = Ffma, class Problem>
__device__ inline void multiply(const Problem& problem, int first, int last) {
    using A = typename Problem::A;
    using B = typename Problem::B;
    constexpr int PANELS = STAGES<sizeof(A) + sizeof(B)>, AHEAD = PANELS - 1;
    static_assert(PANELS >= 2, "one panel is read while another is written");
    __shared__ __align__(16) A a[PANELS];
    __shared__ __align__(16) B b[PANELS];

    Core<A, B, Problem::Tile::THREADS> core;
#pragma unroll
    for (int i = 0; i < AHEAD; ++i) {
        if (first + i < last) problem.load(first + i, a[i], b[i]);
        commit_copies();
    }
    int stage = 0;
    for (int step = first; step < last; ++step) {
        wait_copies<AHEAD - 1>();  // those of later steps may go on
        __syncthreads();  // the panels are whole, and nobody reads the free ones any more
        const int free = (stage + AHEAD) % PANELS;
        if (step + AHEAD < last) problem.load(step + AHEAD, a[free], b[free]);
        commit_copies();  // an empty group, near the end, keeps the count
        core.add(a[stage], b[stage]);
        stage = (stage + 1) % PANELS;
    }

#pragma unroll
    for (int j = 0; j < core.WIDE; j += Problem::SPAN)
#pragma unroll
        for (int i = 0; i < core.HIGH; ++i) {
            const int row = core.row(i), column = core.column(j);
            float* const place = problem.place(row, column);
            if (place) problem.finish(place, row, column, &core.sums[i][j]);
        }
}
