// Convolutions of stride 1 by Winograd's method: formulas and source in convnet/ops/winograd.py.
//
// A tile of SIDE x SIDE pixels of the source gives OUTER x OUTER pixels of the target. Columns are
// tiles x images, images innermost: column / N is a tile (tiles row by row, `across` in a row),
// column % N an image. The workspace has room for `line` columns, a multiple of 4, so the kernels
// take `count` columns from `first` on at once; from there to `line` they take zeros.
//
//   filters_to_points        filter points (POINTS, C / groups, F)  = G g G^T, once
//   source_to_points         source points (POINTS, channels, line) = B^T d B
//   fprop_ or dgrad_points   sums (POINTS, outputs, line)           = for each point and group the
//                            product (outputs, channels) x (channels, line) of these
//   sums_to_target           target                                 = neuron(A^T sums A + biases)
//
// The image gradient is a convolution too: of the outputs' gradients, with the filters turned
// round. So the source are images (C, H, W, N) or acts_grad (F, P, Q, N), and the target the other
// of acts and images_grad. The gradient of the filters is
//
//   source_to_points         source points of the images
//   grads_to_points          points of acts_grad (POINTS, F, line)  = A dY A^T
//   wgrad_points             sums (parts, POINTS, C / groups, F)    = or += the products of these
//   sums_to_filters_grad     filters_grad                           = G^T (sums of the parts) G
//
// Filters are (C / groups * K * K, F); F / groups is a multiple of 4.
// Constants: FILTER_SIZE (K), TILE_SIDE (SIDE); the sides of the tiles of products, FPROP_ROWS,
// FPROP_COLUMNS and so on; and the matrices SUMS_TO_TARGET (A^T), FILTERS_TO_POINTS (G) and
// SOURCE_TO_POINTS (B^T), row by row.
// Launch: what takes or gives filters as `numbers` of common.cuh, a thread per channel of a group
// and filter. What takes or gives pixels: grid (ceil(line / 256), channels of all groups), block
// 256. Products: grid (tiles of columns, tiles of rows, POINTS * groups, times parts for wgrad),
// block TILE_THREADS.

#include "common.cuh"
#include "gemm.cuh"

constexpr int K = FILTER_SIZE, OUTER = TILE_SIDE + 1 - K, POINTS = TILE_SIDE * TILE_SIDE;
constexpr int BLOCK = 256, RESIDENT = 4;  // blocks of an SM: enough, and 64 registers a thread

// Matrices of HEIGHT x WIDTH numbers that the compiler knows, so that zeros cost nothing.
struct SumsToTarget {
    static constexpr int HEIGHT = OUTER, WIDTH = TILE_SIDE;
    __device__ static constexpr float at(int i, int j) {
        constexpr float numbers[HEIGHT][WIDTH] = SUMS_TO_TARGET;
        return numbers[i][j];
    }
};

struct FiltersToPoints {
    static constexpr int HEIGHT = TILE_SIDE, WIDTH = K;
    __device__ static constexpr float at(int i, int j) {
        constexpr float numbers[HEIGHT][WIDTH] = FILTERS_TO_POINTS;
        return numbers[i][j];
    }
};

struct SourceToPoints {
    static constexpr int HEIGHT = TILE_SIDE, WIDTH = TILE_SIDE;
    __device__ static constexpr float at(int i, int j) {
        constexpr float numbers[HEIGHT][WIDTH] = SOURCE_TO_POINTS;
        return numbers[i][j];
    }
};

