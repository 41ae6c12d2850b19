"""Recordings to train on: real ones, or synthetic ones with the same number of events."""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from spikefuse.events import EVENT_DTYPE, EventStream, MultiStream

SENSORS = {"vision": (34, 34, 2), "audio": (64, 1, 1)}


def training_samples(root: Path | None, n_samples: int) -> tuple[list[MultiStream], str]:
    """One epoch of paired samples on one clock, and where they come from.

    Parameters
    ----------
    root : Path, optional
        Folder of real recordings; None makes synthetic ones.
    n_samples : int
        At most this many.
    """
    if root is None:
        made = {name: synthetic_streams(name, n_samples, seed=11) for name in SENSORS}
        samples = [
            MultiStream({name: made[name][i] for name in SENSORS}, label=i % 10)
            for i in range(n_samples)
        ]
        return samples, "synthetic, with the statistics of the real recordings"
    from experiments.config import load_config
    from experiments.loading.batches import batches
    from experiments.loading.data import load_data

    data = load_data(load_config("nmnist_fsdd", [f"data.root={root}"]).data)
    pairs = data.epoch_pairs(0, 1, 1)[:n_samples]
    real = [sample for batch in batches(data, "train", pairs, 64) for sample in batch.samples]
    return real, "N-MNIST and Free Spoken Digit Dataset, one partner for each recording"


def synthetic_streams(modality: str, n: int, seed: int) -> list[EventStream]:
    """Random recordings with the event counts, durations and spread of the real ones.

    Parameters
    ----------
    modality : "vision" or "audio"
    n : int
    seed : int
    """
    rng = np.random.default_rng([seed, len(modality)])
    return [_stream(modality, _statistics()[modality], rng) for _ in range(n)]


def _statistics() -> dict[str, Any]:
    """The measured statistics."""
    text = (resources.files("experiments.bench") / "synthetic.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def _stream(modality: str, of: dict[str, Any], rng: np.random.Generator) -> EventStream:
    """One recording: bursts of events over a square patch of the sensor."""
    width, height, polarities = of["sensor"]
    n_events = max(1, round(of["median_events"] * float(np.exp(rng.normal(0, of["spread"])))))
    duration_us = round(of["duration_ms"] * 1e3)
    burst_us = duration_us / of["bursts"]
    within = np.clip(rng.normal(0.5, 0.2, n_events), 0, 0.999)
    events = np.zeros(n_events, EVENT_DTYPE)
    events["t"] = np.sort((rng.integers(of["bursts"], size=n_events) + within) * burst_us)
    side = of["active_share"] ** (0.5 if height > 1 else 1.0)
    for axis, size in (("x", width), ("y", height)):
        span = max(1, round(size * side)) if size > 1 else 1
        first = int(rng.integers(size - span + 1))
        events[axis] = first + rng.integers(span, size=n_events)
    events["p"] = rng.integers(2, size=n_events) if polarities > 1 else True
    return EventStream(events, (width, height, polarities), 700_000, modality)
