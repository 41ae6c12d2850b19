"""The floor: how long the machine needs to move the bytes that a piece of work must move.

As STREAM does (McCalpin, "Memory bandwidth and machine balance in current high performance
computers", IEEE TCCA Newsletter, 1995), with working sets of the size that the work has, in the
same rounds as the contenders.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from experiments.bench.timing import interleave, spread

_KIB = 1024


@dataclass(frozen=True)
class Floor:
    """Bytes that must move.

    Parameters
    ----------
    copy_bytes : int
        Read once and written once: counts twice as traffic.
    read_bytes : int
        Only read.
    read_set_bytes : int
        Memory that is read over and over: decides from which cache it comes.
    """

    copy_bytes: int = 0
    read_bytes: int = 0
    read_set_bytes: int = 1 << 20

    @property
    def moved_bytes(self) -> int:
        """Traffic: reads plus writes."""
        return 2 * self.copy_bytes + self.read_bytes

    def runner(self) -> Callable[[], Any]:
        """A function that moves the bytes and does nothing else."""
        source = np.ones(max(1, self.copy_bytes // 4), np.float32)
        target = np.zeros_like(source)
        left, right, passes, rest = self._reads()

        def move() -> None:
            if self.copy_bytes:
                np.copyto(target, source)
            for _ in range(passes):
                np.dot(left, right)
            if rest:
                np.dot(left[:rest], right[:rest])

        return move

    def _reads(self) -> tuple[Any, Any, int, int]:
        """Two halves of the set, whole passes over them, and floats of each in the last pass.

        A dot product of two halves reads every byte once and keeps up with the second-level cache.
        """
        half = max(16, min(self.read_set_bytes, max(self.read_bytes, 128)) // 8)
        left, right = np.ones(half, np.float32), np.ones(half, np.float32)
        passes, rest = divmod(self.read_bytes // 8, half)
        return left, right, passes, rest


def bandwidth(rounds: int, least_ms: float, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Read and copy bandwidth of one thread, for working sets from cache to memory.

    Returns
    -------
    list of dict
        ``set_kib``, ``kind`` ("read" or "copy") and ``gb_per_s`` (reads plus writes), with
        quartiles.
    """
    kinds: dict[tuple[int, str], Floor] = {}
    for kib in (512, 8 * _KIB, 128 * _KIB):
        size = kib * _KIB
        kinds[kib, "read"] = Floor(0, size, size)
        kinds[kib, "copy"] = Floor(size // 2)
    runs = {f"{kib} {kind}": floor.runner() for (kib, kind), floor in kinds.items()}
    samples, _ = interleave(runs, rounds, least_ms, rng)
    return [
        {
            "set_kib": kib,
            "kind": kind,
            "gb_per_s": spread(
                [floor.moved_bytes / ms / 1e6 for ms in samples[f"{kib} {kind}"]]
            ).to_dict(),
        }
        for (kib, kind), floor in kinds.items()
    ]
