// Costs of rankings and groups. Formulas: convnet/ops/spec/costs.py.
// Shapes: (rows, N), labels (N). Launch `columns`, see common.cuh, where nothing else is said.

#include "columns.cuh"

// The largest input of an image but for that of its label, and its row; the first of several.
struct Best {
    float x;
    int row;
};

__device__ inline Best better(Best a, Best b) {
    if (a.row < 0 || b.row < 0) return a.row < 0 ? b : a;
    if (a.x != a.x || b.x != b.x) return a.x != a.x ? a : b;  // a NaN is the largest
    if (a.x == b.x) return a.row < b.row ? a : b;
    return a.x > b.x ? a : b;
}

__device__ inline Best best_other(const float* inputs, int label, int n, int rows, int N) {
    Best best{0, -1};
    for (EACH_ROW(k, rows))
        if (k != label) best = better(best, Best{inputs[k * N + n], k});
    return over_column(best, better);
}

// The values of Ops.hinge_cost for each image, (2, N).
extern "C" __global__ void hinge_cost(const float* labels, const float* inputs, float* values,
                                      int rows, int N) {
    const int n = this_column(N), label = static_cast<int>(labels[n]);
    const float margin = inputs[label * N + n] - best_other(inputs, label, n, rows, N).x;
    if (threadIdx.y > 0 || !has_column(N)) return;
    values[n] = margin >= 1 ? 0 : 1 - margin;
    values[N + n] = !(margin > 0);
}

extern "C" __global__ void hinge_bprop(const float* labels, const float* inputs, float coeff,
                                       float* inputs_grad, int add, int rows, int N) {
    const int n = this_column(N), label = static_cast<int>(labels[n]);
    const Best other = best_other(inputs, label, n, rows, N);
    const float weight = 1 + other.x - inputs[label * N + n] > 0 ? coeff : 0;
    if (!has_column(N)) return;
    for (EACH_ROW(k, rows)) {
        const float grad = k == other.row ? weight : k == label ? -weight : 0;
        store(&inputs_grad[k * N + n], grad, add);
    }
}

// squares(c, n) = sum over pixels of x^2, (channels, pixels, N) -> (channels, N).
// Launch `rows`: a block per channel.
extern "C" __global__ void channel_squares(const float* inputs, float* squares, int pixels, int N) {
    for (EACH_IMAGE(n, N)) {
        float sum = 0;
        for (int p = 0; p < pixels; ++p) {
            const float x = inputs[(blockIdx.x * pixels + p) * N + n];
            sum += x * x;
        }
        squares[blockIdx.x * N + n] = sum;
    }
}

// For each channel and image, with S and n of Ops.gsinlabel_cost: S / n, or n / S (0 where S is 0)
// if `inverse`. Launch `rows`: a block per channel.
extern "C" __global__ void group_norms(const float* squares, const float* labels, int inverse,
                                       float* norms, int N) {
    for (EACH_IMAGE(n, N)) {
        float sum = 0;
        int members = 0;
        for (int other = 0; other < N; ++other)
            if (labels[other] == labels[n]) {
                sum += squares[blockIdx.x * N + other];
                ++members;
            }
        const float norm = sqrtf(members * sum);
        norms[blockIdx.x * N + n] = !inverse ? norm / members : norm <= 0 ? 0 : members / norm;
    }
}

// inputs_grad = coeff * scales(c, n) * inputs. Launch `numbers`.
extern "C" __global__ void gsinlabel_bprop(const float* inputs, const float* scales, float coeff,
                                           float* inputs_grad, int add, int pixels, int N,
                                           int size) {
    const int i = this_number();
    if (i >= size) return;
    const float scale = scales[i / N / pixels * N + i % N];
    store(&inputs_grad[i], coeff * scale * inputs[i], add);
}

// values(n) = weights(n) * max(0, h(n)) or, if `active`, weights(n) where h(n) > 0, else 0;
// h of Ops.locrank_cost.
extern "C" __global__ void locrank_excess(const float* first, const float* second,
                                          const float* third, const float* weights, float margin,
                                          int active, float* values, int rows, int N) {
    const int n = this_column(N);
    float sum = 0;
    for (EACH_ROW(k, rows)) {
        const int i = k * N + n;
        sum += (2 * first[i] - 1) * (third[i] - second[i]);
    }
    const float excess = margin + sum_over_column(sum);
    if (threadIdx.y > 0 || !has_column(N)) return;
    values[n] = excess <= 0 ? 0 : active ? weights[n] : weights[n] * excess;
}

// values[0] = values[1] + sum of m^2 / 2, from the sums over images of the first codes (rows,).
// Launch: one block (32, 8).
extern "C" __global__ void locrank_total(const float* sums, float* values, int rows, int N) {
    double sum = 0;
    for (int k = threadIdx.y * LANES + threadIdx.x; k < rows; k += TEAMS * LANES) {
        const double mean = 2.0 * sums[k] / N - 1;
        sum += mean * mean / 2;
    }
    sum = sum_over_block(sum);
    if (threadIdx.x == 0 && threadIdx.y == 0) values[0] = values[1] + sum;
}

// See Ops.locrank_bprop; `active` (N) from locrank_excess, `sums` as above. Launch `numbers`.
extern "C" __global__ void locrank_bprop(const float* first, const float* second,
                                         const float* third, const float* active, const float* sums,
                                         int position, float coeff, float* codes_grad, int add,
                                         int N, int size) {
    const int i = this_number();
    if (i >= size) return;
    const float weight = coeff * active[i % N];
    float grad;
    if (position == 0) {
        const float mean = 2 * sums[i / N] / N - 1;
        grad = 2 * weight * (third[i] - second[i]) + 2 * coeff * mean / N;
    } else {
        grad = (position == 1 ? -weight : weight) * (2 * first[i] - 1);
    }
    store(&codes_grad[i], grad, add);
}
