"""Events as they come from a sensor: seen to be what they should, and put on the model's clock."""

from __future__ import annotations

import numpy as np

from spikefuse._types import StructuredArray
from spikefuse.events import EVENT_DTYPE, EventStream, SensorSize
from spikefuse.kernels import registry
from spikefuse.kernels.binning import step_length_us, step_of

_OP = "intake"
registry.register(_OP, registry.NUMBA, "spikefuse.kernels.cpu.intake")


def intake_ref(
    events: StructuredArray, sensor_size: SensorSize, dt_ms: float, modality: str
) -> StructuredArray:
    """`intake` by the checks of `EventStream` and one division."""
    last_us = int(events["t"][-1]) if len(events) else 0
    # A view: the stream makes what it holds read-only.
    EventStream(events[:], sensor_size, max(last_us + 1, 0), modality)
    stepped: StructuredArray = events.copy()
    stepped["t"] = step_of(events["t"], dt_ms)
    return stepped


def intake(
    events: StructuredArray,
    sensor_size: SensorSize,
    dt_ms: float,
    modality: str,
    *,
    backend: str | None = None,
) -> StructuredArray:
    """A copy of the events with their step in the place of their time, once they are checked.

    Parameters
    ----------
    events : structured array of `EVENT_DTYPE`
        On a clock that begins at 0, never decreasing.
    sensor_size : (W, H, P)
    dt_ms : float
        As of `bin_events`.
    modality : str
    backend : str, optional

    Raises
    ------
    EventError
        As of `EventStream`: the message names the field that failed.
    BackendError
        If an explicit backend cannot run.
    """
    chosen = registry.choose(_OP, backend, "cpu")
    if chosen == registry.REFERENCE:
        return intake_ref(events, sensor_size, dt_ms, modality)
    step_us = step_length_us(dt_ms)
    stepped = np.empty(len(events), EVENT_DTYPE)
    fits = registry.kernel(_OP, chosen, "intake")(
        np.ascontiguousarray(events),
        sensor_size[0],
        sensor_size[1],
        step_us,
        int(step_us) if step_us.is_integer() and step_us < np.iinfo(np.int64).max else 0,
        stepped,
    )
    # The reference finds the words for what is wrong.
    return stepped if fits else intake_ref(events, sensor_size, dt_ms, modality)
