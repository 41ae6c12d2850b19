"""``python -m experiments.studies.memory --document PAGE``: memory of a step against its length.

Every point is a process of its own: one training step of a recurrent fusion network on T steps,
and what the process's largest resident memory grew by since a step of 10.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from spikefuse.encoders import EncoderSpec, ModalitySpec
from spikefuse.models import FusionSNN, ModelSpec, forward_in_chunks, running_mean
from spikefuse.pages import write_tables
from spikefuse.spikes import SpikeBatch

_SIZES = {"vision": 512, "audio": 64}
_CHUNK = 100
WAYS = {
    "in one piece": (0, 0),
    f"checkpoint_steps = {_CHUNK}": (_CHUNK, 0),
    f"tbptt_steps = {_CHUNK}": (0, _CHUNK),
}
LENGTHS = (500, 4000)
# Freed blocks above it go back at once: what the heap keeps for later is no need of the step.
_ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": "65536"}


def grown_mb(checkpoint_steps: int, tbptt_steps: int, n_steps: int, n_batch: int = 16) -> float:
    """Largest resident memory of this process, in MB, that a step adds to what it has now."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    encoder = EncoderSpec((), 64, 0.0, recurrent=True)
    parts = tuple(ModalitySpec(name, (n, 1, 1), encoder) for name, n in _SIZES.items())
    model = FusionSNN(ModelSpec(parts, 10, 1.0, "concat", 64)).train()
    _step(model, 10, n_batch, 0, 0)  # compiles the kernels, makes the gradients
    inputs = _inputs(n_steps, n_batch)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    _step(model, n_steps, n_batch, checkpoint_steps, tbptt_steps, inputs)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def _inputs(n_steps: int, n_batch: int) -> dict[str, SpikeBatch]:
    """Sparse random events, made step by step so that nothing dense of T steps ever exists."""
    generator = torch.Generator().manual_seed(1)
    found: dict[str, SpikeBatch] = {}
    for name, n in _SIZES.items():
        rows = n_steps * n_batch
        index = torch.randint(0, n, (rows, 4), generator=generator).sort(1).values
        keep = torch.ones_like(index, dtype=torch.bool)
        keep[:, 1:] = index.diff(dim=1) > 0
        indptr = torch.cat([torch.zeros(1, dtype=torch.int64), keep.sum(1).cumsum(0)])
        found[name] = SpikeBatch(
            indptr.to(torch.int32), index[keep].to(torch.int32), None, (n_steps, n_batch, n)
        )
    return found


def _step(
    model: FusionSNN,
    n_steps: int,
    n_batch: int,
    checkpoint_steps: int,
    tbptt_steps: int,
    inputs: dict[str, SpikeBatch] | None = None,
) -> None:
    """Loss of the mean evidence, and its gradient."""
    given = _inputs(n_steps, n_batch) if inputs is None else inputs
    out = forward_in_chunks(model, given, checkpoint_steps, tbptt_steps, keep_spikes=False)
    labels = torch.zeros(n_batch, dtype=torch.int64)
    loss = torch.nn.functional.cross_entropy(running_mean(out.scores)[-1], labels)
    torch.autograd.backward(loss)


def measure(way: str, n_steps: int) -> float:
    """`grown_mb` in a new process."""
    command = [sys.executable, "-m", "experiments.studies.memory", "--one", way, str(n_steps)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env={**os.environ, **_ALLOCATOR}
    )
    return float(json.loads(done.stdout.splitlines()[-1]))


def table() -> str:
    """MB by way and length."""
    lines = [
        "| one training step | " + " | ".join(f"T = {n}" for n in LENGTHS) + " |",
        "|---|" + "---:|" * len(LENGTHS),
    ]
    for way in WAYS:
        found = [f"{measure(way, n):.0f} MB" for n in LENGTHS]
        lines.append(f"| {way} | " + " | ".join(found) + " |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure all points and write them into a page, or one and print it."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.studies.memory", description=__doc__
    )
    parser.add_argument("--document", type=Path)
    parser.add_argument("--one", nargs=2, metavar=("WAY", "T"))
    given = parser.parse_args(arguments)
    if given.one is not None:
        way, n_steps = given.one
        print(json.dumps(grown_mb(*WAYS[way], int(n_steps))))
        return
    found = table()
    print(found)
    if given.document is not None:
        write_tables(given.document, {"memory of a step": found})


if __name__ == "__main__":
    main()
