"""Timed scenes with ground truth and ideal observers, bare or through the sensors."""
