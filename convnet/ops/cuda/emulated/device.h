// CUDA C++ as far as the kernels use it, for g++. Included before the kernel's file.
//
// __global__, __launch_bounds__ and __shared__ are rewritten by the front end (build.py), which also adds
// EMULATED_KERNEL(name) for every kernel and EMULATED_LIBRARY at the end.
#pragma once

#include <float.h>
#include <limits.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include "runtime.h"

#define CONVNET_EMULATED 1

#define __device__
#define __host__
#define __constant__ static const
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __align__(n) __attribute__((aligned(n)))
#define EMULATED_UNCHECKED __attribute__((noinline, no_sanitize("thread")))

// --- vectors and indices --------------------------------------------------------------------

#define EMULATED_VECTORS(T, name, a1, a2, a4)                                                  \
    struct alignas(a1) name##1 { T x; };                                             \
    struct alignas(a2) name##2 { T x, y; };                                          \
    struct name##3 { T x, y, z; };                                                             \
    struct alignas(a4) name##4 { T x, y, z, w; };                                    \
    inline name##1 make_##name##1(T x) { return {x}; }                                         \
    inline name##2 make_##name##2(T x, T y) { return {x, y}; }                                 \
    inline name##3 make_##name##3(T x, T y, T z) { return {x, y, z}; }                         \
    inline name##4 make_##name##4(T x, T y, T z, T w) { return {x, y, z, w}; }

EMULATED_VECTORS(float, float, 4, 8, 16)
EMULATED_VECTORS(double, double, 8, 16, 16)
EMULATED_VECTORS(int, int, 4, 8, 16)
EMULATED_VECTORS(unsigned, uint, 4, 8, 16)
EMULATED_VECTORS(unsigned char, uchar, 1, 2, 4)

struct dim3 {
    unsigned x, y, z;
    dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

#define threadIdx emulated::place.thread
#define blockIdx emulated::place.block
#define blockDim emulated::place.block_size
#define gridDim emulated::place.grid_size
#define warpSize 32

// --- barriers and warps ---------------------------------------------------------------------

inline void __syncthreads(int line = __builtin_LINE()) { emulated::barrier(line); }
inline void __syncwarp(unsigned mask = 0xffffffffu, int line = __builtin_LINE()) {
    char all[32], mine = 0;
    emulated::exchange(mask, line, &mine, all, 1);
}
inline void __threadfence() {}
inline void __threadfence_block() {}

namespace emulated {

inline int lane() {
    return (threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z)) % WARP;
}

// The values of all lanes in `mask`, for warp functions that stand here and for emulated bodies
// of inline assembly.
template <class T>
inline void gather(unsigned mask, T value, T (&all)[WARP], int line = __builtin_LINE()) {
    exchange(mask, line, &value, all, sizeof(T));
}

template <class T> inline T from_lane(unsigned mask, T value, int source, int line) {
    T all[WARP];
    gather(mask, value, all, line);
    if (!(mask >> source & 1)) absent_lane();
    return all[source];
}

// What cp.async does: starts a copy of SIZE = 4, 8 or 16 bytes from global to shared memory. What
// stands there is undefined until the thread has waited for it, with wait_copies or finish_copies.
template <int SIZE> inline void start_copy(void *to, const void *from) {
    struct alignas(SIZE) Unit { unsigned words[SIZE / 4]; };
    Unit value = *(const Unit *)from, undefined;
    for (unsigned &word : undefined.words) word = 0xffffffffu;
    *(Unit *)to = undefined;
    hold_copy(to, from, &value, SIZE);
}

}  // namespace emulated

// A source outside the lane's group of `width` lanes means the lane itself.
template <class T>
inline T __shfl_sync(unsigned mask, T value, int source, int width = 32,
                     int line = __builtin_LINE()) {
    int lane = emulated::lane(), first = lane & ~(width - 1);
    return emulated::from_lane(mask, value, first + (source & (width - 1)), line);
}
template <class T>
inline T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32,
                        int line = __builtin_LINE()) {
    int lane = emulated::lane(), first = lane & ~(width - 1);
    int source = lane - (int)delta;
    return emulated::from_lane(mask, value, source < first ? lane : source, line);
}
template <class T>
inline T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32,
                          int line = __builtin_LINE()) {
    int lane = emulated::lane(), last = lane | (width - 1);
    int source = lane + (int)delta;
    return emulated::from_lane(mask, value, source > last ? lane : source, line);
}
template <class T>
inline T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32,
                         int line = __builtin_LINE()) {
    int lane = emulated::lane(), last = lane | (width - 1);
    int source = lane ^ bits;
    return emulated::from_lane(mask, value, source > last ? lane : source, line);
}
inline unsigned __ballot_sync(unsigned mask, int predicate, int line = __builtin_LINE()) {
    int all[32];
    unsigned ballot = 0;
    emulated::gather(mask, predicate, all, line);
    for (int i = 0; i < 32; i++)
        if (mask >> i & 1) ballot |= (unsigned)(all[i] != 0) << i;
    return ballot;
}
inline int __any_sync(unsigned mask, int predicate, int line = __builtin_LINE()) {
    return __ballot_sync(mask, predicate, line) != 0;
}
inline int __all_sync(unsigned mask, int predicate, int line = __builtin_LINE()) {
    return __ballot_sync(mask, predicate, line) == mask;
}