template <class Matrix>
struct Transposed {
    static constexpr int HEIGHT = Matrix::WIDTH, WIDTH = Matrix::HEIGHT;
    __device__ static constexpr float at(int i, int j) { return Matrix::at(j, i); }
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

// The points of the tiles whose first pixel is `padding` above and left of that of the target.
template <class Matrix>
__device__ inline void pixels_to_points(const float* pixels, float* points, int padding, int H,
                                        int W, int N, int across, int first, int count, int line) {
    const int column = this_number(), channel = blockIdx.y, channels = gridDim.y;
    if (column >= line) return;
    const Place place(first + column, across, N);
    const int top = place.top - padding, left = place.left - padding;
    transform<Matrix>(
        [&](int y, int x) {
            const int h = top + y, w = left + x;
            if (column >= count || !inside(h, H) || !inside(w, W)) return 0.0f;
            return pixels[((channel * H + h) * W + w) * N + place.image];
        },
        [&](int y, int x, float value) {
            points[((y * TILE_SIDE + x) * channels + channel) * line + column] = value;
        });
}

extern "C" __global__ void __launch_bounds__(BLOCK, RESIDENT)
    source_to_points(const float* __restrict__ source, float* __restrict__ points, int padding,
                     int H, int W, int N, int across, int first, int count, int line) {
    pixels_to_points<SourceToPoints>(source, points, padding, H, W, N, across, first, count, line);
}

extern "C" __global__ void __launch_bounds__(BLOCK, RESIDENT)
    grads_to_points(const float* __restrict__ acts_grad, float* __restrict__ points, int P, int Q,
                    int N, int across, int first, int count, int line) {
    pixels_to_points<Transposed<SumsToTarget>>(acts_grad, points, 0, P, Q, N, across, first, count,
                                               line);
}

// `size` is C / groups * F.
extern "C" __global__ void __launch_bounds__(BLOCK, RESIDENT)
    filters_to_points(const float* __restrict__ filters, float* __restrict__ points, int turned,
                      int F, int size) {
    const int i = this_number();
    if (i >= size) return;
    const float* const taps = filters + i / F * K * K * F + i % F;
    transform<FiltersToPoints>(
        [&](int y, int x) {
            const int tap = y * K + x;
            return taps[(turned ? K * K - 1 - tap : tap) * F];
        },
        [&](int y, int x, float value) { points[(y * TILE_SIDE + x) * size + i] = value; });
}

// `bias_kind`: 0: none, 1: one per output channel, 2: one per output. Neurons are those that clamp
// to [low, high].
extern "C" __global__ void __launch_bounds__(BLOCK, RESIDENT)
    sums_to_target(const float* __restrict__ sums, const float* __restrict__ biases, int bias_kind,
                   float low, float high, float* target, int add, int P, int Q, int N, int across,
                   int first, int count, int line) {
    const int column = this_number(), output = blockIdx.y, outputs = gridDim.y;
    if (column >= count) return;
    const Place place(first + column, across, N);
    transform<SumsToTarget>(
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

extern "C" __global__ void __launch_bounds__(BLOCK, RESIDENT)
    sums_to_filters_grad(const float* __restrict__ sums, int parts, float* filters_grad, int add,
                         int F, int size) {
    const int i = this_number();
    if (i >= size) return;
    float* const taps = filters_grad + i / F * K * K * F + i % F;
    transform<Transposed<FiltersToPoints>>(
        [&](int y, int x) {
            float sum = 0;
            for (int part = 0; part < parts; ++part)
                sum += sums[(part * POINTS + y * TILE_SIDE + x) * size + i];
            return sum;
        },
        [&](int y, int x, float value) { store(taps + (y * K + x) * F, value, add); });
}

// The first row and column of a block's tile of products.
template <int ROWS_, int COLUMNS_>
struct ProductTile {
    static constexpr int ROWS = ROWS_, COLUMNS = COLUMNS_, THREADS = TILE_THREADS<ROWS, COLUMNS>;
    int row = blockIdx.y * ROWS, column = blockIdx.x * COLUMNS;
};

// The sums of a point and a group, whose `channels` and `outputs` are counted here. Of its filter
// points the number of an output and a channel is at output * output_step + channel * channel_step.
template <class Tile_, class A_>
struct Correlation {
    using Tile = Tile_;
    using A = A_;
    using B = Lines<Tile::COLUMNS, QUAD>;
    static constexpr int SPAN = QUAD;

    const float* filters;
    int output_step, channel_step;
    const float* source;
    float* sums;
    int channels, outputs, line;
    Tile tile;

    __device__ void load(int step, A& a, B& b) const {
        a.template load<Tile::THREADS>([&](int k, int place) -> const float* {
            const int channel = step * DEPTH + k, output = tile.row + place;
            if (channel >= channels || output >= outputs) return nullptr;
            return filters + output * output_step + channel * channel_step;
        });
        b.template load<Tile::THREADS>([&](int k, int place) -> const float* {
            const int channel = step * DEPTH + k, column = tile.column + place;
            if (channel >= channels || column >= line) return nullptr;
            return source + channel * line + column;
        });
    }

    __device__ float* place(int row, int column) const {
        const int output = tile.row + row;
        if (output >= outputs || tile.column + column >= line) return nullptr;
        return sums + output * line + tile.column + column;
    }

    __device__ void finish(float* place, int, int, float* numbers) const {
        write<SPAN>(place, numbers);
    }

    __device__ int steps() const { return (channels + DEPTH - 1) / DEPTH; }
};

using FpropTile = ProductTile<FPROP_ROWS, FPROP_COLUMNS>;
using DgradTile = ProductTile<DGRAD_ROWS, DGRAD_COLUMNS>;
using WgradTile = ProductTile<WGRAD_ROWS, WGRAD_COLUMNS>;

extern "C" __global__ void __launch_bounds__(FpropTile::THREADS)
    fprop_points(const float* __restrict__ filters, const float* __restrict__ source,
                 float* __restrict__ sums, int groups, int channels, int outputs, int line) {
    const int task = blockIdx.z, point = task / groups, group = task % groups;
    const int F = groups * outputs;
    const Correlation<FpropTile, Lines<FPROP_ROWS, QUAD>> problem{
        filters + point * channels * F + group * outputs, 1, F,
        source + task * channels * line, sums + task * outputs * line, channels, outputs, line};
    multiply(problem, 0, problem.steps());
}

extern "C" __global__ void __launch_bounds__(DgradTile::THREADS)
    dgrad_points(const float* __restrict__ filters, const float* __restrict__ source,
                 float* __restrict__ sums, int groups, int channels, int outputs, int line) {
    const int task = blockIdx.z, point = task / groups, group = task % groups;
    const int F = groups * channels;
    const Correlation<DgradTile, Columns<DGRAD_ROWS, QUAD>> problem{
        filters + point * outputs * F + group * channels, F, 1,
        source + task * channels * line, sums + task * outputs * line, channels, outputs, line};
    multiply(problem, 0, problem.steps());
}

// Rows are `channels` of a group, columns its `filters`, and the sum is over the columns of above.
struct PointsWgrad {
    using Tile = WgradTile;
    using A = Columns<Tile::ROWS, QUAD>;
    using B = Columns<Tile::COLUMNS, QUAD>;
    static constexpr int SPAN = 1;

    const float *source, *grads;
    float* sums;
    int F, add, channels, filters, line;
    Tile tile;

    __device__ void load(int step, A& a, B& b) const {
        a.load<Tile::THREADS>([&](int k, int place) -> const float* {
            const int channel = tile.row + place, column = step * DEPTH + k;
            return channel < channels && column < line ? source + channel * line + column : nullptr;
        });
        b.load<Tile::THREADS>([&](int k, int place) -> const float* {
            const int filter = tile.column + place, column = step * DEPTH + k;
            return filter < filters && column < line ? grads + filter * line + column : nullptr;
        });
    }

    __device__ float* place(int row, int column) const {
        const int channel = tile.row + row, filter = tile.column + column;
        return channel < channels && filter < filters ? sums + channel * F + filter : nullptr;
    }

    __device__ void finish(float* place, int, int, float* numbers) const {
        if (add) add_held<SPAN>(place, numbers);
        write<SPAN>(place, numbers);
    }
};

// `steps`: of a part.
extern "C" __global__ void __launch_bounds__(WgradTile::THREADS)
    wgrad_points(const float* __restrict__ source, const float* __restrict__ grads, float* sums,
                 int add, int steps, int groups, int channels, int filters, int line) {
    const int part = blockIdx.z / (POINTS * groups), task = blockIdx.z % (POINTS * groups);
    const int point = task / groups, group = task % groups, F = groups * filters;
    const PointsWgrad problem{
        source + task * channels * line, grads + task * filters * line,
        sums + (part * POINTS + point) * channels * F + group * filters,
        F, add, channels, filters, line};
    const int first = part * steps, end = (line + DEPTH - 1) / DEPTH;
    multiply(problem, first, first + steps < end ? first + steps : end);
}
