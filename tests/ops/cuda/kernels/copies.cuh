// Copies from global to shared memory that go on while the thread does: three bodies.
#pragma once

#if defined(CONVNET_EMULATED)
__device__ inline void start_copy(float* target, const float* source) {
    emulated::start_copy<4>(target, source);
}
__device__ inline void finish_copies() { emulated::finish_copies(); }
__device__ inline void commit_copies() { emulated::commit_copies(); }
template <int N> __device__ inline void wait_copies() { emulated::wait_copies(N); }
#elif __CUDA_ARCH__ < 800
__device__ inline void start_copy(float* target, const float* source) { *target = *source; }
__device__ inline void finish_copies() {}
__device__ inline void commit_copies() {}
template <int N> __device__ inline void wait_copies() {}
#else
__device__ inline void start_copy(float* target, const float* source) {
    unsigned address = static_cast<unsigned>(__cvta_generic_to_shared(target));
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4;" ::"r"(address), "l"(source)
                 : "memory");
}
__device__ inline void finish_copies() { asm volatile("cp.async.wait_all;" ::: "memory"); }
__device__ inline void commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int N> __device__ inline void wait_copies() {
    asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}
#endif
