// Recurrent layers: synapses and neurons of a whole sequence in one launch.
//
// A block owns a sample, so that a step waits for its own sample only and one barrier replaces a
// launch. Spikes of the step before lie in shared memory as bits; every thread walks the same bits
// in ascending order, so the additions are those of the CPU kernel, in its order.
#include "common.cuh"
#include "neuron.cuh"

// Set bit n of `bits` where row[n] is not zero; called by whole warps, N rounded up to them.
__device__ __forceinline__ void sf_mark_row(const float* row, u32* bits, int N) {
  for (int n = threadIdx.x; n < ((N + 31) & ~31); n += blockDim.x) {
    const u32 word = __ballot_sync(SF_FULL, n < N && row[n] != 0.f);
    if ((threadIdx.x & 31) == 0) bits[n >> 5] = word;
  }
}

// What arrives at neuron n: weight rows of the neurons whose bit is set, times their amplitude
// (that of a neuron that fired is 1; only the spikes before the first step may differ).
template <class Weight>
__device__ __forceinline__ float sf_arriving(const u32* bits, const float* amplitude,
                                             const Weight* weight, int n, int N) {
  float sum = 0.f;
  for (int word = 0; word < (N + 31) >> 5; word++) {
    for (u32 left = bits[word]; left; left &= left - 1u) {
      const int j = 32 * word + __ffs(static_cast<int>(left)) - 1;
      const float w = sf_load(weight + static_cast<i64>(j) * N + n);
      sum += amplitude ? amplitude[j] * w : w;
    }
  }
  return sum;
}

// grid B, threads a multiple of 32; dynamic shared memory: 3 N floats of state, then two rows of
// ceil(N / 32) words. fired [B, N] are the spikes before the first step, saved as in
// `sf_neuron_forward`.
template <class Weight>
__device__ __forceinline__ void sf_recurrent_scan(const float* x, const Weight* weight,
                                                  const float* p, int subtract, const float* fired,
                                                  float* state, float* spikes, float* saved, int T,
                                                  int B, int N, float* shared) {
  const int b = blockIdx.x, words = (N + 31) >> 5, padded = 32 * words;
  u32* bits = reinterpret_cast<u32*>(shared + 3 * N);
  for (int n = threadIdx.x; n < N; n += blockDim.x) {
    sf_write_state(shared, 0, n, N, sf_read_state(state, b, n, N));
  }
  sf_mark_row(fired + static_cast<i64>(b) * N, bits, N);
  __syncthreads();
  for (int t = 0; t < T; t++) {
    const u32* before = bits + (t & 1) * words;
    u32* after = bits + ((t & 1) ^ 1) * words;
    const float* amplitude = t == 0 ? fired + static_cast<i64>(b) * N : nullptr;
    const i64 row = (static_cast<i64>(t) * B + b) * N;
    for (int n = threadIdx.x; n < padded; n += blockDim.x) {
      bool hit = false;
      if (n < N) {
        SfState now = sf_read_state(shared, 0, n, N);
        if (saved && t % SF_EVERY == 0) sf_write_state(saved, t / SF_EVERY * B + b, n, N, now);
        const float r = sf_arriving(before, amplitude, weight, n, N);
        sf_neuron_step(now, x[row + n] + r, sf_neuron(p, n, N), subtract, hit);
        sf_write_state(shared, 0, n, N, now);
        spikes[row + n] = hit ? 1.f : 0.f;
      }
      const u32 word = __ballot_sync(SF_FULL, hit);
      if ((threadIdx.x & 31) == 0) after[n >> 5] = word;
    }
    // One barrier a step: the next step reads `after` and writes the other row of bits.
    __syncthreads();
  }
  for (int n = threadIdx.x; n < N; n += blockDim.x) {
    sf_write_state(state, b, n, N, sf_read_state(shared, 0, n, N));
  }
}

SF_KERNEL(1024) sf_recurrent_forward_f32(
    const float* __restrict__ x, const float* __restrict__ weight, const float* __restrict__ p,
    int subtract, const float* __restrict__ fired, float* __restrict__ state,
    float* __restrict__ spikes, float* __restrict__ saved, int T, int B, int N) {
  SF_DYNAMIC_SHARED(float, shared);
  sf_recurrent_scan(x, weight, p, subtract, fired, state, spikes, saved, T, B, N, shared);
}

SF_KERNEL(1024) sf_recurrent_forward_bf16(
    const float* __restrict__ x, const sf_bf16* __restrict__ weight, const float* __restrict__ p,
    int subtract, const float* __restrict__ fired, float* __restrict__ state,
    float* __restrict__ spikes, float* __restrict__ saved, int T, int B, int N) {
  SF_DYNAMIC_SHARED(float, shared);
  sf_recurrent_scan(x, weight, p, subtract, fired, state, spikes, saved, T, B, N, shared);
}

// Cell (step, sample, kind, neuron) of the scratch [16, B, 4, N].
__device__ __forceinline__ i64 sf_scratch_at(int step, int b, int kind, int n, int B, int N) {
  return ((static_cast<i64>(step) * B + b) * 4 + kind) * N + n;
}

