// Metric learning. Formulas: convnet/ops/spec/metric.py.
// Shapes: (rows, N), labels (N). Launch `columns`, see common.cuh, where nothing else is said.

#include "columns.cuh"
#include "philox.cuh"
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

// See Ops.choose_classes. Launch `numbers`.
extern "C" __global__ void choose_classes(const float* labels, unsigned int threshold,
                                          const Word* key, float* chosen, int N, int size) {
    const int k = this_number();
    if (k >= size) return;
    bool counts = kept(k, threshold, key_at(key));
    for (int n = 0; n < N; ++n) counts = counts || static_cast<int>(labels[n]) == k;
    chosen[k] = counts;
}

// The logits of an image; see Margins in convnet/ops/spec/metric.py.
struct Logits {
    const float *cosines, *chosen;
    bool choice;              // whether `chosen` says which classes count; else all do
    float scale, own, slope;  // own: the logit of the label, and its derivative
    float others;             // how many classes count besides the label
    bool known;               // if it is not, row 0 stands for the label
    int label, n, rows, N;

    __device__ Logits(const float* labels, const float* cosines, const float* chosen, int choice,
                      float m1, float m2, float m3, float scale, int rows, int N)
        : cosines(cosines),
          chosen(chosen),
          choice(choice),
          scale(scale),
          n(this_column(N)),
          rows(rows),
          N(N) {
        known = !(labels[n] < 0);
        label = labels[n] >= 0 ? static_cast<int>(labels[n]) : 0;
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
        float counted = 0;
        for (EACH_ROW(k, rows)) counted += counts(k);
        others = sum_over_column(counted) - 1;
    }

    __device__ bool counts(int k) const { return !choice || chosen[k] > 0; }

    // What each of the others counts of the whole.
    __device__ float other_share(float smoothing) const {
        return others > 0 ? smoothing / others : 0;
    }

    __device__ float at(int k) const { return k == label ? own : scale * cosines[k * N + n]; }

    // log of the sum of exp(logits).
    __device__ float log_norm() const {
        float largest = own, sum = 0;
        for (EACH_ROW(k, rows))
            if (counts(k)) largest = at(k) > largest ? at(k) : largest;
        largest = max_over_column(largest);
        for (EACH_ROW(k, rows))
            if (counts(k)) sum += expf(at(k) - largest);
        return largest + logf(sum_over_column(sum));
    }
};

// The values of Ops.margin_cost for each image, (3, N).
extern "C" __global__ void margin_cost(const float* labels, const float* cosines,
                                       const float* chosen, int choice, float m1, float m2,
                                       float m3, float scale, float smoothing, int top,
                                       float* values, int rows, int N) {
    const Logits logits(labels, cosines, chosen, choice, m1, m2, m3, scale, rows, N);
    const int n = logits.n;
    const float log_norm = logits.log_norm(), share = logits.other_share(smoothing);
    float missing = 0;
    for (EACH_ROW(k, rows))
        if (k != logits.label && logits.counts(k)) missing += log_norm - logits.at(k);
    missing = sum_over_column(missing);
    const Rank rank(cosines, cosines[logits.label * N + n], n, rows, N);
    if (threadIdx.y > 0 || !has_column(N)) return;
    const float cost =
        (1 - share * logits.others) * (log_norm - logits.own) + share * missing;
    values[n] = logits.known ? cost : 0;
    values[N + n] = logits.known ? rank.share_lacking(1) : 0;
    values[2 * N + n] = logits.known ? rank.share_lacking(top) : 0;
}

extern "C" __global__ void margin_bprop(const float* labels, const float* cosines,
                                        const float* chosen, int choice, float m1, float m2,
                                        float m3, float scale, float smoothing, float coeff,
                                        float* cosines_grad, int add, int rows, int N) {
    const Logits logits(labels, cosines, chosen, choice, m1, m2, m3, scale, rows, N);
    const float log_norm = logits.log_norm(), share = logits.other_share(smoothing);
    if (!has_column(N)) return;
    for (EACH_ROW(k, rows)) {
        float grad = 0;
        if (k == logits.label)
            grad = (expf(logits.own - log_norm) - (1 - share * logits.others)) * logits.slope;
        else if (logits.counts(k))
            grad = (expf(logits.at(k) - log_norm) - share) * scale;
        store(&cosines_grad[k * N + logits.n], logits.known ? coeff * grad : 0, add);
    }
}

// --- pairs and triplets --------------------------------------------------------------------------

