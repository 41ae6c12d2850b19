"""The line of progress: where a kernel is compiled, once, and nowhere else."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

LINE = "spikefuse: compiling CPU kernels for this machine, once"
# Two kernels, so that a line for each would show.
TWO_KERNELS = (
    "import numpy as np\n"
    "from spikefuse.kernels.cpu.surrogates import triangle, arctan\n"
    "triangle(np.float32(0), np.float32(1)), arctan(np.float32(0), np.float32(1))\n"
)


def stderr_of(cache: Path, *options: str, code: str = TWO_KERNELS) -> str:
    """What a new interpreter writes to stderr with ``cache`` as numba's folder."""
    done = subprocess.run(
        [sys.executable, *options, "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=os.environ | {"NUMBA_CACHE_DIR": str(cache)},
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder that held no kernel at first, and what the first process said."""
    cache = tmp_path_factory.mktemp("kernels")
    return cache, stderr_of(cache)


def test_the_first_process_says_so_once(filled: tuple[Path, str]) -> None:
    assert len(filled[1].splitlines()) == 1
    assert filled[1].startswith(LINE)
    assert any(filled[0].rglob("*.nbc"))


def test_the_second_process_says_nothing(filled: tuple[Path, str]) -> None:
    assert stderr_of(filled[0]) == ""


def test_nothing_where_warnings_are_off_or_the_log_is_quiet(tmp_path: Path) -> None:
    assert stderr_of(tmp_path / "a", "-W", "ignore") == ""
    quiet = "import logging\nlogging.getLogger('spikefuse').setLevel('ERROR')\n"
    assert stderr_of(tmp_path / "b", code=quiet + TWO_KERNELS) == ""


def test_nothing_about_the_kernels_of_others(tmp_path: Path) -> None:
    code = (
        "import spikefuse.kernels.cpu, numba\n"
        "f = lambda x: x + 1\n"
        "assert numba.njit(f)(1) == 2\n"
        "f.__module__ = None\n"  # as functions that numba writes itself
        "assert numba.njit(f)(1.0) == 2"
    )
    assert stderr_of(tmp_path, code=code) == ""
