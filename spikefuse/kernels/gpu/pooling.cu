// Pooling of spike maps and addition of spike trains, from sorted rows of events to dense rows.
//
// `compaction.cu` turns the result into events. A window searches its lines in the row's ascending
// addresses, so its additions keep the event order and nothing is added by atomics.
#include "common.cuh"

// mode 0 sums, 1 takes the largest. grid (R, ceil(C * Ho * Wo / threads)).
SF_KERNEL(256) sf_pool_windows(
    const int* __restrict__ ptr, const int* __restrict__ index, const float* __restrict__ value,
    float* __restrict__ out, int mode, int C, int H, int W, int kh, int kw, int sy, int sx, int Ho,
    int Wo) {
  const int r = blockIdx.x, i = blockIdx.y * blockDim.x + threadIdx.x;
  if (i >= C * Ho * Wo) return;
  const int c = i / (Ho * Wo), y = i / Wo % Ho * sy, x = i % Wo * sx;
  float total = 0.f;
  int held = 0;
  for (int line = 0; line < kh; line++) {
    const int start = (c * H + y + line) * W + x;
    int e = sf_lower_bound(index, ptr[r], ptr[r + 1], start);
    for (; e < ptr[r + 1] && index[e] < start + kw; e++) {
      const float v = sf_scale(value, e);
      total = mode == 0 || held == 0 ? total + v : fmaxf(total, v);
      held++;
    }
  }
  // A window that is not full holds zeros as well.
  if (mode == 1 && held < kh * kw) total = fmaxf(total, 0.f);
  out[static_cast<i64>(r) * C * Ho * Wo + i] = total;
}

// Amplitude of row r at address n, zero without an event.
__device__ __forceinline__ float sf_cell(const int* ptr, const int* index, const float* value,
                                         int r, int n) {
  const int e = sf_lower_bound(index, ptr[r], ptr[r + 1], n);
  return e < ptr[r + 1] && index[e] == n ? sf_scale(value, e) : 0.f;
}

// Two trains cell by cell; rule 0 adds, 1 takes the larger, 2 multiplies, 3 holds the right one
// back. grid (R, ceil(N / threads)).
SF_KERNEL(256) sf_join_cells(
    const int* __restrict__ ptr, const int* __restrict__ index, const float* __restrict__ value,
    const int* __restrict__ other_ptr, const int* __restrict__ other_index,
    const float* __restrict__ other_value, float* __restrict__ out, int rule, int N) {
  const int r = blockIdx.x, n = blockIdx.y * blockDim.x + threadIdx.x;
  if (n >= N) return;
  const float a = sf_cell(ptr, index, value, r, n);
  const float b = sf_cell(other_ptr, other_index, other_value, r, n);
  const float joined =
      rule == 0 ? a + b : rule == 1 ? fmaxf(a, b) : rule == 2 ? a * b : (1.f - a) * b;
  out[static_cast<i64>(r) * N + n] = joined;
}
