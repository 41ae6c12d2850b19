"""What the modelled comparison depends on: activity (break-even) and constants (tornado)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from analysis.figures.style import BLUE, GREY, ORANGE, VERMILION, house_style, save_figure
from analysis.naming import energy_unit
from analysis.records import RunRecord

_REUSE_STYLES = {"none": ":", "measured": "-.", "ideal": "--"}
_BARS = 6


def draw_break_even(data: RunRecord | Mapping[str, Any], folder: Path) -> list[Path]:
    """Energy of the spiking model over its activity, and the dense twin at each reuse.

    One panel per profile that prices both sides; nothing without one. The dot is what was counted.

    Parameters
    ----------
    data : RunRecord, or mapping of profile to mapping of reuse to mapping
        Each with ``break_even``: ``fixed_pj``, ``per_spike_pj``, ``measured`` and ``most_spikes``
        of the spiking model, ``dense_pj``, and ``spikes`` where both need the same (or None).
    folder : Path
    """
    lines = {
        profile: {reuse: e["break_even"] for reuse, e in entries.items() if e.get("break_even")}
        for profile, entries in _ranges(data).items()
    }
    priced = {profile: found for profile, found in lines.items() if found}
    if not priced:
        return []
    from matplotlib.figure import Figure

    rows: dict[str, list[Any]] = {k: [] for k in ("profile", "curve", "spikes", "energy_pj")}
    with house_style():
        figure = Figure(figsize=(4.6 * len(priced), 3.6), layout="constrained")
        axes = figure.subplots(1, len(priced), squeeze=False)[0]
        for axis, (profile, found) in zip(axes, priced.items(), strict=True):
            line = next(iter(found.values()))
            crossings = [e["spikes"] for e in found.values() if e["spikes"] is not None]
            right = min(
                line["most_spikes"], 1.3 * max([2 * line["measured"], *crossings], default=1.0)
            )
            spikes = np.linspace(0, right, 50)
            energy = line["fixed_pj"] + line["per_spike_pj"] * spikes
            at = line["fixed_pj"] + line["per_spike_pj"] * line["measured"]
            highest = max([*energy, *(e["dense_pj"] for e in found.values())])
            unit, scale = energy_unit(highest)
            axis.plot(spikes, energy / scale, color=BLUE, label="SNN fusion")
            axis.plot(line["measured"], at / scale, "o", color=BLUE, label="as counted")
            _keep(rows, profile, "snn", spikes, energy)
            for reuse, entry in found.items():
                axis.axhline(
                    entry["dense_pj"] / scale,
                    color=ORANGE,
                    linestyle=_REUSE_STYLES[reuse],
                    label=f"dense twin, reuse {reuse}",
                )
                _keep(rows, profile, f"dense, {reuse}", [0.0], [entry["dense_pj"]])
                if entry["spikes"] is not None:
                    axis.plot(
                        entry["spikes"], entry["dense_pj"] / scale, "x", color=VERMILION, zorder=3
                    )
            axis.set_title(profile, loc="left")
            axis.set_xlim(0, right)
            axis.set_ylim(0, None)
            axis.set_xlabel("spikes per neuron and inference")
            axis.set_ylabel(f"dynamic energy ({unit}, modelled)")
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3)
        return save_figure(figure, folder, "break_even", rows)


def draw_tornado(data: RunRecord | Mapping[str, Any], folder: Path) -> list[Path]:
    """Dense / SNN with one constant at either end of its range, the largest swings.

    Parameters
    ----------
    data : RunRecord, or mapping of profile to mapping of reuse to mapping
        Each with ``dynamic``: the ``nominal`` ratio and ``tornado``, a list of ``constant``,
        ``low``, ``high`` and ``assumed``, the largest first.
    folder : Path
    """
    ranges = {
        f"{profile}, reuse {reuse}": entry["dynamic"]
        for profile, entries in _ranges(data).items()
        for reuse, entry in entries.items()
        if "dynamic" in entry and reuse != "measured"
    }
    if not ranges:
        return []
    from matplotlib.figure import Figure

    rows: dict[str, list[Any]] = {k: [] for k in ("case", "constant", "low", "high", "assumed")}
    n_rows = -(-len(ranges) // 2)
    with house_style():
        figure = Figure(figsize=(9.4, 0.8 + 2.1 * n_rows), layout="constrained")
        axes = figure.subplots(n_rows, 2, squeeze=False)
        for axis, (case, found) in zip(axes.flat, ranges.items(), strict=False):
            swings = found["tornado"][:_BARS]
            for position, swing in enumerate(reversed(swings)):
                ends = sorted((swing["low"], swing["high"]))
                color = GREY if swing["assumed"] else BLUE
                axis.barh(position, ends[1] - ends[0], left=ends[0], color=color, height=0.6)
                for key, value in (("case", case), ("constant", swing["constant"])):
                    rows[key].append(value)
                rows["low"].append(swing["low"])
                rows["high"].append(swing["high"])
                rows["assumed"].append(swing["assumed"])
            axis.use_sticky_edges = False  # else a bar that begins leftmost touches the frame
            axis.axvline(found["nominal"], color="black", linewidth=0.8)
            axis.axvline(1.0, color=VERMILION, linewidth=0.8, linestyle="--")
            axis.set_yticks(range(len(swings)), [s["constant"] for s in reversed(swings)])
            axis.set_title(case, loc="left")
            axis.set_xlabel("dense / SNN (modelled)")
        for axis in axes.flat[len(ranges) :]:
            axis.set_axis_off()
        figure.suptitle(
            "Black: nominal. Red, dashed: both need the same. Grey: range assumed, not published.",
            fontsize="medium",
        )
        return save_figure(figure, folder, "tornado", rows)


def _ranges(data: RunRecord | Mapping[str, Any]) -> Mapping[str, Any]:
    """Ranges by profile and reuse."""
    if isinstance(data, RunRecord):
        found: Mapping[str, Any] = data.result.get("energy_ranges", {})
        return found
    return data


def _keep(rows: Mapping[str, list[Any]], profile: str, curve: str, x: Any, y: Any) -> None:
    """Add a curve to the CSV."""
    rows["profile"].extend([profile] * len(x))
    rows["curve"].extend([curve] * len(x))
    rows["spikes"].extend(float(v) for v in x)
    rows["energy_pj"].extend(float(v) for v in y)
