"""Numba kernels; imported inside functions only, compiled on first use and cached on disk."""
