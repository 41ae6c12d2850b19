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
    """Let idle OpenMP threads spin briefly and then sleep, before torch starts.

    By default they spin for milliseconds. Where other work holds their partner's processor, that
    is lost at every parallel loop. To sleep at once (``OMP_WAIT_POLICY=PASSIVE``) costs a third of
    an epoch on a quiet machine, which a thousand turns do not. What the user has set stays.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")


def new_folder(name: str) -> Path:
    """``runs/NAME-<time>`` below the working directory, not yet there."""
    stamp = time.strftime("%Y%m%d-%H%M%S")
    folder = Path("runs") / f"{name}-{stamp}"
    number = 1
    while folder.exists():
        number += 1
        folder = Path("runs") / f"{name}-{stamp}-{number}"
    return folder
