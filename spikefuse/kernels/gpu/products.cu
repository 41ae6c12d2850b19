// Synaptic products event by event: out[r] = sum of value[e] * weight[index[e]] over r's events.
//
// Three layouts of one sum. `wide`: a thread owns one or four columns, the block stages a row's
// events in shared memory. `narrow`: read-outs of few columns, a warp per row, its lanes spread
// over events. `resident`: a tile of the weight stays in shared memory for many rows, where the
// density is such that the second-level cache is the limit. `wide` and `resident` add in event
// order: their bits are those of the CPU kernels. Over transposed events, with the gradient as the
// table, the same kernels give the weight's gradient without atomics.
#include "common.cuh"

#define SF_STAGE 256  // events of a row that a block holds in shared memory at a time

template <class Weight>
__device__ __forceinline__ void sf_add_columns(float (&sum)[1], const Weight* row, float s) {
  sum[0] += s * sf_load(row);
}
template <class Weight>
__device__ __forceinline__ void sf_add_columns(float (&sum)[4], const Weight* row, float s) {
  const float4 w = sf_load4(row);
  sum[0] += s * w.x;
  sum[1] += s * w.y;
  sum[2] += s * w.z;
  sum[3] += s * w.w;
}

// grid (R, ceil(N / (COLUMNS * threads))). Shared arrays belong to the kernels: a static array in a
// template would be one per instance.
template <int COLUMNS, class Weight>
__device__ __forceinline__ void sf_wide(const int* ptr, const int* index, const float* value,
                                        const Weight* weight, float* out, int N, int* picks,
                                        float* scales) {
  const int r = blockIdx.x;
  const int n = (blockIdx.y * blockDim.x + threadIdx.x) * COLUMNS;
  const int first = ptr[r], last = ptr[r + 1];
  float sum[COLUMNS];
#pragma unroll
  for (int i = 0; i < COLUMNS; i++) sum[i] = 0.f;
  for (int start = first; start < last; start += SF_STAGE) {
    const int m = min(SF_STAGE, last - start);
    for (int i = threadIdx.x; i < m; i += blockDim.x) {
      picks[i] = index[start + i];
      scales[i] = sf_scale(value, start + i);
    }
    __syncthreads();
    if (n < N) {
#pragma unroll 4
      for (int i = 0; i < m; i++) {
        sf_add_columns(sum, weight + static_cast<i64>(picks[i]) * N + n, scales[i]);
      }
    }
    __syncthreads();  // nobody may still read what the next stage overwrites
  }
  if (n < N) {
    float* to = out + static_cast<i64>(r) * N + n;
    if (COLUMNS == 4) {
      *reinterpret_cast<float4*>(to) =
          make_float4(sum[0], sum[1 % COLUMNS], sum[2 % COLUMNS], sum[3 % COLUMNS]);
    } else {
      to[0] = sum[0];
    }
  }
}

SF_KERNEL(256) sf_gather_wide1_f32(
    const int* __restrict__ ptr, const int* __restrict__ index, const float* __restrict__ value,
    const float* __restrict__ weight, float* __restrict__ out, int N) {
  __shared__ int picks[SF_STAGE];
  __shared__ float scales[SF_STAGE];
  sf_wide<1>(ptr, index, value, weight, out, N, picks, scales);
}

SF_KERNEL(256) sf_gather_wide1_bf16(
    const int* __restrict__ ptr, const int* __restrict__ index, const float* __restrict__ value,
    const sf_bf16* __restrict__ weight, float* __restrict__ out, int N) {
  __shared__ int picks[SF_STAGE];
  __shared__ float scales[SF_STAGE];
  sf_wide<1>(ptr, index, value, weight, out, N, picks, scales);
}

// Four columns to a thread: N % 4 == 0, and weight and out aligned to 16 bytes (8 for bf16).
SF_KERNEL(256) sf_gather_wide4_f32(
    const int* __restrict__ ptr, const int* __restrict__ index, const float* __restrict__ value,
    const float* __restrict__ weight, float* __restrict__ out, int N) {
  __shared__ int picks[SF_STAGE];
  __shared__ float scales[SF_STAGE];
  sf_wide<4>(ptr, index, value, weight, out, N, picks, scales);
}

