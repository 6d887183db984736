// Neurons: values and slopes. Formulas: convnet/neurons.py.

#pragma once

struct Parameters {
    float a, b, c, d, e, f;
};

// Soft LIF neurons; letters as in Ops.noisy_neuron_fprop, with the parameters m, t, r, a, g and n
// or s. Hunsberger and Eliasmith, "Spiking Deep Networks with LIF Neurons", 2015.
struct SoftLif {
    float m, t, r, a, g, last;

    __device__ explicit SoftLif(Parameters p)
        : m(p.a), t(p.b), r(p.c), a(p.d), g(p.e), last(p.f) {}

    __device__ static float softrelu(float u) { return u > 4 ? u : log1pf(expf(u)); }

    // p = t + r log(1 + 1/j): the time between spikes.
    __device__ float period(float x) const {
        const float u = a * x / g;
        // Far below 0 softrelu(u) is exp(u), and may be too small for its logarithm.
        const float log_softrelu = u < -20 ? u : logf(softrelu(u));
        return t + r * (log1pf(g * softrelu(u)) - logf(g) - log_softrelu);
    }

    __device__ float rate(float x) const { return m / period(x); }

    __device__ float slope(float x) const {
        const float u = a * x / g, p = period(x), s = softrelu(u);
        const float relative = u > 4 ? 1 / s : u < -20 ? 1 : 1 / ((1 + expf(-u)) * s);
        return m * r * a * relative / (g * p * p * (g * s + 1));
    }

    // What they put out while training, by a random number.
    __device__ float with_noise(float x, float normal) const {
        const float y = rate(x);
        if (!(a * x > 0)) return y;
        const float noisy = y + m * last * normal;
        return noisy < 0 ? 0 : noisy;
    }

    __device__ float alpha(float p, float since) const {
        const float norm = last * -expm1f(-p / last);
        return expf(-since / last) * (since + (p - since) * expf(-p / last)) / (norm * norm);
    }

    __device__ float through_alpha(float x, float uniform) const {
        const float p = period(x);
        return m * alpha(p, uniform * p);
    }

    __device__ float through_alpha_and_lowpass(float x, float uniform) const {
        const float p = period(x), since = uniform * p, d = r - last;
        const float slow = expf(-since / r) / -expm1f(-p / r);
        const float fast = expf(-since / last) / -expm1f(-p / last);
        return m * (r * (slow - fast) / (d * d) - alpha(p, since) * last / d);
    }
};

// In the order of KINDS in convnet/ops/cuda/neurons.py.
enum Neuron {
    IDENT, LOGISTIC, RELU, BRELU, SOFTRELU, ABS, SQUARE, SQRT, TANH, LINEAR, LOG, DRELU,
    POWER, DROPOUT, SOFTLIF, SOFTLIFALPHA, SOFTLIFALPHARC
};

// f(x).
__device__ inline float neuron_value(int neuron, float x, Parameters p) {
    switch (neuron) {
        case LOGISTIC: return 1 / (1 + expf(-x));
        case RELU: return x < 0 ? 0 : x;
        case BRELU: return x < 0 ? 0 : x > p.a ? p.a : x;
        case SOFTRELU: return x > 4 ? x : logf(1 + expf(x));
        case ABS: return fabsf(x);
        case SQUARE: return x * x;
        case SQRT: return sqrtf(x);
        case TANH: return p.a * tanhf(p.b * x);
        case LINEAR: return p.a * x + p.b;
        case LOG: return logf(p.a + x);
        case DRELU: return x - p.a * tanhf(x / p.a);
        case POWER: return powf(x, p.a);
        case DROPOUT: return (1 - p.a) * x;
        case SOFTLIF:
        case SOFTLIFALPHA:
        case SOFTLIFALPHARC: return SoftLif(p).rate(x);
        default: return x;
    }
}

// f'(x), from v: y where the neuron is from_output, else x.
__device__ inline float neuron_slope(int neuron, float v, Parameters p) {
    switch (neuron) {
        case LOGISTIC: return v * (1 - v);
        case RELU: return v > 0;
        case BRELU: return v > 0 && v < p.a;
        case SOFTRELU: return v > 4 ? 1 : 1 - expf(-v);
        case ABS: return v > 0 ? 1 : -1;
        case SQUARE: return v + v;
        case SQRT: return 1 / (v + v);
        case TANH: return p.b * (p.a - v * v / p.a);
        case LINEAR: return p.a;
        case LOG: return 1 / (p.a + v);
        case DRELU: return tanhf(v / p.a) * tanhf(v / p.a);
        case POWER: return p.a * powf(v, p.a - 1);
        case DROPOUT: return 1 - p.a;
        case SOFTLIF:
        case SOFTLIFALPHA:
        case SOFTLIFALPHARC: return SoftLif(p).slope(v);
        default: return 1;
    }
}
