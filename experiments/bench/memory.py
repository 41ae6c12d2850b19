"""Peak memory of one call, in a process of its own: what the call added to what was there.

``python -m experiments.bench.memory NAME T B N`` prints bytes.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from experiments.bench.timing import Samples

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")

_PAGE = 4096


def measurable() -> bool:
    """Whether the system tells the peak and lets it be set back."""
    return _STATUS.exists() and os.access(_CLEAR, os.W_OK)


def peak_of(name: str, shape: tuple[int, int, int]) -> float:
    """Peak of Linear + LIF in one contender over what the process held before, in MiB.

    Raises
    ------
    RuntimeError
        If the child process fails; with its last line.
    """
    command = [sys.executable, "-m", "experiments.bench.memory", name, *map(str, shape)]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[1:])} failed: {done.stderr.strip()[-300:]}")
    return int(done.stdout.split()[-1]) / 2**20


def peaks(names: list[str], shape: tuple[int, int, int], rounds: int) -> Samples:
    """Peaks of several contenders, ``rounds`` each; they hardly vary."""
    return {name: [peak_of(name, shape) for _ in range(rounds)] for name in names}


def main(arguments: list[str]) -> None:
    """The child: build, warm up on a tiny input, measure one call."""
    import torch

    from experiments.bench.linear_lif import dense_input, make_linear_lif

    torch.set_num_threads(1)
    name, n_steps, n_batch, n = arguments[0], *map(int, arguments[1:4])
    make_linear_lif(name, dense_input((3, 2, n)))()
    run = make_linear_lif(name, dense_input((n_steps, n_batch, n)))
    _CLEAR.write_text("5")  # sets the peak back to what is resident now
    before = _status_bytes("VmRSS")
    kept = run()
    print(max(_PAGE, _status_bytes("VmHWM") - before))
    del kept


def _status_bytes(key: str) -> int:
    """One figure of the kernel's about this process."""
    for line in _STATUS.read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"{_STATUS} must hold {key}, got none")


if __name__ == "__main__":
    main(sys.argv[1:])
