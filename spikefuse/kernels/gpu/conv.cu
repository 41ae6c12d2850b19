// Convolution event by event, forward and both gradients.
//
// Taps are [C_in, kh, kw, C_out] and gradients [R, H', W', C_out]: channels last, so that a warp
// reads 32 channels in one piece. An event at (c, y, x) reaches output (y', x') by tap
// (y + pad_y - y' stride_y, x + pad_x - x' stride_x). Addresses are (c H + y) W + x.
#include "common.cuh"

#define SF_CONV_WARPS 4

struct SfConv {
  int C_in, H, W, C_out, kh, kw, sy, sx, py, px, Ho, Wo;
};

__device__ __forceinline__ int sf_ceil_div(int a, int b) { return a > 0 ? (a + b - 1) / b : 0; }

// grid (R, ceil(C_out / 32), ceil(Ho / lines)), block 32 channels x SF_CONV_WARPS. A block sums
// `lines` lines of 32 channels in dynamic shared memory, [lines * Wo, 32]; the last tile may use
// less of it. Warp w owns the lines y' with y' % warps == w: a cell has one owner, so no barrier
// stands between events and the additions keep the event order.
template <class Weight>
__device__ __forceinline__ void sf_conv_rows(const int* ptr, const int* index, const float* value,
                                             const Weight* taps, float* out, const SfConv& g,
                                             int lines, float* sums) {
  const int r = blockIdx.x, lane = threadIdx.x, warp = threadIdx.y;
  const int begin = blockIdx.z * lines, end = min(begin + lines, g.Ho);
  const int c_out = blockIdx.y * 32 + lane, positions = (end - begin) * g.Wo;
  const int thread = warp * 32 + lane, threads = 32 * blockDim.y;
  for (int i = thread; i < 32 * positions; i += threads) sums[i] = 0.f;
  __syncthreads();
  if (c_out < g.C_out) {
    for (int e = ptr[r]; e < ptr[r + 1]; e++) {
      const int address = index[e], c = address / (g.H * g.W), cell = address - c * g.H * g.W;
      const int y = cell / g.W + g.py, x = cell % g.W + g.px;
      const int y_last = min(y / g.sy, end - 1), x_last = min(x / g.sx, g.Wo - 1);
      const int x_first = sf_ceil_div(x - g.kw + 1, g.sx);
      const float s = sf_scale(value, e);
      for (int yo = max(sf_ceil_div(y - g.kh + 1, g.sy), begin); yo <= y_last; yo++) {
        if (yo % static_cast<int>(blockDim.y) != warp) continue;
        for (int xo = x_first; xo <= x_last; xo++) {
          const i64 tap = (static_cast<i64>(c) * g.kh + y - yo * g.sy) * g.kw + x - xo * g.sx;
          sums[((yo - begin) * g.Wo + xo) * 32 + lane] += s * sf_load(taps + tap * g.C_out + c_out);
        }
      }
    }
  }
  __syncthreads();
  // Maps are written position by position, so that a warp fills contiguous memory.
  for (int i = thread; i < 32 * positions; i += threads) {
    const int c = i / positions, at = i - c * positions, channel = blockIdx.y * 32 + c;
    if (channel < g.C_out) {
      const i64 line = (static_cast<i64>(r) * g.C_out + channel) * g.Ho + begin;
      out[line * g.Wo + at] = sums[at * 32 + c];
    }
  }
}

SF_KERNEL(128) sf_conv_forward_f32(
    const int* __restrict__ ptr, const int* __restrict__ index, const float* __restrict__ value,
    const float* __restrict__ taps, float* __restrict__ out, int C_in, int H, int W, int C_out,
    int kh, int kw, int sy, int sx, int py, int px, int Ho, int Wo, int lines) {
  SF_DYNAMIC_SHARED(float, sums);
  const SfConv g = {C_in, H, W, C_out, kh, kw, sy, sx, py, px, Ho, Wo};
  sf_conv_rows(ptr, index, value, taps, out, g, lines, sums);
}

SF_KERNEL(128) sf_conv_forward_bf16(
    const int* __restrict__ ptr, const int* __restrict__ index, const float* __restrict__ value,
    const sf_bf16* __restrict__ taps, float* __restrict__ out, int C_in, int H, int W, int C_out,
    int kh, int kw, int sy, int sx, int py, int px, int Ho, int Wo, int lines) {
  SF_DYNAMIC_SHARED(float, sums);
  const SfConv g = {C_in, H, W, C_out, kh, kw, sy, sx, py, px, Ho, Wo};
  sf_conv_rows(ptr, index, value, taps, out, g, lines, sums);
}

