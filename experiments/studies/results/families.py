"""The models of the results study: what each is, how it is built, how its inputs are read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import nn

from experiments.studies.results.data import Feed, Sensed
from spikefuse.baselines import (
    DENSE_OPERATORS,
    DenseFusion,
    QNNTwin,
    frame_sensor_spec,
    n_parameters,
)
from spikefuse.baselines.selection import Build, spec_of_size
from spikefuse.models import FusionSNN, ModelSpec

Kind = Literal["snn", "dense", "twin", "frames"]
BOTH = ("vision", "audio")
REFERENCE = "snn"


@dataclass(frozen=True)
class Family:
    """One kind of model.

    Parameters
    ----------
    name : str
    kind : "snn", "dense", "twin" or "frames"
        Spiking; event frames; bin sums; picture and spectrogram.
    modalities : tuple of str
    operator : str
        Dense operator; empty where there is none to choose.
    part : str
        Share of the study that it belongs to.
    """

    name: str
    kind: Kind
    modalities: tuple[str, ...]
    operator: str
    part: str

    @property
    def spiking(self) -> bool:
        """Whether it is a spiking model."""
        return self.kind == "snn"


@dataclass(frozen=True)
class Trial:
    """One point of the table that every family is tuned over.

    Parameters
    ----------
    rate : float
        Factor of the kind's learning rate.
    decay : float
        Weight decay.
    dropout : float
        Factor of the recipe's dropout.
    frames : float
        Factor of the recipe's frame lengths, where a model has frames.
    """

    rate: float
    decay: float
    dropout: float
    frames: float


# Three rates, two decays, two dropouts, two frame lengths; every pair of the first two once.
TRIALS = (
    Trial(1.0, 1e-4, 1.0, 1.0),
    Trial(3.0, 1e-4, 0.0, 1.0),
    Trial(1 / 3, 1e-2, 1.0, 2.0),
    Trial(1.0, 1e-2, 0.0, 2.0),
    Trial(3.0, 1e-2, 1.0, 1.0),
    Trial(1 / 3, 1e-4, 0.0, 1.0),
)

_STREAMS = ("attention", "latent", "gru")


def families() -> dict[str, Family]:
    """Every family by name."""
    found = [
        Family("snn", "snn", BOTH, "", "spiking"),
        Family("snn_vision", "snn", ("vision",), "", "spiking"),
        Family("snn_audio", "snn", ("audio",), "", "spiking"),
    ]
    for operator in DENSE_OPERATORS:
        part = "streams" if operator in _STREAMS else "windows"
        found.append(Family(f"dense_{operator}", "dense", BOTH, operator, part))
    found += [
        Family("dense_vision", "dense", ("vision",), "concat", "frames"),
        Family("dense_audio", "dense", ("audio",), "concat", "frames"),
        Family("twin", "twin", BOTH, "", "frames"),
        Family("camera_concat", "frames", BOTH, "concat", "frames"),
        Family("camera_gated", "frames", BOTH, "gated", "frames"),
        Family("camera_vision", "frames", ("vision",), "concat", "frames"),
        Family("camera_audio", "frames", ("audio",), "concat", "frames"),
    ]
    return {family.name: family for family in found}


PARTS = ("spiking", "windows", "streams", "frames")


@dataclass(frozen=True)
class Built:
    """A fresh model with its reading.

    Parameters
    ----------
    model : nn.Module
    feed : callable
    n_parameters : int
    """

    model: nn.Module
    feed: Feed
    n_parameters: int


def build(
    family: Family, sensed: Sensed, whole: ModelSpec, trial: Trial, factor: float, seed: int
) -> Built:
    """A freshly initialised model with ``factor`` times the parameters of the spiking model.

    Parameters
    ----------
    family : Family
    sensed : Sensed
    whole : ModelSpec
        Of the spiking model on both modalities; that of one modality sets the size of its rivals.
    trial : Trial
    factor : float
        1 is the declared point, within 5 % of the spiking model (where the family's widths are too
        coarse for that, as near as they allow).
    seed : int
    """
    spec = _of_modalities(whole, family.modalities, trial.dropout)
    target = _size(FusionSNN, spec)
    frame_ms = {
        name: trial.frames * sensed.config.cost.frame_of(name) for name in family.modalities
    }
    window_ms = sensed.window_ms
    make: Build
    if family.kind == "snn":
        make, feed = FusionSNN, sensed.spikes(family.modalities)
    elif family.kind == "twin":
        make = _twin(sensed.n_steps)
        feed = sensed.sums(family.modalities)
        spec = replace(spec, fusion="concat", fusion_options={})
    elif family.kind == "dense":
        make = _dense(frame_ms, window_ms, family.operator)
        feed = sensed.frames(frame_ms)
    else:
        spec = frame_sensor_spec(spec, sensed.picture_sizes())
        make = _dense(dict.fromkeys(family.modalities, window_ms), window_ms, family.operator)
        feed = sensed.pictures(family.modalities)
    if family.kind == "snn" and factor == 1.0:
        chosen = spec
    else:
        chosen = _nearest(spec, round(factor * target), make)
    torch.manual_seed(seed)
    model = make(chosen)
    return Built(model, feed, n_parameters(model))


def _nearest(spec: ModelSpec, target: int, make: Build) -> ModelSpec:
    """The spec scaled to within 5 % of ``target``, or else as near as its widths allow."""
    for tolerance in (0.05, 0.2, 0.5):
        try:
            return spec_of_size(spec, target, make, tolerance)
        except ValueError:
            continue
    return spec_of_size(spec, target, make, 0.99)


def _dense(
    frame_ms: Mapping[str, float], window_ms: float, operator: str
) -> Callable[[ModelSpec], nn.Module]:
    return lambda spec: DenseFusion(spec, frame_ms, window_ms, operator)


def _twin(n_steps: int) -> Callable[[ModelSpec], nn.Module]:
    return lambda spec: QNNTwin(spec, n_steps)


def _of_modalities(whole: ModelSpec, modalities: tuple[str, ...], dropout: float) -> ModelSpec:
    """The spec of some of the modalities, with the recipe's dropout times a factor."""
    parts = tuple(
        replace(part, encoder=replace(part.encoder, dropout=dropout * part.encoder.dropout))
        for part in whole.modalities
        if part.name in modalities
    )
    if len(parts) == len(whole.modalities):
        return replace(whole, modalities=parts)
    return replace(whole, modalities=parts, fusion="concat", fusion_options={})


def _size(make: Build, spec: ModelSpec) -> int:
    with torch.device("meta"):
        return n_parameters(make(spec))
