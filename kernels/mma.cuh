// Matrix products on tensor cores, a `Core` of gemm.cuh: factors are rounded to tf32 (10 bits of
// fraction), if PRECISION is 1, or bf16 (7), if it is 2, as a thread takes them from shared memory;
// products are exact and summed in float32. In memory everything stays float32.
//
// A warp computes 16 x 8 sums by one instruction, mma.sync: m16n8k8 for tf32, m16n8k16 for bf16.
// The numbers of its factors are spread over the lanes as PTX ISA 8.7, 9.7.14.5, "Matrix Fragments
// for mma.m16n8k8" and "... m16n8k16", say. With group = lane / 4 and member = lane % 4 a lane has
//   a     rows group and group + 8
//   b     column group
//   sums  rows group and group + 8, columns 2 member and 2 member + 1
// and of k four terms, shared by two instructions of tf32, in one of bf16.
//
// Which rows, columns and terms of a tile go by these numbers is free, if the same for both factors
// and the sums. Rows and columns are those of a panel's place(): so a lane reads quads, and the
// sums that it has are consecutive ones. The terms of a lane are k = member + 4 j.

#pragma once

#include "gemm.cuh"

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
#error "tf32 and bf16 need compute capability 8.0 or higher"
#endif

// Where element i of a lane's fragments lies in the 16 x DEEP, DEEP x 8 and 16 x 8 matrices of an
// instruction, the elements of a word from low to high.
struct Fragment {
    int group, member;

    __device__ explicit Fragment(int lane) : group(lane / 4), member(lane % 4) {}

    // PACKED: elements in a word, 1 for tf32, 2 for bf16. A word has neighbouring terms.
    template <int PACKED>
    __device__ int term(int word, int i) const {
        return (member + 4 * word) * PACKED + i;
    }
    template <int PACKED>
    __device__ int a_row(int i) const {
        return group + i / PACKED % 2 * 8;
    }
    template <int PACKED>
    __device__ int a_term(int i) const {
        return term<PACKED>(i / PACKED / 2, i % PACKED);
    }
    template <int PACKED>
    __device__ int b_term(int i) const {
        return term<PACKED>(i / PACKED, i % PACKED);
    }
    __device__ int b_column() const { return group; }
    __device__ int sum_row(int i) const { return group + i / 2 * 8; }
    __device__ int sum_column(int i) const { return 2 * member + i % 2; }
};

// Tf32 and Bf16: how numbers become words, and the instruction, sums += a b.
#if defined(CONVNET_EMULATED)
namespace emulated {

struct Words {
    unsigned int a[4], b[2];
};

// What mma.sync does, from the words of all lanes. Order of the sums: ascending k, each rounded.
template <class Format>
inline void mma(float (&sums)[4], const Words& mine, int line = __builtin_LINE()) {
    constexpr int PACKED = Format::PACKED, DEEP = 8 * PACKED;
    Words all[WARP];
    gather(0xffffffffu, mine, all, line);
    float a[16][DEEP], b[DEEP][8];
    for (int lane = 0; lane < WARP; ++lane) {
        const Fragment fragment(lane);
        for (int i = 0; i < 4 * PACKED; ++i)
            a[fragment.a_row<PACKED>(i)][fragment.a_term<PACKED>(i)] =
                Format::number(all[lane].a[i / PACKED], i % PACKED);
        for (int i = 0; i < 2 * PACKED; ++i)
            b[fragment.b_term<PACKED>(i)][fragment.b_column()] =
                Format::number(all[lane].b[i / PACKED], i % PACKED);
    }
    const Fragment fragment(emulated::lane());
    for (int i = 0; i < 4; ++i)
        for (int k = 0; k < DEEP; ++k)
            sums[i] += a[fragment.sum_row(i)][k] * b[k][fragment.sum_column(i)];
}

}  // namespace emulated
#endif

struct Tf32 {
    static constexpr int PACKED = 1;

    // To the nearest, ties away from zero.
    __device__ static unsigned int word(const float (&numbers)[PACKED]) {
#if defined(CONVNET_EMULATED)
        const unsigned int bits = __float_as_uint(numbers[0]);
        return isnan(numbers[0]) ? bits : (bits + 0x1000u) & ~0x1fffu;
#else
        unsigned int word;
        asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(word) : "f"(numbers[0]));
        return word;
#endif
    }

    __device__ static void mma(float (&sums)[4], const unsigned int (&a)[4],
                               const unsigned int (&b)[2]) {
#if defined(CONVNET_EMULATED)
        emulated::mma<Tf32>(sums, {{a[0], a[1], a[2], a[3]}, {b[0], b[1]}});
#else
        asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 "
            "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
            : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
            : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
    }

#if defined(CONVNET_EMULATED)
    static float number(unsigned int word, int) { return __uint_as_float(word); }
#endif
};

struct Bf16 {
    static constexpr int PACKED = 2;

