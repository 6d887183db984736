// The matrix product behind every convolution and fully-connected layer.
//
// A block computes a tile of ROWS x COLUMNS sums over k of a(k, row) * b(k, column). It goes
// through k in steps of DEPTH. Two panels of each factor lie in shared memory: while the sums take
// one, the next is copied from global memory (cp.async). Each thread holds a quad of 4 columns
// twice, half a tile apart, and quads of rows likewise, so that a panel is read 16 bytes at a time.
//
// What a and b are, and where sums go, says a `Problem`:
//   Tile                   its ROWS, COLUMNS and THREADS
//   load(step, a, b)       starts copies of the panels of a step
//   place(row, column)     where a sum belongs; null outside of the result
//   SPAN                   how many (1 or 4) consecutive columns are stored at once
//   finish(place, row, column, sums)   stores SPAN sums
// Sources: the register tiling is that of Volkov and Demmel, "Benchmarking GPUs to tune dense
// linear algebra", SC 2008; implicit GEMM is that of Chetlur et al., "cuDNN: Efficient primitives
// for deep learning", 2014.

#pragma once

constexpr int DEPTH = 16;
constexpr int QUAD = 4;

// Panels have 4 numbers more a line, so that transposed copies go to different banks.
template <int SIDE>
using Panel = float (*)[SIDE + QUAD];

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

// Copies SPAN numbers to shared memory, or zeros if there is no source.
template <int SPAN>
__device__ inline void copy_or_clear(float* target, const float* source) {
    if (source) {
        start_copy<SPAN>(target, source);
    } else {
        for (int i = 0; i < SPAN; ++i) target[i] = 0;
    }
}

// The place in a panel's side that this thread loads with load_lines.
template <int SIDE, int SPAN>
__device__ inline int own_place() {
    return threadIdx.x % (SIDE / SPAN) * SPAN;
}

// Copies a panel from memory that is contiguous along its side: source(k, own_place).
template <int SIDE, int SPAN, int THREADS, class Source>
__device__ inline void load_lines(Panel<SIDE> panel, Source source) {
    constexpr int LINE = SIDE / SPAN;
    static_assert(THREADS % LINE == 0, "a thread must always have the same place");
    const int place = own_place<SIDE, SPAN>();
#pragma unroll
    for (int k = threadIdx.x / LINE; k < DEPTH; k += THREADS / LINE)
        copy_or_clear<SPAN>(&panel[k][place], source(k, place));
}

// Copies a panel from memory that is contiguous along k, transposing it: source(k, place).
template <int SIDE, int THREADS, class Source>
__device__ inline void load_transposed(Panel<SIDE> panel, Source source) {
    const int k = threadIdx.x % DEPTH;
#pragma unroll
    for (int place = threadIdx.x / DEPTH; place < SIDE; place += THREADS / DEPTH)
        copy_or_clear<1>(&panel[k][place], source(k, place));
}

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

// numbers += what memory holds.
template <int SPAN>
__device__ inline void add_held(const float* source, float* numbers) {
    float held[SPAN];
    read<SPAN>(source, held);
    for (int i = 0; i < SPAN; ++i) numbers[i] += held[i];
}

// Sums over the steps first .. last - 1.
template <class Problem>
__device__ inline void multiply(const Problem& problem, int first, int last) {
    constexpr int ROWS = Problem::Tile::ROWS, COLUMNS = Problem::Tile::COLUMNS;
    constexpr int THREADS = Problem::Tile::THREADS;
    constexpr int ACROSS = COLUMNS / (2 * QUAD), DOWN = THREADS / ACROSS;
    constexpr int THREAD_ROWS = ROWS / DOWN;  // rows of a thread
    static_assert(THREAD_ROWS % QUAD == 0, "a thread must have whole quads of rows");
    __shared__ __align__(16) float a[2][DEPTH][ROWS + QUAD];
    __shared__ __align__(16) float b[2][DEPTH][COLUMNS + QUAD];

    // Quad i of this thread begins here.
    const auto row = [](int i) { return threadIdx.x / ACROSS * QUAD + i * DOWN * QUAD; };
    const auto column = [](int i) { return threadIdx.x % ACROSS * QUAD + i * COLUMNS / 2; };

    float sums[THREAD_ROWS][2 * QUAD] = {};
    if (first < last) problem.load(first, a[0], b[0]);
    for (int step = first; step < last; ++step) {
        const int stage = (step - first) % 2;
        finish_copies();
        __syncthreads();  // the panels are whole, and nobody reads the other ones any more
        if (step + 1 < last) problem.load(step + 1, a[1 - stage], b[1 - stage]);
#pragma unroll
        for (int k = 0; k < DEPTH; ++k) {
            float down[THREAD_ROWS], across[2 * QUAD];
            for (int i = 0; i < THREAD_ROWS / QUAD; ++i)
                read<QUAD>(&a[stage][k][row(i)], &down[i * QUAD]);
            for (int i = 0; i < 2; ++i) read<QUAD>(&b[stage][k][column(i)], &across[i * QUAD]);
#pragma unroll
            for (int i = 0; i < THREAD_ROWS; ++i)
#pragma unroll
                for (int j = 0; j < 2 * QUAD; ++j) sums[i][j] += down[i] * across[j];
        }
    }

    constexpr int SPAN = Problem::SPAN;
#pragma unroll
    for (int j = 0; j < 2 * QUAD; j += SPAN)
#pragma unroll
        for (int i = 0; i < THREAD_ROWS; ++i) {
            const int r = row(i / QUAD) + i % QUAD, c = column(j / QUAD) + j % QUAD;
            float* place = problem.place(r, c);
            if (place) problem.finish(place, r, c, &sums[i][j]);
        }
}
