// Batch normalisation. Formulas: convnet/ops/spec/batchnorm.py.
// Shapes: images (C, length), length = H * W * N; statistics and sums (2, C); gammas, betas (C).
// Launch: grid (C, parts), block (32, 8): the threads of a part take every parts-th piece of 256
// numbers of its channel. What is summed is left as a number for each part, and put together in
// their order by a second kernel.

#include "columns.cuh"
#include "neurons.cuh"

// A loop over the numbers of this thread.
#define EACH_NUMBER(i, length)                                                       \
    int i = (blockIdx.y * TEAMS + threadIdx.y) * LANES + threadIdx.x; i < length; \
    i += gridDim.y * TEAMS * LANES

// The channel of this block, with what is computed with it.
struct Channel {
    int c, first;
    float mean, inverse, factor, beta;

    __device__ Channel(const float* statistics, const float* gammas, const float* betas, float eps,
                       int length)
        : c(blockIdx.x), first(blockIdx.x * length), mean(statistics[blockIdx.x]) {
        inverse = 1 / sqrtf(statistics[gridDim.x + c] + eps);
        factor = gammas[c] * inverse;
        beta = betas[c];
    }

    // The same instructions forward and backward, so that a relu lets the same numbers through.
    __device__ float value(float x) const { return fmaf(x - mean, factor, beta); }

    // The gradient of `value`, from that of the relu above it, if there is one.
    __device__ float grad(float x, float dy, int relu) const {
        return !relu || value(x) > 0 ? dy : 0;
    }
};

// Of each part its mean, the sum of the squares of the differences from it, and the count of its
// numbers: (3, C, parts). Means are told relative to the channel's first number, so that a float has
// the digits that the variance needs.
extern "C" __global__ void part_stats(const float* images, float* parts, int length) {
    const float* row = images + blockIdx.x * length;
    double sum = 0, squares = 0, count = 0;
    for (EACH_NUMBER(i, length)) {
        const double x = (double)row[i] - row[0];
        sum += x;
        squares += x * x;
        ++count;
    }
    sum = sum_over_block(sum);
    squares = sum_over_block(squares);
    count = sum_over_block(count);
    if (threadIdx.x || threadIdx.y) return;
    const int place = blockIdx.x * gridDim.y + blockIdx.y, size = gridDim.x * gridDim.y;
    const double rest = squares - sum * sum / count;
    parts[place] = sum / count;
    parts[size + place] = rest > 0 ? rest : 0;
    parts[2 * size + place] = count;
}

// The statistics of parts, put together by the formula of Chan, Golub and LeVeque, "Algorithms for
// computing the sample variance" (1983). Launch `numbers`, for C.
extern "C" __global__ void join_stats(const float* images, int length, const float* parts,
                                      int part_count, float* statistics, int size) {
    const int c = this_number();
    if (c >= size) return;
    const float *means = parts + c * part_count, *squares = means + size * part_count,
                *counts = squares + size * part_count;
    double mean = 0, sum = 0, count = 0;
    for (int part = 0; part < part_count; ++part) {
        const double away = means[part] - mean, both = count + counts[part];
        sum += squares[part] + away * away * count * counts[part] / both;
        mean += away * counts[part] / both;
        count = both;
    }
    statistics[c] = images[c * length] + mean;
    statistics[size + c] = sum / count;
}

// `others` are added if `with_others`; else they may be anything.
extern "C" __global__ void batchnorm_fprop(const float* images, const float* statistics,
                                           const float* gammas, const float* betas, float eps,
                                           int neuron, float a, float b, float c, float d, float e,
                                           float f, const float* others, int with_others,
                                           float* acts, int length) {
    const Channel channel(statistics, gammas, betas, eps, length);
    const Parameters parameters{a, b, c, d, e, f};
    for (EACH_NUMBER(i, length)) {
        const int place = channel.first + i;
        const float value = channel.value(images[place]) + (with_others ? others[place] : 0);
        acts[place] = neuron_value(neuron, value, parameters);
    }
}

// sums(2, C, parts): of the parts, for sum_rows.
extern "C" __global__ void batchnorm_sums(const float* images, const float* statistics,
                                          const float* gammas, const float* betas, float eps,
                                          const float* acts_grad, int relu, float* sums,
                                          int length) {
    const Channel channel(statistics, gammas, betas, eps, length);
    double along = 0, total = 0;
    for (EACH_NUMBER(i, length)) {
        const float x = images[channel.first + i];
        const float grad = channel.grad(x, acts_grad[channel.first + i], relu);
        along += grad * ((x - channel.mean) * channel.inverse);
        total += grad;
    }
    along = sum_over_block(along);
    total = sum_over_block(total);
    if (threadIdx.x || threadIdx.y) return;
    const int place = channel.c * gridDim.y + blockIdx.y;
    sums[place] = along;
    sums[gridDim.x * gridDim.y + place] = total;
}

// `share` is 1 / length, or 0 where the statistics are constants.
extern "C" __global__ void batchnorm_dgrad(const float* images, const float* statistics,
                                           const float* gammas, const float* betas, float eps,
                                           const float* sums, float share, const float* acts_grad,
                                           int relu, float* images_grad, int add, int length) {
    const Channel channel(statistics, gammas, betas, eps, length);
    const float slope = sums[channel.c] * channel.inverse * share;
    const float offset = sums[gridDim.x + channel.c] * share;
    for (EACH_NUMBER(i, length)) {
        const int place = channel.first + i;
        const float x = images[place], grad = channel.grad(x, acts_grad[place], relu);
        const float through = grad - offset - (x - channel.mean) * slope;
        store(&images_grad[place], channel.factor * through, add);
    }
}

// `unbiased` is what variances are multiplied by. Launch `numbers`, for 2 * C.
extern "C" __global__ void batchnorm_track(const float* statistics, float rate, float unbiased,
                                           float* running, int size) {
    const int i = this_number();
    if (i >= size) return;
    const float factor = i < size / 2 ? 1 : unbiased;
    running[i] += rate * (factor * statistics[i] - running[i]);
}
