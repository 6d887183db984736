// Copies from global to shared memory that go on while the thread does: three bodies.
#pragma once

#if defined(CONVNET_EMULATED)
__device__ inline void start_copy(float* target, const float* source) {
    emulated::start_copy<4>(target, source);
}
__device__ inline void finish_copies() { emulated::finish_copies(); }
#elif __CUDA_ARCH__ < 800
__device__ inline void start_copy(float* target, const float* source) { *target = *source; }
__device__ inline void finish_copies() {}
#else
__device__ inline void start_copy(float* target, const float* source) {
    unsigned address = static_cast<unsigned>(__cvta_generic_to_shared(target));
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4;" ::"r"(address), "l"(source)
                 : "memory");
}
__device__ inline void finish_copies() { asm volatile("cp.async.wait_all;" ::: "memory"); }
#endif
