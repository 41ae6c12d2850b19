"""Events as pictures: counts in frames, and time surfaces that remember the last event."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from analysis.figures.style import house_style, keep_row, save_figure
from spikefuse._types import FloatArray
from spikefuse.events import EventStream


def time_surface(stream: EventStream, at_us: int, tau_ms: float) -> FloatArray:
    r"""How long ago each address last saw an event: :math:`e^{-(t - t_{last}) / \tau}`, else 0.

    Lagorce et al., "HOTS: a hierarchy of event-based time-surfaces", IEEE TPAMI 39(7), 2017.

    Parameters
    ----------
    stream : EventStream
    at_us : int
        Time of the surface; later events are not seen.
    tau_ms : float

    Returns
    -------
    array [P, H, W]

    Raises
    ------
    ValueError
        If the time constant is not positive.
    """
    if not tau_ms > 0:
        raise ValueError(f"tau_ms must be positive, got {tau_ms:g}")
    width, height, polarities = stream.sensor_size
    last = np.full((polarities, height, width), -np.inf)
    events = stream.events[stream.events["t"] <= at_us]
    place = (events["p"].astype(np.int64), events["y"], events["x"])
    np.maximum.at(last, place, events["t"].astype(np.float64))
    surface: FloatArray = np.exp((last - at_us) / (1e3 * tau_ms))
    return surface


def draw_event_frames(
    stream: EventStream,
    folder: Path,
    *,
    n_frames: int = 6,
    tau_ms: float = 30.0,
    title: str = "",
    name: str = "event_frames",
) -> list[Path]:
    """Frames of equal length (ON less OFF), and the time surface at the end of each, below.

    Parameters
    ----------
    stream : EventStream
        Of an event camera; of one polarity, its count is drawn.
    folder : Path
    n_frames : int
        At least 1.
    tau_ms : float
        Time constant of the surface.
    title, name : str

    Raises
    ------
    ValueError
        If there is no frame.
    """
    if n_frames < 1:
        raise ValueError(f"n_frames must be at least 1, got {n_frames}")
    from matplotlib.figure import Figure

    from spikefuse.baselines.frames import frame_counts

    edges_us = np.linspace(0.0, max(stream.duration_us, 1), n_frames + 1)
    window_ms = edges_us[-1] / 1e3
    counted = frame_counts([stream], window_ms / n_frames, window_ms)
    width, height, polarities = stream.sensor_size
    counts = counted.numpy().reshape(-1, polarities, height, width)[:n_frames]
    surfaces = np.stack([time_surface(stream, int(t), tau_ms) for t in edges_us[1:]])
    frames, memory = _signed(counts), _signed(surfaces)
    reach = max(float(np.abs(frames).max()), 1.0)
    rows: dict[str, list[Any]] = {k: [] for k in ("frame", "y", "x", "on_less_off", "surface")}
    with house_style():
        figure = Figure(figsize=(1.35 * n_frames + 0.9, 3.5), layout="constrained")
        axes: Any = figure.subplots(2, n_frames, squeeze=False)
        for k in range(n_frames):
            shown = axes[0, k].imshow(frames[k], cmap="RdBu_r", vmin=-reach, vmax=reach)
            axes[0, k].set_title(f"{edges_us[k] / 1e3:.0f}–{edges_us[k + 1] / 1e3:.0f} ms")
            older = axes[1, k].imshow(memory[k], cmap="RdBu_r", vmin=-1, vmax=1)
            axes[1, k].set_title(f"at {edges_us[k + 1] / 1e3:.0f} ms")
            for y, x in zip(*np.nonzero(frames[k] + memory[k]), strict=True):
                keep_row(rows, k, int(y), int(x), float(frames[k, y, x]), float(memory[k, y, x]))
        for axis in axes.flat:
            axis.set_xticks([])
            axis.set_yticks([])
            axis.spines[:].set_visible(True)
            axis.spines[:].set_linewidth(0.4)
            axis.title.set_fontsize(8)
        axes[0, 0].set_ylabel("events")
        axes[1, 0].set_ylabel("time surface")
        figure.colorbar(shown, ax=axes[0], label="ON − OFF", shrink=0.9, pad=0.01)
        figure.colorbar(older, ax=axes[1], label=f"ON − OFF, τ {tau_ms:g} ms", shrink=0.9, pad=0.01)
        figure.suptitle(title, fontsize=9)
        return save_figure(figure, folder, name, rows)


def _signed(values: FloatArray) -> FloatArray:
    """ON less OFF of ``[F, P, H, W]``; the only polarity where there is one."""
    signed: FloatArray = values[:, 1] - values[:, 0] if values.shape[1] > 1 else values[:, 0]
    return signed
