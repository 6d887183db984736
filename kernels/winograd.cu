// Convolutions of stride 1 by Winograd's method: formula and source in convnet/ops/winograd.py.
//
// A tile of SIDE x SIDE pixels of the source gives OUTER x OUTER pixels of the target. Columns are
// tiles x images, images innermost: column / N is a tile (tiles row by row, `across` in a row),
// column % N an image. The workspace has room for `line` columns, a multiple of 4, so the kernels
// take `count` columns from `first` on at once:
//
//   filters_to_points    filter points (POINTS, C / groups, F)   = G g G^T, once
//   source_to_points     source points (POINTS, channels, line)  = B^T d B
//   multiply_points      sums (POINTS, outputs, line)            = for each point and group the
//                        product (outputs, channels) x (channels, line) of the points
//   sums_to_target       target                                  = neuron(A^T sums A + biases)
//
// Between `count` and `line` the points and sums are anything: a column depends on no other.
//
// Shapes: source (channels, H, W, N), target (outputs, P, Q, N), filters (C / groups * K * K, F).
// For the image gradient, which is a convolution too, TURNED is 1: the source has F channels, the
// target C, and the filters are turned round.
// F / groups is a multiple of 4.
// Constants: FILTER_SIZE (K), TURNED, TILE_SIDE (SIDE); the sides of the products' tiles, PRODUCT_ROWS
// and PRODUCT_COLUMNS; and the matrices SUMS_TO_TARGET (A^T), FILTERS_TO_POINTS (G) and
// SOURCE_TO_POINTS (B^T), row by row.
// Launch: filters_to_points as `numbers` of common.cuh; source_to_points and sums_to_target grid
// (ceil(count / 256), channels of source or target), block 256; multiply_points grid (tiles of
// columns, tiles of rows, POINTS * groups), block TILE_THREADS.

#include "common.cuh"
#include "gemm.cuh"

constexpr int K = FILTER_SIZE, OUTER = TILE_SIDE + 1 - K, POINTS = TILE_SIDE * TILE_SIDE;
constexpr int BLOCK = 256;

// Matrices of HEIGHT x WIDTH numbers that the compiler knows, so that zeros cost nothing.
struct ForTarget {
    static constexpr int HEIGHT = OUTER, WIDTH = TILE_SIDE;
    __device__ static constexpr float at(int i, int j) {
        constexpr float numbers[HEIGHT][WIDTH] = SUMS_TO_TARGET;
        return numbers[i][j];
    }
};

struct ForFilters {
    static constexpr int HEIGHT = TILE_SIDE, WIDTH = K;
    __device__ static constexpr float at(int i, int j) {
        constexpr float numbers[HEIGHT][WIDTH] = FILTERS_TO_POINTS;
        return numbers[i][j];
    }
};

struct ForSource {
    static constexpr int HEIGHT = TILE_SIDE, WIDTH = TILE_SIDE;
    __device__ static constexpr float at(int i, int j) {
        constexpr float numbers[HEIGHT][WIDTH] = SOURCE_TO_POINTS;
        return numbers[i][j];
    }
};

// Number i of Matrix * x.
template <class Matrix>
__device__ inline float times(int i, const float (&x)[Matrix::WIDTH]) {
    float sum = 0;
#pragma unroll
    for (int j = 0; j < Matrix::WIDTH; ++j)
        if (Matrix::at(i, j) != 0) sum += Matrix::at(i, j) * x[j];
    return sum;
}

// give(i, j, number i, j of M X M^T) where take(i, j) is that of X.
template <class Matrix, class Take, class Give>
__device__ inline void transform(Take take, Give give) {
    float half[Matrix::HEIGHT][Matrix::WIDTH];  // M X
#pragma unroll
    for (int j = 0; j < Matrix::WIDTH; ++j) {
        float column[Matrix::WIDTH];
#pragma unroll
        for (int i = 0; i < Matrix::WIDTH; ++i) column[i] = take(i, j);
#pragma unroll
        for (int i = 0; i < Matrix::HEIGHT; ++i) half[i][j] = times<Matrix>(i, column);
    }
#pragma unroll
    for (int i = 0; i < Matrix::HEIGHT; ++i)
#pragma unroll
        for (int j = 0; j < Matrix::HEIGHT; ++j) give(i, j, times<Matrix>(j, half[i]));
}

// Where a column is.
struct Place {
    int top, left, image;  // the first target pixel of its tile

    __device__ Place(int column, int across, int N)
        : top(column / N / across * OUTER), left(column / N % across * OUTER), image(column % N) {}
};

