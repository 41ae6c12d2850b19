"""Encoded spikes as event streams, so that any sampled sensor can join a sample's common clock."""

from __future__ import annotations

import math

import numpy as np

from spikefuse.encoders.signals import checked_positive
from spikefuse.errors import EventError
from spikefuse.events import EVENT_DTYPE, EventStream, SensorSize
from spikefuse.spikes import SpikeBatch

_MAX_SIDE = np.iinfo(np.int16).max


def to_streams(
    spikes: SpikeBatch, dt_ms: float, sensor_size: SensorSize, modality: str
) -> list[EventStream]:
    """One stream for each sample; an event at the first microsecond of its step.

    `bin_events` with the same ``dt_ms`` gives the spikes back. An amplitude of n is n events.

    Parameters
    ----------
    spikes : SpikeBatch of shape (T, B, N)
        Amplitudes must be whole and positive.
    dt_ms : float
        Length of a step, at least 0.001.
    sensor_size : (W, H, P)
        With ``W * H * P = N``; `encode_delta`'s spikes of n signals are ``(n, 1, 2)``.
    modality : str

    Returns
    -------
    list of B EventStreams

    Raises
    ------
    EventError
        If the size does not fit or an amplitude is graded.
    ValueError
        If ``dt_ms`` is out of range.
    """
    if checked_positive("dt_ms", dt_ms) < 1e-3:
        raise ValueError(f"dt_ms must be at least 0.001, one microsecond, got {dt_ms}")
    n_steps, n_batch, n = spikes.shape
    width, height, polarities = sensor_size
    if (
        width * height * polarities != n
        or polarities not in (1, 2)
        or max(width, height) > _MAX_SIDE
    ):
        raise EventError(f"sensor_size must have {n} addresses in all, got {sensor_size}")
    row, address = spikes.rows().numpy(), spikes.index.numpy().astype(np.int64)
    if spikes.value is not None:
        value = spikes.value.numpy()
        graded = value[(value < 1) | (value != np.floor(value))]
        if len(graded):
            raise EventError(f"amplitudes must be whole and positive, got {graded[0]}")
        times = value.astype(np.int64)
        row, address = np.repeat(row, times), np.repeat(address, times)
    step, sample = np.divmod(row, max(n_batch, 1))
    events = np.zeros(len(row), EVENT_DTYPE)
    # Rounded up, but not by the product's rounding error: the event lies in its step.
    events["t"] = np.ceil(np.round(step * (dt_ms * 1e3), 6))
    plane, pixel = np.divmod(address, width * height)
    events["y"], events["x"] = np.divmod(pixel, width)
    events["p"] = plane > 0 if polarities > 1 else True
    duration_us = math.ceil(round(n_steps * dt_ms * 1e3, 6))
    return [
        EventStream(events[sample == b], sensor_size, duration_us, modality) for b in range(n_batch)
    ]
