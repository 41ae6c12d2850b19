"""Events to what a frame-based model reads: event frames and cochleagrams."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from spikefuse.events import EventStream
from spikefuse.kernels.binning import bin_events


def event_frames(streams: Sequence[EventStream], frame_ms: float, window_ms: float) -> Tensor:
    """Event counts per frame, compressed by ``log(1 + n)``, frames and polarities as channels.

    Parameters, shape, errors
        As of `frame_counts`.
    """
    return torch.log1p(frame_counts(streams, frame_ms, window_ms))


def frame_counts(streams: Sequence[EventStream], frame_ms: float, window_ms: float) -> Tensor:
    """Event counts per frame, frames and polarities as channels.

    Parameters
    ----------
    streams : sequence of EventStream
        ``B`` samples of one sensor ``(W, H, P)``; events after ``window_ms`` are not seen.
    frame_ms, window_ms : float
        Length of a frame and of the whole window; the last frame may be shorter.

    Returns
    -------
    Tensor[B, F * P, H, W]
        For audio ``(C, 1, 1)`` that is the cochleagram ``[B, F, 1, C]``.

    Raises
    ------
    ValueError
        If a length is not positive.
    """
    if not (frame_ms > 0 and window_ms > 0):
        raise ValueError(f"frame_ms and window_ms must be positive, got {frame_ms}, {window_ms}")
    width, height, polarities = streams[0].sensor_size
    window_us = round(window_ms * 1e3)
    n_frames = n_frames_in(frame_ms, window_ms)
    seen = [stream.cropped(window_us) for stream in streams]
    frames = bin_events(seen, frame_ms, n_steps=n_frames).to_dense()  # [F, B, P * H * W]
    return frames.transpose(0, 1).reshape(len(streams), n_frames * polarities, height, width)


def n_frames_in(frame_ms: float, window_ms: float) -> int:
    """Frames that a window is cut into, the last of which may be shorter."""
    return -(-round(window_ms * 1e3) // round(frame_ms * 1e3))


def n_frame_channels(polarities: int, frame_ms: float, window_ms: float) -> int:
    """Channels that `event_frames` yields."""
    return polarities * n_frames_in(frame_ms, window_ms)


def frame_ends_ms(frame_ms: float, window_ms: float) -> list[float]:
    """When each frame of the window is complete."""
    n_frames = n_frames_in(frame_ms, window_ms)
    return [min(frame_ms * (i + 1), window_ms) for i in range(n_frames)]


def blank_after(
    frames: Mapping[str, Tensor], frame_ms: Mapping[str, float], seen_ms: float, window_ms: float
) -> dict[str, Tensor]:
    """The same frames with every frame that ends after ``seen_ms`` still empty.

    Parameters
    ----------
    frames : mapping of modality to Tensor
    frame_ms : mapping of modality to float
        Length of a frame.
    seen_ms, window_ms : float
        What has been seen of the whole window.
    """
    blanked: dict[str, Tensor] = {}
    for name, x in frames.items():
        n_frames = n_frames_in(frame_ms[name], window_ms)
        n_seen = n_frames if seen_ms >= window_ms else int(seen_ms / frame_ms[name] + 1e-9)
        per_frame = x.shape[1] // n_frames
        copy = x.clone()
        copy[:, n_seen * per_frame :] = 0
        blanked[name] = copy
    return blanked
