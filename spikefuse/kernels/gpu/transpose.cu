// Events by row to events by column (CSR to CSC), without a sort and bit by bit the same each time.
//
// Bits [K, ceil(R / 32)] say in which rows a column fired; OR does not depend on order. The kernels
// of `compaction.cu` turn them into column pointers and ascending rows. A cell holds one event at
// most: that is what a SpikeBatch is.
#include "common.cuh"

// grid R; bits zeroed by the caller.
SF_KERNEL(256) sf_transpose_mark(
    const int* __restrict__ ptr, const int* __restrict__ index, u32* __restrict__ bits, int R) {
  const int r = blockIdx.x, words = (R + 31) >> 5;
  for (int e = ptr[r] + threadIdx.x; e < ptr[r + 1]; e += blockDim.x) {
    atomicOr(bits + static_cast<i64>(index[e]) * words + (r >> 5), 1u << (r & 31));
  }
}

// Amplitudes by column: each entry looks its column up among its row's ascending addresses. A warp
// takes a column, grid ceil(K / warps).
SF_KERNEL(256) sf_transpose_values(
    const int* __restrict__ ptr, const int* __restrict__ index, const float* __restrict__ value,
    const int* __restrict__ column_ptr, const int* __restrict__ row,
    float* __restrict__ column_value, int K) {
  const int j = blockIdx.x * (blockDim.x >> 5) + (threadIdx.x >> 5);
  if (j >= K) return;
  for (int k = column_ptr[j] + (threadIdx.x & 31); k < column_ptr[j + 1]; k += 32) {
    const int r = row[k];
    column_value[k] = value[sf_lower_bound(index, ptr[r], ptr[r + 1], j)];
  }
}
