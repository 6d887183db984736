// The matrix product behind every convolution and fully-connected layer.
//
// A block computes a tile of ROWS x COLUMNS sums over k of a(k, row) * b(k, column). It goes
// through k in steps of DEPTH. Of each factor two panels lie in shared memory: while the sums take
// one, the next is copied from global memory (cp.async).
//
// What a and b are, and where sums go, says a `Problem`:
//   Tile                   its ROWS, COLUMNS and THREADS
//   A, B                   the panels of the factors
//   load(step, a, b)       starts the copies of a step
//   place(row, column)     where a sum belongs; null outside of the result
//   SPAN                   how many (1 or 4) consecutive columns are stored at once
//   finish(place, row, column, sums)   stores SPAN sums
// Sources: sums in registers are due to Volkov and Demmel, "Benchmarking GPUs to tune dense linear
// algebra", SC 2008; implicit GEMM is that of Chetlur et al., "cuDNN: Efficient primitives for deep
// learning", 2014.

#pragma once

constexpr int DEPTH = 16;
constexpr int QUAD = 4;

// Threads of a block with this tile. The host computes the same.
template <int ROWS, int COLUMNS>
constexpr int TILE_THREADS = ROWS * COLUMNS / 64 > 64 ? ROWS * COLUMNS / 64 : 64;

// Copies that go on while the thread does.
#if defined(CONVNET_EMULATED)
template <int SPAN>
__device__ inline void start_copy(float* target, const float* source) {
    emulated::start_copy<4 * SPAN>(target, source);
}
__device__ inline void finish_copies() { emulated::finish_copies(); }
#elif defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
template <int SPAN>
__device__ inline void start_copy(float* target, const float* source) {
    for (int i = 0; i < SPAN; ++i) target[i] = source[i];
}
__device__ inline void finish_copies() {}
#else
template <int SPAN>
__device__ inline void start_copy(float* target, const float* source) {
    const unsigned int address = static_cast<unsigned int>(__cvta_generic_to_shared(target));
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2;"
                 :: "r"(address), "l"(source), "n"(SPAN * 4) : "memory");
}
__device__ inline void finish_copies() { asm volatile("cp.async.wait_all;" ::: "memory"); }
#endif

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
// memory that is contiguous. Both are read 16 bytes at a time, and padded so that the threads of a
// warp meet different banks. `place` says which rows (or columns) of a tile a thread works on.

// For memory that is contiguous along the side.
template <int SIDE_, int SPAN>
struct Lines {
    static constexpr int SIDE = SIDE_;
    float numbers[DEPTH][SIDE + QUAD];

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
#pragma unroll
        for (int i = 0; i < DEPTH; i += LINES) {
            const int k = threadIdx.x / LINE + i;
            copy_or_clear<SPAN>(&numbers[k][own_place()], source(k, own_place()));
        }
    }

    // The numbers of COUNT places at k .. k + 3.
    template <int COUNT>
    __device__ void fetch(int k, int thread, int threads, float (&fetched)[QUAD][COUNT]) const {
        for (int j = 0; j < QUAD; ++j)
            for (int i = 0; i < COUNT; i += QUAD)
                read<QUAD>(&numbers[k + j][place(thread, threads, i)], &fetched[j][i]);
    }
};

// For memory that is contiguous along k.
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
#pragma unroll
        for (int i = 0; i < SIDE; i += LINES) {
            // Copied one by one, the two rows of a warp are 4 apart: 16 banks.
            const int row = threadIdx.x / LINE + i;
            const int p = SPAN == QUAD ? row : row / 8 * 8 + row % 2 * 4 + row % 8 / 2;
            copy_or_clear<SPAN>(&numbers[p][k], source(k, p));
        }
    }

    template <int COUNT>
    __device__ void fetch(int k, int thread, int threads, float (&fetched)[QUAD][COUNT]) const {
        for (int i = 0; i < COUNT; ++i) {
            float quad[QUAD];
            read<QUAD>(&numbers[place(thread, threads, i)][k], quad);
            for (int j = 0; j < QUAD; ++j) fetched[j][i] = quad[j];
        }
    }
};

// Sums over the steps first .. last - 1.
template <class Problem>
__device__ inline void multiply(const Problem& problem, int first, int last) {
    using A = typename Problem::A;
    using B = typename Problem::B;
    constexpr int SPAN = Problem::SPAN, WIDE = 2 * QUAD;       // columns of a thread
    constexpr int ACROSS = B::SIDE / WIDE, DOWN = Problem::Tile::THREADS / ACROSS;
    constexpr int HIGH = A::SIDE / DOWN;                       // rows of a thread
    static_assert(HIGH % QUAD == 0, "a thread must have whole quads of rows");
    const int x = threadIdx.x % ACROSS, y = threadIdx.x / ACROSS;
    __shared__ __align__(16) A a[2];
    __shared__ __align__(16) B b[2];

    float sums[HIGH][WIDE] = {};
    if (first < last) problem.load(first, a[0], b[0]);
    for (int step = first; step < last; ++step) {
        const int stage = (step - first) % 2;
        finish_copies();
        __syncthreads();  // the panels are whole, and nobody reads the other ones any more
        if (step + 1 < last) problem.load(step + 1, a[1 - stage], b[1 - stage]);
#pragma unroll
        for (int k = 0; k < DEPTH; k += QUAD) {
            float down[QUAD][HIGH], across[QUAD][WIDE];
            a[stage].fetch(k, y, DOWN, down);
            b[stage].fetch(k, x, ACROSS, across);
#pragma unroll
            for (int term = 0; term < QUAD; ++term)
#pragma unroll
                for (int i = 0; i < HIGH; ++i)
#pragma unroll
                    for (int j = 0; j < WIDE; ++j) sums[i][j] += down[term][i] * across[term][j];
        }
    }

#pragma unroll
    for (int j = 0; j < WIDE; j += SPAN)
#pragma unroll
        for (int i = 0; i < HIGH; ++i) {
            const int row = A::place(y, DOWN, i), column = B::place(x, ACROSS, j);
            float* const place = problem.place(row, column);
            if (place) problem.finish(place, row, column, &sums[i][j]);
        }
}
