// Metric learning. Formulas: convnet/ops/spec/metric.py.
// Shapes: (rows, N), labels (N). Launch `columns`, see common.cuh, where nothing else is said.

#include "columns.cuh"

extern "C" __global__ void l2norm_fprop(const float* inputs, float eps, float* acts, int rows,
                                        int N) {
    const int n = this_column(N);
    float squares = 0;
    for (EACH_ROW(k, rows)) squares += inputs[k * N + n] * inputs[k * N + n];
    const float scale = 1 / sqrtf(sum_over_column(squares) + eps);
    if (!has_column(N)) return;
    for (EACH_ROW(k, rows)) acts[k * N + n] = inputs[k * N + n] * scale;
}

extern "C" __global__ void l2norm_bprop(const float* inputs, const float* acts_grad, float eps,
                                        float* inputs_grad, int add, int rows, int N) {
    const int n = this_column(N);
    float squares = 0, product = 0;
    for (EACH_ROW(k, rows)) {
        squares += inputs[k * N + n] * inputs[k * N + n];
        product += inputs[k * N + n] * acts_grad[k * N + n];
    }
    squares = sum_over_column(squares) + eps;
    product = sum_over_column(product);
    if (!has_column(N)) return;
    const float scale = 1 / sqrtf(squares), share = product / squares;
    for (EACH_ROW(k, rows)) {
        const int i = k * N + n;
        store(&inputs_grad[i], (acts_grad[i] - inputs[i] * share) * scale, add);
    }
}
