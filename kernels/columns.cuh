// The launch `columns`, and sums over the threads of a column or a whole block.

#pragma once

#include "common.cuh"

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

// A loop over the rows of this thread.
#define EACH_ROW(k, rows) int k = threadIdx.y; k < rows; k += TEAMS

__device__ inline int this_column(int N) {
    const int n = blockIdx.x * LANES + threadIdx.x;
    return n < N ? n : N - 1;  // threads beyond the last repeat what it does, but write nothing
}

__device__ inline bool has_column(int N) { return blockIdx.x * LANES + threadIdx.x < N; }
