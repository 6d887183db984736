// More static shared memory than a block may have: no device takes it.

extern "C" __global__ void too_much_static_shared(const float *x, float *out) {
    __shared__ float line[64 * 200];
    line[threadIdx.x * 200] = x[threadIdx.x];
    __syncthreads();
    out[threadIdx.x] = line[threadIdx.x * 200];
}
