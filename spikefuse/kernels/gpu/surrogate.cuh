// Slopes of the surrogate spike functions: the twins of `spikefuse.surrogate`, in its order.
#pragma once

#define SF_HALF_PI 1.57079632679489661923f

// Slope of surrogate `kind` (its place in `surrogate.NAMES`) at distance u from threshold.
__device__ __forceinline__ float sf_slope(int kind, float u, float k) {
  if (kind == 0) {
    const float d = 1.f + k * fabsf(u);
    return 1.f / (d * d);
  }
  if (kind == 1) return fmaxf(0.f, 1.f - k * fabsf(u));
  const float z = SF_HALF_PI * k * u;
  return 0.5f * k / (1.f + z * z);
}
