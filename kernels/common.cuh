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

// A loop over the images of this thread, where a block has a row.
#define EACH_IMAGE(n, N) int n = threadIdx.x; n < N; n += blockDim.x

// The threads of a block of the launch `columns`, also used for sums over a whole row.
constexpr int LANES = 32, TEAMS = 8;

// Combines what the 8 threads of a column hold; all of them get the result.
template <class T, class Combine>
__device__ T over_column(T value, Combine combine) {
    __shared__ T held[TEAMS][LANES];
    __syncthreads();  // an earlier call may still read
    held[threadIdx.y][threadIdx.x] = value;
    __syncthreads();
    T result = held[0][threadIdx.x];
    for (int team = 1; team < TEAMS; ++team) result = combine(result, held[team][threadIdx.x]);
    return result;
}

template <class T>
__device__ T sum_over_column(T value) {
    return over_column(value, [](T a, T b) { return a + b; });
}

__device__ inline float max_over_column(float value) {
    return over_column(value, [](float a, float b) { return a > b ? a : b; });
}

// The sum of what all threads of a block (32, 8) hold.
__device__ inline double sum_over_block(double value) {
    __shared__ double sums[LANES];
    const double column = sum_over_column(value);
    if (threadIdx.y == 0) sums[threadIdx.x] = column;
    __syncthreads();
    double total = 0;
    for (int lane = 0; lane < LANES; ++lane) total += sums[lane];
    return total;
}
