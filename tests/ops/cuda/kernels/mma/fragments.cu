// The instruction of tensor cores alone, in the format that PRECISION says; one warp.

#include "../../../../../kernels/mma.cuh"

const int PACKED = Format::PACKED;

// sums (32, 4) += the product of the fragments a (32, 4 PACKED) and b (32, 2 PACKED), by lane.
extern "C" __global__ void one_product(const float* a, const float* b, float* sums) {
    unsigned int a_words[4], b_words[2];
    float tile[4], packed[PACKED];
    for (int i = 0; i < 4 * PACKED; ++i) {
        packed[i % PACKED] = a[threadIdx.x * 4 * PACKED + i];
        if ((i + 1) % PACKED == 0) a_words[i / PACKED] = Format::word(packed);
    }
    for (int i = 0; i < 2 * PACKED; ++i) {
        packed[i % PACKED] = b[threadIdx.x * 2 * PACKED + i];
        if ((i + 1) % PACKED == 0) b_words[i / PACKED] = Format::word(packed);
    }
    for (int i = 0; i < 4; ++i) tile[i] = sums[threadIdx.x * 4 + i];
    Format::mma(tile, a_words, b_words);
    for (int i = 0; i < 4; ++i) sums[threadIdx.x * 4 + i] = tile[i];
}

// Row and column of each element: a (32, 4 PACKED, 2), b (32, 2 PACKED, 2), sums (32, 4, 2).
extern "C" __global__ void places(float* a, float* b, float* sums) {
    const Fragment fragment(threadIdx.x);
    for (int i = 0; i < 4 * PACKED; ++i) {
        float* place = a + (threadIdx.x * 4 * PACKED + i) * 2;
        place[0] = fragment.a_row<PACKED>(i), place[1] = fragment.a_term<PACKED>(i);
    }
    for (int i = 0; i < 2 * PACKED; ++i) {
        float* place = b + (threadIdx.x * 2 * PACKED + i) * 2;
        place[0] = fragment.b_term<PACKED>(i), place[1] = fragment.b_column();
    }
    for (int i = 0; i < 4; ++i) {
        float* place = sums + (threadIdx.x * 4 + i) * 2;
        place[0] = fragment.sum_row(i), place[1] = fragment.sum_column(i);
    }
}

// bits(i) = the word of x(i), as two numbers: upper and lower 16 bits; PACKED times the same number.
extern "C" __global__ void words(const float* x, float* halves) {
    float packed[PACKED];
    for (int i = 0; i < PACKED; ++i) packed[i] = x[threadIdx.x];
    const unsigned int word = Format::word(packed);
    halves[2 * threadIdx.x] = word >> 16;
    halves[2 * threadIdx.x + 1] = word & 0xffffu;
}
