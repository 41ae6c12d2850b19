"""Random changes of training events that keep their label."""

from __future__ import annotations

import numpy as np

from experiments.config import AugmentConfig
from spikefuse.events import EVENT_DTYPE, EventStream


def augment(stream: EventStream, config: AugmentConfig, rng: np.random.Generator) -> EventStream:
    """One random variant of a recording: shifted, stretched in time, thinned.

    Vision is shifted by whole pixels in both directions; audio is shifted along its channels, as a
    longer or shorter vocal tract would do. Events that leave the sensor or the recording are lost.

    Parameters
    ----------
    stream : EventStream
    config : AugmentConfig
    rng : numpy Generator
    """
    width, height, _ = stream.sensor_size
    events = stream.events
    is_audio = height == 1
    reach = config.channel_shift if is_audio else config.shift_px
    dx = int(rng.integers(-reach, reach + 1))
    dy = 0 if is_audio else int(rng.integers(-reach, reach + 1))
    stretch = 1.0 + rng.uniform(-config.time_stretch, config.time_stretch)

    x = events["x"] + np.int32(dx)
    t = (events["t"] * stretch).astype(np.int64)
    # One comparison does for both ends: below 0 wraps to beyond any sensor.
    keep = (x.view(np.uint32) < width) & (t < stream.duration_us)
    y = events["y"] if is_audio else events["y"] + np.int32(dy)
    if not is_audio:
        keep &= y.view(np.uint32) < height
    if config.event_drop > 0:
        # The share dropped varies from sample to sample, up to twice its mean.
        keep &= rng.random(len(events)) >= rng.uniform(0, 2 * config.event_drop)
    changed = np.empty(np.count_nonzero(keep), EVENT_DTYPE)
    changed["t"], changed["x"], changed["y"] = t[keep], x[keep], y[keep]
    changed["p"] = events["p"][keep]
    return EventStream.trusted(changed, stream.sensor_size, stream.duration_us, stream.modality)
