"""Choices a baseline is owed: frames picked on validation, and a sweep of sizes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import nn

from spikefuse.baselines.memory import n_parameters
from spikefuse.models.spec import ModelSpec

Build = Callable[[ModelSpec], nn.Module]
FACTORS = (0.25, 0.5, 1.0, 2.0)
_HALVINGS = 60


@dataclass(frozen=True)
class FrameChoice:
    """What frames were tried and which were best.

    Parameters
    ----------
    frame_ms : dict of modality to length
        The choice.
    tried : tuple of (dict, float)
        Every candidate with its score on validation.
    """

    frame_ms: dict[str, float]
    tried: tuple[tuple[dict[str, float], float], ...]


def choose_frames(
    candidates: Sequence[Mapping[str, float]], score: Callable[[Mapping[str, float]], float]
) -> FrameChoice:
    """Try every frame length and keep the best on validation; of equals the longest (the cheapest).

    Parameters
    ----------
    candidates : sequence of (mapping of modality to length in ms)
    score : callable
        Trains a model with such frames and gives its score on the *validation* part: higher is
        better.

    Raises
    ------
    ValueError
        If there is no candidate.
    """
    if not candidates:
        raise ValueError("candidates must hold at least one choice of frames, got none")
    tried = tuple((dict(frames), float(score(frames))) for frames in candidates)
    best = max(tried, key=lambda item: (item[1], sum(item[0].values())))
    return FrameChoice(best[0], tried)


@dataclass(frozen=True)
class Sized:
    """One size of a sweep.

    Parameters
    ----------
    factor : float
        Wanted parameters, in units of the target.
    spec : ModelSpec
    n_parameters : int
    """

    factor: float
    spec: ModelSpec
    n_parameters: int


def capacity_sweep(
    spec: ModelSpec,
    target: int,
    build: Build,
    factors: Sequence[float] = FACTORS,
    tolerance: float = 0.05,
) -> tuple[Sized, ...]:
    """Specs of several sizes, one of them with the parameters of the opponent.

    Parameters
    ----------
    spec : ModelSpec
        Kernels, strides and operator are kept; channels and widths change together.
    target : int
        Parameters of the opponent.
    build : callable
        Makes the model of a spec.
    factors : sequence of float
        Four or more multiples of ``target``, 1 among them: the declared point.
    tolerance : float
        Largest relative difference from each multiple.

    Raises
    ------
    ValueError
        If there are fewer than four factors or 1 is not among them, or a size cannot be met.
    """
    if len(set(factors)) < 4 or 1.0 not in factors:
        raise ValueError(f"factors must be four or more with 1 among them, got {list(factors)}")
    sizes: list[Sized] = []
    for factor in factors:
        found = spec_of_size(spec, round(factor * target), build, tolerance)
        sizes.append(Sized(factor, found, _size(build, found)))
    return tuple(sizes)


def spec_of_size(spec: ModelSpec, target: int, build: Build, tolerance: float = 0.05) -> ModelSpec:
    """The spec, scaled so that its model has ``target`` parameters.

    All widths are scaled by one number first; if whole channels are too coarse a step, the widths
    of the fused population and of the encoders are then set one after the other.

    Raises
    ------
    ValueError
        If no size comes within ``tolerance``; the message names the nearest.
    """
    if target < 1 or not 0 < tolerance < 1:
        raise ValueError(f"target must be >= 1, tolerance in (0, 1), got {target}, {tolerance}")

    def miss(candidate: ModelSpec) -> float:
        return abs(_size(build, candidate) - target) / target

    low, high = 1e-3, 1e3  # number of parameters grows with the scale
    for _ in range(_HALVINGS):
        middle = (low * high) ** 0.5
        low, high = (low, middle) if _size(build, scaled(spec, middle)) > target else (middle, high)
        if scaled(spec, low) == scaled(spec, high):
            break
    best = min((scaled(spec, low), scaled(spec, high)), key=miss)
    start = scaled(spec, low)
    setters = [_with_fused, *[_with_hidden(i) for i in range(len(spec.modalities))]]
    for setter in setters:
        if miss(best) <= tolerance:
            return best
        if _size(build, setter(start, 1)) == _size(build, setter(start, 2)):
            continue  # this model has no such layer
        start = _bisected(start, setter, target, build)
        best = min((best, start), key=miss)
    if miss(best) > tolerance:
        raise ValueError(
            f"target must be within {tolerance:.0%} of a size the spec can have, got {target}; "
            f"the nearest has {_size(build, best)} parameters"
        )
    return best


def scaled(spec: ModelSpec, scale: float) -> ModelSpec:
    """The spec with every width times ``scale``, at least 1."""

    def by(n: int) -> int:
        return max(round(n * scale), 1)

    parts = []
    for part in spec.modalities:
        convs = tuple(replace(conv, channels=by(conv.channels)) for conv in part.encoder.convs)
        encoder = replace(part.encoder, convs=convs, hidden=by(part.encoder.hidden))
        parts.append(replace(part, encoder=encoder))
    return replace(spec, modalities=tuple(parts), fusion_hidden=by(spec.fusion_hidden))


def _with_fused(spec: ModelSpec, width: int) -> ModelSpec:
    """The spec with another fused population."""
    return replace(spec, fusion_hidden=width)


def _with_hidden(index: int) -> Callable[[ModelSpec, int], ModelSpec]:
    """Sets the hidden layer of one encoder."""

    def change(spec: ModelSpec, width: int) -> ModelSpec:
        parts = list(spec.modalities)
        parts[index] = replace(parts[index], encoder=replace(parts[index].encoder, hidden=width))
        return replace(spec, modalities=tuple(parts))

    return change


def _bisected(
    spec: ModelSpec, setter: Callable[[ModelSpec, int], ModelSpec], target: int, build: Build
) -> ModelSpec:
    """The largest of one width that keeps the model at or below ``target`` parameters."""
    low, high = 1, 4096
    while high - low > 1:
        middle = (low + high) // 2
        fits = _size(build, setter(spec, middle)) <= target
        low, high = (middle, high) if fits else (low, middle)
    return setter(spec, low)


def _size(build: Build, spec: ModelSpec) -> int:
    """Parameters of the model, without making their values."""
    with torch.device("meta"):
        return n_parameters(build(spec))
