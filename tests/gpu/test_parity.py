"""Every kernel against its float64 reference, on every rung of the emulator."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import pytest
from torch import Tensor

from spikefuse.kernels.gpu import sources
from spikefuse.kernels.gpu.parity import CHECKS, Target

from .rungs import QUICK, RUNGS, SLOW, emulator, shared_emulator

# The order of these additions is no business of the kernel.
UNORDERED = {"sf_weight_grad_atomic"}
# Scratch memory is not filled to its end; NumPy knows no bfloat16, the type of some weights.
_NOT_HASHED = {"scratch", "weight", "opener_weight", "taps"}


@pytest.mark.parametrize("name", CHECKS)
@pytest.mark.parametrize("rung", [*QUICK, *(pytest.param(r, marks=pytest.mark.slow) for r in SLOW)])
def test_kernels_give_their_references(rung: str, name: str) -> None:
    check, cases = CHECKS[name]
    target = Target(shared_emulator(rung))
    for case in cases:
        check(target, case)


def test_rungs_are_all_run() -> None:
    assert {*QUICK, *SLOW} == {*RUNGS}


class Recorder:
    """A launcher that keeps a hash of what every launch leaves in its arrays."""

    def __init__(self, rung: str) -> None:
        self.launch = emulator(rung)
        self.kernels: list[str] = []
        self.hashes: list[str] = []

    def __call__(
        self,
        family: str,
        kernel: str,
        grid: sources.Size,
        block: sources.Size,
        arguments: Sequence[sources.Argument],
        shared_bytes: int = 0,
    ) -> None:
        self.launch(family, kernel, grid, block, arguments, shared_bytes)
        self.kernels.append(kernel)
        if kernel in UNORDERED:
            return
        parameters = sources.kernels(family)[kernel].parameters
        for parameter, argument in zip(parameters, arguments, strict=True):
            if isinstance(argument, Tensor) and parameter.name not in _NOT_HASHED:
                raw = argument.detach().numpy().tobytes()
                self.hashes.append(hashlib.sha256(raw).hexdigest())


def test_every_kernel_is_launched_and_no_bit_depends_on_the_schedule() -> None:
    recorders = [Recorder(rung) for rung in ("in order", "reversed", "shuffled")]
    for recorder in recorders:
        for check, cases in CHECKS.values():
            for case in cases:
                check(Target(recorder), case)
    shipped = {name for family in sources.families() for name in sources.kernels(family)}
    assert {*recorders[0].kernels} == shipped
    for other in recorders[1:]:
        assert other.kernels == recorders[0].kernels
        assert other.hashes == recorders[0].hashes
