// Convolutions with shared filters, with filters of each output pixel (LOCAL), and, as
// convolutions of one pixel, fully-connected layers. Formulas: convnet/ops/spec/convolution.py.
//
// All three directions are matrix products (see gemm.cuh) whose factors are never built in memory:
//
//   fprop   (filters, pixels x images)   sum over taps (channel, y, x)
//   dgrad   (channels, pixels x images)  sum over (y, x, filter)
//   wgrad   (taps, filters)              sum over (output pixel, image)
//
// one for each group and, if LOCAL, each pixel.
//
// Shapes: images (C, H, W, N), acts (F, P, Q, N), filters (TAPS, F), or (P, Q, TAPS, F) if LOCAL,
// with TAPS = C / GROUPS * FILTER_PIXELS.
// Constants: LOCAL, CHANNELS (C), HEIGHT, WIDTH (H, W), FILTERS (F), FILTER_HEIGHT, FILTER_WIDTH,
// TOP and LEFT (the padding there), STRIDE, GROUPS, OUT_HEIGHT, OUT_WIDTH (P, Q); the sides of the
// tiles, FPROP_ROWS, FPROP_COLUMNS and so on; IMAGE_QUADS: 1 if N is a multiple of 4, else 0; PRECISION of the factors: 0 float32,
// 1 tf32, 2 bf16 (see mma.cuh), which numbers in memory do not have.
// Launch: a grid of tiles of columns x tiles of rows x parts x groups in one dimension, columns
// innermost, as the others end at 65535; block TILE_THREADS. Parts are for fprop the pixels if LOCAL,
// else 1; for dgrad the pixels if LOCAL, else STRIDE * STRIDE; for wgrad the pixels if LOCAL, else what
// the sum is divided into.

#include "common.cuh"
#include "gemm.cuh"
#if PRECISION == 0
#define CORE Ffma
#else
#include "mma.cuh"
#define CORE Mma
#endif

constexpr int GROUP_CHANNELS = CHANNELS / GROUPS, GROUP_FILTERS = FILTERS / GROUPS;
constexpr int FILTER_PIXELS = FILTER_HEIGHT * FILTER_WIDTH;
constexpr int TAPS = GROUP_CHANNELS * FILTER_PIXELS;
constexpr int PIXELS = HEIGHT * WIDTH, OUT_PIXELS = OUT_HEIGHT * OUT_WIDTH;
// Numbers that are copied at once.
constexpr int IMAGES_SPAN = IMAGE_QUADS ? QUAD : 1;
constexpr int FILTERS_SPAN = GROUP_FILTERS % QUAD == 0 ? QUAD : 1;

// What this block computes of a result with ALL_ROWS rows: its first row and column, its group, and
// its part.
template <int ALL_ROWS, int ROWS_, int COLUMNS_>
struct Block {
    static constexpr int ROWS = ROWS_, COLUMNS = COLUMNS_, THREADS = TILE_THREADS<ROWS, COLUMNS>;
    int row, column, group, part;

    __device__ explicit Block(int parts) {
        constexpr int down = (ALL_ROWS + ROWS - 1) / ROWS;
        const int across = gridDim.x / (down * GROUPS * parts), line = blockIdx.x / across;
        column = blockIdx.x % across * COLUMNS;
        row = line % down * ROWS;
        part = line / down % parts;
        group = line / down / parts;
    }
};

struct Fprop {
    using Tile = Block<GROUP_FILTERS, FPROP_ROWS, FPROP_COLUMNS>;
    using A = Lines<Tile::ROWS, FILTERS_SPAN>;
    using B = Lines<Tile::COLUMNS, IMAGES_SPAN>;
    static constexpr int SPAN = IMAGES_SPAN;

    const float *images, *filters, *biases;
    int bias_kind;  // 0: none, 1: one per filter, 2: one per output
    float low, high;
    float* acts;
    int add, N;

    Tile block;
    int pixel, columns;     // the first output pixel of this part, and its columns
    bool loads;             // whether the column that this thread loads exists,
    int top, left, offset;  // where its window is, and what more is to be added to indices

    __device__ void locate() {
        pixel = LOCAL ? block.part : 0;
        columns = LOCAL ? N : OUT_PIXELS * N;
        const int column = block.column + B::own_place();
        const int seen = pixel + column / N;
        loads = column < columns;
        top = seen / OUT_WIDTH * STRIDE - TOP;
        left = seen % OUT_WIDTH * STRIDE - LEFT;
        offset = block.group * GROUP_CHANNELS * PIXELS * N + column % N;
    }

