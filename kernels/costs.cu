// Softmax and costs. Formulas: convnet/ops/spec/costs.py.
// Shapes: (rows, N), labels (N). Launch `columns`, see common.cuh, where nothing else is said.

#include "columns.cuh"
#include "ranks.cuh"

// What turns the numbers of a column into probabilities.
struct Softmax {
    float top, sum;

    __device__ Softmax(const float* inputs, int n, int rows, int N) : top(inputs[n]), sum(0) {
        for (EACH_ROW(k, rows)) top = inputs[k * N + n] > top ? inputs[k * N + n] : top;
        top = max_over_column(top);
        for (EACH_ROW(k, rows)) sum += expf(inputs[k * N + n] - top);
        sum = sum_over_column(sum);
    }

    __device__ float probability(float x) const { return expf(x - top) / sum; }
};

// In place.
extern "C" __global__ void softmax_fprop(const float* inputs, float* acts, int rows, int N) {
    const int n = this_column(N);
    const Softmax softmax(inputs, n, rows, N);
    if (!has_column(N)) return;
    for (EACH_ROW(k, rows)) acts[k * N + n] = softmax.probability(inputs[k * N + n]);
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

// The row of the label of image n, or row 0 if it has none, or a NaN.
__device__ inline int row_of_label(const float* labels, int n) {
    return labels[n] >= 0 ? static_cast<int>(labels[n]) : 0;
}

// The values of Ops.logreg_cost for image n, of (3, N).
__device__ inline void store_logreg(float* values, const float* labels, float given,
                                    const Rank& rank, int top, int n, int N) {
    if (threadIdx.y > 0 || !has_column(N)) return;
    const bool known = !(labels[n] < 0);
    values[n] = known ? -logf(given) : 0;
    values[N + n] = known ? rank.share_lacking(1) : 0;
    values[2 * N + n] = known ? rank.share_lacking(top) : 0;
}

extern "C" __global__ void logreg_cost(const float* labels, const float* probs, int top,
                                       float* values, int rows, int N) {
    const int n = this_column(N);
    const float given = probs[row_of_label(labels, n) * N + n];
    store_logreg(values, labels, given, Rank(probs, given, n, rows, N), top, n, N);
}

// softmax_fprop and logreg_cost: `inputs` are read once more, to be written and judged. In place.
extern "C" __global__ void softmax_logreg_fprop(const float* labels, const float* inputs, int top,
                                                float* acts, float* values, int rows, int N) {
    const int n = this_column(N);
    const float at_label = inputs[row_of_label(labels, n) * N + n];  // before it is overwritten
    const Softmax softmax(inputs, n, rows, N);
    const float given = softmax.probability(at_label);
    int better = 0, ties = 0;
    if (has_column(N))
        for (EACH_ROW(k, rows)) {
            const float value = softmax.probability(inputs[k * N + n]);
            acts[k * N + n] = value;
            better += value > given;
            ties += value == given;
        }
    store_logreg(values, labels, given, Rank(better, ties), top, n, N);
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
    if (i >= size) return;
    const float label = labels[i % N];
    store(&inputs_grad[i], label < 0 ? 0 : coeff * (probs[i] - (label == i / N)), add);
}

// --- labels as a matrix (rows, N) ----------------------------------------------------------------

__device__ inline float safe_log(float p) { return p <= 0 ? -50 : logf(p); }
__device__ inline float safe_inverse(float x) { return x <= 0 ? 0 : 1 / x; }

// The largest number of a column, and how many rows have it.
struct Largest {
    float top;
    int count;

    __device__ Largest(const float* probs, int n, int rows, int N) : top(probs[n]), count(0) {
        for (EACH_ROW(k, rows)) top = probs[k * N + n] > top ? probs[k * N + n] : top;
        top = max_over_column(top);
        for (EACH_ROW(k, rows)) count += probs[k * N + n] == top;
        count = sum_over_column(count);
        if (count == 0) count = 1;  // all are NaN
    }
};

// The values of Ops.crossent_cost for each image, (2, N).
extern "C" __global__ void crossent_cost(const float* labels, const float* probs, float* values,
                                         int rows, int N) {
    const int n = this_column(N);
    const Largest largest(probs, n, rows, N);
    float cost = 0;
    int right = 0;
    for (EACH_ROW(k, rows)) {
        const float t = labels[k * N + n], p = probs[k * N + n];
        cost -= t * safe_log(p);
        right += p == largest.top && t > 0;
    }
    cost = sum_over_column(cost);
    right = sum_over_column(right);
    if (threadIdx.y > 0 || !has_column(N)) return;
    values[n] = cost;
    values[N + n] = right ? 1 - 1.0f / largest.count : 1;
}

// Launch `numbers` with size = rows * N.
extern "C" __global__ void crossent_bprop(const float* labels, const float* probs, float coeff,
                                          float* probs_grad, int add, int size) {
    const int i = this_number();
    if (i < size) store(&probs_grad[i], -coeff * labels[i] * safe_inverse(probs[i]), add);
}

extern "C" __global__ void softmax_crossent_bprop(const float* labels, const float* probs,
                                                  float coeff, float* inputs_grad, int add,
                                                  int rows, int N) {
    const int n = this_column(N);
    float mass = 0;
    for (EACH_ROW(k, rows)) mass += labels[k * N + n];
    mass = sum_over_column(mass);
    if (!has_column(N)) return;
    for (EACH_ROW(k, rows)) {
        const int i = k * N + n;
        store(&inputs_grad[i], coeff * (probs[i] * mass - labels[i]), add);
    }
}

// The values of Ops.bce_cost for each image, (3, N).
extern "C" __global__ void bce_cost(const float* labels, const float* probs, float pos_weight,
                                    float* values, int rows, int N) {
    const int n = this_column(N);
    const Largest largest(probs, n, rows, N);
    float cost = 0, hit = 0;
    int mismatches = 0;
    for (EACH_ROW(k, rows)) {
        const float t = labels[k * N + n], y = probs[k * N + n];
        cost -= pos_weight * t * safe_log(y) + (1 - t) * safe_log(1 - y);
        mismatches += (y > 0.5f) != t;
        hit += y == largest.top ? t : 0;
    }
    cost = sum_over_column(cost);
    hit = sum_over_column(hit);
    mismatches = sum_over_column(mismatches);
    if (threadIdx.y > 0 || !has_column(N)) return;
    values[n] = cost;
    values[N + n] = static_cast<float>(mismatches) / rows;
    values[2 * N + n] = 1 - hit / largest.count;
}

// Launch `numbers` with size = rows * N.
extern "C" __global__ void bce_bprop(const float* labels, const float* probs, float pos_weight,
                                     float coeff, float* probs_grad, int add, int size) {
    const int i = this_number();
    if (i >= size) return;
    const float t = labels[i], y = probs[i];
    const float grad = (1 - t) * safe_inverse(1 - y) - pos_weight * t * safe_inverse(y);
    store(&probs_grad[i], coeff * grad, add);
}

// Launch `numbers` with size = rows * N.
extern "C" __global__ void logistic_bce_bprop(const float* labels, const float* probs,
                                              float pos_weight, float coeff, float* inputs_grad,
                                              int add, int size) {
    const int i = this_number();
    if (i >= size) return;
    const float t = labels[i], y = probs[i];
    store(&inputs_grad[i], coeff * ((1 - t) * y - pos_weight * t * (1 - y)), add);
}

// counts (3 rows): declared positive, positive and true positive of each row.
// Launch: grid rows, block (32, 8).
extern "C" __global__ void detections(const float* labels, const float* probs, float* counts,
                                      int N) {
    double declared = 0, positive = 0, both = 0;
    for (int n = threadIdx.y * LANES + threadIdx.x; n < N; n += TEAMS * LANES) {
        const float t = labels[blockIdx.x * N + n];
        const float says = probs[blockIdx.x * N + n] > 0.5f;
        declared += says;
        positive += t;
        both += says == t ? t : 0;
    }
    declared = sum_over_block(declared);
    positive = sum_over_block(positive);
    both = sum_over_block(both);
    if (threadIdx.x > 0 || threadIdx.y > 0) return;
    counts[3 * blockIdx.x] = declared;
    counts[3 * blockIdx.x + 1] = positive;
    counts[3 * blockIdx.x + 2] = both;
}
