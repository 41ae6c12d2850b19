// Dense tensors to events and back: a bit per cell, counts per row, one scan, ordered lists.
//
// Bits are rows of ceil(N / 32) words; bits beyond the last column are never set. Every kernel that
// makes events in this package marks bits and then goes through here, so events come out sorted.
#include "common.cuh"

// Warp number of the whole grid: a warp takes a word or a row.
__device__ __forceinline__ i64 sf_warp_of_grid() {
  return static_cast<i64>(blockIdx.x) * (blockDim.x >> 5) + (threadIdx.x >> 5);
}

// Bits of the cells that are not zero (a NaN is not), grid ceil(R * words / warps). graded[0], set
// to 0 by the caller, becomes 1 if any of them is not 1.
SF_KERNEL(256) sf_mark_spikes(
    const float* __restrict__ dense, u32* __restrict__ bits, int* __restrict__ graded, int R,
    int N) {
  const int words = (N + 31) >> 5, lane = threadIdx.x & 31;
  const i64 at = sf_warp_of_grid();
  if (at >= static_cast<i64>(R) * words) return;
  const i64 r = at / words;
  const int n = static_cast<int>(at - r * words) * 32 + lane;
  const float x = n < N ? dense[r * N + n] : 0.f;
  const u32 word = __ballot_sync(SF_FULL, x != 0.f);
  const u32 odd = __ballot_sync(SF_FULL, x != 0.f && x != 1.f);
  if (lane == 0) {
    bits[at] = word;
    if (odd) atomicOr(graded, 1);
  }
}

// Set bits of every row, grid ceil(R / warps).
SF_KERNEL(256) sf_count_bits(
    const u32* __restrict__ bits, int* __restrict__ count, int R, int words) {
  const i64 r = sf_warp_of_grid();
  const int lane = threadIdx.x & 31;
  if (r >= R) return;
  int n = 0;
  for (int k = lane; k < words; k += 32) n += __popc(bits[r * words + k]);
  n = sf_warp_sum(n);
  if (lane == 0) count[r] = n;
}

// Row pointer [R + 1] from counts: an exclusive scan by one block, which carries the sum from chunk
// to chunk. The array has T * B entries, so one block is not the limit.
SF_KERNEL(1024) sf_scan_counts(const int* __restrict__ count, int* __restrict__ ptr, int R) {
  __shared__ int warp_total[32];
  __shared__ int carry;
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, n_warps = blockDim.x >> 5;
  if (threadIdx.x == 0) carry = 0;
  __syncthreads();
  for (int start = 0; start < R; start += blockDim.x) {
    const int r = start + threadIdx.x, mine = r < R ? count[r] : 0;
    const int upto = sf_warp_prefix(mine, lane);
    if (lane == 31) warp_total[warp] = upto;
    __syncthreads();
    if (warp == 0) {
      const int total = sf_warp_prefix(lane < n_warps ? warp_total[lane] : 0, lane);
      if (lane < n_warps) warp_total[lane] = total;
    }
    __syncthreads();
    const int base = carry + (warp ? warp_total[warp - 1] : 0);
    if (r < R) ptr[r] = base + upto - mine;
    __syncthreads();  // everybody has read the carry
    if (threadIdx.x == blockDim.x - 1) carry = base + upto;
    __syncthreads();
  }
  if (threadIdx.x == 0) ptr[R] = carry;
}

// Columns of the set bits, row by row and ascending; a warp takes a row, grid ceil(R / warps).
SF_KERNEL(256) sf_list_spikes(
    const u32* __restrict__ bits, const int* __restrict__ ptr, int* __restrict__ index, int R,
    int words) {
  const i64 r = sf_warp_of_grid();
  const int lane = threadIdx.x & 31;
  if (r >= R) return;
  int base = ptr[r];
  for (int k = 0; k < words; k += 32) {
    u32 left = k + lane < words ? bits[r * words + k + lane] : 0u;
    const int mine = __popc(left), upto = sf_warp_prefix(mine, lane);
    for (int at = base + upto - mine; left; left &= left - 1u) {
      index[at++] = (k + lane) * 32 + __ffs(static_cast<int>(left)) - 1;
    }
    base += __shfl_sync(SF_FULL, upto, 31);
  }
}

// value[e] = what the dense cell of event e holds; grid ceil(R / warps).
SF_KERNEL(256) sf_take_values(
    const float* __restrict__ dense, const int* __restrict__ ptr, const int* __restrict__ index,
    float* __restrict__ value, int R, int N) {
  const i64 r = sf_warp_of_grid();
  if (r >= R) return;
  for (int e = ptr[r] + (threadIdx.x & 31); e < ptr[r + 1]; e += 32) {
    value[e] = dense[r * N + index[e]];
  }
}

// Events into the dense [R, N] matrix `out`, zeroed by the caller; grid ceil(R / warps).
SF_KERNEL(256) sf_scatter_events(
    const int* __restrict__ ptr, const int* __restrict__ index, const float* __restrict__ value,
    float* __restrict__ out, int R, int N) {
  const i64 r = sf_warp_of_grid();
  if (r >= R) return;
  for (int e = ptr[r] + (threadIdx.x & 31); e < ptr[r + 1]; e += 32) {
    out[r * N + index[e]] = sf_scale(value, e);
  }
}
