// Kernels that are wrong, one mistake each: the emulated device must find it.
// x and out are arrays of 64 numbers where nothing else is said, blocks have 64 threads.

#include "copies.cuh"

#define KERNEL extern "C" __global__ void

KERNEL missing_barrier(const float *x, float *out) {
    __shared__ float line[64];
    int i = threadIdx.x;
    line[i] = x[i];
    out[i] = line[63 - i];
}

// The next round overwrites what slow threads still read.
KERNEL missing_second_barrier(const float *x, float *out) {
    __shared__ float line[64];
    int i = threadIdx.x;
    float sum = 0.0f;
    for (int round = 0; round < 2; round++) {
        line[i] = x[i] + round;
        __syncthreads();
        sum += line[63 - i];
    }
    out[i] = sum;
}

KERNEL warp_without_syncwarp(const float *x, float *out) {
    __shared__ float line[64];
    int i = threadIdx.x;
    line[i] = x[i];
    out[i] = line[i ^ 1];
}

KERNEL syncwarp_across_warps(const float *x, float *out) {
    __shared__ float line[64];
    int i = threadIdx.x;
    line[i] = x[i];
    __syncwarp();
    out[i] = line[63 - i];
}

KERNEL syncwarp_of_half_a_warp(const float *x, float *out) {
    __shared__ float line[64];
    int i = threadIdx.x;
    line[i] = x[i];
    __syncwarp(i % 32 < 16 ? 0x0000ffffu : 0xffff0000u);
    out[i] = line[i ^ 16];
}

KERNEL byte_race(const float *x, float *out) {
    __shared__ unsigned char bytes[64];
    int i = threadIdx.x;
    bytes[i] = (unsigned char)x[i];
    out[i] = bytes[63 - i];
}

KERNEL two_writers(const float *x, float *out) { out[threadIdx.x / 2] = x[threadIdx.x]; }

KERNEL blocks_write_the_same(const float *x, float *out) { out[threadIdx.x] = x[threadIdx.x]; }

// In place: the neighbour's number may be old or new.
KERNEL blocks_read_neighbours(float *out) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    float left = i > 0 ? out[i - 1] : 0.0f;
    out[i] = out[i] + left;
}

KERNEL count_without_atomic(const float *x, float *out) { out[(int)x[threadIdx.x] & 7] += 1.0f; }

KERNEL atomic_and_plain(const float *x, float *out) {
    atomicAdd(&out[0], x[threadIdx.x]);
    if (threadIdx.x == 63) out[1] = out[0];
}

KERNEL write_after_the_end(const float *x, float *out) { out[threadIdx.x + 1] = x[threadIdx.x]; }

KERNEL read_before_the_beginning(const float *x, float *out) {
    int i = threadIdx.x;
    out[i] = x[i - 1];
}

KERNEL dynamic_shared_too_small(const float *x, float *out) {
    extern __shared__ float line[];
    int i = threadIdx.x;
    line[i] = x[i];
    __syncthreads();
    out[i] = line[63 - i];
}

KERNEL overrun_into_next_shared_array(const float *x, float *out) {
    __shared__ float first[32], second[32];
    int i = threadIdx.x;
    if (i < 32) first[i] = second[i] = x[i];
    __syncthreads();
    const float *pointer = first;
    out[i] = pointer[i % 33] + second[i % 32];
}

KERNEL overrun_of_local_array(const float *x, float *out) {
    float mine[4];
    int i = threadIdx.x;
    for (int j = 0; j < 4; j++) mine[j] = x[i] + j;
    out[i] = mine[i % 5];
}

KERNEL unwritten_shared(const float *x, float *out) {
    __shared__ float line[64];
    int i = threadIdx.x;
    if (i > 0) line[i] = x[i];
    __syncthreads();
    out[i] = line[63 - i];
}

KERNEL barrier_in_branches(const float *x, float *out) {
    __shared__ float line[64];
    int i = threadIdx.x;
    line[i] = x[i];
    if (i < 32) {
        __syncthreads();
        out[i] = line[63 - i];
    } else {
        __syncthreads();
        out[i] = line[63 - i] + 1.0f;
    }
}

KERNEL return_before_barrier(const float *x, float *out) {
    __shared__ float line[64];
    int i = threadIdx.x;
    line[i] = x[i];
    if (i >= 60) return;
    __syncthreads();
    out[i] = line[59 - i];
}

KERNEL lane_that_does_not_come(const float *x, float *out) {
    int i = threadIdx.x;
    if (i % 32 < 16) out[i] = __shfl_xor_sync(0xffffffffu, x[i], 1);
}

KERNEL mask_without_itself(const float *x, float *out) {
    int i = threadIdx.x;
    out[i] = __shfl_xor_sync(0x0000ffffu, x[i], 1);
}

KERNEL value_of_absent_lane(const float *x, float *out) {
    int i = threadIdx.x;
    if (i % 32 < 16) out[i] = __shfl_xor_sync(0x0000ffffu, x[i], 16);
}

KERNEL two_warp_functions(const float *x, float *out) {
    int i = threadIdx.x;
    if (i % 2)
        out[i] = __shfl_xor_sync(0xffffffffu, x[i], 2);
    else
        out[i] = __shfl_xor_sync(0xffffffffu, x[i], 4);
}

KERNEL unaligned_vector(const float *x, float *out) {
    int i = threadIdx.x;
    if (i < 15) *(float4 *)(out + 4 * i + 1) = *(const float4 *)(x + 4 * i);
}

KERNEL overflow(const float *x, float *out) {
    int i = threadIdx.x;
    int large = (int)x[i] + 2147483647 - 10;
    out[i] = large;
}

KERNEL copy_without_wait(const float *x, float *out) {
    __shared__ float line[64];
    int i = threadIdx.x;
    start_copy(&line[i], &x[i]);
    out[i] = line[i];
}

KERNEL copy_without_barrier(const float *x, float *out) {
    __shared__ float line[64];
    int i = threadIdx.x;
    start_copy(&line[i], &x[i]);
    finish_copies();
    out[i] = line[63 - i];
}

// The barrier comes before the wait: the other threads' copies may be on the way.
KERNEL copy_with_early_barrier(const float *x, float *out) {
    __shared__ float line[64];
    int i = threadIdx.x;
    start_copy(&line[i], &x[i]);
    __syncthreads();
    finish_copies();
    out[i] = line[63 - i];
}

// Others may still read what the second copy overwrites.
KERNEL copy_over_what_is_read(const float *x, float *out) {
    __shared__ float line[64];
    int i = threadIdx.x;
    start_copy(&line[i], &x[i]);
    finish_copies();
    __syncthreads();
    out[i] = line[63 - i];
    start_copy(&line[i], &x[63 - i]);
}

// Two groups are on their way, and the older one is read: at most one may go on.
KERNEL copy_with_wrong_wait_count(const float *x, float *out) {
    __shared__ float lines[2][64];
    int i = threadIdx.x;
    for (int group = 0; group < 2; group++) {
        start_copy(&lines[group][i], &x[i]);
        commit_copies();
    }
    wait_copies<2>();
    out[i] = lines[0][i];
}

// wait_copies knows of groups only.
KERNEL copy_without_commit(const float *x, float *out) {
    __shared__ float line[64];
    int i = threadIdx.x;
    start_copy(&line[i], &x[i]);
    wait_copies<0>();
    out[i] = line[i];
}

KERNEL copy_from_outside(const float *x, float *out) {
    __shared__ float line[64];
    int i = threadIdx.x;
    start_copy(&line[i], &x[i + 1]);
    finish_copies();
    out[i] = line[i];
}
