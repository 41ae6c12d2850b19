// One step, forward and back, of neurons with synaptic current and adaptation.
//
// A state is (i, v, a), [B, 3, N]; the parameters are (alpha, beta, theta, kappa, rho), [5, N].
//     i = alpha i + x;  h = beta v + i;  s = [h - (theta + kappa a) > 0];  a = rho a + s
// With alpha = 0 or kappa = rho = 0 this is LIF, CubaLIF or ALIF: one kernel serves them all.
#pragma once
#include "surrogate.cuh"

struct SfNeuron {
  float alpha, beta, theta, kappa, rho;
};

struct SfState {
  float i, v, a;
};

__device__ __forceinline__ SfNeuron sf_neuron(const float* p, int n, int N) {
  SfNeuron q;
  q.alpha = p[n];
  q.beta = p[N + n];
  q.theta = p[2 * N + n];
  q.kappa = p[3 * N + n];
  q.rho = p[4 * N + n];
  return q;
}

// State number k (0 = i, 1 = v, 2 = a) of sample b and neuron n.
__device__ __forceinline__ i64 sf_at(int b, int k, int n, int N) {
  return (static_cast<i64>(b) * 3 + k) * N + n;
}

__device__ __forceinline__ SfState sf_read_state(const float* state, int b, int n, int N) {
  SfState s;
  s.i = state[sf_at(b, 0, n, N)];
  s.v = state[sf_at(b, 1, n, N)];
  s.a = state[sf_at(b, 2, n, N)];
  return s;
}

__device__ __forceinline__ void sf_write_state(float* state, int b, int n, int N, SfState s) {
  state[sf_at(b, 0, n, N)] = s.i;
  state[sf_at(b, 1, n, N)] = s.v;
  state[sf_at(b, 2, n, N)] = s.a;
}

// One step; returns the membrane before the reset, and the spike in `fired`.
__device__ __forceinline__ float sf_neuron_step(SfState& state, float x, const SfNeuron& q,
                                                int subtract, bool& fired) {
  state.i = q.alpha * state.i + x;
  const float h = q.beta * state.v + state.i;
  fired = h - (q.theta + q.kappa * state.a) > 0.f;
  const float s = fired ? 1.f : 0.f;
  state.v = subtract ? h - q.theta * s : h * (1.f - s);
  state.a = q.rho * state.a + s;
  return h;
}

// One step back from `back`, the gradient of the state after this step, to that before it. `now` is
// the state before the step, h the membrane before its reset, grad the spike's gradient from
// everything outside this neuron. Adds this step's part to the parameters' gradients, `sum`.
__device__ __forceinline__ float sf_neuron_back(SfState& back, const SfState& now, float h,
                                                float grad, const SfNeuron& q, int subtract,
                                                int detach, int kind, float slope, SfNeuron& sum) {
  const float limit = q.theta + q.kappa * now.a;
  const float s = h - limit > 0.f ? 1.f : 0.f, phi = sf_slope(kind, h - limit, slope);
  const float dv = back.v, da = back.a;
  const float by_reset = detach ? 0.f : subtract ? dv * q.theta : dv * h;
  const float du = phi * (grad + da - by_reset);
  const float dh = du + (subtract ? dv : dv * (1.f - s));
  const float di = dh + back.i;
  sum.alpha += di * now.i;
  sum.beta += dh * now.v;
  sum.theta -= du + (subtract ? dv * s : 0.f);
  sum.kappa -= du * now.a;
  sum.rho += da * now.a;
  back.i = q.alpha * di;
  back.v = q.beta * dh;
  back.a = q.rho * da - q.kappa * du;
  return di;
}

// Parts of one sample's parameter gradients, [5, B, N]: float32 within 16 steps, float64 beyond,
// because long float32 sums lose the small terms. A thread adds to its own cells only.
__device__ __forceinline__ void sf_add_parts(double* parts, int b, int n, int B, int N,
                                             const SfNeuron& sum) {
  if (!parts) return;
  const i64 stride = static_cast<i64>(B) * N, at = static_cast<i64>(b) * N + n;
  parts[at] += sum.alpha;
  parts[stride + at] += sum.beta;
  parts[2 * stride + at] += sum.theta;
  parts[3 * stride + at] += sum.kappa;
  parts[4 * stride + at] += sum.rho;
}
