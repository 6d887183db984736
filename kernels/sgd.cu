// The update of the weights, and the bounds of their norms. Formulas: convnet/ops/base.py.

#include "columns.cuh"

// `rate` is one number, which changes from step to step. Flat arrays. Launch `numbers`.
extern "C" __global__ void sgd(float* weights, float* increments, const float* gradients,
                               float momentum, const float* rate, float cases, float decay,
                               int size) {
    const int i = this_number();
    if (i >= size) return;
    const float w = weights[i];
    const float increment =
        momentum * increments[i] - *rate / cases * gradients[i] - decay * *rate * w;
    increments[i] = increment;
    weights[i] = w + increment;
}

// gradients *= limit / norm if that is below 1; `square` is one number, the norm's. Flat array.
// Launch `numbers`.
extern "C" __global__ void clip_norm(float* gradients, const float* square, float limit, int size) {
    const int i = this_number();
    if (i >= size) return;
    const float norm = sqrtf(*square);
    if (norm > limit) gradients[i] *= limit / norm;
}

// Scales columns of weights (modules, rows, F) so that their norms lie between low and high.
// Launch: grid ceil(F / 32) * modules, block (32, 8).
extern "C" __global__ void bound_columns(float* weights, float low, float high, int centred,
                                         int rows, int F) {
    const int across = (F + LANES - 1) / LANES, module = blockIdx.x / across;
    const int f = blockIdx.x % across * LANES + threadIdx.x;
    float* const column = weights + module * rows * F + f;
    const int length = f < F ? rows : 0;  // threads beyond the last column have nothing to sum
    double mean = 0, squares = 0;
    if (centred) {
        for (int r = threadIdx.y; r < length; r += TEAMS) mean += column[r * F];
        mean = sum_over_column(mean) / rows;
    }
    for (int r = threadIdx.y; r < length; r += TEAMS)
        squares += (column[r * F] - mean) * (column[r * F] - mean);
    const double norm = sqrt(sum_over_column(squares)) / (centred ? rows : 1);
    if (!(norm > 0)) return;
    const double bound = norm < low ? low : norm > high ? high : norm;
    const float factor = bound / norm;
    for (int r = threadIdx.y; r < length; r += TEAMS) column[r * F] *= factor;
}
