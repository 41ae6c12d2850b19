// Leaky integration without a threshold: readouts, and traces (a readout with a gain of 1).
#include "common.cuh"

// grid ceil(B * N / threads). v [B, N] goes from the first state to the last, trace [T, B, N] is
// every state.
SF_KERNEL(256) sf_li_forward(
    const float* __restrict__ x, const float* __restrict__ beta, const float* __restrict__ gain,
    float* __restrict__ v, float* __restrict__ trace, int T, int B, int N) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x, stride = B * N;
  if (i >= stride) return;
  const float decay = beta[i % N], scale = gain[i % N];
  float membrane = v[i];
#pragma unroll 4
  for (int t = 0; t < T; t++) {
    const i64 at = static_cast<i64>(t) * stride + i;
    membrane = decay * membrane + scale * x[at];
    trace[at] = membrane;
  }
  v[i] = membrane;
}

// grid ceil(B * N / threads). start is the first state; dv goes from the gradient of the last state
// to that of the first; dbeta and dgain [B, N], or null, are each sample's part.
SF_KERNEL(256) sf_li_backward(
    const float* __restrict__ grad, const float* __restrict__ x, const float* __restrict__ beta,
    const float* __restrict__ gain, const float* __restrict__ start,
    const float* __restrict__ trace, float* __restrict__ dv, float* __restrict__ dx,
    double* __restrict__ dbeta, double* __restrict__ dgain, int T, int B, int N) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x, stride = B * N;
  if (i >= stride) return;
  const float decay = beta[i % N], scale = gain[i % N];
  float back = dv[i];
  double beta_sum = 0., gain_sum = 0.;
#pragma unroll 4
  for (int t = T - 1; t >= 0; t--) {
    const i64 at = static_cast<i64>(t) * stride + i;
    const float total = (grad ? grad[at] : 0.f) + back;
    dx[at] = scale * total;
    back = decay * total;
    if (dbeta) beta_sum += total * (t > 0 ? trace[at - stride] : start[i]);
    if (dgain) gain_sum += total * x[at];
  }
  dv[i] = back;
  if (dbeta) dbeta[i] = beta_sum;
  if (dgain) dgain[i] = gain_sum;
}
