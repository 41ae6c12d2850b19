// Scans of CubaLIF and ALIF neurons without recurrence, a thread per neuron and sample.
#include "common.cuh"
#include "neuron.cuh"

// grid ceil(B * N / threads). state [B, 3, N] goes from the first to the last; saved
// [ceil(T / 16), B, 3, N] keeps it before every 16th step, or is null.
SF_KERNEL(256) sf_neuron_forward(
    const float* __restrict__ x, const float* __restrict__ p, int subtract,
    float* __restrict__ state, float* __restrict__ spikes, float* __restrict__ saved, int T, int B,
    int N) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x, stride = B * N;
  if (i >= stride) return;
  const int b = i / N, n = i - b * N;
  const SfNeuron q = sf_neuron(p, n, N);
  SfState now = sf_read_state(state, b, n, N);
#pragma unroll 4
  for (int t = 0; t < T; t++) {
    if (saved && t % SF_EVERY == 0) sf_write_state(saved, t / SF_EVERY * B + b, n, N, now);
    const i64 at = static_cast<i64>(t) * stride + i;
    bool fired;
    sf_neuron_step(now, x[at], q, subtract, fired);
    spikes[at] = fired ? 1.f : 0.f;
  }
  sf_write_state(state, b, n, N, now);
}

// Gradients, grid ceil(B * N / SF_SCAN_BLOCK); states computed again 16 steps at a time, as in
// `sf_lif_backward`. dstate [B, 3, N] goes from the last state's gradient to the first's; parts
// [5, B, N] are zeroed by the caller, or null.
SF_KERNEL(SF_SCAN_BLOCK) sf_neuron_backward(
    const float* __restrict__ grad, const float* __restrict__ x, const float* __restrict__ p,
    int subtract, int detach, int kind, float slope, const float* __restrict__ saved,
    float* __restrict__ dstate, float* __restrict__ dx, double* __restrict__ parts, int T, int B,
    int N) {
  __shared__ float trace[4][SF_EVERY][SF_SCAN_BLOCK];  // i, v, a before the step, and h
  const int i = blockIdx.x * blockDim.x + threadIdx.x, stride = B * N, lane = threadIdx.x;
  if (i >= stride) return;
  const int b = i / N, n = i - b * N;
  const SfNeuron q = sf_neuron(p, n, N);
  SfState back = sf_read_state(dstate, b, n, N);
  for (int k = (T + SF_EVERY - 1) / SF_EVERY - 1; k >= 0; k--) {
    const int first = k * SF_EVERY, last = min(T, first + SF_EVERY);
    SfState now = sf_read_state(saved, k * B + b, n, N);
    for (int t = first; t < last; t++) {
      trace[0][t - first][lane] = now.i;
      trace[1][t - first][lane] = now.v;
      trace[2][t - first][lane] = now.a;
      bool fired;
      trace[3][t - first][lane] =
          sf_neuron_step(now, x[static_cast<i64>(t) * stride + i], q, subtract, fired);
    }
    SfNeuron sum = {0.f, 0.f, 0.f, 0.f, 0.f};
    for (int t = last - 1; t >= first; t--) {
      const i64 at = static_cast<i64>(t) * stride + i;
      const int c = t - first;
      const SfState before = {trace[0][c][lane], trace[1][c][lane], trace[2][c][lane]};
      dx[at] = sf_neuron_back(back, before, trace[3][c][lane], grad ? grad[at] : 0.f, q, subtract,
                              detach, kind, slope, sum);
    }
    sf_add_parts(parts, b, n, B, N, sum);
  }
  sf_write_state(dstate, b, n, N, back);
}
