// Leaky integrate-and-fire scans, a thread per neuron and sample; arithmetic as `lif_scan_ref`.
#include "common.cuh"
#include "surrogate.cuh"

struct SfStep {
  float h, v;  // membrane before and after the reset
  bool fired;
};

__device__ __forceinline__ SfStep sf_lif_step(float x, float v, float beta, float theta,
                                              int subtract) {
  SfStep step;
  step.h = beta * v + x;
  step.fired = step.h - theta > 0.f;
  const float s = step.fired ? 1.f : 0.f;
  step.v = subtract ? step.h - theta * s : step.h * (1.f - s);
  return step;
}

// grid ceil(B * N / threads). v goes from the first state to the last; saved [ceil(T / 16), B, N]
// keeps the membrane before every 16th step, or is null where no gradient is wanted.
SF_KERNEL(256) sf_lif_forward(
    const float* __restrict__ x, const float* __restrict__ beta, const float* __restrict__ theta,
    int subtract, float* __restrict__ v, float* __restrict__ spikes, float* __restrict__ saved,
    int T, int B, int N) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x, stride = B * N;
  if (i >= stride) return;
  const float decay = beta[i % N], level = theta[i % N];
  float membrane = v[i];
#pragma unroll 4
  for (int t = 0; t < T; t++) {
    if (saved && t % SF_EVERY == 0) saved[static_cast<i64>(t / SF_EVERY) * stride + i] = membrane;
    const i64 at = static_cast<i64>(t) * stride + i;
    const SfStep step = sf_lif_step(x[at], membrane, decay, level, subtract);
    spikes[at] = step.fired ? 1.f : 0.f;
    membrane = step.v;
  }
  v[i] = membrane;
}

// Gradients of everything, grid ceil(B * N / SF_SCAN_BLOCK). The membrane is computed again, 16
// steps at a time, into a column of shared memory that its thread alone reads: no barrier. grad is
// null for zeros; dv goes from the gradient of the last state to that of the first. dbeta and
// dtheta [B, N], or null, are each sample's part, in float64 because long float32 sums lose the
// small terms.
SF_KERNEL(SF_SCAN_BLOCK) sf_lif_backward(
    const float* __restrict__ grad, const float* __restrict__ x, const float* __restrict__ beta,
    const float* __restrict__ theta, int subtract, int detach, int kind, float slope,
    const float* __restrict__ saved, float* __restrict__ dv, float* __restrict__ dx,
    double* __restrict__ dbeta, double* __restrict__ dtheta, int T, int B, int N) {
  __shared__ float trace[SF_EVERY][SF_SCAN_BLOCK];
  const int i = blockIdx.x * blockDim.x + threadIdx.x, stride = B * N;
  if (i >= stride) return;
  const float decay = beta[i % N], level = theta[i % N];
  float back = dv[i];
  double beta_sum = 0., theta_sum = 0.;
  for (int k = (T + SF_EVERY - 1) / SF_EVERY - 1; k >= 0; k--) {
    const int first = k * SF_EVERY, last = min(T, first + SF_EVERY);
    const float start = saved[static_cast<i64>(k) * stride + i];
    float membrane = start;
    for (int t = first; t < last; t++) {
      const SfStep step =
          sf_lif_step(x[static_cast<i64>(t) * stride + i], membrane, decay, level, subtract);
      trace[t - first][threadIdx.x] = step.h;
      membrane = step.v;
    }
    float beta_part = 0.f, theta_part = 0.f;
    for (int t = last - 1; t >= first; t--) {
      const i64 at = static_cast<i64>(t) * stride + i;
      const float h = trace[t - first][threadIdx.x], g = grad ? grad[at] : 0.f;
      const float phi = sf_slope(kind, h - level, slope);
      const float s = h - level > 0.f ? 1.f : 0.f;
      const float by_reset = detach ? 0.f : subtract ? back * level : back * h;
      const float by_spike = phi * (g - by_reset);
      const float d = by_spike + (subtract ? back : back * (1.f - s));
      theta_part -= by_spike + (subtract ? back * s : 0.f);
      float before = start;
      if (t > first) {
        const float hb = trace[t - first - 1][threadIdx.x], sb = hb - level > 0.f ? 1.f : 0.f;
        before = subtract ? hb - level * sb : hb * (1.f - sb);
      }
      beta_part += d * before;
      dx[at] = d;
      back = decay * d;
    }
    beta_sum += beta_part;
    theta_sum += theta_part;
  }
  dv[i] = back;
  if (dbeta) dbeta[i] = beta_sum;
  if (dtheta) dtheta[i] = theta_sum;
}
