// Gradients of synaptic products that `products.cu` does not give.
#include "common.cuh"

// Gradient of the weight by atomics, grid (R, ceil(N / threads)), out zeroed. The order of the
// additions, and so the last bits, differ from run to run; the transposed events and
// `sf_gather_wide` are the rule. This one needs no transposition and wins for very few events.
SF_KERNEL(256) sf_weight_grad_atomic(
    const int* __restrict__ ptr, const int* __restrict__ index, const float* __restrict__ value,
    const float* __restrict__ grad, float* __restrict__ out, int N) {
  const int r = blockIdx.x, n = blockIdx.y * blockDim.x + threadIdx.x;
  if (n >= N) return;
  const float g = grad[static_cast<i64>(r) * N + n];
  for (int e = ptr[r]; e < ptr[r + 1]; e++) {
    atomicAdd(out + static_cast<i64>(index[e]) * N + n, sf_scale(value, e) * g);
  }
}

// Gradient of the input at listed sites only: out[r, index[e]] = grad[r] . weight[index[e]], zero
// elsewhere (out is zeroed by the caller). Grid R; the row of gradients lies in N floats of dynamic
// shared memory; a warp takes a site.
template <class Weight>
__device__ __forceinline__ void sf_sites(const int* ptr, const int* index, const float* grad,
                                         const Weight* weight, float* out, int K, int N,
                                         float* row) {
  const int r = blockIdx.x, lane = threadIdx.x & 31, n_warps = blockDim.x >> 5;
  for (int n = threadIdx.x; n < N; n += blockDim.x) row[n] = grad[static_cast<i64>(r) * N + n];
  __syncthreads();
  for (int e = ptr[r] + (threadIdx.x >> 5); e < ptr[r + 1]; e += n_warps) {
    const Weight* w = weight + static_cast<i64>(index[e]) * N;
    float sum = 0.f;
    for (int n = lane; n < N; n += 32) sum = fmaf(row[n], sf_load(w + n), sum);
    sum = sf_warp_sum(sum);
    if (lane == 0) out[static_cast<i64>(r) * K + index[e]] = sum;
  }
}

SF_KERNEL(256) sf_site_grad_f32(
    const int* __restrict__ ptr, const int* __restrict__ index, const float* __restrict__ grad,
    const float* __restrict__ weight, float* __restrict__ out, int K, int N) {
  SF_DYNAMIC_SHARED(float, row);
  sf_sites(ptr, index, grad, weight, out, K, N, row);
}

SF_KERNEL(256) sf_site_grad_bf16(
    const int* __restrict__ ptr, const int* __restrict__ index, const float* __restrict__ grad,
    const sf_bf16* __restrict__ weight, float* __restrict__ out, int K, int N) {
  SF_DYNAMIC_SHARED(float, row);
  sf_sites(ptr, index, grad, weight, out, K, N, row);
}
