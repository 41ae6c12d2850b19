"""Fixtures shared by every test: where real recordings are, and seeded random events."""

import os
from pathlib import Path

if "PYTEST_XDIST_WORKER" in os.environ:  # a worker per core: one thread each, set before torch
    for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[_name] = "1"

import numpy as np
import pytest

from spikefuse.events import EVENT_DTYPE, EventStream


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--require-gpu",
        action="store_true",
        help="tests that need a GPU fail where there is none, instead of being skipped",
    )


def _find_data_root() -> tuple[Path | None, str]:
    """The folder of real recordings, or None with the reason that a skipped test prints."""
    named = os.environ.get("SPIKEFUSE_DATA")
    if named:
        folder = Path(named)
        return (folder, "") if folder.is_dir() else (None, f"SPIKEFUSE_DATA={named} is no folder")
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    if beside.is_dir():
        return beside, ""
    return None, "no real recordings: set SPIKEFUSE_DATA to a folder with NMNIST/ and FSDD/"


@pytest.fixture(scope="session")
def data_root() -> Path:
    """Folder that holds ``NMNIST/`` and ``FSDD/recordings/``; skips with the reason if absent."""
    folder, reason = _find_data_root()
    if folder is None:
        pytest.skip(reason)
    return folder


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20260101)


@pytest.fixture
def make_stream(rng: np.random.Generator):
    """Factory of random, valid event streams."""

    def make(
        n_events: int = 200,
        sensor_size: tuple[int, int, int] = (8, 6, 2),
        duration_us: int = 50_000,
        modality: str = "vision",
    ) -> EventStream:
        events = np.zeros(n_events, EVENT_DTYPE)
        events["t"] = np.sort(rng.integers(0, duration_us, n_events))
        events["x"] = rng.integers(0, sensor_size[0], n_events)
        events["y"] = rng.integers(0, sensor_size[1], n_events)
        events["p"] = rng.random(n_events) < 0.5 if sensor_size[2] == 2 else True
        return EventStream(events, sensor_size, duration_us, modality)

    return make
