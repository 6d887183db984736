// Metric learning. Formulas: convnet/ops/spec/metric.py.
// Shapes: (rows, N), labels (N). Launch `columns`, see common.cuh, where nothing else is said.

#include "columns.cuh"
#include "ranks.cuh"

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

// --- softmax with margins ------------------------------------------------------------------------

// The logits of an image; see Margins in convnet/ops/spec/metric.py.
struct Logits {
    const float* cosines;
    float scale, own, slope;  // own: the logit of the label, and its derivative
    int label, n, rows, N;

    __device__ Logits(const float* labels, const float* cosines, float m1, float m2, float m3,
                      float scale, int rows, int N)
        : cosines(cosines), scale(scale), n(this_column(N)), rows(rows), N(N) {
        label = static_cast<int>(labels[n]);
        const float border = 1 - 1.0f / (1 << 20), pi = 3.14159265f;
        const float c = clamped(cosines[label * N + n], -border, border);
        const float s = sqrtf((1 - c) * (1 + c));
        // phi = theta + rest: what theta has of it goes in by c and s, which have all digits.
        const float theta = acosf(c), rest = (m1 - 1) * theta + m2;
        const float turns = floorf((theta + rest) / pi);
        const float cosine = c * cosf(rest) - s * sinf(rest);
        const float sine = s * cosf(rest) + c * sinf(rest);
        const bool odd = turns - 2 * floorf(turns / 2) > 0.5f;
        own = scale * ((odd ? -cosine : cosine) - 2 * turns - m3);
        slope = scale * m1 * fabsf(sine) / s;
    }

    __device__ float at(int k) const { return k == label ? own : scale * cosines[k * N + n]; }

    // log of the sum of exp(logits).
    __device__ float log_norm() const {
        float largest = own, sum = 0;
        for (EACH_ROW(k, rows)) largest = at(k) > largest ? at(k) : largest;
        largest = max_over_column(largest);
        for (EACH_ROW(k, rows)) sum += expf(at(k) - largest);
        return largest + logf(sum_over_column(sum));
    }
};

// What each of the other classes counts.
__device__ inline float other_share(float smoothing, int rows) {
    return rows > 1 ? smoothing / (rows - 1) : 0;
}

// The values of Ops.margin_cost for each image, (3, N).
extern "C" __global__ void margin_cost(const float* labels, const float* cosines, float m1,
                                       float m2, float m3, float scale, float smoothing, int top,
                                       float* values, int rows, int N) {
    const Logits logits(labels, cosines, m1, m2, m3, scale, rows, N);
    const int n = logits.n;
    const float log_norm = logits.log_norm(), share = other_share(smoothing, rows);
    float missing = 0;
    for (EACH_ROW(k, rows))
        if (k != logits.label) missing += log_norm - logits.at(k);
    missing = sum_over_column(missing);
    const Rank rank(cosines, cosines[logits.label * N + n], n, rows, N);
    if (threadIdx.y > 0 || !has_column(N)) return;
    values[n] = (1 - share * (rows - 1)) * (log_norm - logits.own) + share * missing;
    values[N + n] = rank.share_lacking(1);
    values[2 * N + n] = rank.share_lacking(top);
}

extern "C" __global__ void margin_bprop(const float* labels, const float* cosines, float m1,
                                        float m2, float m3, float scale, float smoothing,
                                        float coeff, float* cosines_grad, int add, int rows,
                                        int N) {
    const Logits logits(labels, cosines, m1, m2, m3, scale, rows, N);
    const float log_norm = logits.log_norm(), share = other_share(smoothing, rows);
    if (!has_column(N)) return;
    for (EACH_ROW(k, rows)) {
        const float p = expf(logits.at(k) - log_norm);
        const float grad = k == logits.label ? (p - (1 - share * (rows - 1))) * logits.slope
                                             : (p - share) * scale;
        store(&cosines_grad[k * N + logits.n], coeff * grad, add);
    }
}
