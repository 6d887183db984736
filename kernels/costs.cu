// Softmax and costs. Formulas: convnet/ops/spec/costs.py.
// Shapes: (rows, N), labels (N). Launch `columns`, see common.cuh, where nothing else is said.

#include "common.cuh"

// A loop over the rows of this thread; every thread has a column of its own, or none (-1).
#define EACH_ROW(k, rows) int k = threadIdx.y; k < rows; k += TEAMS

__device__ inline int this_column(int N) {
    const int n = blockIdx.x * LANES + threadIdx.x;
    return n < N ? n : N - 1;  // threads beyond the last repeat what it does, but write nothing
}

__device__ inline bool has_column(int N) { return blockIdx.x * LANES + threadIdx.x < N; }

// In place.
extern "C" __global__ void softmax_fprop(const float* inputs, float* acts, int rows, int N) {
    const int n = this_column(N);
    float top = inputs[n];
    for (EACH_ROW(k, rows)) top = inputs[k * N + n] > top ? inputs[k * N + n] : top;
    top = max_over_column(top);
    float sum = 0;
    for (EACH_ROW(k, rows)) sum += expf(inputs[k * N + n] - top);
    sum = sum_over_column(sum);
    if (!has_column(N)) return;
    for (EACH_ROW(k, rows)) acts[k * N + n] = expf(inputs[k * N + n] - top) / sum;
}

extern "C" __global__ void softmax_bprop(const float* acts, const float* acts_grad,
                                         float* inputs_grad, int add, int rows, int N) {
    const int n = this_column(N);
    float product = 0;
    for (EACH_ROW(k, rows)) product += acts_grad[k * N + n] * acts[k * N + n];
    product = sum_over_column(product);
    if (!has_column(N)) return;
    for (EACH_ROW(k, rows)) {
        const int i = k * N + n;
        store(&inputs_grad[i], acts[i] * (acts_grad[i] - product), add);
    }
}

// What the label of an image lacks of 1 of `slots` places that it shares with `ties` classes.
__device__ inline float share_lacking(int slots, int ties) {
    return slots <= 0 ? 1 : slots >= ties ? 0 : 1 - static_cast<float>(slots) / ties;
}

// The values of Ops.logreg_cost for each image, (3, N). A NaN at the label counts as wrong.
extern "C" __global__ void logreg_cost(const float* labels, const float* probs, int top,
                                       float* values, int rows, int N) {
    const int n = this_column(N);
    const float given = probs[static_cast<int>(labels[n]) * N + n];
    int better = 0, ties = 0;
    for (EACH_ROW(k, rows)) {
        better += probs[k * N + n] > given;
        ties += probs[k * N + n] == given;
    }
    better = sum_over_column(better);
    ties = sum_over_column(ties);
    if (threadIdx.y > 0 || !has_column(N)) return;
    values[n] = -logf(given);
    values[N + n] = given == given ? share_lacking(1 - better, ties) : 1;
    values[2 * N + n] = given == given ? share_lacking(top - better, ties) : 1;
}

// Launch `numbers` with size = rows * N.
extern "C" __global__ void logreg_bprop(const float* labels, const float* probs, float coeff,
                                        float* probs_grad, int add, int N, int size) {
    const int i = this_number();
    if (i < size) store(&probs_grad[i], labels[i % N] == i / N ? -coeff / probs[i] : 0, add);
}

// Launch `numbers` with size = rows * N.
extern "C" __global__ void softmax_logreg_bprop(const float* labels, const float* probs,
                                                float coeff, float* inputs_grad, int add, int N,
                                                int size) {
    const int i = this_number();
    if (i < size) store(&inputs_grad[i], coeff * (probs[i] - (labels[i % N] == i / N)), add);
}
