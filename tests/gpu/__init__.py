"""The ladder that CUDA kernels climb on a machine without a GPU."""
