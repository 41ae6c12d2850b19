"""Kernels on several threads: chunks of equal work, on threads that numba does not own.

The kernels release the interpreter's lock, so plain Python threads run them side by side. Numba's
own parallel loops are not used: they die in a forked process and cost a second compilation.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch

# Additions that take about half a millisecond: less is not worth waking a thread for.
_WORK_OF_A_THREAD = 2e7


def chunk_count(work: float, most: int) -> int:
    """How many chunks ``work`` additions are worth; torch's setting says how many may run.

    Parameters
    ----------
    work : float
    most : int
        Parts that the work can be cut into.
    """
    return max(1, min(torch.get_num_threads(), most, int(work / _WORK_OF_A_THREAD)))


def even_cuts(ptr: npt.NDArray[np.int32], n_chunks: int) -> list[int]:
    """Rows at which to cut a CSR matrix into chunks of about as many events."""
    if n_chunks == 1:
        return [0, len(ptr) - 1]
    wanted = np.linspace(0, ptr[-1], n_chunks + 1)[1:-1]
    return [0, *np.searchsorted(ptr, wanted).tolist(), len(ptr) - 1]


def run_chunks(run: Callable[[int, int], None], cuts: list[int]) -> None:
    """Call ``run(first, last)`` for every chunk between two cuts; the last one on this thread."""
    chunks = [(a, b) for a, b in pairwise(cuts) if b > a]
    if len(chunks) > 1:
        waiting = [_pool(os.getpid()).submit(run, *chunk) for chunk in chunks[:-1]]
        run(*chunks[-1])
        for one in waiting:
            one.result()
    elif chunks:
        run(*chunks[0])


@cache
def _pool(_process: int) -> ThreadPoolExecutor:
    """The threads of this process: a forked child inherits none, so it makes its own."""
    return ThreadPoolExecutor(max(1, (os.cpu_count() or 2) - 1), "spikefuse")
