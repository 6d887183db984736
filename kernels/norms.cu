// Local normalisation over pixels (rnorm, cnorm) and over channels (cmrnorm).
// Formulas: convnet/ops/spec/windows.py; neighbourhoods: Norm in convnet/geometry.py.
// Shapes: all arrays (C, H, W, N). Launch `rows`, see common.cuh: a block per channel and pixel;
// weigh: `numbers`. Backward passes first run `weigh`, as each of its numbers is needed by a whole
// neighbourhood.

#include "common.cuh"

// The elements that element i is normalised by, and those that are normalised by it.
__device__ inline Span reads(int i, int length, int size, int blocked = 0) {
    const int first = blocked ? i / size * size : i - size / 2;
    return Span(first, first + size, length);
}
__device__ inline Span readers(int i, int length, int size, int blocked = 0) {
    const int first = blocked ? i / size * size : i + size / 2 - size + 1;
    return Span(first, first + size, length);
}

// Channel and pixel of this block. Neighbouring blocks have neighbouring channels or pixels, so
// that what they share is in the cache.
struct Place {
    int c, h, w, row;

    __device__ static Place by_pixels(int H, int W) {
        const int row = blockIdx.x;
        return Place{row / (H * W), row / W % H, row % W, row};
    }
    __device__ static Place by_channels(int C, int pixels) {
        const int c = blockIdx.x % C, pixel = blockIdx.x / C;
        return Place{c, 0, pixel, c * pixels + pixel};
    }
};

// d^-power. Published nets have the power 0.75, for which there is a short way.
__device__ inline float inverse_power(float d, float power) {
    if (power != 0.75f) return powf(d, -power);
    const float root = sqrtf(d);
    return 1 / (root * sqrtf(root));
}

// From the sum of squares: the denominator and the result.
__device__ inline void normalise(float x, float squares, float scale, float power, float min_div,
                                 float* denom, float* act) {
    *denom = min_div + scale * squares;
    *act = x * inverse_power(*denom, power);
}

// Sums f(index) over pixels of a channel.
template <class Function>
__device__ float sum_pixels(Span rows, Span columns, int channel, int H, int W, Function f) {
    float sum = 0;
    for (int h = rows.first; h < rows.end; ++h)
        for (int w = columns.first; w < columns.end; ++w) sum += f((channel * H + h) * W + w, h, w);
    return sum;
}

// rnorm and cnorm; `squared` are the images, or what cnorm_diffs makes of them.
extern "C" __global__ void pixels_fprop(const float* __restrict__ images,
                                        const float* __restrict__ squared, int norm_size,
                                        float scale, float power, float min_div, float* denoms,
                                        float* acts, int H, int W, int N) {
    const Place at = Place::by_pixels(H, W);
    const Span rows = reads(at.h, H, norm_size), columns = reads(at.w, W, norm_size);
    for (EACH_IMAGE(n, N)) {
        const float squares = sum_pixels(rows, columns, at.c, H, W, [&](int row, int, int) {
            return squared[row * N + n] * squared[row * N + n];
        });
        const int i = at.row * N + n;
        normalise(images[i], squares, scale, power, min_div, &denoms[i], &acts[i]);
    }
}

extern "C" __global__ void cmrnorm_fprop(const float* __restrict__ images, int norm_size,
                                         float scale, float power, float min_div, int blocked,
                                         float* denoms, float* acts, int C, int pixels, int N) {
    const Place at = Place::by_channels(C, pixels);
    const Span channels = reads(at.c, C, norm_size, blocked);
    for (EACH_IMAGE(n, N)) {
        float squares = 0;
        for (int c = channels.first; c < channels.end; ++c) {
            const float x = images[(c * pixels + at.w) * N + n];
            squares += x * x;
        }
        const int i = at.row * N + n;
        normalise(images[i], squares, scale, power, min_div, &denoms[i], &acts[i]);
    }
}

// terms = g * x * D^(-power-1).
extern "C" __global__ void weigh(const float* images, const float* denoms, const float* acts_grad,
                                 float power, float* terms, int size) {
    const int i = this_number();
    if (i >= size) return;
    terms[i] = inverse_power(denoms[i], power) * acts_grad[i] * images[i] / denoms[i];
}