// distances(i, j) = sum over rows of (x(i) - x(j))^2, (N, N). Launch `numbers`.
extern "C" __global__ void pair_distances(const float* inputs, float* distances, int rows, int N,
                                          int size) {
    const int i = this_number();
    if (i >= size) return;
    float sum = 0;
    for (int k = 0; k < rows; ++k) {
        const float away = inputs[k * N + i / N] - inputs[k * N + i % N];
        sum += away * away;
    }
    distances[i] = sum;
}

// The gradient of the inputs, given that of each distance, slopes (N, N). Launch `numbers`.
extern "C" __global__ void pair_distances_bprop(const float* inputs, const float* slopes,
                                                float* inputs_grad, int add, int N, int size) {
    const int number = this_number();
    if (number >= size) return;
    const int i = number % N;
    const float* row = inputs + (number - i);
    float sum = 0;
    for (int j = 0; j < N; ++j)
        sum += (slopes[i * N + j] + slopes[j * N + i]) * (row[i] - row[j]);
    store(&inputs_grad[number], 2 * sum, add);
}

__device__ inline bool is_pair(const float* labels, int a, int p) {
    return a < p && labels[a] == labels[p] && labels[a] >= 0;
}

// Whether two images are known to be of different labels; -1 is unknown.
__device__ inline bool are_others(const float* labels, int a, int n) {
    return labels[a] != labels[n] && labels[a] != -1 && labels[n] != -1;
}

__device__ inline float at_least_one(float count) { return count > 1 ? count : 1; }

// negatives(a, p) = n of the triplet of a pair, -1 where there is none; see Ops.triplet_cost.
// Launch `numbers`, for (N, N).
extern "C" __global__ void choose_negatives(const float* labels, const float* distances,
                                            float margin, int semihard, const Word* key,
                                            float* negatives, int N, int size) {
    const int i = this_number();
    if (i >= size) return;
    const int a = i / N, p = i % N;
    const float* row = distances + a * N;
    const float bound = row[p] + margin;
    const auto fits = [&](int n) {
        return are_others(labels, a, n) && row[n] < bound && (!semihard || row[n] > row[p]);
    };
    int count = 0;
    if (is_pair(labels, a, p))
        for (int n = 0; n < N; ++n) count += fits(n);
    negatives[i] = -1;
    if (count == 0) return;
    const Words words = philox(i / 4, key_at(key));
    const unsigned long long word = words.of[i % 4] >> 8;
    int left = static_cast<int>(word * count >> 24);
    for (int n = 0; n < N; ++n)
        if (fits(n) && left-- == 0) negatives[i] = n;
}

// Sums for each anchor: losses, triplets, pairs, distances of pairs, pairs of different labels,
// their distances; (6, N). Launch: grid N, block (32, 8).
extern "C" __global__ void triplet_sums(const float* labels, const float* distances,
                                        const float* negatives, float margin, float* sums, int N) {
    const int a = blockIdx.x;
    double of[6] = {0, 0, 0, 0, 0, 0};
    for (int p = a + 1 + threadIdx.y * LANES + threadIdx.x; p < N; p += TEAMS * LANES) {
        const float distance = distances[a * N + p];
        const int n = static_cast<int>(negatives[a * N + p]);
        if (n >= 0) {
            of[0] += (double)distance - distances[a * N + n] + margin;
            of[1] += 1;
        }
        if (is_pair(labels, a, p)) {
            of[2] += 1;
            of[3] += distance;
        } else if (are_others(labels, a, p)) {
            of[4] += 1;
            of[5] += distance;
        }
    }
    for (int j = 0; j < 6; ++j) {
        const double sum = sum_over_block(of[j]);
        if (threadIdx.x == 0 && threadIdx.y == 0) sums[j * N + a] = sum;
    }
}

// The values of Ops.triplet_cost, from the six sums. A NaN passes, though it is in no triplet.
// Launch: one thread.
extern "C" __global__ void triplet_values(const float* sums, float* values, int N) {
    const auto mean = [&](float sum, float count) { return N * (sum / at_least_one(count)); };
    values[0] = mean(sums[0], sums[1]) + 0 * (sums[3] + sums[5]);
    values[1] = sums[1];
    values[2] = sums[2];
    values[3] = mean(sums[3], sums[2]);
    values[4] = mean(sums[5], sums[4]);
}

// The gradients of the distances, (N, N); `triplets` is their number. Launch `numbers`.
extern "C" __global__ void triplet_slopes(const float* negatives, const float* triplets,
                                          float coeff, float* slopes, int N, int size) {
    const int i = this_number();
    if (i >= size) return;
    const float* row = negatives + i / N * N;
    int uses = negatives[i] >= 0;
    for (int p = 0; p < N; ++p) uses -= row[p] == i % N;
    slopes[i] = uses == 0 ? 0 : coeff * N / *triplets * uses;
}