// --- atomics --------------------------------------------------------------------------------

#define EMULATED_ATOMIC(name, result)                                                          \
    template <class T, class V> EMULATED_UNCHECKED T name(T *address, V given) {               \
        emulated::atomic(address, sizeof(T), __builtin_return_address(0));                     \
        T old = *address, value = (T)given;                                                    \
        *address = result;                                                                     \
        return old;                                                                            \
    }

EMULATED_ATOMIC(atomicAdd, old + value)
EMULATED_ATOMIC(atomicSub, old - value)
EMULATED_ATOMIC(atomicExch, value)
EMULATED_ATOMIC(atomicMax, old > value ? old : value)
EMULATED_ATOMIC(atomicMin, old < value ? old : value)
EMULATED_ATOMIC(atomicAnd, old & value)
EMULATED_ATOMIC(atomicOr, old | value)

template <class T> EMULATED_UNCHECKED T atomicCAS(T *address, T compare, T value) {
    emulated::atomic(address, sizeof(T), __builtin_return_address(0));
    T old = *address;
    if (old == compare) *address = value;
    return old;
}

// --- arithmetic -----------------------------------------------------------------------------
// The fast functions are the exact ones here.

#define EMULATED_MIN_MAX(T)                                                                    \
    inline T min(T a, T b) { return b < a ? b : a; }                                           \
    inline T max(T a, T b) { return a < b ? b : a; }
EMULATED_MIN_MAX(int)
EMULATED_MIN_MAX(unsigned)
EMULATED_MIN_MAX(long)
EMULATED_MIN_MAX(unsigned long)
EMULATED_MIN_MAX(long long)
EMULATED_MIN_MAX(unsigned long long)
inline float min(float a, float b) { return fminf(a, b); }
inline float max(float a, float b) { return fmaxf(a, b); }
inline double min(double a, double b) { return fmin(a, b); }
inline double max(double a, double b) { return fmax(a, b); }

inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
inline float __saturatef(float x) { return fminf(fmaxf(x, 0.0f), 1.0f); }
inline float __expf(float x) { return expf(x); }
inline float __exp10f(float x) { return powf(10.0f, x); }
inline float __logf(float x) { return logf(x); }
inline float __log2f(float x) { return log2f(x); }
inline float __powf(float x, float y) { return powf(x, y); }
inline float __sinf(float x) { return sinf(x); }
inline float __cosf(float x) { return cosf(x); }
inline float __tanf(float x) { return tanf(x); }
inline float __fdividef(float x, float y) { return x / y; }
inline float __fdiv_rn(float x, float y) { return x / y; }
inline float __frcp_rn(float x) { return 1.0f / x; }
inline float __fsqrt_rn(float x) { return sqrtf(x); }
inline float __frsqrt_rn(float x) { return (float)(1.0 / sqrt((double)x)); }
inline float __fadd_rn(float x, float y) { return x + y; }
inline float __fsub_rn(float x, float y) { return x - y; }
inline float __fmul_rn(float x, float y) { return x * y; }
inline float __fmaf_rn(float x, float y, float z) { return fmaf(x, y, z); }
inline int __float2int_rn(float x) { return (int)rintf(x); }
inline int __float2int_rz(float x) { return (int)x; }
inline int __float2int_rd(float x) { return (int)floorf(x); }
inline int __float2int_ru(float x) { return (int)ceilf(x); }
inline float __int2float_rn(int x) { return (float)x; }
inline float __uint2float_rn(unsigned x) { return (float)x; }
inline int __mul24(int x, int y) { return x * y; }
inline int __mulhi(int x, int y) { return (int)((int64_t)x * y >> 32); }
inline unsigned __umulhi(unsigned x, unsigned y) { return (unsigned)((uint64_t)x * y >> 32); }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __clz(int x) { return x ? __builtin_clz(x) : 32; }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline unsigned __brev(unsigned x) {
    unsigned y = 0;
    for (int i = 0; i < 32; i++) y |= (x >> i & 1) << (31 - i);
    return y;
}

namespace emulated {
template <class To, class From> inline To bits_as(From from) {
    static_assert(sizeof(To) == sizeof(From));
    To to;
    memcpy(&to, &from, sizeof(To));
    return to;
}
}  // namespace emulated
inline int __float_as_int(float x) { return emulated::bits_as<int>(x); }
inline unsigned __float_as_uint(float x) { return emulated::bits_as<unsigned>(x); }
inline float __int_as_float(int x) { return emulated::bits_as<float>(x); }
inline float __uint_as_float(unsigned x) { return emulated::bits_as<float>(x); }

template <class T> inline T __ldg(const T *address) { return *address; }
template <class T> inline T __ldcs(const T *address) { return *address; }
template <class T> inline void __stcs(T *address, T value) { *address = value; }
