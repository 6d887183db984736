// Kernels that are right: the emulated device must run them and find nothing.

#include "copies.cuh"

__constant__ float WEIGHTS[4] = {1.0f, 2.0f, 3.0f, 4.0f};

template <class T> __device__ T square(T x) { return x * x; }

__device__ float warp_sum(float x) {
    for (int delta = 16; delta > 0; delta /= 2) x += __shfl_down_sync(0xffffffffu, x, delta);
    return x;
}

// out = a*x*x + out; one thread a number.
extern "C" __global__ void __launch_bounds__(256)
square_add(const float *__restrict__ x, float *__restrict__ out, float a, int size) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < size) out[i] += a * square(x[i]);
}

// c = a b, of m x k and k x n, row by row; block (TILE, TILE), grid (n / TILE, m / TILE) up.
extern "C" __global__ void matmul(const float *a, const float *b, float *c, int m, int n, int k) {
    __shared__ float at[TILE][TILE], bt[TILE][TILE + 1];
    int tx = threadIdx.x, ty = threadIdx.y;
    int row = blockIdx.y * TILE + ty, column = blockIdx.x * TILE + tx;
    float sum = 0.0f;
    for (int start = 0; start < k; start += TILE) {
        at[ty][tx] = row < m && start + tx < k ? a[row * k + start + tx] : 0.0f;
        bt[ty][tx] = start + ty < k && column < n ? b[(start + ty) * n + column] : 0.0f;
        __syncthreads();
#pragma unroll
        for (int i = 0; i < TILE; i++) sum = fmaf(at[ty][i], bt[i][tx], sum);
        __syncthreads();
    }
    if (row < m && column < n) c[row * n + column] = sum;
}

// out[block] = sum of x[block * size ...]; dynamic shared memory of one float a warp.
extern "C" __global__ void row_sums(const float *x, float *out, int size) {
    extern __shared__ float partial[];
    float sum = 0.0f;
    for (int i = threadIdx.x; i < size; i += blockDim.x) sum += x[blockIdx.x * size + i];
    sum = warp_sum(sum);
    if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = sum;
    __syncthreads();
    if (threadIdx.x < 32) {
        sum = threadIdx.x < blockDim.x / 32 ? partial[threadIdx.x] : 0.0f;
        sum = warp_sum(sum);
        if (threadIdx.x == 0) out[blockIdx.x] = sum;
    }
}

// Each warp reverses 32 numbers in shared memory; __syncwarp is enough for that.
extern "C" __global__ void reverse_warps(const float *x, float *out) {
    __shared__ float line[64];
    int i = threadIdx.x;
    line[i] = x[i];
    __syncwarp();
    out[i] = line[i / 32 * 32 + 31 - i % 32];
}

// out[bin] counts the x in [bin, bin + 1).
extern "C" __global__ void histogram(const float *x, float *out, int size) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < size) atomicAdd(&out[(int)x[i]], 1.0f);
}

// Four numbers at a time, bytes in shared memory, constants.
extern "C" __global__ void scale4(const float4 *x, float4 *out, double a, unsigned mask,
                                  unsigned long long offset) {
    __shared__ unsigned char bytes[32];
    bytes[threadIdx.x] = (unsigned char)threadIdx.x;
    __syncthreads();
    int i = bytes[31 - threadIdx.x] & mask;
    float4 v = x[i + offset];
    float w = (float)a;
    out[i] = make_float4(w * WEIGHTS[0] * v.x, w * WEIGHTS[1] * v.y, w * WEIGHTS[2] * v.z,
                         w * WEIGHTS[3] * v.w);
}

template <int N> __device__ float sum_of_neighbours(float x) {
    __shared__ float line[N];
    line[threadIdx.x] = x;
    __syncthreads();
    return line[threadIdx.x] + line[(threadIdx.x + 1) % N];
}

// Shared arrays of functions that are made from templates, and what the architecture is.
extern "C" __global__ void neighbours(const float *x, float *out) {
    float sum = sum_of_neighbours<32>(x[threadIdx.x]);
    if (threadIdx.x < 16) sum *= 2.0f;
    out[threadIdx.x] = sum + __CUDA_ARCH__ / 10;
}

// Turns around each 64 numbers; the next ones are on the way meanwhile.
extern "C" __global__ void reverse_ahead(const float *x, float *out, int rounds) {
    __shared__ float lines[2][64];
    int i = threadIdx.x;
    start_copy(&lines[0][i], &x[i]);
    for (int round = 0; round < rounds; round++) {
        finish_copies();
        __syncthreads();
        if (round + 1 < rounds) start_copy(&lines[(round + 1) % 2][i], &x[64 * (round + 1) + i]);
        out[64 * round + i] = lines[round % 2][63 - i];
    }
}

// The same with three groups: while one is used, two are on their way.
extern "C" __global__ void reverse_far_ahead(const float *x, float *out, int rounds) {
    __shared__ float lines[3][64];
    int i = threadIdx.x;
    for (int round = 0; round < 2; round++) {
        if (round < rounds) start_copy(&lines[round][i], &x[64 * round + i]);
        commit_copies();
    }
    for (int round = 0; round < rounds; round++) {
        wait_copies<1>();
        __syncthreads();
        int next = round + 2;
        if (next < rounds) start_copy(&lines[next % 3][i], &x[64 * next + i]);
        commit_copies();
        out[64 * round + i] = lines[round % 3][63 - i];
    }
}

// The votes of the lanes, and lanes that talk within groups of 8.
extern "C" __global__ void votes(const float *x, float *out) {
    int i = threadIdx.x;
    unsigned ballot = __ballot_sync(0xffffffffu, x[i] > 0.0f);
    int any = __any_sync(0xffffffffu, x[i] > 100.0f), all = __all_sync(0xffffffffu, x[i] < 100.0f);
    float up = __shfl_up_sync(0xffffffffu, x[i], 1, 8), down = __shfl_xor_sync(0xffffffffu, x[i], 4);
    float first = __shfl_sync(0xffffffffu, x[i], 0, 8);
    out[i] = (ballot >> i & 1) + 2 * any + 4 * all + 8 * (up + down + first);
}