// Gradients, grid B. States are computed again 16 steps at a time into `scratch` [16, B, 4, N], in
// global memory because 16 steps of a wide layer fill no shared memory; a thread reads back only
// what it wrote. The gradient that a step sends through the recurrent weights is a product with all
// of them: a warp takes a row. Dynamic shared memory: 2 N floats, then two rows of words.
template <class Weight>
__device__ __forceinline__ void sf_recurrent_back(const float* grad, const float* x,
                                                  const Weight* weight, const float* p,
                                                  int subtract, int detach, int kind, float slope,
                                                  const float* fired, const float* spikes,
                                                  const float* saved, float* scratch, float* dstate,
                                                  float* dx, double* parts, int T, int B, int N,
                                                  float* shared) {
  const int b = blockIdx.x, words = (N + 31) >> 5;
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, n_warps = blockDim.x >> 5;
  float* later = shared;      // dx of the step after
  float* carry = shared + N;  // what it sends back to the spikes of this step
  u32* bits = reinterpret_cast<u32*>(shared + 2 * N);
  for (int n = threadIdx.x; n < N; n += blockDim.x) later[n] = 0.f;
  for (int k = (T + SF_EVERY - 1) / SF_EVERY - 1; k >= 0; k--) {
    const int first = k * SF_EVERY, last = min(T, first + SF_EVERY);
    for (int n = threadIdx.x; n < N; n += blockDim.x) {
      const SfState now = sf_read_state(saved, k * B + b, n, N);
      scratch[sf_scratch_at(0, b, 0, n, B, N)] = now.i;
      scratch[sf_scratch_at(0, b, 1, n, B, N)] = now.v;
      scratch[sf_scratch_at(0, b, 2, n, B, N)] = now.a;
    }
    for (int t = first; t < last; t++) {
      const float* before = t == 0 ? fired + static_cast<i64>(b) * N
                                   : spikes + (static_cast<i64>(t - 1) * B + b) * N;
      u32* row_bits = bits + (t & 1) * words;
      sf_mark_row(before, row_bits, N);
      // Also the barrier before a row of bits is written again, two steps later.
      __syncthreads();
      for (int n = threadIdx.x; n < N; n += blockDim.x) {
        SfState now = {scratch[sf_scratch_at(t - first, b, 0, n, B, N)],
                       scratch[sf_scratch_at(t - first, b, 1, n, B, N)],
                       scratch[sf_scratch_at(t - first, b, 2, n, B, N)]};
        const float r = sf_arriving(row_bits, t == 0 ? before : nullptr, weight, n, N);
        bool hit;
        scratch[sf_scratch_at(t - first, b, 3, n, B, N)] = sf_neuron_step(
            now, x[(static_cast<i64>(t) * B + b) * N + n] + r, sf_neuron(p, n, N), subtract, hit);
        if (t + 1 < last) {
          scratch[sf_scratch_at(t + 1 - first, b, 0, n, B, N)] = now.i;
          scratch[sf_scratch_at(t + 1 - first, b, 1, n, B, N)] = now.v;
          scratch[sf_scratch_at(t + 1 - first, b, 2, n, B, N)] = now.a;
        }
      }
    }
    for (int t = last - 1; t >= first; t--) {
      __syncthreads();  // `later` is complete
      for (int j = warp; j < N; j += n_warps) {
        float sum = 0.f;
        for (int n = lane; n < N; n += 32) {
          sum = fmaf(later[n], sf_load(weight + static_cast<i64>(j) * N + n), sum);
        }
        sum = sf_warp_sum(sum);
        if (lane == 0) carry[j] = sum;
      }
      __syncthreads();  // `carry` is complete, and `later` may be written
      for (int n = threadIdx.x; n < N; n += blockDim.x) {
        const i64 at = (static_cast<i64>(t) * B + b) * N + n;
        const SfState before = {scratch[sf_scratch_at(t - first, b, 0, n, B, N)],
                                scratch[sf_scratch_at(t - first, b, 1, n, B, N)],
                                scratch[sf_scratch_at(t - first, b, 2, n, B, N)]};
        SfState back = sf_read_state(dstate, b, n, N);
        SfNeuron sum = {0.f, 0.f, 0.f, 0.f, 0.f};
        later[n] = sf_neuron_back(back, before, scratch[sf_scratch_at(t - first, b, 3, n, B, N)],
                                  (grad ? grad[at] : 0.f) + carry[n], sf_neuron(p, n, N), subtract,
                                  detach, kind, slope, sum);
        dx[at] = later[n];
        sf_write_state(dstate, b, n, N, back);
        sf_add_parts(parts, b, n, B, N, sum);
      }
    }
  }
}

SF_KERNEL(512) sf_recurrent_backward_f32(
    const float* __restrict__ grad, const float* __restrict__ x, const float* __restrict__ weight,
    const float* __restrict__ p, int subtract, int detach, int kind, float slope,
    const float* __restrict__ fired, const float* __restrict__ spikes,
    const float* __restrict__ saved, float* __restrict__ scratch, float* __restrict__ dstate,
    float* __restrict__ dx, double* __restrict__ parts, int T, int B, int N) {
  SF_DYNAMIC_SHARED(float, shared);
  sf_recurrent_back(grad, x, weight, p, subtract, detach, kind, slope, fired, spikes, saved,
                    scratch, dstate, dx, parts, T, B, N, shared);
}

SF_KERNEL(512) sf_recurrent_backward_bf16(
    const float* __restrict__ grad, const float* __restrict__ x, const sf_bf16* __restrict__ weight,
    const float* __restrict__ p, int subtract, int detach, int kind, float slope,
    const float* __restrict__ fired, const float* __restrict__ spikes,
    const float* __restrict__ saved, float* __restrict__ scratch, float* __restrict__ dstate,
    float* __restrict__ dx, double* __restrict__ parts, int T, int B, int N) {
  SF_DYNAMIC_SHARED(float, shared);
  sf_recurrent_back(grad, x, weight, p, subtract, detach, kind, slope, fired, spikes, saved,
                    scratch, dstate, dx, parts, T, B, N, shared);
}
