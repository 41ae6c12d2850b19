"""CUDA kernels on a CPU: the `.cu` files that ship, run by g++ under sanitizers."""
