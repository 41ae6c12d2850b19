"""The emulator itself: it computes what CUDA says, and names what a GPU does not forgive."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from spikefuse.kernels.gpu import sources

from .emu.emulator import Emulator, EmulatorError
from .rungs import RUNGS, emulator

ONE: sources.Size = (1, 1, 1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The probes beside the shared header that ships."""
    folder = tmp_path_factory.mktemp("probes")
    shutil.copy(Path(__file__).parent / "probes" / "probe.cu", folder)
    shutil.copy(sources.FOLDER / "common.cuh", folder)
    return folder


def run(launch: Emulator, kernel: str, *arguments: Any, threads: int = 64, blocks: int = 1) -> None:
    launch("probe", kernel, (blocks, 1, 1), (threads, 1, 1), arguments)


def test_words_of_cuda(folder: Path) -> None:
    x, out = torch.randn(32), torch.zeros(8, 32)
    half = torch.randn(32).bfloat16()
    run(emulator("shuffled", folder), "probe_words", x, half, out, threads=32)
    lane = torch.arange(32)
    want = [
        x[5].expand(32),
        torch.where(lane >= 3, x[lane - 3], x),
        x[lane ^ 9],
        torch.full((32,), 11.0),
        lane + 1.0,
        half.float(),
        half.float()[lane // 4 * 4 + 3],
    ]
    assert torch.equal(out[:7], torch.stack(want))
    assert torch.allclose(out[7], x.sum().expand(32))


def test_schedules_differ_and_repeat(folder: Path) -> None:
    places = {}
    for rung in ("in order", "reversed", "shuffled"):
        for _ in range(2):
            counter, place = torch.zeros(1, dtype=torch.int32), torch.zeros(128, dtype=torch.int32)
            run(emulator(rung, folder), "probe_order", counter, place, blocks=2)
            assert places.setdefault(rung, place.tolist()) == place.tolist()
    assert places["in order"] == list(range(128))
    assert places["reversed"] == list(range(127, -1, -1))
    assert sorted(places["shuffled"]) == places["in order"] != places["shuffled"]


def test_unset_shared_memory_is_nan(folder: Path) -> None:
    out = torch.zeros(64)
    run(emulator("in order", folder), "probe_unset_shared", out)
    assert np.flatnonzero(out.isnan()).tolist() == [0]


@pytest.mark.parametrize(
    ("kernel", "message"),
    [
        ("probe_two_barriers", "threads of one block wait in __syncthreads at lines"),
        ("probe_lane_left", "waits for lane 7, which has returned"),
        ("probe_wrong_mask", "the calling lane is not in its own mask"),
        ("probe_outside_mask", "reads lane 20 outside its mask"),
    ],
)
def test_faults_of_blocks_and_warps_are_named(folder: Path, kernel: str, message: str) -> None:
    launch, out = emulator("in order", folder), torch.zeros(64, dtype=torch.int32)
    with pytest.raises(EmulatorError, match=message):
        run(launch, kernel, out)
    run(launch, "probe_exchange", out, 2)  # a new runner takes over
    assert out.tolist() == [i ^ 1 for i in range(64)]


@pytest.mark.parametrize(
    ("kernel", "x", "message"),
    [
        ("probe_misaligned", torch.zeros(64), "misaligned address"),
        ("probe_overflow", torch.full((64,), 2**31 - 1, dtype=torch.int32), "signed integer over"),
    ],
)
def test_undefined_behaviour_is_named(
    folder: Path, kernel: str, x: torch.Tensor, message: str
) -> None:
    with pytest.raises(EmulatorError, match=message):
        run(emulator("in order", folder), kernel, x, torch.zeros_like(x))


def test_only_a_barrier_orders_memory(folder: Path) -> None:
    launch, out = emulator("threads race", folder), torch.zeros(64, dtype=torch.int32)
    for how in (1, 2):
        run(launch, "probe_exchange", out, how)
        assert out.tolist() == [i ^ 1 for i in range(64)]
    with pytest.raises(EmulatorError, match="data race"):
        run(launch, "probe_exchange", out, 0)


@pytest.mark.parametrize(
    ("grid", "block", "shared_bytes"),
    [((1, 65_536, 1), ONE, 0), ((0, 1, 1), ONE, 0), (ONE, (1, 1, 64), 228 * 1024)],
)
def test_launches_that_no_gpu_takes_are_refused(
    folder: Path, grid: sources.Size, block: sources.Size, shared_bytes: int
) -> None:
    out = torch.zeros(64, dtype=torch.int32)
    with pytest.raises(EmulatorError, match="no GPU takes this grid, block and shared memory"):
        emulator("in order", folder)("probe", "probe_exchange", grid, block, [out, 2], shared_bytes)


def test_a_block_of_more_threads_than_its_bound_is_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"block of probe_order must be <= 64, got \(65, 1, 1\)"):
        run(emulator("in order", folder), "probe_order", None, None, threads=65)


def test_rungs_differ() -> None:
    assert len({tuple(sorted(options.items())) for options in RUNGS.values()}) == len(RUNGS)
