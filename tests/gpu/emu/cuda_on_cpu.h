// The part of CUDA C++ that our kernels use, for g++ or clang++ on a CPU.
//
// Included before an unmodified .cu file. Threads of a block are fibres of one OS thread
// (scheduler.cpp); a barrier or a warp operation hands over to the next fibre. Static shared memory
// goes to a linker section of its own, so that the scheduler can poison it before every block.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#include "launch.h"

#define SPIKEFUSE_EMULATOR 1

struct alignas(8) uint2 { unsigned x, y; };
struct alignas(16) float4 { float x, y, z, w; };
static inline float4 make_float4(float a, float b, float c, float d) { return {a, b, c, d}; }

#define __global__
#define __device__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __align__(n) alignas(n)
#define __shared__ static __attribute__((section("emu_shared")))

#define threadIdx emu_thread_index
#define blockIdx emu_block_index
#define blockDim emu_block_size
#define gridDim emu_grid_size

// The line of the caller tells two barriers apart: reaching different ones is an error.
#define EMU_LINE int line = __builtin_LINE()

inline void __syncthreads(EMU_LINE) { emu_barrier(line); }
inline void __syncwarp(unsigned mask = 0xffffffffu, EMU_LINE) {
  emu_warp_operation(EMU_SYNC, mask, 0, 0, line);
}
inline unsigned __ballot_sync(unsigned mask, int p, EMU_LINE) {
  return static_cast<unsigned>(emu_warp_operation(EMU_BALLOT, mask, p != 0, 0, line));
}

template <class T> inline T emu_shuffle(unsigned mask, T value, int source, int line) {
  static_assert(sizeof(T) == 4, "only words are shuffled");
  uint32_t word;
  std::memcpy(&word, &value, 4);
  word = static_cast<uint32_t>(emu_warp_operation(EMU_SHUFFLE, mask, word, source, line));
  std::memcpy(&value, &word, 4);
  return value;
}
template <class T> inline T __shfl_sync(unsigned mask, T value, int source, EMU_LINE) {
  return emu_shuffle(mask, value, source & 31, line);
}
// A lane whose source lies below 0 keeps its own value.
template <class T> inline T __shfl_up_sync(unsigned mask, T value, int below, EMU_LINE) {
  const int lane = static_cast<int>(emu_lane());
  return emu_shuffle(mask, value, lane >= below ? lane - below : lane, line);
}
template <class T> inline T __shfl_xor_sync(unsigned mask, T value, int other, EMU_LINE) {
  return emu_shuffle(mask, value, static_cast<int>(emu_lane()) ^ other, line);
}

inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __ffs(int x) { return __builtin_ffs(x); }
template <class T> inline T __ldg(const T* p) { return *p; }
inline float __uint_as_float(unsigned x) {
  float f;
  std::memcpy(&f, &x, 4);
  return f;
}
template <class T> inline T min(T a, T b) { return b < a ? b : a; }
template <class T> inline T max(T a, T b) { return a < b ? b : a; }

// Atomics are the compiler's, so that the race detector knows them.
template <class T, class F> inline T emu_atomic(T* p, F changed) {
  emu_maybe_yield();
  T old, now;
  __atomic_load(p, &old, __ATOMIC_RELAXED);
  do {
    now = changed(old);
  } while (!__atomic_compare_exchange(p, &old, &now, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
  return old;
}
template <class T> inline T atomicAdd(T* p, T v) {
  return emu_atomic(p, [=](T old) { return old + v; });
}
template <class T> inline T atomicOr(T* p, T v) {
  return emu_atomic(p, [=](T old) { return old | v; });
}

// A kernel as a function of an array of pointers to its arguments.
namespace emu {
template <class... A> struct Call { void (*kernel)(A...); void** arguments; };
template <class... A, size_t... I> void apply(Call<A...>* c, std::index_sequence<I...>) {
  c->kernel(*static_cast<std::remove_cv_t<A>*>(c->arguments[I])...);
}
template <class... A> void call(void* c) {
  apply(static_cast<Call<A...>*>(c), std::index_sequence_for<A...>{});
}
template <class... A> int launch(void (*kernel)(A...), const EmuLaunch* how, void** arguments) {
  Call<A...> c{kernel, arguments};
  return emu_run(how, &call<A...>, &c);
}
}  // namespace emu
