"""Controls of temporal necessity: samples whose timing, or whose partner, says nothing more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import torch

from experiments.loading.data import PairedData, Split
from experiments.studies.resolution.tasks import Samples
from sensors.paired import Pair
from spikefuse._types import Int64Array
from spikefuse.events import EventStream

Control = Literal["collapsed", "bins", "partner"]
CONTROLS: Mapping[Control, str] = {
    "collapsed": "time-collapsed",
    "bins": "bin-shuffled",
    "partner": "modality-shuffled within class",
}


def collapsed(stream: EventStream, rng: np.random.Generator) -> EventStream:
    """Times redrawn, uniform over the recording: what is left is how many events an address has."""
    times = rng.integers(0, max(stream.duration_us, 1), len(stream), dtype=np.int64)
    return _retimed(stream, times)


def bins_shuffled(stream: EventStream, bin_ms: float, rng: np.random.Generator) -> EventStream:
    """Whole bins of time in another order; what is within a bin stays together.

    A last bin that is shorter stays at the end.
    """
    bin_us = round(bin_ms * 1e3)
    n_bins = stream.duration_us // bin_us
    order = np.append(rng.permutation(n_bins), n_bins)
    times = stream.events["t"]
    return _retimed(stream, order[times // bin_us] * bin_us + times % bin_us)


def _retimed(stream: EventStream, times: Int64Array) -> EventStream:
    events = stream.events.copy()
    events["t"] = times
    return replace(stream, events=events[np.argsort(times, kind="stable")])


def partners_shuffled(
    pairs: Sequence[Pair], labels: Sequence[int], rng: np.random.Generator
) -> list[Pair]:
    """Every modality but the first from another pair of the class, drawn without replacement.

    Parameters
    ----------
    pairs : sequence of index tuples
    labels : sequence of int
        Class of each pair.
    rng : numpy Generator
    """
    found, classes = np.array(pairs), np.array(labels)
    for label in np.unique(classes):
        (rows,) = np.nonzero(classes == label)
        mixed = rng.permutation(rows)
        found[mixed, 1:] = np.array(pairs)[np.roll(mixed, 1), 1:]
    return [tuple(int(i) for i in row) for row in found]


def changed_data(data: PairedData, control: Control, bin_ms: float, seed: int) -> PairedData:
    """The same data under a control, all splits of it.

    Each recording is changed by itself, so that `bins` also undoes what ties modalities together
    in time. `partner` changes the fixed pairs of validation and test only: training pairs are
    drawn anew within their class every epoch.
    """
    rng = np.random.default_rng([seed, 11])
    if control == "partner":
        fixed = {
            split: partners_shuffled(pairs, _labels(data.splits[split], pairs), rng)
            for split, pairs in data.fixed_pairs.items()
        }
        return replace(data, fixed_pairs=fixed)

    def change(stream: EventStream) -> EventStream:
        if control == "collapsed":
            return collapsed(stream, rng)
        return bins_shuffled(stream, bin_ms, rng)

    splits = {
        split: {
            name: [replace(r, stream=change(r.stream)) for r in recordings]
            for name, recordings in parts.items()
        }
        for split, parts in data.splits.items()
    }
    return replace(data, splits=splits)


def _labels(parts: Split, pairs: Sequence[Pair]) -> list[int]:
    first = next(iter(parts.values()))
    return [first[pair[0]].label for pair in pairs]


def changed_samples(samples: Samples, control: Control, bin_ms: int, seed: int) -> Samples:
    """Bare scenes under a control; each modality of each sample is changed by itself."""
    draw = torch.Generator().manual_seed(seed)
    trains = dict(samples.trains)
    _, *others = trains
    if control == "partner":
        for name in others:
            trains[name] = trains[name][:, _within_class(samples.labels, draw)]
        return replace(samples, trains=trains)
    for name, train in trains.items():
        n_steps, n, channels = train.shape
        if control == "collapsed":
            order = torch.rand(train.shape, generator=draw).argsort(0)
            trains[name] = train.gather(0, order)
            continue
        n_bins = n_steps // bin_ms
        whole = train[: n_bins * bin_ms].view(n_bins, bin_ms, n, channels)
        order = torch.rand(n_bins, n, generator=draw).argsort(0)
        places = order.view(n_bins, 1, n, 1).expand_as(whole)
        shuffled = whole.gather(0, places).reshape(-1, n, channels)
        trains[name] = torch.cat([shuffled, train[n_bins * bin_ms :]])
    return replace(samples, trains=trains)


def _within_class(labels: torch.Tensor, draw: torch.Generator) -> torch.Tensor:
    """For each sample another one of its class (itself, if it is the only one)."""
    found = torch.arange(len(labels))
    for label in set(labels.tolist()):
        rows = (labels == label).nonzero().flatten()
        mixed = rows[torch.randperm(len(rows), generator=draw)]
        found[mixed] = mixed.roll(1)
    return found
