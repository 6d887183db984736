// Neurons, prelu, sums, maxima and copies: one number at a time, in place where convnet.ops.base says so.
// Shapes: flat arrays of `size` numbers, but for copy_cases. Launch `numbers`, see common.cuh.
// Formulas: convnet/ops/spec/elementwise.py, convnet/neurons.py.

#include "common.cuh"
#include "neurons.cuh"

extern "C" __global__ void neuron_fprop(const float* inputs, int neuron, float a, float b, float c,
                                        float d, float e, float f, float* acts, int size) {
    const int i = this_number();
    if (i < size) acts[i] = neuron_value(neuron, inputs[i], Parameters{a, b, c, d, e, f});
}

extern "C" __global__ void neuron_bprop(const float* values, int neuron, float a, float b, float c,
                                        float d, float e, float f, const float* acts_grad,
                                        float* inputs_grad, int add, int size) {
    const int i = this_number();
    if (i >= size) return;
    const float slope = neuron_slope(neuron, values[i], Parameters{a, b, c, d, e, f});
    store(&inputs_grad[i], acts_grad[i] * slope, add);
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

// prelu: images of channels of `length` numbers, a slope for each channel.

extern "C" __global__ void prelu_fprop(const float* images, const float* slopes, float* acts,
                                       int length, int size) {
    const int i = this_number();
    if (i >= size) return;
    const float x = images[i];
    acts[i] = x > 0 ? x : slopes[i / length] * x;
}

extern "C" __global__ void prelu_dgrad(const float* images, const float* slopes,
                                       const float* acts_grad, float* images_grad, int add,
                                       int length, int size) {
    const int i = this_number();
    if (i >= size) return;
    const float factor = images[i] > 0 ? 1 : slopes[i / length];
    store(&images_grad[i], factor * acts_grad[i], add);
}

extern "C" __global__ void prelu_terms(const float* images, const float* acts_grad, float* terms,
                                       int size) {
    const int i = this_number();
    if (i < size) terms[i] = acts_grad[i] * (images[i] > 0 ? 0 : images[i]);
}
