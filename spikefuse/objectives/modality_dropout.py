"""Modality dropout: training samples of which one modality says nothing."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np

from spikefuse._types import BoolArray
from spikefuse.events import EventStream, MultiStream


def draw_absent(
    n_samples: int, n_modalities: int, probability: float, rng: np.random.Generator
) -> BoolArray:
    """Which modality each sample loses: none, or one of two or more.

    Parameters
    ----------
    n_samples, n_modalities : int
    probability : float
        Of losing one, each as likely as the others.
    rng : numpy Generator

    Returns
    -------
    bool [n_samples, n_modalities]
        At most one per row, never all; nothing is drawn of a single modality.

    Raises
    ------
    ValueError
        If the probability does not lie in [0, 1].

    References
    ----------
    Neverova et al., "ModDrop: adaptive multi-modal gesture recognition", IEEE TPAMI 38(8), 2016
    (arXiv:1501.00102), which drops each channel by itself; here one always stays.
    """
    if not 0 <= probability <= 1:
        raise ValueError(f"probability must lie in [0, 1], got {probability}")
    absent = np.zeros((n_samples, n_modalities), dtype=np.bool_)
    if n_modalities > 1:
        loses = rng.random(n_samples) < probability
        which = rng.integers(n_modalities, size=n_samples)
        absent[loses, which[loses]] = True
    return absent


def without(sample: MultiStream, absent: Collection[str]) -> MultiStream:
    """The sample with the named modalities empty: their events are gone, not weighed by zero.

    Raises
    ------
    ValueError
        If the sample has no modality of a name.
    """
    unknown = sorted(set(absent) - set(sample.streams))
    if unknown:
        raise ValueError(f"absent must name modalities of {sorted(sample.streams)}, got {unknown}")
    streams = {
        name: EventStream.empty(stream.sensor_size, stream.duration_us, name)
        if name in absent
        else stream
        for name, stream in sample.streams.items()
    }
    return replace(sample, streams=streams)


def drop_modalities(
    samples: Sequence[MultiStream],
    modalities: Sequence[str],
    probability: float,
    rng: np.random.Generator,
) -> list[MultiStream]:
    """Each sample with one of ``modalities`` empty at ``probability``; see `draw_absent`.

    Parameters
    ----------
    samples : sequence of MultiStream
    modalities : sequence of str
    probability : float
    rng : Generator
    """
    absent = draw_absent(len(samples), len(modalities), probability, rng)
    return [
        without(sample, [m for m, gone in zip(modalities, row, strict=True) if gone])
        if row.any()
        else sample
        for sample, row in zip(samples, absent, strict=True)
    ]
