"""How active sensors and layers are: histograms of rates and of intervals between spikes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from analysis.figures.raster import SpikeRows, panels_of
from analysis.figures.style import house_style, keep_row, save_figure
from analysis.records import RunRecord
from spikefuse._types import FloatArray

_BINS = 24


def draw_activity(
    data: RunRecord | Sequence[SpikeRows], folder: Path, duration_ms: float = 0.0
) -> list[Path]:
    """A column per sensor and layer: rates of its rows above, intervals within a row below.

    Parameters
    ----------
    data : RunRecord, or sequence of SpikeRows
        Nothing is drawn of a run without raster.
    folder : Path
    duration_ms : float
        Length of the sample; that of the run's raster with a run.

    Raises
    ------
    ValueError
        If the length is not positive.
    """
    if isinstance(data, RunRecord):
        if data.raster is None:
            return []
        panels: Sequence[SpikeRows] = list(panels_of(data.raster))
        duration_ms = float(data.raster["duration_ms"])
    else:
        panels = data
    if not duration_ms > 0:
        raise ValueError(f"duration_ms must be positive, got {duration_ms:g}")
    from matplotlib.figure import Figure

    rows: dict[str, list[Any]] = {key: [] for key in ("panel", "what", "low", "high", "count")}
    with house_style():
        figure = Figure(figsize=(0.6 + 2.1 * len(panels), 4.2), layout="constrained")
        axes: Any = figure.subplots(2, len(panels), squeeze=False)
        for i, panel in enumerate(panels):
            rates = rates_hz(panel, duration_ms)
            _histogram(axes[0, i], rates, panel, "rate_hz", rows, log=False)
            gaps = intervals_ms(panel)
            _histogram(axes[1, i], gaps, panel, "interval_ms", rows, log=True)
            name = panel.label.split("\n")[0].removesuffix(" channel")
            axes[0, i].set_title(f"{name}\n{rates.mean():.1f} Hz on average", fontsize=9)
            axes[0, i].set_xlabel("rate of a row (Hz)")
            axes[1, i].set_xlabel("interval (ms)")
            if len(gaps) > 1 and gaps.mean() > 0:
                axes[1, i].set_title(f"CV {gaps.std() / gaps.mean():.2f}", fontsize=9)
        axes[0, 0].set_ylabel("number of rows")
        axes[1, 0].set_ylabel("intervals")
        return save_figure(figure, folder, "activity", rows)


def rates_hz(panel: SpikeRows, duration_ms: float) -> FloatArray:
    """Mean rate of every row, silent ones too, ``[n_rows]``."""
    counts = np.bincount(np.asarray(panel.row, np.int64), minlength=panel.n_rows)
    rates: FloatArray = 1e3 * counts.astype(np.float64) / duration_ms
    return rates


def intervals_ms(panel: SpikeRows) -> FloatArray:
    """Times between following spikes of one row, all rows together; events of one time left out."""
    order = np.lexsort((panel.time_ms, panel.row))
    time_ms, row = np.asarray(panel.time_ms)[order], np.asarray(panel.row)[order]
    gaps = np.diff(time_ms)[np.diff(row) == 0]
    kept: FloatArray = gaps[gaps > 0].astype(np.float64)
    return kept


def _histogram(
    axis: Any,
    values: FloatArray,
    panel: SpikeRows,
    what: str,
    rows: dict[str, list[Any]],
    log: bool,
) -> None:
    """Bars, and their numbers for the CSV."""
    if not len(values):
        axis.text(0.5, 0.5, "none", ha="center", va="center", transform=axis.transAxes)
        axis.set_yticks([])
        return
    low, high = float(values.min()), float(values.max())
    if log:
        bins = np.geomspace(low / 1.1, high * 1.1, _BINS + 1)
        axis.set_xscale("log")
        axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axis.xaxis.set_minor_formatter(lambda value, _: "")
    else:
        bins = np.linspace(0.0, high * 1.02 or 1.0, _BINS + 1)
    counts, edges = np.histogram(values, bins)
    axis.yaxis.get_major_locator().set_params(integer=True)
    axis.stairs(counts, edges, fill=True, color=panel.color)
    for left, right, count in zip(edges[:-1], edges[1:], counts, strict=True):
        keep_row(rows, panel.name, what, float(left), float(right), int(count))