// Sums for each image i over all j > i: pairs, their distances, pairs of different labels, their
// distances, what these lack of the margin, squared, and how many lack some; (6, N).
// Launch: grid N, block (32, 8).
extern "C" __global__ void contrastive_sums(const float* labels, const float* distances,
                                            float margin, float* sums, int N) {
    const int i = blockIdx.x;
    double of[6] = {0, 0, 0, 0, 0, 0};
    for (int j = i + 1 + threadIdx.y * LANES + threadIdx.x; j < N; j += TEAMS * LANES) {
        const float distance = distances[i * N + j];
        if (is_pair(labels, i, j)) {
            of[0] += 1;
            of[1] += distance;
        } else if (are_others(labels, i, j)) {
            const float missing = margin - sqrtf(distance);
            of[2] += 1;
            of[3] += distance;
            of[4] += missing <= 0 ? 0 : missing * missing;
            of[5] += missing > 0;
        }
    }
    for (int k = 0; k < 6; ++k) {
        const double sum = sum_over_block(of[k]);
        if (threadIdx.x == 0 && threadIdx.y == 0) sums[k * N + i] = sum;
    }
}

// The values of Ops.contrastive_cost, from the six sums. Launch: one thread.
extern "C" __global__ void contrastive_values(const float* sums, float* values, int N) {
    const float same = N / at_least_one(sums[0]), other = N / at_least_one(sums[2]);
    values[0] = (same * sums[1] + other * sums[4]) / 2;
    values[1] = sums[5];
    values[2] = same * sums[1];
    values[3] = other * sums[3];
}

// The gradients of the distances, in place of these, (N, N). Launch `numbers`.
extern "C" __global__ void contrastive_slopes(const float* labels, float* distances,
                                              const float* sums, float margin, float coeff, int N,
                                              int size) {
    const int number = this_number();
    if (number >= size) return;
    const int i = number / N, j = number % N;
    float slope = 0;
    if (is_pair(labels, i, j)) {
        slope = 1 / at_least_one(sums[0]);
    } else if (i < j && are_others(labels, i, j)) {
        const float away = sqrtf(distances[number]), missing = margin - away;
        slope = missing <= 0 ? 0 : -missing / (away > 1e-6f ? away : 1e-6f);
        slope /= at_least_one(sums[2]);
    }
    distances[number] = coeff * N / 2 * slope;
}

// --- centers (rows, classes) ---------------------------------------------------------------------

// The values of Ops.center_cost for each image, (2, N).
extern "C" __global__ void center_cost(const float* labels, const float* inputs,
                                       const float* centers, int classes, float* values, int rows,
                                       int N) {
    const int n = this_column(N);
    const bool known = !(labels[n] < 0);
    const int label = labels[n] >= 0 ? static_cast<int>(labels[n]) : 0;
    float distance = 0, squares = 0;
    for (EACH_ROW(k, rows)) {
        const float x = inputs[k * N + n], away = x - centers[k * classes + label];
        distance += away * away;
        squares += x * x;
    }
    distance = sum_over_column(distance);
    squares = sum_over_column(squares);
    if (threadIdx.y > 0 || !has_column(N)) return;
    values[n] = known ? distance / 2 : 0;
    values[N + n] = known ? sqrtf(squares) : 0;
}

// Launch `numbers`.
extern "C" __global__ void center_bprop(const float* labels, const float* inputs,
                                        const float* centers, int classes, float coeff,
                                        float* inputs_grad, int add, int N, int size) {
    const int i = this_number();
    if (i >= size) return;
    const int label = labels[i % N] >= 0 ? static_cast<int>(labels[i % N]) : -1;
    const float away = label < 0 ? 0 : inputs[i] - centers[i / N * classes + label];
    store(&inputs_grad[i], coeff * away, add);
}

// The thread of the first image with a label has the label's center. Launch `numbers`.
extern "C" __global__ void center_track(const float* labels, const float* inputs, float rate,
                                        float* centers, int classes, int N, int size) {
    const int i = this_number();
    if (i >= size) return;
    const int first = i % N;
    if (!(labels[first] >= 0)) return;
    for (int n = 0; n < first; ++n)
        if (labels[n] == labels[first]) return;
    const float* row = inputs + (i - first);
    float* center = &centers[i / N * classes + static_cast<int>(labels[first])];
    float sum = 0;
    int count = 0;
    for (int n = first; n < N; ++n)
        if (labels[n] == labels[first]) {
            sum += row[n] - *center;
            ++count;
        }
    *center += rate / (1 + count) * sum;
}
