"""Smallest energy and evidence time with d' >= 1 against the resolution that an answer needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.figures.style import (
    BLUE,
    GREEN,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    house_style,
    save_figure,
)

_LOOKS = {
    "snn 1 ms": (SKY, "o", "-"),
    "snn": (BLUE, "o", "-"),
    "snn events": (GREEN, "o", "-"),
    "cnn": (VERMILION, "s", "--"),
    "delta": (ORANGE, "s", "--"),
    "gru": (PURPLE, "^", "--"),
}
_HOLLOW = "hollow: d' below 1 on test samples"


@dataclass(frozen=True)
class Curve:
    """A family on one scene.

    Parameters
    ----------
    scene, family, title : str
    resolution_ms : sequence of float
    energy_nj : mapping of profile's title to rows of (value, low, high)
        A value at each resolution, and the ends of its range.
    latency_ms : sequence of float
        nan where answers reach d' = 1 at no time.
    reached : sequence of bool
        Whether d' on test samples is 1 or more, as it was where the net was chosen; drawn hollow
        where it is not. All are, if left out.
    """

    scene: str
    family: str
    title: str
    resolution_ms: Sequence[float]
    energy_nj: Mapping[str, Sequence[tuple[float, float, float]]]
    latency_ms: Sequence[float]
    reached: Sequence[bool] = ()


def draw_headline(curves: Sequence[Curve], folder: Path) -> list[Path]:
    """A column per scene; a row per profile for energy, and one for evidence time.

    Bands span the range of the constants, ideal reuse at the low end and none at the high one.
    Hollow points were chosen on validation and miss d' = 1 on test samples.
    """
    from matplotlib.figure import Figure

    scenes = list(dict.fromkeys(curve.scene for curve in curves))
    profiles = list(dict.fromkeys(name for curve in curves for name in curve.energy_nj))
    columns = ("scene", "family", "resolution_ms", "what", "value", "low", "high", "reached")
    rows: dict[str, list[Any]] = {key: [] for key in columns}

    def note(curve: Curve, what: str, values: Sequence[tuple[float, float, float]]) -> None:
        for at, cells, good in zip(curve.resolution_ms, values, _reached(curve), strict=True):
            line = (curve.scene, curve.title, at, what, *cells, good)
            for key, cell in zip(columns, line, strict=True):
                rows[key].append(cell)

    with house_style():
        n_rows = len(profiles) + 1
        figure = Figure(figsize=(3.9 * len(scenes), 2.5 * n_rows + 0.7), layout="constrained")
        axes = figure.subplots(n_rows, len(scenes), squeeze=False, sharex=True, sharey="row")
        for i, scene in enumerate(scenes):
            for curve in (c for c in curves if c.scene == scene and len(c.resolution_ms)):
                color, marker, line = _LOOKS[curve.family]
                look: dict[str, Any] = {"color": color, "marker": marker, "linestyle": line}
                look |= {"markersize": 4, "label": curve.title}
                for axis, name in zip(axes[:-1, i], profiles, strict=True):
                    values = curve.energy_nj[name]
                    note(curve, f"energy_nj {name}", values)
                    _line(axis, curve, [v[0] for v in values], look)
                    ends = [[v[place] for v in values] for place in (1, 2)]
                    axis.fill_between(
                        curve.resolution_ms, *ends, color=color, alpha=0.12, linewidth=0
                    )
                if curve.family in ("snn events", "delta"):
                    continue  # the same answers at the same times
                note(curve, "latency_ms", [(t, t, t) for t in curve.latency_ms])
                _line(axes[-1, i], curve, curve.latency_ms, look)
            axes[0, i].set_title(scene.upper(), loc="left")
            axes[-1, i].set_xlabel("required resolution (ms)")
        for row, name in zip(axes[:-1], profiles, strict=True):
            row[0].set_ylabel(f"energy, {name}\n(nJ a sample, modelled)")
            row[0].set_yscale("log")
        axes[-1, 0].set_ylabel("evidence time (ms)")
        axes[-1, 0].set_yscale("symlog", linthresh=1, subs=(2, 5))
        axes[-1, 0].set_yticks([0, 1, 4, 16, 64, 256], ["0", "1", "4", "16", "64", "256"])
        axes[-1, 0].set_ylim(bottom=-0.5)
        ticks = sorted({float(r) for curve in curves for r in curve.resolution_ms})
        for axis in axes.ravel():
            axis.set_xscale("log")
            axis.set_xticks(ticks, [f"{t:g}" for t in ticks])
            axis.minorticks_off()
            axis.grid(alpha=0.3)
        seen: dict[str, Any] = {}
        for axis in axes.ravel():
            for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
                seen.setdefault(label, handle)
        if _HOLLOW in seen:  # below the families, not between them
            seen[_HOLLOW] = seen.pop(_HOLLOW)
        figure.legend(list(seen.values()), list(seen), loc="outside lower center", ncols=3)
        return save_figure(figure, folder, "headline", rows)


def _reached(curve: Curve) -> Sequence[bool]:
    return curve.reached or [True] * len(curve.resolution_ms)


def _line(axis: Any, curve: Curve, values: Sequence[float], look: Mapping[str, Any]) -> None:
    """A curve, hollow at the points that miss d' = 1."""
    axis.plot(curve.resolution_ms, values, **look)
    missed = [
        (at, value)
        for at, value, good in zip(curve.resolution_ms, values, _reached(curve), strict=True)
        if not good
    ]
    if missed:
        hollow = {"linestyle": "none", "markerfacecolor": "white", "label": _HOLLOW}
        axis.plot(*zip(*missed, strict=True), **{**look, **hollow})
