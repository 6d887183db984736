// What the kernels share.
//
// Arrays are float32 and C-contiguous, activities (C, H, W, N), images innermost. Indices are
// ints: the host checks that no array has 2^31 numbers or more. There are three ways to launch:
//
//   numbers   a thread per number of a flat array            grid ceil(size / 256), block 256
//   rows      a block per row of N images, a thread per image
//                                      grid rows, block N rounded up to 32, at most 256
//   columns   32 images a block, 8 threads on the rows of each
//                                      grid ceil(N / 32), block (32, 8)
//
// Sums over threads are made in a fixed order, so results repeat bit for bit.

#pragma once

__device__ inline int this_number() { return blockIdx.x * blockDim.x + threadIdx.x; }

__device__ inline void store(float* target, float value, int add) {
    *target = add ? value + *target : value;
}

__device__ inline bool inside(int i, int size) { return 0 <= i && i < size; }

// A NaN passes.
__device__ inline float clamped(float x, float low, float high) {
    return x < low ? low : x > high ? high : x;
}

// A loop over the images of this thread, where a block has a row.
#define EACH_IMAGE(n, N) int n = threadIdx.x; n < N; n += blockDim.x

// First and last + 1 of a run of numbers along one dimension, as far as they exist.
struct Span {
    int first, end;

    __device__ Span(int first, int end, int length)
        : first(first > 0 ? first : 0), end(end < length ? end : length) {}
    __device__ int size() const { return end - first; }
};
