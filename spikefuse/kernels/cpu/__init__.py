"""Numba kernels; imported inside functions only, compiled on first use and cached on disk."""

from spikefuse.kernels.cpu.first_use import announce

announce()
