// Neurons, sums, maxima and copies: one number at a time, in place where convnet.ops.base says so.
// Shapes: flat arrays of `size` numbers, but for copy_cases. Launch `numbers`, see common.cuh.
// Formulas: convnet/ops/spec/elementwise.py, convnet/neurons.py.

#include "common.cuh"

// In the order of KINDS in convnet/ops/cuda/elementwise_ops.py.
enum Neuron { IDENT, LOGISTIC, RELU, BRELU, SOFTRELU, ABS, SQUARE, SQRT, TANH, LINEAR, LOG, DRELU };

// f(x).
__device__ inline float value(int neuron, float x, float a, float b) {
    switch (neuron) {
        case LOGISTIC: return 1 / (1 + expf(-x));
        case RELU: return x < 0 ? 0 : x;
        case BRELU: return x < 0 ? 0 : x > a ? a : x;
        case SOFTRELU: return x > 4 ? x : logf(1 + expf(x));
        case ABS: return fabsf(x);
        case SQUARE: return x * x;
        case SQRT: return sqrtf(x);
        case TANH: return a * tanhf(b * x);
        case LINEAR: return a * x + b;
        case LOG: return logf(a + x);
        case DRELU: return x - a * tanhf(x / a);
        default: return x;
    }
}

// f'(x), from v: y where the neuron is from_output, else x.
__device__ inline float slope(int neuron, float v, float a, float b) {
    switch (neuron) {
        case LOGISTIC: return v * (1 - v);
        case RELU: return v > 0;
        case BRELU: return v > 0 && v < a;
        case SOFTRELU: return v > 4 ? 1 : 1 - expf(-v);
        case ABS: return v > 0 ? 1 : -1;
        case SQUARE: return v + v;
        case SQRT: return 1 / (v + v);
        case TANH: return b * (a - v * v / a);
        case LINEAR: return a;
        case LOG: return 1 / (a + v);
        case DRELU: {
            const float t = tanhf(v / a);
            return t * t;
        }
        default: return 1;
    }
}

extern "C" __global__ void neuron_fprop(const float* inputs, int neuron, float a, float b,
                                        float* acts, int size) {
    const int i = this_number();
    if (i < size) acts[i] = value(neuron, inputs[i], a, b);
}

extern "C" __global__ void neuron_bprop(const float* values, int neuron, float a, float b,
                                        const float* acts_grad, float* inputs_grad, int add,
                                        int size) {
    const int i = this_number();
    if (i < size) store(&inputs_grad[i], acts_grad[i] * slope(neuron, values[i], a, b), add);
}

extern "C" __global__ void scale(const float* inputs, float factor, float* acts, int add,
                                 int size) {
    const int i = this_number();
    if (i < size) store(&acts[i], factor * inputs[i], add);
}

// The larger of two numbers, NaN if either is.
extern "C" __global__ void eltmax(const float* first, const float* second, float* acts, int size) {
    const int i = this_number();
    if (i >= size) return;
    const float x = first[i], y = second[i];
    acts[i] = x > y || x != x ? x : y;
}

extern "C" __global__ void eltmax_bprop(const float* inputs, const float* acts,
                                        const float* acts_grad, float* inputs_grad, int add,
                                        int size) {
    const int i = this_number();
    if (i < size) store(&inputs_grad[i], inputs[i] == acts[i] ? acts_grad[i] : 0, add);
}

// Copies `cases` numbers of each row, from `source` on to `target` on; `size` = rows * cases.
extern "C" __global__ void copy_cases(const float* source, int source_cases, float* target,
                                      int target_cases, int cases, int size) {
    const int i = this_number();
    if (i >= size) return;
    const int row = i / cases, n = i % cases;
    target[row * target_cases + n] = source[row * source_cases + n];
}
