"""Benchmarks: every contender checked, timed in random order, and set against its target."""
