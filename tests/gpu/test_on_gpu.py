"""The parity suite on a GPU: the checks that the emulator passes, and its very bits.

Skipped, with what is missing, where no kernel can run; ``pytest --require-gpu`` fails there.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from spikefuse.kernels.gpu import launch, requirements, sources
from spikefuse.kernels.gpu.parity import CHECKS, Target

from .rungs import shared_emulator

# Additions in no fixed order, and the exponential, which libraries round in their own ways.
OWN_BITS = {"sf_weight_grad_atomic"}
OWN_BITS_OF = {"coincidence"}


@pytest.fixture
def gpu(request: pytest.FixtureRequest) -> launch.Launcher:
    """The launcher of this machine."""
    reason = requirements.missing()
    if reason is not None:
        if request.config.getoption("--require-gpu"):
            pytest.fail(reason)
        pytest.skip(reason)
    return launch.current()


class Both:
    """Launches on the GPU and on the emulator, and compares every bit that they leave."""

    def __init__(self, gpu: launch.Launcher) -> None:
        self.gpu, self.emulator = gpu, shared_emulator("in order")

    def __call__(
        self,
        family: str,
        kernel: str,
        grid: sources.Size,
        block: sources.Size,
        arguments: Sequence[sources.Argument],
        shared_bytes: int = 0,
    ) -> None:
        copies = [a.detach().cpu() if isinstance(a, Tensor) else a for a in arguments]
        self.gpu(family, kernel, grid, block, arguments, shared_bytes)
        self.emulator(family, kernel, grid, block, copies, shared_bytes)
        if kernel in OWN_BITS or family in OWN_BITS_OF:
            return
        for parameter, there, here in zip(
            sources.kernels(family)[kernel].parameters, arguments, copies, strict=True
        ):
            if isinstance(there, Tensor) and isinstance(here, Tensor):
                same = torch.equal(there.detach().cpu().view(torch.uint8), here.view(torch.uint8))
                assert same, f"{parameter.name} of {kernel} differs between GPU and emulator"


@pytest.mark.parametrize("name", CHECKS)
def test_kernels_give_their_references_on_the_gpu(gpu: launch.Launcher, name: str) -> None:
    check, cases = CHECKS[name]
    for case in cases:
        check(Target(gpu, "cuda"), case)


@pytest.mark.parametrize("name", CHECKS)
def test_the_gpu_leaves_the_bits_of_the_emulator(gpu: launch.Launcher, name: str) -> None:
    check, cases = CHECKS[name]
    for case in cases:
        check(Target(Both(gpu), "cuda"), case)
