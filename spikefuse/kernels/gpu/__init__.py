"""CUDA kernels and the calls that launch them, a `.cu` and a `.py` file for each family.

Nothing here needs a GPU or CuPy: a call takes the launcher that runs its kernels, and allocates
what they write with torch on the device of its inputs.
"""
