// Small kernels, most of them wrong, that the emulator's own tests launch. They do not ship.
#include "common.cuh"

// One warp: what each word of CUDA that our kernels use gives to every lane.
SF_KERNEL(32) probe_words(const float* __restrict__ x, const sf_bf16* __restrict__ half,
                          float* __restrict__ out) {
  const int lane = threadIdx.x;
  const float mine = __ldg(x + lane);
  out[lane] = __shfl_sync(SF_FULL, mine, 5);
  out[32 + lane] = __shfl_up_sync(SF_FULL, mine, 3);
  out[64 + lane] = __shfl_xor_sync(SF_FULL, mine, 9);
  out[96 + lane] = static_cast<float>(__popc(__ballot_sync(SF_FULL, lane % 3 == 0)));
  out[128 + lane] = static_cast<float>(__ffs(1 << lane));
  out[160 + lane] = sf_load(half + lane);
  out[192 + lane] = sf_load4(half + 4 * (lane / 4)).w;
  out[224 + lane] = sf_warp_sum(mine);
}

// The order in which threads and blocks come to an atomic.
SF_KERNEL(64) probe_order(int* __restrict__ counter, int* __restrict__ place) {
  place[blockIdx.x * blockDim.x + threadIdx.x] = atomicAdd(counter, 1);
}

SF_KERNEL(64) probe_unset_shared(float* __restrict__ out) {
  __shared__ float row[64];
  if (threadIdx.x > 0) row[threadIdx.x] = 1.f;
  __syncthreads();
  out[threadIdx.x] = row[threadIdx.x];
}

SF_KERNEL(64) probe_two_barriers(int* __restrict__ out) {
  if (threadIdx.x < 16) {
    __syncthreads();
  } else {
    __syncthreads();
  }
  out[threadIdx.x] = 1;
}

SF_KERNEL(64) probe_lane_left(int* __restrict__ out) {
  if (threadIdx.x == 7) return;
  out[threadIdx.x] = __shfl_xor_sync(SF_FULL, static_cast<int>(threadIdx.x), 1);
}

SF_KERNEL(64) probe_wrong_mask(int* __restrict__ out) {
  out[threadIdx.x] = __ballot_sync(0xffffu, 1);
}

SF_KERNEL(64) probe_outside_mask(int* __restrict__ out) {
  if ((threadIdx.x & 31) < 16) out[threadIdx.x] = __shfl_sync(0xffffu, 1, 20);
}

SF_KERNEL(64) probe_misaligned(const float* __restrict__ x, float* __restrict__ out) {
  out[threadIdx.x] = sf_load4(x + 1).x;
}

SF_KERNEL(64) probe_overflow(const int* __restrict__ x, int* __restrict__ out) {
  out[threadIdx.x] = x[threadIdx.x] + 1;
}

// Lanes exchange through memory; `how` 0 relies on a shuffle, 1 on __syncwarp, 2 on a barrier.
SF_KERNEL(64) probe_exchange(int* __restrict__ out, int how) {
  __shared__ int row[64];
  row[threadIdx.x] = threadIdx.x;
  if (how == 0) __shfl_sync(SF_FULL, 0, 0);
  if (how == 1) __syncwarp();
  if (how == 2) __syncthreads();
  out[threadIdx.x] = row[threadIdx.x ^ 1];
}
