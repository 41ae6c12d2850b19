"""Every figure of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from analysis.raster_figure import draw_raster
from analysis.records import RunRecord, load_run
from analysis.style import MODEL_COLORS, MODEL_NAMES, new_figure, save_figure

PART_COLORS = {
    "front ends (digital)": "#999999",
    "vision encoder": "#0072B2",
    "audio encoder": "#E69F00",
    "fusion: vision path": "#56B4E9",
    "fusion: audio path": "#F0E442",
    "fused layer and readout": "#009E73",
}


def make_figures(run_dir: Path) -> list[Path]:
    """Draw all figures of a finished run into ``run_dir/figures`` as PNG, SVG and CSV."""
    run = load_run(run_dir)
    folder = run.path / "figures"
    written: list[Path] = []
    if run.raster is not None:
        written += draw_raster(run, folder)
    written += draw_energy(run, folder)
    written += draw_anytime(run, folder)
    return written


def draw_energy(run: RunRecord, folder: Path) -> list[Path]:
    """Modelled dynamic energy by part of the model, one panel per profile, one bar per model."""
    models = run.result["models"]
    profiles = list(next(iter(models.values()))["energy"])
    figure, axes = new_figure(len(profiles), 7.0, 0.9 + 1.0 * len(profiles) + 0.25 * len(models))
    rows: dict[str, list[Any]] = {"profile": [], "model": [], "part": [], "energy_pj": []}
    for axis, profile in zip(axes[:, 0], profiles, strict=True):
        priced = {
            name: energy_by_part(model["energy"][profile]["breakdown"]["by_path"])
            for name, model in models.items()
        }
        top = max((sum(parts.values()) for parts in priced.values()), default=0.0)
        unit, scale = _unit(top)
        for position, (name, parts) in enumerate(priced.items()):
            if not parts:
                axis.text(0, position, "  not priced by this profile", va="center", color="#666666")
            left = 0.0
            for part, value in parts.items():
                axis.barh(position, value / scale, left=left, color=PART_COLORS[part])
                left += value / scale
                for key, cell in zip(rows, (profile, name, part, value), strict=True):
                    rows[key].append(cell)
            if parts:
                axis.text(left, position, f" {left:.3g}", va="center")
        axis.set_yticks(range(len(models)), [MODEL_NAMES.get(n, n) for n in models])
        axis.invert_yaxis()
        axis.margins(x=0.12)
        axis.set_title(profile, loc="left")
        axis.set_xlabel(f"dynamic energy per sample ({unit}, modelled)")
    handles = _legend_handles(sorted(set(rows["part"]), key=list(PART_COLORS).index))
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    return save_figure(figure, folder, "energy", rows)


def draw_anytime(run: RunRecord, folder: Path) -> list[Path]:
    """Accuracy of the answer given after each time, every model."""
    figure, axes = new_figure(1, 6.5, 3.6)
    axis = axes[0, 0]
    rows: dict[str, list[Any]] = {"model": [], "time_ms": [], "accuracy": []}
    for name, model in run.result["models"].items():
        curve = model["anytime"]
        marker = "s" if model["kind"] == "dense" else None
        axis.plot(
            curve["time_ms"],
            curve["accuracy"],
            color=MODEL_COLORS.get(name),
            marker=marker,
            label=MODEL_NAMES.get(name, name),
        )
        rows["model"] += [name] * len(curve["time_ms"])
        rows["time_ms"] += curve["time_ms"]
        rows["accuracy"] += curve["accuracy"]
    axis.set_xlabel("time from stimulus onset (ms), compute not included")
    axis.set_ylabel("test accuracy")
    axis.set_ylim(0, 1.02)
    axis.set_xlim(left=0)
    axis.grid(alpha=0.3)
    axis.legend(loc="lower right")
    axis.set_title("Accuracy of the answer so far" + _synthetic(run), loc="left")
    return save_figure(figure, folder, "anytime", rows)


def _unit(value_pj: float) -> tuple[str, float]:
    """Unit and its size in pJ for values up to ``value_pj``."""
    for unit, scale in (("mJ", 1e9), ("uJ", 1e6), ("nJ", 1e3)):
        if value_pj >= scale:
            return unit, scale
    return "pJ", 1.0


def energy_by_part(by_path: dict[str, float]) -> dict[str, float]:
    """Energy of each part of a model from that of its paths; the sum is kept."""
    parts: dict[str, float] = {}
    for path, value in by_path.items():
        if path.startswith("frontend."):
            part = "front ends (digital)"
        elif path.startswith("encoders.vision."):
            part = "vision encoder"
        elif path.startswith("encoders.audio."):
            part = "audio encoder"
        elif path.endswith(".vision"):
            part = "fusion: vision path"
        elif path.endswith(".audio"):
            part = "fusion: audio path"
        else:
            part = "fused layer and readout"
        parts[part] = parts.get(part, 0.0) + value
    return parts


def _legend_handles(parts: list[str]) -> list[Any]:
    """One patch per part that occurs."""
    from matplotlib.patches import Patch

    return [Patch(color=PART_COLORS[part], label=part) for part in parts]


def _synthetic(run: RunRecord) -> str:
    """Said wherever a figure of synthetic speech appears."""
    return " (synthetic speech)" if run.result["data"]["synthetic_speech"] else ""
