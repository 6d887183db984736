// Random numbers: Philox4x32-10, the same bits as convnet/ops/philox.py.
// Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
// Formulas of the operations: convnet/ops/spec/random.py.

#include "common.cuh"
#include "neurons.cuh"
#include "philox.cuh"

// acts = scale * inputs where an element is kept, else 0. Flat arrays; in place.
// Launch `numbers`, with a thread for four of them.
extern "C" __global__ void dropout(const float* inputs, unsigned int threshold, float scale,
                                   const Word* key, float* acts, int add, int size) {
    const int first = 4 * this_number();
    const Words words = philox(this_number(), key_at(key));
    for (int j = 0; j < 4 && first + j < size; ++j) {
        const int i = first + j;
        store(&acts[i], words.of[j] >> 8 < threshold ? scale * inputs[i] : 0, add);
    }
}

// What soft LIF neurons put out while training. Flat arrays; in place. Elements 2i and 2i + 1 of
// normal numbers are r cos(2 pi v) and r sin(2 pi v), where r = sqrt(-2 log(1 - u)) and u, v are
// those elements of uniform ones (Box and Muller, 1958).
// Launch `numbers`, with a thread for four of them.
extern "C" __global__ void noisy_neuron_fprop(const float* inputs, int neuron, float a, float b,
                                              float c, float d, float e, float f, const Word* key,
                                              float* acts, int size) {
    const int first = 4 * this_number();
    const Words words = philox(this_number(), key_at(key));
    const SoftLif lif(Parameters{a, b, c, d, e, f});
    for (int j = 0; j < 4 && first + j < size; ++j) {
        const float x = inputs[first + j];
        float y;
        if (neuron == SOFTLIF) {
            const float u = uniform(words.of[j / 2 * 2]), v = uniform(words.of[j / 2 * 2 + 1]);
            const float radius = sqrtf(-2 * logf(1 - u)), angle = 6.283185307f * v;
            y = lif.with_noise(x, radius * (j % 2 ? sinf(angle) : cosf(angle)));
        } else if (neuron == SOFTLIFALPHA) {
            y = lif.through_alpha(x, uniform(words.of[j]));
        } else {
            y = lif.through_alpha_and_lowpass(x, uniform(words.of[j]));
        }
        acts[first + j] = y;
    }
}

// dropconnect: each image has connections of its own. M (K, F, N) are the draws of weights.
// Inputs (K, N), weights (K, F), acts (F, N). Launch `numbers`: a thread per output.

__device__ inline bool connected(int k, int f, int n, int F, int N, Word threshold, Key key) {
    return kept((static_cast<unsigned long long>(k) * F + f) * N + n, threshold, key);
}

extern "C" __global__ void dropconnect_fprop(
    const float* __restrict__ inputs, const float* __restrict__ weights,
    const float* __restrict__ biases, unsigned int threshold, const Word* weights_key,
    const Word* biases_key, float* acts, int K, int F, int N, int size) {
    const int i = this_number();
    if (i >= size) return;
    const int f = i / N, n = i % N;
    float sum = kept(i, threshold, key_at(biases_key)) ? biases[f] : 0;
    for (int k = 0; k < K; ++k)
        if (connected(k, f, n, F, N, threshold, key_at(weights_key)))
            sum += weights[k * F + f] * inputs[k * N + n];
    acts[i] = sum;
}

extern "C" __global__ void dropconnect_dgrad(
    const float* __restrict__ weights, const float* __restrict__ acts_grad, unsigned int threshold,
    const Word* key, float* inputs_grad, int add, int F, int N, int size) {
    const int i = this_number();
    if (i >= size) return;
    const int k = i / N, n = i % N;
    float sum = 0;
    for (int f = 0; f < F; ++f)
        if (connected(k, f, n, F, N, threshold, key_at(key)))
            sum += weights[k * F + f] * acts_grad[f * N + n];
    store(&inputs_grad[i], sum, add);
}

extern "C" __global__ void dropconnect_wgrad(
    const float* __restrict__ inputs, const float* __restrict__ acts_grad, unsigned int threshold,
    const Word* key, float* weights_grad, int add, int F, int N, int size) {
    const int i = this_number();
    if (i >= size) return;
    const int k = i / F, f = i % F;
    float sum = 0;
    for (int n = 0; n < N; ++n)
        if (connected(k, f, n, F, N, threshold, key_at(key)))
            sum += inputs[k * N + n] * acts_grad[f * N + n];
    store(&weights_grad[i], sum, add);
}
