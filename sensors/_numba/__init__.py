"""Loops of the sensors, compiled by numba; imported inside functions only."""