    __device__ void load(int step, A& a, B& b) const {
        const int first = (LOCAL ? pixel * TAPS * FILTERS : 0) + block.group * GROUP_FILTERS;
        a.load<Tile::THREADS>([&](int k, int place) -> const float* {
            const int tap = step * DEPTH + k, filter = block.row + place;
            if (tap >= TAPS || filter >= GROUP_FILTERS) return nullptr;
            return filters + first + tap * FILTERS + filter;
        });
        b.load<Tile::THREADS>([&](int k, int) -> const float* {
            const int tap = step * DEPTH + k;
            const int channel = tap / FILTER_PIXELS;
            const int h = top + tap / FILTER_WIDTH % FILTER_HEIGHT, w = left + tap % FILTER_WIDTH;
            if (!loads || tap >= TAPS || !inside(h, HEIGHT) || !inside(w, WIDTH)) return nullptr;
            return images + offset + ((channel * HEIGHT + h) * WIDTH + w) * N;
        });
    }

    __device__ float* place(int row, int column) const {
        if (block.row + row >= GROUP_FILTERS || block.column + column >= columns) return nullptr;
        const int filter = block.group * GROUP_FILTERS + block.row + row;
        return acts + (filter * OUT_PIXELS + pixel) * N + block.column + column;
    }

    __device__ void finish(float* place, int row, int column, float* sums) const {
        const int filter = block.group * GROUP_FILTERS + block.row + row;
        float bias = 0;  // the columns that are stored at once are of one pixel
        if (bias_kind == 1) bias = biases[filter];
        if (bias_kind == 2)
            bias = biases[filter * OUT_PIXELS + pixel + (block.column + column) / N];
        if (add) add_held<SPAN>(place, sums);
        for (int i = 0; i < SPAN; ++i) sums[i] = clamped(sums[i] + bias, low, high);
        write<SPAN>(place, sums);
    }
};

// acts = neuron(sums + biases), for neurons that clamp to [low, high]; a NaN passes. It is enough
// that one block is resident: to hold more the compiler would spill registers on sm_120.
extern "C" __global__ void __launch_bounds__(Fprop::Tile::THREADS, 1)
    fprop(const float* __restrict__ images, const float* __restrict__ filters,
          const float* __restrict__ biases, int bias_kind, float low, float high, float* acts,
          int add, int N) {
    Fprop problem{images, filters, biases, bias_kind, low, high, acts, add, N,
                  Fprop::Tile(LOCAL ? OUT_PIXELS : 1)};
    problem.locate();
    multiply<CORE>(problem, 0, (TAPS + DEPTH - 1) / DEPTH);
}

// Only every STRIDE-th row of a filter meets a given row of the image. So the rows and columns of
// images are divided into STRIDE classes each; a block works on pixels of one class and goes
// through the taps that these meet. Of a class (a, b) pixel i, j is at row a + i * STRIDE, column
// b + j * STRIDE. If LOCAL, each pixel is worked on alone.
struct Dgrad {
    using Tile = Block<GROUP_CHANNELS, DGRAD_ROWS, DGRAD_COLUMNS>;
    using A = Columns<Tile::ROWS, FILTERS_SPAN>;
    using B = Lines<Tile::COLUMNS, IMAGES_SPAN>;
    static constexpr int SPAN = IMAGES_SPAN;
    static constexpr int CHUNKS = (GROUP_FILTERS + DEPTH - 1) / DEPTH;  // steps per tap

    const float *filters, *acts_grad;
    float* images_grad;
    int add, N;

    Tile block;
    int first_h, first_w, class_width;  // the first pixel, and pixels of a row
    int columns;
    int first_y, first_x, taps_y, taps_x;  // taps first_y + i * STRIDE, i < taps_y
    bool loads;
    int p, q, image;  // of this thread's column: output pixel that sees it by the first tap

    __device__ void locate() {
        if (LOCAL) {
            first_h = block.part / WIDTH;
            first_w = block.part % WIDTH;
            class_width = 1;
            columns = N;
        } else {
            first_h = block.part / STRIDE;
            first_w = block.part % STRIDE;
            class_width = (WIDTH - first_w + STRIDE - 1) / STRIDE;
            columns = (HEIGHT - first_h + STRIDE - 1) / STRIDE * class_width * N;
        }
        first_y = (first_h + TOP) % STRIDE;
        first_x = (first_w + LEFT) % STRIDE;
        taps_y = (FILTER_HEIGHT - first_y + STRIDE - 1) / STRIDE;
        taps_x = (FILTER_WIDTH - first_x + STRIDE - 1) / STRIDE;
        const int column = block.column + B::own_place();
        loads = column < columns;
        const int seen = LOCAL ? 0 : column / N;  // pixel of the class
        image = column % N;
        p = (first_h + TOP - first_y) / STRIDE + seen / class_width;
        q = (first_w + LEFT - first_x) / STRIDE + seen % class_width;
    }

    __device__ int steps() const { return taps_y > 0 && taps_x > 0 ? taps_y * taps_x * CHUNKS : 0; }