SF_KERNEL(256) sf_gather_wide4_bf16(
    const int* __restrict__ ptr, const int* __restrict__ index, const float* __restrict__ value,
    const sf_bf16* __restrict__ weight, float* __restrict__ out, int N) {
  __shared__ int picks[SF_STAGE];
  __shared__ float scales[SF_STAGE];
  sf_wide<4>(ptr, index, value, weight, out, N, picks, scales);
}

// grid ceil(R / warps of a block). A warp takes a row; lanes are (event slot, column) with
// `columns` a power of two from N to 32, so that a slot reads one contiguous piece.
template <class Weight>
__device__ __forceinline__ void sf_narrow(const int* ptr, const int* index, const float* value,
                                          const Weight* weight, float* out, int R, int N,
                                          int columns) {
  const int r = blockIdx.x * (blockDim.x >> 5) + (threadIdx.x >> 5);
  if (r >= R) return;  // the whole warp leaves together
  const int lane = threadIdx.x & 31, n = lane & (columns - 1), slots = 32 / columns;
  float sum = 0.f;
  if (n < N) {
    for (int e = ptr[r] + lane / columns; e < ptr[r + 1]; e += slots) {
      sum += sf_scale(value, e) * sf_load(weight + static_cast<i64>(index[e]) * N + n);
    }
  }
  for (int o = columns; o < 32; o <<= 1) sum += __shfl_xor_sync(SF_FULL, sum, o);
  if (lane < N) out[static_cast<i64>(r) * N + lane] = sum;
}

SF_KERNEL(256) sf_gather_narrow_f32(
    const int* __restrict__ ptr, const int* __restrict__ index, const float* __restrict__ value,
    const float* __restrict__ weight, float* __restrict__ out, int R, int N, int columns) {
  sf_narrow(ptr, index, value, weight, out, R, N, columns);
}

SF_KERNEL(256) sf_gather_narrow_bf16(
    const int* __restrict__ ptr, const int* __restrict__ index, const float* __restrict__ value,
    const sf_bf16* __restrict__ weight, float* __restrict__ out, int R, int N, int columns) {
  sf_narrow(ptr, index, value, weight, out, R, N, columns);
}

// grid (ceil(N / columns), row slices). The block loads weight[:, tile] once into K * columns
// elements of dynamic shared memory. Then groups of `columns` threads take a row each, from the
// slice's first row on; all lanes of a group read the same event, which is one broadcast.
template <class Weight>
__device__ __forceinline__ void sf_resident(const int* ptr, const int* index, const float* value,
                                            const Weight* weight, float* out, int R, int K, int N,
                                            int columns, Weight* tile) {
  const int n = blockIdx.x * columns;
  for (int i = threadIdx.x; i < K * columns; i += blockDim.x) {
    const int j = i / columns, c = i - j * columns;
    if (n + c < N) tile[i] = __ldg(weight + static_cast<i64>(j) * N + n + c);
  }
  __syncthreads();
  const int c = threadIdx.x % columns, groups = blockDim.x / columns;
  if (n + c >= N) return;  // no barrier and no warp operation follows
  const int step = gridDim.y * groups;
  for (int r = blockIdx.y * groups + threadIdx.x / columns; r < R; r += step) {
    float sum = 0.f;
#pragma unroll 4
    for (int e = ptr[r]; e < ptr[r + 1]; e++) {
      sum += sf_scale(value, e) * sf_widen(tile[index[e] * columns + c]);
    }
    out[static_cast<i64>(r) * N + n + c] = sum;
  }
}

SF_KERNEL(256) sf_gather_resident_f32(
    const int* __restrict__ ptr, const int* __restrict__ index, const float* __restrict__ value,
    const float* __restrict__ weight, float* __restrict__ out, int R, int K, int N, int columns) {
  SF_DYNAMIC_SHARED(float, tile);
  sf_resident(ptr, index, value, weight, out, R, K, N, columns, tile);
}

SF_KERNEL(256) sf_gather_resident_bf16(
    const int* __restrict__ ptr, const int* __restrict__ index, const float* __restrict__ value,
    const sf_bf16* __restrict__ weight, float* __restrict__ out, int R, int K, int N, int columns) {
  SF_DYNAMIC_SHARED(sf_bf16, tile);
  sf_resident(ptr, index, value, weight, out, R, K, N, columns, tile);
}
