// Gated products: the weighted events of one population times a window that another opened.
#include "common.cuh"

// How far a window is open. `expf`, as the libraries differ in its last bit.
__device__ __forceinline__ float sf_gate(float z, int saturating) {
  return saturating ? 1.f - expf(-fmaxf(z, 0.f)) : z;
}

// Weighted events of row r at column m, in event order.
template <class Weight>
__device__ __forceinline__ float sf_row_sum(const int* ptr, const int* index, const float* value,
                                            const Weight* weight, int r, int m, int M) {
  float sum = 0.f;
#pragma unroll 4
  for (int e = ptr[r]; e < ptr[r + 1]; e++) {
    sum += sf_scale(value, e) * sf_load(weight + static_cast<i64>(index[e]) * M + m);
  }
  return sum;
}

// grid (R, ceil(M / threads)). drive [R, M], or null, keeps the sum for the backward pass. The
// window is read at rows that hold an event and nowhere else.
template <class Weight>
__device__ __forceinline__ void sf_gated(const int* ptr, const int* index, const float* value,
                                         const Weight* weight, const float* window, int saturating,
                                         float* out, float* drive, int M) {
  const int r = blockIdx.x, m = blockIdx.y * blockDim.x + threadIdx.x;
  if (m >= M) return;
  const i64 at = static_cast<i64>(r) * M + m;
  const bool silent = ptr[r] == ptr[r + 1];
  const float sum = silent ? 0.f : sf_row_sum(ptr, index, value, weight, r, m, M);
  out[at] = silent ? 0.f : sum * sf_gate(window[at], saturating);
  if (drive) drive[at] = sum;
}

SF_KERNEL(256) sf_coincidence_f32(
    const int* __restrict__ ptr, const int* __restrict__ index, const float* __restrict__ value,
    const float* __restrict__ weight, const float* __restrict__ window, int saturating,
    float* __restrict__ out, float* __restrict__ drive, int M) {
  sf_gated(ptr, index, value, weight, window, saturating, out, drive, M);
}

SF_KERNEL(256) sf_coincidence_bf16(
    const int* __restrict__ ptr, const int* __restrict__ index, const float* __restrict__ value,
    const sf_bf16* __restrict__ weight, const float* __restrict__ window, int saturating,
    float* __restrict__ out, float* __restrict__ drive, int M) {
  sf_gated(ptr, index, value, weight, window, saturating, out, drive, M);
}

// Gradients of the window and of the sum at every cell, from that of the product.
SF_KERNEL(256) sf_coincidence_backward(
    const float* __restrict__ grad, const float* __restrict__ window,
    const float* __restrict__ drive, int saturating, float* __restrict__ dwindow,
    float* __restrict__ ddrive, int n_cells) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n_cells) return;
  const float z = window[i], slope = saturating ? (z > 0.f ? expf(-z) : 0.f) : 1.f;
  dwindow[i] = grad[i] * drive[i] * slope;
  ddrive[i] = grad[i] * sf_gate(z, saturating);
}

// The window is the trace of the openers: a thread keeps it for one sample and column, so one
// launch goes through all steps. grid (B, ceil(M / threads)); trace [B, M] goes from the trace
// before the first step to that after the last.
template <class Weight>
__device__ __forceinline__ void sf_traced(const int* ptr, const int* index, const float* value,
                                          const Weight* weight, const int* opener_ptr,
                                          const int* opener_index, const float* opener_value,
                                          const Weight* opener_weight, const float* beta,
                                          int same_step, int saturating, float* trace, float* out,
                                          int T, int B, int M) {
  const int b = blockIdx.x, m = blockIdx.y * blockDim.x + threadIdx.x;
  if (m >= M) return;
  const float decay = beta[m];
  float z = trace[static_cast<i64>(b) * M + m];
  for (int t = 0; t < T; t++) {
    const int r = t * B + b;
    const float before = decay * z;
    z = before + sf_row_sum(opener_ptr, opener_index, opener_value, opener_weight, r, m, M);
    float product = 0.f;
    if (ptr[r] < ptr[r + 1]) {
      product = sf_row_sum(ptr, index, value, weight, r, m, M) *
                sf_gate(same_step ? z : before, saturating);
    }
    out[static_cast<i64>(r) * M + m] = product;
  }
  trace[static_cast<i64>(b) * M + m] = z;
}

SF_KERNEL(256) sf_coincidence_trace_f32(
    const int* __restrict__ ptr, const int* __restrict__ index, const float* __restrict__ value,
    const float* __restrict__ weight, const int* __restrict__ opener_ptr,
    const int* __restrict__ opener_index, const float* __restrict__ opener_value,
    const float* __restrict__ opener_weight, const float* __restrict__ beta, int same_step,
    int saturating, float* __restrict__ trace, float* __restrict__ out, int T, int B, int M) {
  sf_traced(ptr, index, value, weight, opener_ptr, opener_index, opener_value, opener_weight, beta,
            same_step, saturating, trace, out, T, B, M);
}

SF_KERNEL(256) sf_coincidence_trace_bf16(
    const int* __restrict__ ptr, const int* __restrict__ index, const float* __restrict__ value,
    const sf_bf16* __restrict__ weight, const int* __restrict__ opener_ptr,
    const int* __restrict__ opener_index, const float* __restrict__ opener_value,
    const sf_bf16* __restrict__ opener_weight, const float* __restrict__ beta, int same_step,
    int saturating, float* __restrict__ trace, float* __restrict__ out, int T, int B, int M) {
  sf_traced(ptr, index, value, weight, opener_ptr, opener_index, opener_value, opener_weight, beta,
            same_step, saturating, trace, out, T, B, M);
}
