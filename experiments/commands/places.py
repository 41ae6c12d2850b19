"""Where a command puts a run, and how many threads it may take: settled before torch is loaded."""

from __future__ import annotations

import os
import time
from pathlib import Path


def limit_threads(threads: int) -> None:
    """Before torch starts: libraries read these once."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, str(threads))


def wait_asleep() -> None:
    """Let idle OpenMP threads sleep, before torch starts.

    By default they spin until their partner is done. Where other work holds the partner's
    processor, that wait is the whole time slice, at every parallel loop.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def new_folder(name: str) -> Path:
    """``runs/NAME-<time>`` below the working directory, not yet there."""
    stamp = time.strftime("%Y%m%d-%H%M%S")
    folder = Path("runs") / f"{name}-{stamp}"
    number = 1
    while folder.exists():
        number += 1
        folder = Path("runs") / f"{name}-{stamp}-{number}"
    return folder
