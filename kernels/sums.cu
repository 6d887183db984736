// Sums, made in a fixed order; sums of many numbers in double precision.

#include "columns.cuh"

// sums(row, part) = sum of every parts-th piece of 256 numbers of values(row, :), (rows, length) ->
// (rows, parts). Of few long rows there are several parts, which a second launch with one part sums
// up. Launch: grid (rows, parts), block (32, 8).
extern "C" __global__ void sum_rows(const float* values, float* sums, int add, int length) {
    double sum = 0;
    for (int i = (blockIdx.y * TEAMS + threadIdx.y) * LANES + threadIdx.x; i < length;
         i += gridDim.y * TEAMS * LANES)
        sum += values[blockIdx.x * length + i];
    sum = sum_over_block(sum);
    if (threadIdx.x == 0 && threadIdx.y == 0)
        store(&sums[blockIdx.x * gridDim.y + blockIdx.y], sum, add);
}

// sums(block) = sum of squares of every gridDim-th piece of 256 numbers.
// Launch: grid as many sums as wanted, block (32, 8).
extern "C" __global__ void sum_squares(const float* values, float* sums, int size) {
    double sum = 0;
    const int place = threadIdx.y * LANES + threadIdx.x;
    for (int i = blockIdx.x * TEAMS * LANES + place; i < size; i += gridDim.x * TEAMS * LANES)
        sum += values[i] * values[i];
    sum = sum_over_block(sum);
    if (place == 0) sums[blockIdx.x] = sum;
}

// sums(i) = sum over parts of values(part, i), (parts, size) -> (size,). Launch `numbers`.
extern "C" __global__ void sum_parts(const float* values, int parts, float* sums, int add,
                                     int size) {
    const int i = this_number();
    if (i >= size) return;
    float sum = 0;
    for (int part = 0; part < parts; ++part) sum += values[part * size + i];
    store(&sums[i], sum, add);
}
