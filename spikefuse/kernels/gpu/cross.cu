// Sparse synapses that each answer an event with a row of taps of their own.
//
// Edges are listed by source; `edge` names them by target. Currents and their gradients lie
// [B, n_out, L], time last, so that the taps of an answer are neighbours in memory. Every sum has
// one owner and the order of the CPU kernels: no atomics, and the same bits each time.
#include "common.cuh"

// grid ceil(B * n_out / warps): a warp owns the currents of one sample and neuron and adds to what
// the caller put there. It looks at 32 edges at once; a spike's taps are then added side by side.
SF_KERNEL(256) sf_cross_forward(
    const float* __restrict__ x, const float* __restrict__ answers, const int* __restrict__ first,
    const int* __restrict__ source, const int* __restrict__ edge_ptr,
    const int* __restrict__ edge, float* __restrict__ out, int T, int B, int n_in, int n_out,
    int K, int L) {
  const int cell = blockIdx.x * (blockDim.x >> 5) + (threadIdx.x >> 5), lane = threadIdx.x & 31;
  if (cell >= B * n_out) return;  // a whole warp
  const int b = cell / n_out, j = cell % n_out;
  float* currents = out + static_cast<i64>(cell) * L;
  for (int t = 0; t < T; t++) {
    const float* row = x + (static_cast<i64>(t) * B + b) * n_in;
    for (int at = edge_ptr[j]; at < edge_ptr[j + 1]; at += 32) {
      const int mine = at + lane < edge_ptr[j + 1] ? edge[at + lane] : -1;
      const float spike = mine < 0 ? 0.f : row[source[mine]];
      u32 left = __ballot_sync(SF_FULL, spike != 0.f);
      for (; left; left &= left - 1) {
        const int from = __ffs(static_cast<int>(left)) - 1;
        const int e = __shfl_sync(SF_FULL, mine, from);
        const float s = __shfl_sync(SF_FULL, spike, from);
        float* to = currents + t + first[e];
        const float* h = answers + static_cast<i64>(e) * K;
        for (int k = lane; k < K; k += 32) to[k] += s * h[k];
        __syncwarp();  // the next answer may overlap this one
      }
    }
  }
}

// Gradient of the taps [E, K] from events by source (columns of the spikes); grid (E, ceil(K /
// threads)). In double: an edge may have answered very many events.
SF_KERNEL(256) sf_cross_tap_grad(
    const float* __restrict__ grad, const int* __restrict__ ptr, const int* __restrict__ row,
    const float* __restrict__ value, const int* __restrict__ first,
    const int* __restrict__ source, const int* __restrict__ target, float* __restrict__ danswers,
    int B, int n_out, int K, int L) {
  const int e = blockIdx.x, k = blockIdx.y * blockDim.x + threadIdx.x;
  if (k >= K) return;
  const int i = source[e], lag = first[e] + k, j = target[e];
  double sum = 0.;
  for (int p = ptr[i]; p < ptr[i + 1]; p++) {
    const int t = row[p] / B, b = row[p] % B;
    sum += static_cast<double>(sf_scale(value, p) *
                               grad[(static_cast<i64>(b) * n_out + j) * L + t + lag]);
  }
  danswers[static_cast<i64>(e) * K + k] = static_cast<float>(sum);
}

// Gradient of every spike, [B, n_in, T]; grid (B * n_in, ceil(T / threads)).
SF_KERNEL(256) sf_cross_spike_grad(
    const float* __restrict__ grad, const float* __restrict__ answers,
    const int* __restrict__ first, const int* __restrict__ fan_ptr,
    const int* __restrict__ target, float* __restrict__ dspikes, int T, int n_in, int n_out, int K,
    int L) {
  const int b = blockIdx.x / n_in, i = blockIdx.x % n_in;
  const int t = blockIdx.y * blockDim.x + threadIdx.x;
  if (t >= T) return;
  float sum = 0.f;
  for (int e = fan_ptr[i]; e < fan_ptr[i + 1]; e++) {
    const float* g = grad + (static_cast<i64>(b) * n_out + target[e]) * L + t + first[e];
    const float* h = answers + static_cast<i64>(e) * K;
    for (int k = 0; k < K; k++) sum += h[k] * g[k];
  }
  dspikes[static_cast<i64>(blockIdx.x) * T + t] = sum;
}
