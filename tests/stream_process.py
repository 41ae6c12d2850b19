"""A stream in a process of its own, for tests that kill it; imported there by name."""

import json
from pathlib import Path

import numpy as np
import torch

from spikefuse.encoders import EncoderSpec, ModalitySpec
from spikefuse.events import EVENT_DTYPE
from spikefuse.models import FusionSNN, ModelSpec
from spikefuse.runtime import Decision, StreamRunner

SIZES = {"vision": (12, 10, 2), "audio": (40, 1, 1)}
N_PUSHES, PUSH_US = 150, 7_000


def model() -> FusionSNN:
    torch.manual_seed(5)
    torch.set_num_threads(1)
    encoder = EncoderSpec((), 24, 0.0, (0.0, 15.0), recurrent=True)
    parts = tuple(ModalitySpec(name, size, encoder) for name, size in SIZES.items())
    return FusionSNN(ModelSpec(parts, 5, 5.0, "concat", 20)).eval()


def pushes(first: int) -> list[tuple[int, str, np.ndarray]]:
    """Number, modality and events of the pushes from ``first`` on."""
    found = []
    for k in range(first, N_PUSHES):
        name = list(SIZES)[k % 2]
        rng = np.random.default_rng(k)
        width, height, polarities = SIZES[name]
        events = np.zeros(60, EVENT_DTYPE)
        events["t"] = np.sort(k * PUSH_US + rng.integers(0, 2 * PUSH_US, 60))
        events["x"], events["y"] = rng.integers(0, width, 60), rng.integers(0, height, 60)
        events["p"] = rng.integers(0, 2, 60) if polarities > 1 else 1
        found.append((k, name, events))
    return found


def line(decision: Decision) -> str:
    return json.dumps([decision.step, decision.label, *(x.hex() for x in decision.evidence)])


def run(folder: str, engine: str) -> None:
    """Go on from the snapshot if there is one; a snapshot after every push, told by its number."""
    at, told = Path(folder) / "at.safetensors", Path(folder) / "decisions.jsonl"
    runner = StreamRunner.restore(at, model()) if at.exists() else StreamRunner(model(), engine)
    done = sum(runner.n_events.values()) // 60
    with told.open("a") as file:
        file.write("\n")  # ends the line in whose midst the process before may have died
        for _, name, events in pushes(done):
            for decision in runner.push(name, events):
                file.write(line(decision) + "\n")
            file.flush()
            runner.snapshot(at)
        for decision in runner.finish():
            file.write(line(decision) + "\n")
    (Path(folder) / "done").touch()
