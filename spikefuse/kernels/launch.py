"""Which build of the product kernels runs: SIMD, or plain numba where that does not compile."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np

from spikefuse.kernels import registry

_SIMD, _PLAIN = "spikefuse.kernels.cpu.products", "spikefuse.kernels.cpu.products_plain"


def product_kernel(op: str, backend: str, name: str) -> Callable[..., Any]:
    """The kernel ``name`` of ``op``, in the build that compiles on this machine."""
    if backend == registry.NUMBA and not simd_works():
        plain: Callable[..., Any] = getattr(import_module(_PLAIN), name)
        return plain
    return registry.kernel(op, backend, name)


@cache
def simd_works() -> bool:
    """Whether the intrinsics compile with the installed numba; if not, a warning says so once."""
    out, ptr, index = np.zeros(16, np.float32), np.array([0, 1], np.int32), np.zeros(1, np.int32)
    try:
        # A kernel that products call too: where it is in numba's cache this costs nothing.
        rows = import_module(_SIMD).event_rows
        rows(ptr, index, None, np.ones(16, np.float32), 16, 16, 16, out, 16)
    except Exception as error:  # whatever an unknown version of llvmlite raises
        warnings.warn(
            f"the SIMD kernels do not compile here, plain loops take over (half as fast): {error}",
            RuntimeWarning,
            stacklevel=2,
        )
        return False
    return bool((out == 1).all())
