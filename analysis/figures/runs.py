"""Every figure of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from analysis.figures.activity import draw_activity
from analysis.figures.calibration import draw_calibration
from analysis.figures.confusion import draw_confusion
from analysis.figures.delays import draw_delays
from analysis.figures.duty import draw_duty
from analysis.figures.energy import draw_energy, draw_energy_actions, draw_energy_totals
from analysis.figures.latency import draw_latency
from analysis.figures.membranes import draw_membranes
from analysis.figures.pareto import draw_pareto
from analysis.figures.ranges import draw_break_even, draw_tornado
from analysis.figures.raster import draw_raster
from analysis.figures.style import MODEL_COLORS, house_style, new_figure, save_figure
from analysis.naming import model_name
from analysis.records import RunRecord, load_run


def make_figures(run_dir: Path, folder: Path | None = None) -> list[Path]:
    """Draw all figures of a finished run, each as PNG, SVG, PDF and CSV.

    Parameters
    ----------
    run_dir : Path
    folder : Path, optional
        ``run_dir/figures`` by default.

    Returns
    -------
    list of Path
        Every file, in the order drawn.
    """
    run = load_run(run_dir)
    folder = run.path / "figures" if folder is None else folder
    written: list[Path] = []
    if run.raster is not None:
        written += draw_raster(run, folder)
        written += draw_activity(run, folder)
        written += draw_membranes(run, folder)
    written += draw_delays(run, folder)
    if run.result["models"]:
        written += draw_energy(run, folder)
        written += draw_energy_actions(run, folder)
        written += draw_energy_totals(run, folder)
        written += draw_break_even(run, folder)
        written += draw_tornado(run, folder)
        written += draw_pareto(run, folder)
        written += draw_duty(run, folder)
        written += draw_anytime(run, folder)
        written += draw_latency(run, folder)
        written += draw_calibration(run, folder)
        written += draw_confusion(run, folder)
    return written


def draw_anytime(run: RunRecord, folder: Path) -> list[Path]:
    """Accuracy of the answer given after each time, every model."""
    rows: dict[str, list[Any]] = {"model": [], "time_ms": [], "accuracy": []}
    with house_style():
        figure, axes = new_figure(1, 6.5, 3.6)
        axis = axes[0, 0]
        for name, model in run.result["models"].items():
            curve = model["anytime"]
            dense = model["kind"] == "dense"
            axis.plot(
                curve["time_ms"],
                curve["accuracy"],
                color=MODEL_COLORS.get(name),
                marker="s" if dense else None,
                linestyle="--" if dense else "-",
                label=model_name(name) + (" (one run per window)" if dense else ""),
            )
            rows["model"] += [name] * len(curve["time_ms"])
            rows["time_ms"] += curve["time_ms"]
            rows["accuracy"] += curve["accuracy"]
        data = run.result["data"]
        axis.axhline(1 / data["n_classes"], color="black", linestyle=":", linewidth=1)
        axis.annotate(
            "chance",
            (0.0, 1 / data["n_classes"]),
            xytext=(4, -10),
            textcoords="offset points",
        )
        axis.set_xlabel("time from stimulus onset (ms), compute not included")
        axis.set_ylabel("test accuracy")
        axis.set_ylim(0, 1.02)
        axis.set_xlim(left=0)
        axis.grid(alpha=0.3)
        axis.legend(loc="lower right", frameon=True, framealpha=0.9)
        speech = " (synthetic speech)" if data["synthetic_speech"] else ""
        seeds = len(run.result["seeds"])
        mean = f", mean of {seeds} seeds" if seeds > 1 else ", one seed"
        axis.set_title(f"Accuracy of the answer so far{speech}{mean}", loc="left")
        return save_figure(figure, folder, "anytime", rows)
