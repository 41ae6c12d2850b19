// What every kernel here shares: types, shared memory, sums over a warp.
//
// Plain CUDA C++ without headers of the toolkit: NVRTC, nvcc and the tests' CPU emulator compile
// the same text. Rows are r = t * B + b; events are CSR (ptr [R + 1], index, value or null where
// all are 1); weights are input-major, [K, N], so that one event reads one contiguous row.
//
// Arithmetic follows the CPU kernels operation by operation and in their order, so the bits agree.
// That needs -fmad=false: a product and a sum are rounded apart, as on the CPU. Where `fmaf`
// stands, the order differs from the CPU's anyway.
#pragma once

#define SF_FULL 0xffffffffu  // all lanes of a warp
#define SF_EVERY 16          // steps between two stored states, as `scans.CHECKPOINT_STEPS`
#define SF_SCAN_BLOCK 128    // threads of a scan whose backward pass keeps SF_EVERY steps

#define SF_KERNEL(threads) extern "C" __global__ void __launch_bounds__(threads)

// Dynamic shared memory as an array of T; the emulator hands out a pointer of its own.
#ifdef SPIKEFUSE_EMULATOR
#define SF_DYNAMIC_SHARED(T, name) T* name = reinterpret_cast<T*>(emu_dynamic_shared)
#else
#define SF_DYNAMIC_SHARED(T, name)                             \
  extern __shared__ __align__(16) unsigned char sf_dynamic[];  \
  T* name = reinterpret_cast<T*>(sf_dynamic)
#endif

typedef unsigned int u32;
typedef long long i64;            // offsets into [T, B, N] outgrow 32 bits
typedef unsigned short sf_bf16;   // the upper half of a float32: no header needed to read it

__device__ __forceinline__ float sf_load(const float* p) { return __ldg(p); }
__device__ __forceinline__ float sf_load(const sf_bf16* p) {
  return __uint_as_float(static_cast<u32>(__ldg(p)) << 16);
}

__device__ __forceinline__ float sf_widen(float w) { return w; }
__device__ __forceinline__ float sf_widen(sf_bf16 w) {
  return __uint_as_float(static_cast<u32>(w) << 16);
}

// Four neighbours at once; p is aligned to four elements.
__device__ __forceinline__ float4 sf_load4(const float* p) {
  return __ldg(reinterpret_cast<const float4*>(p));
}
__device__ __forceinline__ float4 sf_load4(const sf_bf16* p) {
  const uint2 w = __ldg(reinterpret_cast<const uint2*>(p));
  return make_float4(__uint_as_float(w.x << 16), __uint_as_float(w.x & 0xffff0000u),
                     __uint_as_float(w.y << 16), __uint_as_float(w.y & 0xffff0000u));
}

// Amplitude of event e.
__device__ __forceinline__ float sf_scale(const float* value, int e) {
  return value ? __ldg(value + e) : 1.f;
}

// Sum over the lanes of a full warp, in every lane; a butterfly, so the order is fixed.
__device__ __forceinline__ float sf_warp_sum(float a) {
#pragma unroll
  for (int o = 16; o > 0; o >>= 1) a += __shfl_xor_sync(SF_FULL, a, o);
  return a;
}
__device__ __forceinline__ int sf_warp_sum(int a) {
#pragma unroll
  for (int o = 16; o > 0; o >>= 1) a += __shfl_xor_sync(SF_FULL, a, o);
  return a;
}

// Sum over this lane and those below it.
__device__ __forceinline__ int sf_warp_prefix(int a, int lane) {
#pragma unroll
  for (int o = 1; o < 32; o <<= 1) {
    const int below = __shfl_up_sync(SF_FULL, a, o);
    if (lane >= o) a += below;
  }
  return a;
}

// First event of [first, last) whose address is at least `address`; addresses ascend.
__device__ __forceinline__ int sf_lower_bound(const int* index, int first, int last, int address) {
  while (first < last) {
    const int middle = first + ((last - first) >> 1);
    if (__ldg(index + middle) < address) first = middle + 1;
    else last = middle;
  }
  return first;
}
