// Resampling and colours of images. Formulas: convnet/ops/spec/images.py.

#include "columns.cuh"

// acts = ((pixels - mean) + colours) * scale: bytes (N, rows, columns, C), of which image n is cut
// out at places(n) = (top, left, mirrored), to (C, H, W, N); mean (C, H, W), colours (N, C).
// A block takes a piece of one row from 32 images. It reads along the row, whose pixels lie side by
// side, and writes along the images. Launch: grid (ceil(N / 32), ceil(W * C / 128), H),
// block (32, 8).
constexpr int RUN = 128;

extern "C" __global__ void prepare(const unsigned char* __restrict__ pixels,
                                   const int* __restrict__ places,
                                   const float* __restrict__ mean,
                                   const float* __restrict__ colours, float scale, float* acts,
                                   int rows, int columns, int C, int H, int W, int N) {
    __shared__ unsigned char held[LANES][RUN + 4];  // images in different banks
    const int first = blockIdx.y * RUN, y = blockIdx.z;
    const int length = W * C - first < RUN ? W * C - first : RUN;
    for (int image = threadIdx.y; image < LANES; image += TEAMS) {
        const int n = blockIdx.x * LANES + image;
        if (n >= N) break;
        const int top = places[3 * n], left = places[3 * n + 1], mirrored = places[3 * n + 2];
        const unsigned char* const row = pixels + ((n * rows + top + y) * columns + left) * C;
        for (int i = threadIdx.x; i < length; i += LANES) {
            const int x = (first + i) / C, c = (first + i) % C;
            held[image][i] = row[(mirrored ? W - 1 - x : x) * C + c];
        }
    }
    __syncthreads();
    const int n = blockIdx.x * LANES + threadIdx.x;
    if (n >= N) return;
    for (int i = threadIdx.y; i < length; i += TEAMS) {
        const int x = (first + i) / C, c = (first + i) % C;
        const int place = (c * H + y) * W + x;
        acts[place * N + n] = ((held[threadIdx.x][i] - mean[place]) + colours[n * C + c]) * scale;
    }
}

// The part of a row of a resampling matrix that is not zero. A row of `length` numbers comes as
// length + 2: first and last + 1 of those that are not zero, and then all of them.
struct Weights {
    int first, end;
    const float* of;

    __device__ Weights(const float* matrix, int row, int length) : of(matrix + row * (length + 2)) {
        first = static_cast<int>(of[0]);
        end = static_cast<int>(of[1]);
        of += 2;
    }
};

// acts = rows images columns^T: (C, H, W, N) -> (C, P, Q, N), `rows` (P, 2 + H), `columns`
// (Q, 2 + W). Pixels of weight zero are not read. Launch `rows`: a block per channel and pixel.
extern "C" __global__ void resample(const float* __restrict__ images,
                                    const float* __restrict__ rows,
                                    const float* __restrict__ columns, float* acts, int add, int H,
                                    int W, int P, int Q, int N) {
    const int c = blockIdx.x / (P * Q);
    const Weights down(rows, blockIdx.x / Q % P, H), across(columns, blockIdx.x % Q, W);
    for (EACH_IMAGE(n, N)) {
        float sum = 0;
        for (int h = down.first; h < down.end; ++h)
            for (int w = across.first; w < across.end; ++w)
                sum += down.of[h] * across.of[w] * images[((c * H + h) * W + w) * N + n];
        store(&acts[blockIdx.x * N + n], sum, add);
    }
}

// acts = matrix images: (C, numbers) -> (D, numbers), `matrix` (D, C). Launch `numbers` with
// size = D * numbers.
extern "C" __global__ void mix_channels(const float* __restrict__ matrix,
                                        const float* __restrict__ images, float* acts, int add,
                                        int channels, int numbers, int size) {
    const int i = this_number();
    if (i >= size) return;
    const int d = i / numbers, number = i % numbers;
    float sum = 0;
    for (int c = 0; c < channels; ++c)
        sum += matrix[d * channels + c] * images[c * numbers + number];
    store(&acts[i], sum, add);
}

// f(t) of CIE Lab: t^power above the bend, slope * t + start below. Launch `numbers`. In place.
extern "C" __global__ void lab_curve_fprop(const float* inputs, float offset, float bend,
                                           float power, float slope, float start, float* acts,
                                           int size) {
    const int i = this_number();
    if (i >= size) return;
    const float t = inputs[i];
    acts[i] = (t > bend ? powf(t, power) : slope * t + start) - offset;
}

extern "C" __global__ void lab_curve_bprop(const float* inputs, float bend, float power,
                                           float slope, const float* acts_grad, float* inputs_grad,
                                           int add, int size) {
    const int i = this_number();
    if (i >= size) return;
    const float t = inputs[i];
    store(&inputs_grad[i], acts_grad[i] * (t > bend ? power * powf(t, power - 1) : slope), add);
}