// Gradient of the taps from transposed events, without atomics: grid (C_in * kh * kw, slices,
// ceil(C_out / 32)), block 32 x SF_CONV_WARPS. A block takes one tap and a slice of its channel's
// addresses, a warp every fourth of them; part [slices, C_in, kh, kw, C_out] is summed by the
// caller. Every cell is written.
SF_KERNEL(128) sf_conv_tap_grad(
    const int* __restrict__ column_ptr, const int* __restrict__ row,
    const float* __restrict__ value, const float* __restrict__ grad, float* __restrict__ part,
    int C_in, int H, int W, int C_out, int kh, int kw, int sy, int sx, int py, int px, int Ho,
    int Wo) {
  __shared__ float sums[SF_CONV_WARPS][32];
  const int lane = threadIdx.x, warp = threadIdx.y, c_out = blockIdx.z * 32 + lane;
  const int tap = blockIdx.x, c = tap / (kh * kw), ky = tap / kw % kh, kx = tap % kw;
  float sum = 0.f;
  if (c_out < C_out) {
    const int step = gridDim.y * blockDim.y;
    for (int cell = blockIdx.y * blockDim.y + warp; cell < H * W; cell += step) {
      const int y = cell / W + py - ky, x = cell % W + px - kx;
      if (y < 0 || x < 0 || y % sy || x % sx || y / sy >= Ho || x / sx >= Wo) continue;
      const i64 at = static_cast<i64>(y / sy) * Wo + x / sx;
      const int j = c * H * W + cell;
      for (int k = column_ptr[j]; k < column_ptr[j + 1]; k++) {
        const i64 cell_of_row = static_cast<i64>(row[k]) * Ho * Wo + at;
        sum = fmaf(sf_scale(value, k), __ldg(grad + cell_of_row * C_out + c_out), sum);
      }
    }
  }
  sums[warp][lane] = sum;
  __syncthreads();
  if (warp == 0 && c_out < C_out) {
    float total = 0.f;
    for (int w = 0; w < static_cast<int>(blockDim.y); w++) total += sums[w][lane];
    const i64 to = static_cast<i64>(blockIdx.y) * C_in * kh * kw + tap;
    part[to * C_out + c_out] = total;
  }
}

// Gradient of the input at the listed sites, out [R, n_in] zeroed by the caller; grid R, a warp
// takes a site and its lanes take channels.
template <class Weight>
__device__ __forceinline__ void sf_conv_sites(const int* ptr, const int* index, const Weight* taps,
                                              const float* grad, float* out, const SfConv& g) {
  const int r = blockIdx.x, lane = threadIdx.x, n_in = g.C_in * g.H * g.W;
  for (int e = ptr[r] + threadIdx.y; e < ptr[r + 1]; e += blockDim.y) {
    const int address = index[e], c = address / (g.H * g.W), cell = address - c * g.H * g.W;
    const int y = cell / g.W + g.py, x = cell % g.W + g.px;
    const int y_last = min(y / g.sy, g.Ho - 1), x_last = min(x / g.sx, g.Wo - 1);
    const int x_first = sf_ceil_div(x - g.kw + 1, g.sx);
    float sum = 0.f;
    for (int yo = sf_ceil_div(y - g.kh + 1, g.sy); yo <= y_last; yo++) {
      const float* grads = grad + (static_cast<i64>(r) * g.Ho + yo) * g.Wo * g.C_out;
      const Weight* line = taps + (static_cast<i64>(c) * g.kh + y - yo * g.sy) * g.kw * g.C_out;
      for (int xo = x_first; xo <= x_last; xo++) {
        const int at = xo * g.C_out, tap = (x - xo * g.sx) * g.C_out;
        // Unrolled, its addresses spill registers.
#pragma unroll 1
        for (int k = lane; k < g.C_out; k += 32) {
          sum = fmaf(__ldg(grads + at + k), sf_load(line + tap + k), sum);
        }
      }
    }
    sum = sf_warp_sum(sum);
    if (lane == 0) out[static_cast<i64>(r) * n_in + address] = sum;
  }
}

SF_KERNEL(128) sf_conv_site_grad_f32(
    const int* __restrict__ ptr, const int* __restrict__ index, const float* __restrict__ taps,
    const float* __restrict__ grad, float* __restrict__ out, int C_in, int H, int W, int C_out,
    int kh, int kw, int sy, int sx, int py, int px, int Ho, int Wo) {
  const SfConv g = {C_in, H, W, C_out, kh, kw, sy, sx, py, px, Ho, Wo};
  sf_conv_sites(ptr, index, taps, grad, out, g);
}

SF_KERNEL(128) sf_conv_site_grad_bf16(
    const int* __restrict__ ptr, const int* __restrict__ index, const sf_bf16* __restrict__ taps,
    const float* __restrict__ grad, float* __restrict__ out, int C_in, int H, int W, int C_out,
    int kh, int kw, int sy, int sx, int py, int px, int Ho, int Wo) {
  const SfConv g = {C_in, H, W, C_out, kh, kw, sy, sx, py, px, Ho, Wo};
  sf_conv_sites(ptr, index, taps, grad, out, g);
}
