// Integer delays of addresses: dense steps copied, or events moved to later rows.
//
// ahead[n] is how many steps later in the input the value of address n is found: out[t] = x[t +
// ahead]. A delay of d steps has ahead = -d, or longest - d where the steps before are in front.
#include "common.cuh"

// grid (ceil(B * N / threads), T_out); zero where x [T, B, N] has no such step.
SF_KERNEL(256) sf_delay_dense(
    const float* __restrict__ x, const int* __restrict__ ahead, float* __restrict__ out, int T,
    int B, int N) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x, stride = B * N;
  if (i >= stride) return;
  const int t = blockIdx.y, source = t + ahead[i % N];
  const bool exists = source >= 0 && source < T;
  out[static_cast<i64>(t) * stride + i] = exists ? x[static_cast<i64>(source) * stride + i] : 0.f;
}

// Bits [T_out * B, words] of the moved events, zeroed by the caller; grid R rows of the input.
SF_KERNEL(256) sf_delay_mark(
    const int* __restrict__ ptr, const int* __restrict__ index, const int* __restrict__ ahead,
    u32* __restrict__ bits, int R_out, int B, int words) {
  const int r = blockIdx.x;
  for (int e = ptr[r] + threadIdx.x; e < ptr[r + 1]; e += blockDim.x) {
    const int n = index[e];
    const i64 to = r - static_cast<i64>(ahead[n]) * B;
    if (to >= 0 && to < R_out) atomicOr(bits + to * words + (n >> 5), 1u << (n & 31));
  }
}

// Amplitudes of the moved events; a warp takes a row of the output, grid ceil(R_out / warps).
SF_KERNEL(256) sf_delay_values(
    const int* __restrict__ ptr, const int* __restrict__ index, const float* __restrict__ value,
    const int* __restrict__ ahead, const int* __restrict__ out_ptr,
    const int* __restrict__ out_index, float* __restrict__ out_value, int R_out, int B) {
  const int r = blockIdx.x * (blockDim.x >> 5) + (threadIdx.x >> 5);
  if (r >= R_out) return;
  for (int k = out_ptr[r] + (threadIdx.x & 31); k < out_ptr[r + 1]; k += 32) {
    const int n = out_index[k], source = r + ahead[n] * B;
    out_value[k] = value[sf_lower_bound(index, ptr[source], ptr[source + 1], n)];
  }
}