    // To the nearest, ties to even. The first number is the lower half of the word.
    __device__ static unsigned int word(const float (&numbers)[PACKED]) {
        unsigned int word = 0;
#if defined(CONVNET_EMULATED)
        for (int i = 0; i < PACKED; ++i) {
            const unsigned int bits = __float_as_uint(numbers[i]);
            const unsigned int half = (bits + 0x7fffu + (bits >> 16 & 1)) >> 16;
            word |= (isnan(numbers[i]) ? 0x7fffu : half) << 16 * i;
        }
#else
        asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(numbers[1]), "f"(numbers[0]));
#endif
        return word;
    }

    __device__ static void mma(float (&sums)[4], const unsigned int (&a)[4],
                               const unsigned int (&b)[2]) {
#if defined(CONVNET_EMULATED)
        emulated::mma<Bf16>(sums, {{a[0], a[1], a[2], a[3]}, {b[0], b[1]}});
#else
        asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
            "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
            : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
            : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
    }

#if defined(CONVNET_EMULATED)
    static float number(unsigned int word, int i) { return __uint_as_float(word >> 16 * i << 16); }
#endif
};

#if PRECISION == 1
using Format = Tf32;
#elif PRECISION == 2
using Format = Bf16;
#endif

// A warp has 32 columns, or more if there are too few warps; and rows as many as that leaves.
template <class A, class B, int THREADS>
struct Mma {
    static constexpr int PACKED = Format::PACKED, WORDS = QUAD / PACKED;  // of a place, in a step
    static constexpr int WARPS = THREADS / 32, BANDS = B::SIDE / 32;
    static constexpr int ACROSS = BANDS < WARPS ? BANDS : WARPS, DOWN = WARPS / ACROSS;  // warps
    static constexpr int HIGH = A::SIDE / (8 * DOWN), READ = B::SIDE / (8 * ACROSS);
    static constexpr int WIDE = 2 * READ;
    static_assert(HIGH % QUAD == 0, "a thread must have whole quads of rows");
    static_assert(DEPTH == 4 * QUAD, "the terms of a lane are k = member + 4 j");

    // Columns of the second number of a pair (see Fragment::sum_column) are the second half.
    float sums[HIGH][WIDE] = {};
    const Fragment fragment{static_cast<int>(threadIdx.x) % 32};
    const int x = threadIdx.x / 32 % ACROSS * 8, y = threadIdx.x / 32 / ACROSS * 8;

    __device__ int row(int i) const { return A::place(y + fragment.group, 8 * DOWN, i); }
    __device__ int column(int j) const {
        return B::place(x + order(fragment.sum_column(j / READ)), 8 * ACROSS, j % READ);
    }

    // Of the 8 columns of an instruction: 0, 3, 1, 2, 4, 7, 5, 6. Sums of the columns 0 and 2, 1 and
    // 3 .. are stored at once, and lie side by side, whole sectors. Columns 0 and 1, 2 and 3 .. are
    // read at once, from different banks, as they are an odd number of places apart.
    __device__ static int order(int column) {
        return (column & 4) | (column & 1) << 1 | ((column ^ column >> 1) & 1);
    }

    template <int COUNT, class Panel>
    __device__ void fetch(const Panel& panel, int thread, int threads,
                          unsigned int (&words)[WORDS][COUNT]) const {
        float numbers[QUAD][COUNT];
        panel.template fetch<4>(fragment.member, thread, threads, numbers);
#pragma unroll
        for (int i = 0; i < COUNT; ++i)
#pragma unroll
            for (int w = 0; w < WORDS; ++w) {
                float packed[PACKED];
                for (int e = 0; e < PACKED; ++e) packed[e] = numbers[w * PACKED + e][i];
                words[w][i] = Format::word(packed);
            }
    }

    __device__ void add(const A& a, const B& b) {
        unsigned int down[WORDS][HIGH], across[WORDS][READ];
        fetch(a, y + fragment.group, 8 * DOWN, down);
        fetch(b, x + order(fragment.b_column()), 8 * ACROSS, across);
#pragma unroll
        for (int w = 0; w < WORDS; w += 2)
#pragma unroll
            for (int i = 0; i < HIGH; i += 2)
#pragma unroll
                for (int j = 0; j < READ; ++j) {
                    const unsigned int rows[] = {down[w][i], down[w][i + 1], down[w + 1][i],
                                                 down[w + 1][i + 1]};
                    const unsigned int columns[] = {across[w][j], across[w + 1][j]};
                    float tile[] = {sums[i][j], sums[i][j + READ], sums[i + 1][j],
                                    sums[i + 1][j + READ]};
                    Format::mma(tile, rows, columns);
                    sums[i][j] = tile[0], sums[i][j + READ] = tile[1];
                    sums[i + 1][j] = tile[2], sums[i + 1][j + READ] = tile[3];
                }
    }
};