extern "C" __global__ void __launch_bounds__(BLOCK)
    filters_to_points(const float* __restrict__ filters, float* __restrict__ points, int F,
                      int size) {
    const int i = this_number();
    if (i >= size) return;
    const float* const taps = filters + i / F * K * K * F + i % F;
    transform<ForFilters>(
        [&](int y, int x) {
            const int tap = y * K + x;
            return taps[(TURNED ? K * K - 1 - tap : tap) * F];
        },
        [&](int y, int x, float value) { points[(y * TILE_SIDE + x) * size + i] = value; });
}

extern "C" __global__ void __launch_bounds__(BLOCK)
    source_to_points(const float* __restrict__ source, float* __restrict__ points, int H, int W,
                     int N, int padding, int across, int first, int count, int line) {
    const int column = this_number(), channel = blockIdx.y, channels = gridDim.y;
    if (column >= count) return;
    const Place place(first + column, across, N);
    const int top = place.top - padding, left = place.left - padding;
    transform<ForSource>(
        [&](int y, int x) {
            const int h = top + y, w = left + x;
            if (!inside(h, H) || !inside(w, W)) return 0.0f;
            return source[((channel * H + h) * W + w) * N + place.image];
        },
        [&](int y, int x, float value) {
            points[((y * TILE_SIDE + x) * channels + channel) * line + column] = value;
        });
}

// Channels and outputs here are those of a group.
struct PointProduct {
    struct Tile {
        static constexpr int THREADS = TILE_THREADS<PRODUCT_ROWS, PRODUCT_COLUMNS>;
    };
    static constexpr int SPAN = QUAD;
#if TURNED
    using A = Columns<PRODUCT_ROWS, QUAD>;
#else
    using A = Lines<PRODUCT_ROWS, QUAD>;
#endif
    using B = Lines<PRODUCT_COLUMNS, QUAD>;

    const float *filters, *source;  // the points of this group
    float* sums;
    int channels, outputs, F, line;

    __device__ static int first_row() { return blockIdx.y * PRODUCT_ROWS; }
    __device__ static int first_column() { return blockIdx.x * PRODUCT_COLUMNS; }

    __device__ void load(int step, A& a, B& b) const {
        a.load<Tile::THREADS>([&](int k, int place) -> const float* {
            const int channel = step * DEPTH + k, output = first_row() + place;
            if (channel >= channels || output >= outputs) return nullptr;
            return filters + (TURNED ? output * F + channel : channel * F + output);
        });
        b.load<Tile::THREADS>([&](int k, int place) -> const float* {
            const int channel = step * DEPTH + k, column = first_column() + place;
            if (channel >= channels || column >= line) return nullptr;
            return source + channel * line + column;
        });
    }

    __device__ float* place(int row, int column) const {
        const int output = first_row() + row;
        if (output >= outputs || first_column() + column >= line) return nullptr;
        return sums + output * line + first_column() + column;
    }

    __device__ void finish(float* place, int, int, float* numbers) const {
        write<SPAN>(place, numbers);
    }
};

extern "C" __global__ void __launch_bounds__(PointProduct::Tile::THREADS)
    multiply_points(const float* __restrict__ filters, const float* __restrict__ source,
                    float* __restrict__ sums, int groups, int channels, int outputs, int line) {
    const int task = blockIdx.z, point = task / groups, group = task % groups;  // point by point
    const int width = TURNED ? channels : outputs, F = groups * width;
    const PointProduct problem{filters + point * channels * outputs * groups + group * width,
                               source + task * channels * line,
                               sums + task * outputs * line,
                               channels, outputs, F, line};
    multiply(problem, 0, (channels + DEPTH - 1) / DEPTH);
}

// `bias_kind`: 0: none, 1: one per output channel, 2: one per output. Neurons are those that clamp
// to [low, high].
extern "C" __global__ void __launch_bounds__(BLOCK)
    sums_to_target(const float* __restrict__ sums, const float* __restrict__ biases, int bias_kind,
                   float low, float high, float* target, int add, int P, int Q, int N, int across,
                   int first, int count, int line) {
    const int column = this_number(), output = blockIdx.y, outputs = gridDim.y;
    if (column >= count) return;
    const Place place(first + column, across, N);
    transform<ForTarget>(
        [&](int y, int x) {
            return sums[((y * TILE_SIDE + x) * outputs + output) * line + column];
        },
        [&](int y, int x, float value) {
            const int p = place.top + y, q = place.left + x;
            if (p >= P || q >= Q) return;
            const int pixel = (output * P + p) * Q + q;
            float* const to = target + pixel * N + place.image;
            if (add) value += *to;
            if (bias_kind == 1) value += biases[output];
            if (bias_kind == 2) value += biases[pixel];
            *to = clamped(value, low, high);
        });
}
