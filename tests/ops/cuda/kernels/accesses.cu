// Kernels whose accesses to memory are known, for test_counts.py. Matrices are side x side.
// A block is 32 x 32 threads unless another one is named.

#include "copies.cuh"

constexpr int TILE = 32;

extern "C" __global__ void transpose_naive(const float *x, float *out, int side) {
    int column = blockIdx.x * TILE + threadIdx.x, row = blockIdx.y * TILE + threadIdx.y;
    out[column * side + row] = x[row * side + column];
}

template <int WIDTH>
__device__ void transpose(const float *x, float *out, int side) {
    __shared__ float tile[TILE][WIDTH];
    int column = blockIdx.x * TILE + threadIdx.x, row = blockIdx.y * TILE + threadIdx.y;
    tile[threadIdx.y][threadIdx.x] = x[row * side + column];
    __syncthreads();
    column = blockIdx.y * TILE + threadIdx.x, row = blockIdx.x * TILE + threadIdx.y;
    out[row * side + column] = tile[threadIdx.x][threadIdx.y];
}

extern "C" __global__ void transpose_conflicts(const float *x, float *out, int side) {
    transpose<TILE>(x, out, side);
}

extern "C" __global__ void transpose_padded(const float *x, float *out, int side) {
    transpose<TILE + 1>(x, out, side);
}

// out = a b, a block 16 x 16.
extern "C" __global__ void matmul16(const float *a, const float *b, float *out, int side) {
    __shared__ float left[16][16], right[16][16];
    int x = threadIdx.x, y = threadIdx.y;
    int column = blockIdx.x * 16 + x, row = blockIdx.y * 16 + y;
    float sum = 0;
    for (int first = 0; first < side; first += 16) {
        left[y][x] = a[row * side + first + x];
        right[y][x] = b[(first + y) * side + column];
        __syncthreads();
        for (int k = 0; k < 16; k++) sum += left[y][k] * right[k][x];
        __syncthreads();
    }
    out[row * side + column] = sum;
}

// A thread copies four numbers at once.
extern "C" __global__ void copy4(const float *x, float *out) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    ((float4 *)out)[i] = ((const float4 *)x)[i];
}

// Every step-th number, from the first-th on.
extern "C" __global__ void copy_every(const float *x, float *out, int first, int step) {
    out[threadIdx.x] = x[first + threadIdx.x * step];
}

// All threads read one number; each loops as often as its lane says.
extern "C" __global__ void diverging(const float *x, float *out) {
    float sum = 0;
    for (unsigned i = 0; i <= threadIdx.x; i++) sum += x[i];
    out[threadIdx.x] = sum;
}

extern "C" __global__ void copy_ahead(const float *x, float *out) {
    __shared__ float line[64];
    start_copy(&line[threadIdx.x], &x[threadIdx.x]);
    finish_copies();
    __syncthreads();
    out[threadIdx.x] = line[63 - threadIdx.x];
}

extern "C" __global__ void count_up(float *x) { atomicAdd(&x[threadIdx.x % 8], 1.0f); }

// In even rounds odd lanes do something else.
extern "C" __global__ void branching(const float *x, float *out) {
    for (int round = 0; round < 8; round++) {
        int i = threadIdx.x;
        if (i % 2 == 0 || round % 2)
            out[i] = x[32 * round + i];
        else
            out[i] = 0;
    }
}
