"""What `spikefuse doctor --gpu` and `bench kernels --calibrate` measure on a GPU."""
