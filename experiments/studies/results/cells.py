"""Cells of the results study: tuning, test runs and sizes of a family, each kept as one file."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from experiments.config import Config
from experiments.evaluation.evaluate import framing_counts
from experiments.studies.results.data import RATE_HZ, Feed, Rows, Sensed
from experiments.studies.results.families import TRIALS, Built, Family, Trial, build
from experiments.studies.results.training import (
    batches,
    evidence_ms,
    final_scores,
    fit,
)
from spikefuse.atomic import write_bytes
from spikefuse.baselines import DenseFusion, QNNTwin, quantised
from spikefuse.cost import count
from spikefuse.models import FusionSNN, ModelSpec
from spikefuse.models.fixed_point import fixed_point
from spikefuse.neurons.fixed import FixedFormat
from spikefuse.opcounts import OpCounts, PathCounts

SIZES = (0.25, 0.5, 2.0)  # beside the declared point
N_COUNTED = 192  # test pairs, the first of their random order, on which operations are counted
_COUNT_AT_ONCE = 64
_CALIBRATION = 8  # batches


@dataclass(frozen=True)
class Budget:
    """Epochs of a tuning trial, and of a model that is tested.

    Parameters
    ----------
    trial_epochs, epochs : int
        Of spiking models; others train half as long again, as the recipes have it: they learn
        more slowly by the epoch, and faster by the second.
    """

    trial_epochs: int
    epochs: int

    def of(self, family: Family) -> tuple[int, int]:
        """Both, for a family."""
        if family.spiking:
            return self.trial_epochs, self.epochs
        return math.ceil(1.5 * self.trial_epochs), math.ceil(1.5 * self.epochs)


@dataclass(frozen=True)
class Cells:
    """Cells of one data set, made where they are not stored.

    Parameters
    ----------
    folder : Path
    spec : ModelSpec
        Of the spiking model on both modalities.
    load : callable
        Seed to the data as the models of that seed read it.
    budget : Budget
    stored : bool
        Make nothing.
    n_trials : int
        Points of `TRIALS` that are tried, the first ones.
    """

    folder: Path
    spec: ModelSpec
    load: Callable[[int], Sensed]
    budget: Budget
    stored: bool = False
    n_trials: int = len(TRIALS)

    def cell(self, name: str, make: Callable[[], Mapping[str, Any]]) -> dict[str, Any] | None:
        """A stored cell, made first if there is none; None if it is not to be made."""
        path = self.folder / f"{name}.json"
        if not path.is_file():
            if self.stored:
                return None
            started = time.perf_counter()
            made = dict(make())
            made["seconds"] = time.perf_counter() - started
            write_bytes(path, json.dumps(made).encode())
            print(f"{self.folder.name}/{name}: {made['seconds']:.0f} s", flush=True)
        found: dict[str, Any] = json.loads(path.read_text())
        return found

    def tuned(self, family: Family) -> dict[str, Any] | None:
        """The family's trials on validation, with the first seed, and the best of them."""
        return self.cell(f"{family.name}-tune", lambda: self._tune(family))

    def tested(self, family: Family, seed: int) -> dict[str, Any] | None:
        """The family's model with its best trial's setting, read on test once."""
        tuned = self.tuned(family)
        if tuned is None:
            return None
        trial = Trial(**tuned["best"])
        return self.cell(f"{family.name}-seed{seed}", lambda: self._test(family, trial, seed, 1.0))

    def sized(self, family: Family, factor: float, seed: int) -> dict[str, Any] | None:
        """The same setting at another number of parameters, one seed."""
        tuned = self.tuned(family)
        if tuned is None:
            return None
        trial = Trial(**tuned["best"])
        name = f"{family.name}-size{factor:g}"
        return self.cell(name, lambda: self._test(family, trial, seed, factor))

    def samples(self, seed: int) -> dict[str, Any] | None:
        """Picture and speaker of every test pair of a seed: what intervals resample."""
        return self.cell(f"samples-{seed}", lambda: _samples(self.load(seed)))

    def _tune(self, family: Family) -> dict[str, Any]:
        sensed, epochs = self.load(0), self.budget.of(family)[0]
        tried: list[dict[str, Any]] = []
        best: tuple[tuple[float, float], dict[str, float]] | None = None
        for trial in TRIALS[: self.n_trials]:
            if family.kind == "frames" or family.kind == "twin" or family.spiking:
                trial = replace(trial, frames=1.0)
            made = build(family, sensed, self.spec, trial, 1.0, 0)
            found = fit(
                made.model,
                made.feed,
                sensed.data,
                sensed.config,
                trial,
                0,
                epochs,
            )
            tried.append({"trial": asdict(trial), "accuracy": found.accuracy, "loss": found.loss})
            if best is None or found.rank > best[0]:
                best = found.rank, asdict(trial)
        if best is None:
            raise ValueError(f"n_trials must be at least 1, got {self.n_trials}")
        return {"tried": tried, "best": best[1], "epochs": epochs}

    def _test(self, family: Family, trial: Trial, seed: int, factor: float) -> dict[str, Any]:
        sensed = self.load(seed)
        made = build(family, sensed, self.spec, trial, factor, seed)
        epochs = self.budget.of(family)[1]
        validation = fit(
            made.model, made.feed, sensed.data, sensed.config, trial, seed, epochs
        ).accuracy
        eight = _at_8_bits(made, sensed, seed)
        decided = evidence_ms(made.model, made.feed, sensed.data, sensed.config)
        return {
            "family": family.name,
            "seed": seed,
            "factor": factor,
            "epochs": epochs,
            "n_parameters": made.n_parameters,
            "validation": validation,
            "correct": _correct(made.model, made.feed, sensed),
            "correct_8": _correct(eight, made.feed, sensed),
            "evidence_ms": None if decided is None else np.asarray(decided).tolist(),
            "counts": as_plain(_counts(made.model, made.feed, family, sensed)),
            "counts_8": as_plain(_counts(eight, made.feed, family, sensed)),
            "not_equivalent": list(getattr(made.model, "not_equivalent", ())),
            **_memory(made.model, made.feed, sensed),
        }


