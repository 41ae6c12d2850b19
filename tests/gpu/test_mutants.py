"""Every seeded fault is found, by the rung and the check that its patch names."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from spikefuse.kernels.gpu import sources
from spikefuse.kernels.gpu.parity import CHECKS, Mismatch, Target

from .emu.emulator import EmulatorError
from .mutants import Mutant, mutants, mutate
from .rungs import RUNGS, emulator

ALL = mutants()
# One for each rung by default: a barrier, memory, an atomic, a value.
SAMPLE = {"wide-staging-barrier", "site-row-overrun", "atomic-to-plain", "lif-beta-step"}


def test_faults_cover_every_kernel_check_and_kind_of_rung() -> None:
    shipped = {name for family in sources.families() for name in sources.kernels(family)}
    assert {name for mutant in ALL for name in mutant.kernels} == shipped
    assert {mutant.check for mutant in ALL} == {*CHECKS}
    assert {mutant.rung for mutant in ALL} == {*RUNGS} - {"reversed", "shuffled"}
    assert {mutant.name for mutant in ALL} >= SAMPLE


@pytest.mark.skipif(shutil.which("git") is None, reason="patches are applied by git")
@pytest.mark.parametrize(
    "mutant",
    [
        pytest.param(
            mutant, id=mutant.name, marks=() if mutant.name in SAMPLE else pytest.mark.slow
        )
        for mutant in ALL
    ],
)
def test_fault_is_found(mutant: Mutant, tmp_path: Path) -> None:
    folder = mutate(mutant, tmp_path)
    launch = emulator(mutant.rung, folder)
    # The kernels that ship pass the same check on the same rung: see test_parity.
    with pytest.raises((EmulatorError, Mismatch)) as found:
        run_all(mutant.check, Target(launch))
    assert mutant.report in str(found.value)


def run_all(name: str, target: Target) -> None:
    """A check on all of its cases."""
    check, cases = CHECKS[name]
    for case in cases:
        check(target, case)
