"""The rungs of the ladder that run kernels: how an emulator executes them and what watches."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest

from spikefuse.kernels.gpu import sources

from .emu.build import why_not
from .emu.emulator import Emulator

_SHUFFLED = {"seed": 7, "preempt": 3}
RUNGS: dict[str, dict[str, Any]] = {
    "in order": {"sanitizer": "undefined"},
    "reversed": {"sanitizer": "undefined", "seed": 1},
    "shuffled": {"sanitizer": "undefined", **_SHUFFLED},
    "memory": {"sanitizer": "address", **_SHUFFLED},
    "threads race": {"sanitizer": "thread", **_SHUFFLED},
    "blocks race": {"sanitizer": "thread", **_SHUFFLED, "unordered_blocks": True},
}
QUICK, SLOW = ("in order", "shuffled"), ("reversed", "memory", "threads race", "blocks race")


def emulator(rung: str, folder: Path = sources.FOLDER) -> Emulator:
    """A new emulator of a rung; skips the test, with the reason, where none can be built."""
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    return Emulator(**RUNGS[rung], folder=folder)


@cache
def shared_emulator(rung: str) -> Emulator:
    """One emulator of a rung for all tests of a process."""
    return emulator(rung)
