"""Grids and blocks, shared by the calls of every family."""

from __future__ import annotations

from spikefuse.kernels.gpu.sources import Size

WARP = 32


def ceil_div(a: int, b: int) -> int:
    """``a / b``, rounded up."""
    return -(-a // b)


def lanes(n: int, most: int = 256) -> int:
    """Threads of a block for ``n`` items side by side: whole warps, at most ``most``."""
    return min(most, WARP * max(1, ceil_div(n, WARP)))


def flat(n: int, threads: int = 256) -> tuple[Size, Size]:
    """Grid and block with a thread for each of ``n`` items."""
    return (ceil_div(n, threads), 1, 1), (threads, 1, 1)


def warps(n: int, threads: int = 256) -> tuple[Size, Size]:
    """Grid and block with a warp for each of ``n`` items."""
    return flat(n * WARP, threads)


def rows(n_rows: int, n_columns: int) -> tuple[Size, Size]:
    """Grid and block with a thread for each column of each row."""
    threads = lanes(n_columns)
    return (n_rows, ceil_div(n_columns, threads), 1), (threads, 1, 1)