    __device__ void load(int step, A& a, B& b) const {
        const int chunk = step % CHUNKS * DEPTH, i = step / CHUNKS / taps_x;
        const int j = step / CHUNKS % taps_x;
        const int tap = (first_y + i * STRIDE) * FILTER_WIDTH + first_x + j * STRIDE;
        // If LOCAL, p and q are those of the whole block.
        const bool exists = inside(p - i, OUT_HEIGHT) && inside(q - j, OUT_WIDTH);
        const int output = (p - i) * OUT_WIDTH + q - j;
        const float* const taps = filters + (LOCAL && exists ? output * TAPS * FILTERS : 0) +
                                  tap * FILTERS + block.group * GROUP_FILTERS;
        a.load<Tile::THREADS>([&](int k, int place) -> const float* {
            const int channel = block.row + place, filter = chunk + k;
            if (channel >= GROUP_CHANNELS || filter >= GROUP_FILTERS) return nullptr;
            if (LOCAL && !exists) return nullptr;
            return taps + channel * FILTER_PIXELS * FILTERS + filter;
        });
        b.load<Tile::THREADS>([&](int k, int) -> const float* {
            if (!loads || !exists || chunk + k >= GROUP_FILTERS) return nullptr;
            const int filter = block.group * GROUP_FILTERS + chunk + k;
            return acts_grad + (filter * OUT_PIXELS + output) * N + image;
        });
    }

    __device__ float* place(int row, int column) const {
        column += block.column;
        if (block.row + row >= GROUP_CHANNELS || column >= columns) return nullptr;
        const int channel = block.group * GROUP_CHANNELS + block.row + row;
        const int h = first_h + column / N / class_width * STRIDE;
        const int w = first_w + column / N % class_width * STRIDE;
        return images_grad + ((channel * HEIGHT + h) * WIDTH + w) * N + column % N;
    }

    __device__ void finish(float* place, int, int, float* sums) const {
        if (add) add_held<SPAN>(place, sums);
        write<SPAN>(place, sums);
    }
};

extern "C" __global__ void __launch_bounds__(Dgrad::Tile::THREADS)
    dgrad(const float* __restrict__ filters, const float* __restrict__ acts_grad,
          float* images_grad, int add, int N) {
    Dgrad problem{filters, acts_grad, images_grad, add, N,
                  Dgrad::Tile(LOCAL ? PIXELS : STRIDE * STRIDE)};
    problem.locate();
    multiply<CORE>(problem, 0, problem.steps());
}

// A step takes DEPTH images at one output pixel. If not LOCAL the steps are divided into parts,
// whose sums are stored apart: (parts, TAPS, F), to be added up by sum_parts. Filters are few, and
// one part would leave most of the device without work.
struct Wgrad {
    using Tile = Block<TAPS, WGRAD_ROWS, WGRAD_COLUMNS>;
    using A = Columns<Tile::ROWS, IMAGES_SPAN>;
    using B = Columns<Tile::COLUMNS, IMAGES_SPAN>;
    static constexpr int SPAN = 1;

    const float *images, *acts_grad;
    float* filters_grad;
    int add, N;

    Tile block;

    __device__ int steps_per_pixel() const { return (N + DEPTH - 1) / DEPTH; }

    __device__ void load(int step, A& a, B& b) const {
        const int pixel = step / steps_per_pixel();
        const int first_image = step % steps_per_pixel() * DEPTH;
        const int top = pixel / OUT_WIDTH * STRIDE - TOP;
        const int left = pixel % OUT_WIDTH * STRIDE - LEFT;
        a.load<Tile::THREADS>([&](int k, int place) -> const float* {
            const int tap = block.row + place, n = first_image + k;
            const int h = top + tap / FILTER_WIDTH % FILTER_HEIGHT, w = left + tap % FILTER_WIDTH;
            if (tap >= TAPS || n >= N || !inside(h, HEIGHT) || !inside(w, WIDTH)) return nullptr;
            const int channel = block.group * GROUP_CHANNELS + tap / FILTER_PIXELS;
            return images + ((channel * HEIGHT + h) * WIDTH + w) * N + n;
        });
        b.load<Tile::THREADS>([&](int k, int place) -> const float* {
            const int column = block.column + place, n = first_image + k;
            if (column >= GROUP_FILTERS || n >= N) return nullptr;
            const int filter = block.group * GROUP_FILTERS + column;
            return acts_grad + (filter * OUT_PIXELS + pixel) * N + n;
        });
    }

    __device__ float* place(int row, int column) const {
        if (block.row + row >= TAPS || block.column + column >= GROUP_FILTERS) return nullptr;
        return filters_grad + (block.part * TAPS + block.row + row) * FILTERS +
               block.group * GROUP_FILTERS + block.column + column;
    }

    __device__ void finish(float* place, int, int, float* sums) const {
        if (add) add_held<SPAN>(place, sums);
        write<SPAN>(place, sums);
    }
};

// `steps`: of a part.
extern "C" __global__ void __launch_bounds__(Wgrad::Tile::THREADS)
    wgrad(const float* __restrict__ images, const float* __restrict__ acts_grad,
          float* filters_grad, int add, int N, int parts, int steps) {
    const Wgrad problem{images, acts_grad, filters_grad, add, N, Wgrad::Tile(parts)};
    const int first = problem.block.part * steps, end = OUT_PIXELS * problem.steps_per_pixel();
    multiply<CORE>(problem, first, first + steps < end ? first + steps : end);
}
