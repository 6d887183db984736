// Pooling. Formulas: convnet/ops/spec/windows.py; windows: Pool in convnet/geometry.py.
// Shapes: images (C, H, W, N), acts (C, P, Q, N). Constants: HEIGHT, WIDTH (H, W), OUT_HEIGHT,
// OUT_WIDTH (P, Q), and start, stride and size of the windows in rows (ROW_START, ROW_STRIDE,
// ROW_SIZE) and in columns (COLUMN_START and so on).
// Launch `rows`, see common.cuh: a block per output pixel forward, per image pixel backward.
// Backward kernels gather: a pixel collects from the windows that hold it, so that no two threads
// write one number.

#include "common.cuh"

// The pixels of a window.
__device__ inline Span window_rows(int p) {
    const int first = ROW_START + p * ROW_STRIDE;
    return Span(first, first + ROW_SIZE, HEIGHT);
}

__device__ inline Span window_columns(int q) {
    const int first = COLUMN_START + q * COLUMN_STRIDE;
    return Span(first, first + COLUMN_SIZE, WIDTH);
}

__device__ inline int floor_divide(int a, int b) { return a >= 0 ? a / b : -((b - 1 - a) / b); }

// The windows that hold a pixel.
__device__ inline Span holders(int pixel, int start, int stride, int size, int count) {
    const int past = pixel - start;  // the first window
    return Span(-floor_divide(size - 1 - past, stride), floor_divide(past, stride) + 1, count);
}

// A pixel of the images, or of the acts, by the number of its row of N.
template <int H, int W>
struct Pixel {
    int c, h, w;
    __device__ explicit Pixel(int row) : c(row / (H * W)), h(row / W % H), w(row % W) {}
};
using ImagePixel = Pixel<HEIGHT, WIDTH>;
using OutPixel = Pixel<OUT_HEIGHT, OUT_WIDTH>;

// Sums up for each image pixel what each window that holds it gives: share(x, y, y's gradient). The
// last is a reference, so that it is only loaded where it is needed.
template <class Share>
__device__ inline void gather(const float* __restrict__ images, const float* __restrict__ acts,
                              const float* __restrict__ acts_grad, float* images_grad, int add,
                              int N, Share share) {
    const ImagePixel pixel(blockIdx.x);
    const Span p = holders(pixel.h, ROW_START, ROW_STRIDE, ROW_SIZE, OUT_HEIGHT);
    const Span q = holders(pixel.w, COLUMN_START, COLUMN_STRIDE, COLUMN_SIZE, OUT_WIDTH);
    for (EACH_IMAGE(n, N)) {
        const float x = images[blockIdx.x * N + n];
        float sum = 0;
        for (int i = p.first; i < p.end; ++i)
            for (int j = q.first; j < q.end; ++j) {
                const int out = ((pixel.c * OUT_HEIGHT + i) * OUT_WIDTH + j) * N + n;
                sum += share(x, acts[out], acts_grad[out]);
            }
        store(&images_grad[blockIdx.x * N + n], sum, add);
    }
}

// If `magnitude`, the last number of the largest magnitude. NaN if the window holds one.
extern "C" __global__ void max_fprop(const float* __restrict__ images, float* acts, int magnitude,
                                     int N) {
    const OutPixel out(blockIdx.x);
    const Span rows = window_rows(out.h), columns = window_columns(out.w);
    for (EACH_IMAGE(n, N)) {
        float best = images[((out.c * HEIGHT + rows.first) * WIDTH + columns.first) * N + n];
        for (int h = rows.first; h < rows.end; ++h)
            for (int w = columns.first; w < columns.end; ++w) {
                const float x = images[((out.c * HEIGHT + h) * WIDTH + w) * N + n];
                const bool keep = magnitude ? fabsf(best) > fabsf(x) : best >= x;
                best = keep || best != best ? best : x;
            }
        acts[blockIdx.x * N + n] = best;
    }
}

extern "C" __global__ void max_bprop(const float* __restrict__ images,
                                     const float* __restrict__ acts,
                                     const float* __restrict__ acts_grad, float* images_grad,
                                     int add, int N) {
    gather(images, acts, acts_grad, images_grad, add, N,
           [](float x, float y, const float& grad) { return x == y ? grad : 0; });
}

extern "C" __global__ void avg_fprop(const float* __restrict__ images, float* acts, int divide,
                                     int N) {
    const OutPixel out(blockIdx.x);
    const Span rows = window_rows(out.h), columns = window_columns(out.w);
    const float share = divide ? 1.0f / (rows.size() * columns.size()) : 1;
    for (EACH_IMAGE(n, N)) {
        float sum = 0;
        for (int h = rows.first; h < rows.end; ++h)
            for (int w = columns.first; w < columns.end; ++w)
                sum += images[((out.c * HEIGHT + h) * WIDTH + w) * N + n];
        acts[blockIdx.x * N + n] = share * sum;
    }
}

extern "C" __global__ void avg_bprop(const float* __restrict__ acts_grad, float* images_grad,
                                     int divide, int add, int N) {
    const ImagePixel pixel(blockIdx.x);
    const Span p = holders(pixel.h, ROW_START, ROW_STRIDE, ROW_SIZE, OUT_HEIGHT);
    const Span q = holders(pixel.w, COLUMN_START, COLUMN_STRIDE, COLUMN_SIZE, OUT_WIDTH);
    for (EACH_IMAGE(n, N)) {
        float sum = 0;
        for (int i = p.first; i < p.end; ++i)
            for (int j = q.first; j < q.end; ++j) {
                const int pixels = window_rows(i).size() * window_columns(j).size();
                const float share = divide ? 1.0f / pixels : 1;
                sum += share * acts_grad[((pixel.c * OUT_HEIGHT + i) * OUT_WIDTH + j) * N + n];
            }
        store(&images_grad[blockIdx.x * N + n], sum, add);
    }
}

extern "C" __global__ void l2_fprop(const float* __restrict__ images, float* acts, int N) {
    const OutPixel out(blockIdx.x);
    const Span rows = window_rows(out.h), columns = window_columns(out.w);
    for (EACH_IMAGE(n, N)) {
        float sum = 0;
        for (int h = rows.first; h < rows.end; ++h)
            for (int w = columns.first; w < columns.end; ++w) {
                const float x = images[((out.c * HEIGHT + h) * WIDTH + w) * N + n];
                sum += x * x;
            }
        acts[blockIdx.x * N + n] = sqrtf(sum);
    }
}

extern "C" __global__ void l2_bprop(const float* __restrict__ images,
                                    const float* __restrict__ acts,
                                    const float* __restrict__ acts_grad, float* images_grad,
                                    int add, int N) {
    // A window of zeros has no slope.
    gather(images, acts, acts_grad, images_grad, add, N,
           [](float x, float y, const float& grad) { return y > 0 ? x / y * grad : 0; });
}
