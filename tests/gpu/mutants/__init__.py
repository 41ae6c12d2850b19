"""Seeded faults of the kernels, as patches, and what must find each of them.

A patch starts with a header: what is wrong, the check of `spikefuse.kernels.gpu.parity` and the
rung that must fail, a part of what it reports, and the kernels that are wrong.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from spikefuse.kernels.gpu import sources

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Mutant:
    """One seeded fault."""

    patch: Path
    bug: str
    check: str
    rung: str
    report: str
    kernels: frozenset[str]

    @property
    def name(self) -> str:
        return self.patch.stem


def mutants() -> list[Mutant]:
    """All of them, by name."""
    return [_read(path) for path in sorted(HERE.glob("*.patch"))]


def _read(path: Path) -> Mutant:
    """A mutant from its patch's header."""
    header, _, _ = path.read_text(encoding="utf-8").partition("\n\n")
    lines = header.replace("\n  ", " ").splitlines()
    fields = {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}
    return Mutant(
        path,
        fields["Bug"],
        fields["Check"],
        fields["Rung"],
        fields["Report"],
        frozenset(fields["Kernels"].split(", ")),
    )


def mutate(mutant: Mutant, folder: Path) -> Path:
    """A copy of the kernels in ``folder`` with the fault in it."""
    target = folder / mutant.name
    target.mkdir(parents=True)
    for path in [*sources.FOLDER.glob("*.cu"), *sources.FOLDER.glob("*.cuh")]:
        shutil.copy(path, target)
    # Inside a checkout, git would take the paths for those of its root.
    outside = {**os.environ, "GIT_CEILING_DIRECTORIES": str(folder.resolve().parent)}
    command = ["git", "apply", "--whitespace=nowarn", str(mutant.patch.resolve())]
    done = subprocess.run(command, cwd=target, env=outside, capture_output=True, text=True)
    if done.returncode:
        raise ValueError(f"{mutant.name} must fit the kernels, got {done.stderr.strip()}")
    return target
