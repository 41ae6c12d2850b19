// Event streams to counts per cell: what `compaction.cu` then turns into events.
#include "common.cuh"

// grid ceil(E / threads). first [B + 1] says where each stream starts; count [T * B, N] is zeroed
// by the caller. whole_us is the step where it is a whole number of microseconds, else 0, and then
// step_us is divided by. plane is the addresses of one polarity, or 0. A float holds counts up to
// 2^24 exactly, so the atomic additions give the same bits in every order.
SF_KERNEL(256) sf_bin_events(
    const i64* __restrict__ t_us, const short* __restrict__ x, const short* __restrict__ y,
    const unsigned char* __restrict__ polarity, const int* __restrict__ first,
    float* __restrict__ count, double step_us, int whole_us, int width, int plane, int E, int B,
    int T, int N) {
  const int e = blockIdx.x * blockDim.x + threadIdx.x;
  if (e >= E) return;
  const i64 step = whole_us ? t_us[e] / whole_us
                            : static_cast<i64>(floor(static_cast<double>(t_us[e]) / step_us));
  if (step < 0 || step >= T) return;  // the caller refuses such events; memory stays whole
  const int b = sf_lower_bound(first, 1, B + 1, e + 1) - 1;
  const int address = y[e] * width + x[e] + (polarity[e] ? plane : 0);
  atomicAdd(count + (step * B + b) * N + address, 1.f);
}