def _samples(sensed: Sensed) -> dict[str, Any]:
    """Names that test samples share."""
    test, pairs = sensed.data.splits["test"], sensed.data.fixed_pairs["test"]
    return {
        name: [recordings[pair[column]].group for pair in pairs]
        for column, (name, recordings) in enumerate(test.items())
    }


def _at_8_bits(made: Built, sensed: Sensed, seed: int) -> nn.Module:
    """The model in whole numbers: 8-bit weights; rounded after training, calibrated on train."""
    if isinstance(made.model, FusionSNN):
        return fixed_point(made.model)
    pairs = sensed.data.epoch_pairs(seed, 1, 1)[: 32 * _CALIBRATION]
    inputs: list[Any] = [made.feed(rows) for rows, _ in batches(sensed.data, "train", pairs, 32)]
    return quantised(made.model, inputs, 8)


def _correct(model: nn.Module, feed: Feed, sensed: Sensed) -> str:
    """Right (1) and wrong (0) answers on the test pairs, in their order."""
    scores, labels = final_scores(model, feed, sensed.data, "test")
    return "".join("1" if right else "0" for right in (scores.argmax(1) == labels).tolist())


def _counts(model: nn.Module, feed: Feed, family: Family, sensed: Sensed) -> OpCounts:
    """Network and front ends on the first test pairs."""
    data, parts = sensed.data, []
    pairs = data.fixed_pairs["test"][:N_COUNTED]
    for rows, _ in batches(data, "test", pairs, _COUNT_AT_ONCE):
        inputs: Any = feed(rows)
        ends = _front_ends(inputs, family, sensed, rows)
        parts.append(count(model, inputs) + OpCounts(ends, len(rows.pairs)))
    return OpCounts.concat(parts)


def _front_ends(
    inputs: Mapping[str, Any], family: Family, sensed: Sensed, rows: Rows
) -> dict[str, PathCounts]:
    """What is done before the network: cochlea, frames or sums of events, spectrogram."""
    n, found = len(rows.pairs), {}
    heard = round(sensed.window_ms * 1e-3 * RATE_HZ)
    if "audio" in family.modalities:
        if family.kind == "frames":
            spectrogram = sensed.front_end.counts(heard, RATE_HZ, n)
            found["frontend.audio.log_mel"] = spectrogram
        elif sensed.data.hearing is not None:
            found["frontend.audio.cochlea"] = sensed.data.hearing.counts(sensed.window_ms, n)
    if family.kind in ("dense", "twin"):
        for name in family.modalities:
            column = sensed.modalities.index(name)
            recordings = sensed.data.splits["test"][name]
            window_us = round(sensed.window_ms * 1e3)
            n_events = sum(
                len(recordings[i].stream.cropped(window_us)) for i in rows.pairs[:, column]
            )
            framing = framing_counts(n_events, inputs[name].numel(), name, n)
            found[f"frontend.{name}.framing"] = framing
    return found


def _memory(model: nn.Module, feed: Feed, sensed: Sensed) -> dict[str, int | None]:
    """Bytes of state and activations at 8-bit activations and whole-number membranes."""
    if isinstance(model, FusionSNN):
        rows = Rows("test", *(np.zeros((1, len(sensed.modalities)), np.int64) for _ in range(2)))
        counts = count(model, dict(feed(rows)))
        words = sum(p.state_words for p in counts.by_path.values())
        return {"state_bytes": words * FixedFormat().state_bits // 8, "activation_bytes": None}
    rows = Rows("test", *(np.zeros((1, len(sensed.modalities)), np.int64) for _ in range(2)))
    inputs: Any = feed(rows)
    waits = sum(int(x.numel()) for x in inputs.values())
    if isinstance(model, DenseFusion):
        return {
            "state_bytes": model.state_bytes(1),
            "activation_bytes": model.activation_bytes(inputs, 1),
        }
    if isinstance(model, QNNTwin):
        from spikefuse.baselines.memory import largest_working_set

        return {"state_bytes": waits, "activation_bytes": largest_working_set(model, inputs)}
    raise TypeError(f"model must be of the study, got {type(model).__name__}")


def as_plain(counts: OpCounts) -> dict[str, Any]:
    """Counts by path as plain values, so that any profile can price them later."""
    defaults = PathCounts()
    paths = {
        name: {k: v for k, v in asdict(path).items() if v != getattr(defaults, k)}
        for name, path in counts.by_path.items()
    }
    return {"n_samples": counts.n_samples, "by_path": paths}


def from_plain(stored: Mapping[str, Any]) -> OpCounts:
    """The counts that `as_plain` has written."""
    paths = {name: PathCounts(**path) for name, path in stored["by_path"].items()}
    return OpCounts(paths, stored["n_samples"])


def config_of_seed(config: Config, seed: int, speakers: tuple[str, ...]) -> Config:
    """The configuration whose data a seed trains on: of real recordings a fold and speaker each."""
    if config.data.source != "nmnist_fsdd":
        return config
    speaker = speakers[seed % len(speakers)]
    return replace(config, data=replace(config.data, fold=seed % 5, test_speaker=speaker))
