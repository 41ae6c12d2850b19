"""What training made of delays and windows: where they began, where they are, how wide."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from analysis.figures.style import BLUE, GREY, ORANGE, VERMILION, house_style, save_figure
from analysis.records import RunRecord
from spikefuse._types import FloatArray


@dataclass(frozen=True, eq=False)
class LearnedTiming:
    """Delays of one ordered pair of modalities.

    Parameters
    ----------
    pair : str
        ``"vision>audio"``: vision's spikes are delayed, or open a window for audio's.
    start_ms, end_ms : array [n]
        Delays before and after training.
    width_start_ms, width_end_ms : array [n], optional
        Widths of coincidence windows.
    window : str
        Shape of the windows: gaussian, box or exponential.
    """

    pair: str
    start_ms: FloatArray
    end_ms: FloatArray
    width_start_ms: FloatArray | None = None
    width_end_ms: FloatArray | None = None
    window: str = "gaussian"


def draw_delays(
    data: RunRecord | Mapping[str, LearnedTiming],
    folder: Path,
    true_ms: Mapping[str, float] | None = None,
) -> list[Path]:
    """A row per pair: delays before and after; with windows also their widths and their sum.

    Parameters
    ----------
    data : RunRecord, or mapping of pair to LearnedTiming
        Nothing is drawn of a run without learned delays.
    folder : Path
    true_ms : mapping of pair to float, optional
        A lag that is known, drawn as a line; by default that of S1's order task, where a run has
        one.
    """
    found = timings_of(data) if isinstance(data, RunRecord) else dict(data)
    if true_ms is None and isinstance(data, RunRecord):
        true_ms = _planted_lag(data.config)
    if not found:
        return []
    from matplotlib.figure import Figure

    windows = any(t.width_end_ms is not None for t in found.values())
    n_columns = 3 if windows else 1
    rows: dict[str, list[Any]] = {}
    with house_style():
        size = (9.0 if windows else 6.5, 0.7 + 2.2 * len(found))
        figure = Figure(figsize=size, layout="constrained")
        axes: Any = figure.subplots(len(found), n_columns, squeeze=False, sharex="col")
        for i, (pair, timing) in enumerate(found.items()):
            known = (true_ms or {}).get(pair)
            _delays(axes[i, 0], timing, known)
            rows[f"{pair} start_ms"] = timing.start_ms.tolist()
            rows[f"{pair} end_ms"] = timing.end_ms.tolist()
            if timing.width_end_ms is not None and timing.width_start_ms is not None:
                _widths(axes[i, 1], timing, known)
                _windows(axes[i, 2], timing, known)
                rows[f"{pair} width_start_ms"] = timing.width_start_ms.tolist()
                rows[f"{pair} width_end_ms"] = timing.width_end_ms.tolist()
            axes[i, 0].set_title(pair.replace(">", " to "), loc="left")
        axes[-1, 0].set_xlabel("delay (ms)")
        if windows:
            axes[-1, 1].set_xlabel("delay (ms)")
            axes[-1, 2].set_xlabel("lag (ms)")
        handles, labels = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3)
        return save_figure(figure, folder, "delays", rows)


def timings_of(run: RunRecord) -> dict[str, LearnedTiming]:
    """Delays and windows of the fused SNN, all seeds of a pair together."""
    stored = run.delays or {}
    parts: dict[str, dict[str, list[FloatArray]]] = {}
    for key, values in stored.items():
        model, _, what, pair = key.split(".", 3)
        if model == "snn":
            parts.setdefault(pair, {}).setdefault(what, []).append(values.astype(np.float64))
    options = run.config.get("model", {}).get("fusion_options", {})
    found: dict[str, LearnedTiming] = {}
    for pair, whats in parts.items():
        joined = {what: np.concatenate(values) for what, values in whats.items()}
        found[pair] = LearnedTiming(
            pair,
            joined["delay_start_ms"],
            joined["delay_end_ms"],
            joined.get("width_start_ms"),
            joined.get("width_end_ms"),
            options.get("window", "gaussian"),
        )
    return found


def _planted_lag(config: Mapping[str, Any]) -> dict[str, float]:
    """The one offset of S1's order task: either modality may be the first."""
    scene = config.get("data", {})
    chosen = scene.get("scene", {})
    offsets = chosen.get("params", {}).get("offsets_ms", [])
    if scene.get("source") != "scene" or chosen.get("name") != "s1_order" or len(offsets) != 1:
        return {}
    return dict.fromkeys(("vision>audio", "audio>vision"), float(offsets[0]))


def _delays(axis: Any, timing: LearnedTiming, known: float | None) -> None:
    """Histograms before and after."""
    high = max(float(timing.start_ms.max()), float(timing.end_ms.max()), 1.0)
    bins = np.linspace(0.0, high, 25)
    axis.hist(timing.start_ms, bins, color=GREY, alpha=0.45, label="before training")
    axis.hist(timing.end_ms, bins, histtype="step", color=BLUE, linewidth=1.6, label="after")
    if known is not None:
        axis.axvline(known, color=VERMILION, linestyle="--", linewidth=1, label="lag in the data")
    axis.set_ylabel("delays")


def _widths(axis: Any, timing: LearnedTiming, known: float | None) -> None:
    """Each window's way from its beginning to its end."""
    starts, ends = timing.width_start_ms, timing.width_end_ms
    if starts is None or ends is None:
        return
    for x, y, to_x, to_y in zip(timing.start_ms, starts, timing.end_ms, ends, strict=True):
        axis.plot([x, to_x], [y, to_y], color=GREY, linewidth=0.6, alpha=0.6)
    axis.plot(timing.start_ms, starts, "o", color=GREY, markersize=3, alpha=0.6)
    axis.plot(timing.end_ms, ends, "o", color=BLUE, markersize=4)
    if known is not None:
        axis.axvline(known, color=VERMILION, linestyle="--", linewidth=1)
    axis.set_yscale("log")
    axis.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.yaxis.set_minor_formatter(lambda value, _: "")
    axis.set_ylabel("width (ms)")


def _windows(axis: Any, timing: LearnedTiming, known: float | None) -> None:
    """Every learned window over the lag, and their mean."""
    if timing.width_end_ms is None:
        return
    reach = float((timing.end_ms + 3 * timing.width_end_ms).max())
    lag = np.linspace(0.0, reach, 300)
    curves = np.stack(
        [
            _window(timing.window, lag, delay, width)
            for delay, width in zip(timing.end_ms, timing.width_end_ms, strict=True)
        ]
    )
    axis.plot(lag, curves.T, color=ORANGE, linewidth=0.6, alpha=0.35)
    axis.plot(lag, curves.mean(0), color="black", linewidth=1.6)
    if known is not None:
        axis.axvline(known, color=VERMILION, linestyle="--", linewidth=1)
    axis.set_ylabel("windows (black: mean)")


def _window(shape: str, lag: FloatArray, delay_ms: float, width_ms: float) -> FloatArray:
    """A window over the lag, as `CoincidenceWindow` defines it."""
    past = lag - delay_ms
    if shape == "gaussian":
        height = np.exp(-(past**2) / (2 * width_ms**2))
    elif shape == "box":
        height = np.abs(past) <= width_ms
    else:
        height = np.exp(-past / width_ms) * (past >= 0)
    return np.asarray(height, dtype=np.float64)
