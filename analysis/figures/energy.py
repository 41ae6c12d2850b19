"""Modelled energy: by part of the model, by action, and the three totals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from analysis.figures.style import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    YELLOW,
    house_style,
    keep_row,
    new_figure,
    save_figure,
)
from analysis.naming import energy_unit, format_pj, model_name
from analysis.records import RunRecord

Breakdown = Mapping[str, Mapping[str, Mapping[str, float]]]  # profile, model, part: pJ

_LIGHT_GREY = "#BBBBBB"
PART_COLORS = {
    "vision encoder": BLUE,
    "audio encoder": ORANGE,
    "fusion: vision path": SKY,
    "fusion: audio path": YELLOW,
    "fused layer and readout": GREEN,
    "front ends (digital)": _LIGHT_GREY,
}
ACTION_COLORS = {
    "accumulate": SKY,
    "multiply_accumulate": VERMILION,
    "neuron_update": GREEN,
    "weight_memory": BLUE,
    "state_memory": ORANGE,
    "spike_routing": PURPLE,
}
TOTALS = {
    "dynamic_pj": ("dynamic", "o", BLUE),
    "with_static_pj": ("+ static power over the window", "s", ORANGE),
    "with_sensors_pj": ("+ sensors", "D", VERMILION),
}


def draw_energy(data: RunRecord | Breakdown, folder: Path) -> list[Path]:
    """Modelled dynamic energy by part of the model, one panel per profile, one bar per model.

    Parameters
    ----------
    data : RunRecord, or mapping of profile to model to part to energy in pJ
        A model without parts has no price.
    folder : Path
    """
    if isinstance(data, RunRecord):
        data = _breakdown(data, lambda b: energy_by_part(b["by_path"]))
    return _draw_stacked(data, folder, "energy", "part", PART_COLORS)


def draw_energy_actions(data: RunRecord | Breakdown, folder: Path) -> list[Path]:
    """Modelled dynamic energy by action, digital front ends included.

    Parameters
    ----------
    data : RunRecord, or mapping of profile to model to action to energy in pJ
    folder : Path
    """
    if isinstance(data, RunRecord):
        data = _breakdown(data, lambda b: b["by_action"])
    return _draw_stacked(data, folder, "energy_actions", "action", ACTION_COLORS)


def draw_energy_totals(data: RunRecord | Breakdown, folder: Path) -> list[Path]:
    """The three totals on one logarithmic axis: what each step of honesty adds.

    Parameters
    ----------
    data : RunRecord, or mapping of profile to model to total to energy in pJ
        Totals are ``dynamic_pj``, ``with_static_pj`` and ``with_sensors_pj``, each where known.
    folder : Path
    """
    if isinstance(data, RunRecord):
        models = data.result["models"]
        data = {
            profile: {
                name: {
                    total: value
                    for total in TOTALS
                    if (value := model["energy"][profile][total]) is not None
                }
                for name, model in models.items()
            }
            for profile in _profiles(data)
        }
    n_models = max(map(len, data.values()), default=0)
    rows: dict[str, list[Any]] = {"profile": [], "model": [], "total": [], "energy_pj": []}
    with house_style():
        height = 0.9 + len(data) * (0.65 + 0.24 * n_models)
        figure, axes = new_figure(len(data), 7.0, height, sharex=True)
        for axis, (profile, models) in zip(axes[:, 0], data.items(), strict=True):
            for position, (name, totals) in enumerate(models.items()):
                for key, value in totals.items():
                    label, marker, color = TOTALS[key]
                    axis.plot(value, position, marker, color=color, label=label, markersize=6)
                    keep_row(rows, profile, name, key, value)
                if not totals:
                    _say_no_price(axis, position)
            _name_models(axis, models)
            axis.set_xscale("log")
            axis.set_title(profile, loc="left")
            axis.grid(axis="x", alpha=0.3)
            axis.xaxis.set_major_formatter(lambda value, _: _tick(value))
        axes[-1, 0].set_xlabel("energy per sample (modelled, logarithmic)")
        seen = [spec for key, spec in TOTALS.items() if key in rows["total"]]
        figure.legend(handles=_markers(seen), loc="outside lower center", ncols=3)
        return save_figure(figure, folder, "energy_totals", rows)


def energy_by_part(by_path: Mapping[str, float]) -> dict[str, float]:
    """Energy of each part of a model from that of its paths; the sum is kept."""
    parts: dict[str, float] = {}
    encoded = {path.split(".")[1] for path in by_path if path.startswith("encoders.")}
    modalities = {"vision", "audio", *encoded}
    for path, value in by_path.items():
        first, last = path.split(".")[0], path.rpartition(".")[2]
        if first == "frontend":
            part = "front ends (digital)"
        elif first == "encoders":
            part = f"{path.split('.')[1]} encoder"
        elif last in modalities:
            part = f"fusion: {last} path"
        else:
            part = "fused layer and readout"
        parts[part] = parts.get(part, 0.0) + value
    return parts


def _breakdown(
    run: RunRecord, split: Callable[[Mapping[str, Any]], Mapping[str, float]]
) -> Breakdown:
    """``split`` of every breakdown of a run; nothing of a model that a profile cannot price."""
    models = run.result["models"]
    return {
        profile: {
            model: split(entry["energy"][profile]["breakdown"])
            if entry["energy"][profile]["dynamic_pj"] is not None
            else {}
            for model, entry in models.items()
        }
        for profile in _profiles(run)
    }


def _draw_stacked(
    data: Breakdown, folder: Path, name: str, column: str, colors: Mapping[str, str]
) -> list[Path]:
    """Stacked bars; a model that a profile cannot price gets words."""
    rows: dict[str, list[Any]] = {"profile": [], "model": [], column: [], "energy_pj": []}
    n_models = max(map(len, data.values()), default=0)
    with house_style():
        height = 0.9 + len(data) * (0.95 + 0.24 * n_models)
        figure, axes = new_figure(len(data), 7.0, height)
        for axis, (profile, priced) in zip(axes[:, 0], data.items(), strict=True):
            unit, scale = energy_unit(max((sum(p.values()) for p in priced.values()), default=0.0))
            for position, (model, parts) in enumerate(priced.items()):
                if not parts:
                    _say_no_price(axis, position)
                    continue
                left = 0.0
                for part in sorted(parts, key=lambda part: _rank(part, colors)):
                    keep_row(rows, profile, model, part, parts[part])
                    if parts[part]:  # a bar of no width would pin the axis at its edge
                        width = parts[part] / scale
                        axis.barh(position, width, left=left, color=colors.get(part, GREY))
                        left += width
                axis.text(left, position, f" {format_pj(left * scale)}", va="center")
            _name_models(axis, priced)
            axis.margins(x=0.14)
            axis.set_title(profile, loc="left")
            axis.set_xlabel(f"dynamic energy per sample ({unit}, modelled)")
        seen = sorted(
            {part for part, value in zip(rows[column], rows["energy_pj"], strict=True) if value},
            key=lambda part: _rank(part, colors),
        )
        if seen:
            handles = _patches(seen, colors)
            figure.legend(handles=handles, loc="outside lower center", ncols=3)
        return save_figure(figure, folder, name, rows)


def _profiles(run: RunRecord) -> list[str]:
    """Profiles in the order of the run."""
    return list(next(iter(run.result["models"].values()))["energy"])


def _name_models(axis: Any, models: Mapping[str, Any]) -> None:
    """Models from top to bottom in the order of the run."""
    axis.set_yticks(range(len(models)), [model_name(name) for name in models])
    axis.set_ylim(len(models) - 0.5, -0.5)


def _tick(value_pj: float) -> str:
    """A power of ten with its unit."""
    unit, scale = energy_unit(value_pj)
    return f"{value_pj / scale:g} {unit}"


def _say_no_price(axis: Any, position: int) -> None:
    """Words in the place of a bar."""
    axis.text(
        0.01,
        position,
        "not priced by this profile",
        va="center",
        color=GREY,
        transform=axis.get_yaxis_transform(),
    )


def _rank(part: str, colors: Mapping[str, str]) -> tuple[int, str]:
    """Known parts in the order of the palette, then the others by name."""
    names = list(colors)
    return (names.index(part) if part in colors else len(names), part)


def _patches(parts: list[str], colors: Mapping[str, str]) -> list[Any]:
    """Legend entries of bars."""
    from matplotlib.patches import Patch

    return [Patch(color=colors.get(p, GREY), label=p.replace("_", " ")) for p in parts]


def _markers(specs: list[tuple[str, str, str]]) -> list[Any]:
    """Legend entries of markers."""
    from matplotlib.lines import Line2D

    return [
        Line2D([], [], marker=marker, color=color, linestyle="none", label=label)
        for label, marker, color in specs
    ]
