"""What a benchmark ran on: processor, caches, load, versions."""

from __future__ import annotations

import os
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from experiments.bench.peers import describe
from experiments.environment import describe_environment


def describe_machine() -> dict[str, Any]:
    """Machine, versions and how busy it is, as plain values."""
    import torch

    return {
        **describe_environment(torch.get_num_threads()),
        "peers": describe(),
        "numba": version("numba"),
        "simd": torch.backends.cpu.get_cpu_capability(),
        "caches": _caches(),
        "load_average": list(os.getloadavg()) if hasattr(os, "getloadavg") else [],
        "when": time.strftime("%Y-%m-%d %H:%M:%S %Z"),
    }


def _caches() -> dict[str, str]:
    """Sizes of the first core's caches, where the system tells."""
    found: dict[str, str] = {}
    for folder in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        level, kind, size = (
            (folder / name).read_text().strip() for name in ("level", "type", "size")
        )
        found[f"L{level} {kind.lower()}"] = size
    return found