extern "C" __global__ void rnorm_bprop(const float* __restrict__ images,
                                       const float* __restrict__ denoms,
                                       const float* __restrict__ acts_grad,
                                       const float* __restrict__ terms, int norm_size, float scale,
                                       float power, float* images_grad, int add, int H, int W,
                                       int N) {
    const Place at = Place::by_pixels(H, W);
    const Span rows = readers(at.h, H, norm_size), columns = readers(at.w, W, norm_size);
    for (EACH_IMAGE(n, N)) {
        const float sum = sum_pixels(rows, columns, at.c, H, W,
                                     [&](int row, int, int) { return terms[row * N + n]; });
        const int i = at.row * N + n;
        const float direct = acts_grad[i] * inverse_power(denoms[i], power);
        store(&images_grad[i], direct - 2 * power * scale * images[i] * sum, add);
    }
}

extern "C" __global__ void cmrnorm_bprop(const float* __restrict__ images,
                                         const float* __restrict__ denoms,
                                         const float* __restrict__ acts_grad,
                                         const float* __restrict__ terms, int norm_size,
                                         float scale, float power, int blocked, float* images_grad,
                                         int add, int C, int pixels, int N) {
    const Place at = Place::by_channels(C, pixels);
    const Span channels = readers(at.c, C, norm_size, blocked);
    for (EACH_IMAGE(n, N)) {
        float sum = 0;
        for (int c = channels.first; c < channels.end; ++c)
            sum += terms[(c * pixels + at.w) * N + n];
        const int i = at.row * N + n;
        const float direct = acts_grad[i] * inverse_power(denoms[i], power);
        store(&images_grad[i], direct - 2 * power * scale * images[i] * sum, add);
    }
}

// diffs = images - mean over the window.
extern "C" __global__ void cnorm_diffs(const float* __restrict__ images, int norm_size,
                                       float* diffs, int H, int W, int N) {
    const Place at = Place::by_pixels(H, W);
    const Span rows = reads(at.h, H, norm_size), columns = reads(at.w, W, norm_size);
    const float share = 1.0f / (rows.size() * columns.size());
    for (EACH_IMAGE(n, N)) {
        const float sum = sum_pixels(rows, columns, at.c, H, W,
                                     [&](int row, int, int) { return images[row * N + n]; });
        diffs[at.row * N + n] = images[at.row * N + n] - share * sum;
    }
}

// diffs_grad = -2 power scale d * the sum of terms over readers: the gradient of diffs.
extern "C" __global__ void cnorm_diffs_grad(const float* __restrict__ diffs,
                                            const float* __restrict__ terms, int norm_size,
                                            float scale, float power, float* diffs_grad, int H,
                                            int W, int N) {
    const Place at = Place::by_pixels(H, W);
    const Span rows = readers(at.h, H, norm_size), columns = readers(at.w, W, norm_size);
    for (EACH_IMAGE(n, N)) {
        const float sum = sum_pixels(rows, columns, at.c, H, W,
                                     [&](int row, int, int) { return terms[row * N + n]; });
        const int i = at.row * N + n;
        diffs_grad[i] = -2 * power * scale * diffs[i] * sum;
    }
}

extern "C" __global__ void cnorm_bprop(const float* __restrict__ diffs_grad,
                                       const float* __restrict__ denoms,
                                       const float* __restrict__ acts_grad, int norm_size,
                                       float power, float* images_grad, int add, int H, int W,
                                       int N) {
    const Place at = Place::by_pixels(H, W);
    const Span rows = readers(at.h, H, norm_size), columns = readers(at.w, W, norm_size);
    for (EACH_IMAGE(n, N)) {
        const float through_means =
            sum_pixels(rows, columns, at.c, H, W, [&](int row, int h, int w) {
                const int pixels = reads(h, H, norm_size).size() * reads(w, W, norm_size).size();
                return diffs_grad[row * N + n] / pixels;
            });
        const int i = at.row * N + n;
        const float direct = acts_grad[i] * inverse_power(denoms[i], power);
        store(&images_grad[i], direct + diffs_grad[i] - through_means, add);
    }
}
