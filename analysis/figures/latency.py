"""Latency: accuracy against the time of the answer, with exits; who has answered by when."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from analysis.figures.style import (
    MODEL_COLORS,
    color_of,
    house_style,
    keep_row,
    new_figure,
    save_figure,
)
from analysis.naming import model_name
from analysis.records import RunRecord

HOST = "host"


def draw_latency(run: RunRecord, folder: Path) -> list[Path]:
    """Both figures of latency; none where the run holds no exits or no latency by profile."""
    written: list[Path] = []
    if any("exit" in model for model in run.result["models"].values()):
        written += draw_exits(run, folder)
    if timed_profiles(run.result):
        written += draw_latency_cdf(run, folder)
    return written


def draw_exits(run: RunRecord, folder: Path) -> list[Path]:
    """Accuracy over stimulus time: all answers at one time, and each as soon as it is sure."""
    rows: dict[str, list[Any]] = {"model": [], "rule": [], "theta": [], "ms": [], "accuracy": []}
    with house_style():
        figure, axes = new_figure(1, 6.5, 4.0)
        axis = axes[0, 0]
        for name, model in run.result["models"].items():
            color, curve = MODEL_COLORS.get(name), model["anytime"]
            axis.plot(curve["time_ms"], curve["accuracy"], color=color, alpha=0.35, linestyle="--")
            for ms, accuracy in zip(curve["time_ms"], curve["accuracy"], strict=True):
                keep_row(rows, name, "fixed time", "", ms, accuracy)
            found = model.get("exit")
            if found is None:
                continue
            axis.plot(
                found["mean_ms"],
                found["accuracy"],
                color=color,
                marker=".",
                label=model_name(name),
            )
            for theta, ms, accuracy in zip(
                found["thetas"], found["mean_ms"], found["accuracy"], strict=True
            ):
                keep_row(rows, name, "exit", theta, ms, accuracy)
            chosen = found["chosen"]
            axis.plot(
                chosen["mean_ms"],
                chosen["accuracy"],
                color=color,
                marker="*",
                markersize=13,
                markeredgecolor="black",
                linestyle="none",
            )
            keep_row(rows, name, "chosen", "", chosen["mean_ms"], chosen["accuracy"])
        axis.set_xlabel("time of the answer in the stimulus (ms; mean over samples for exits)")
        axis.set_ylabel("test accuracy")
        axis.set_ylim(0.0, 1.02)
        axis.set_xlim(0.0, None)
        axis.grid(alpha=0.3)
        handles, _ = axis.get_legend_handles_labels()
        figure.legend(handles=[*handles, *_keys()], loc="outside lower center", ncols=3)
        return save_figure(figure, folder, "exits", rows)


def draw_latency_cdf(
    data: RunRecord | Mapping[str, Mapping[str, Mapping[str, Any]]], folder: Path
) -> list[Path]:
    """Share of samples whose answer is there, over the time from onset, a panel a profile.

    Parameters
    ----------
    data : RunRecord, or mapping of profile to model to mapping
        Each with ``ms`` and ``share``, arrays of one length; profile ``host`` was measured.
    folder : Path
    """
    curves = _cdfs(data) if isinstance(data, RunRecord) else data
    rows: dict[str, list[Any]] = {"profile": [], "model": [], "ms": [], "share": []}
    with house_style():
        figure, axes = new_figure(len(curves), 6.5, 0.9 + 2.3 * len(curves), sharex=True)
        named: dict[str, Any] = {}
        for axis, (profile, by_model) in zip(axes[:, 0], curves.items(), strict=True):
            for name, cdf in by_model.items():
                (line,) = axis.step(
                    cdf["ms"],
                    cdf["share"],
                    where="post",
                    color=color_of(name),
                    linestyle="--" if name == "dense" else "-",
                )
                named[model_name(name)] = line
                for ms, share in zip(cdf["ms"], cdf["share"], strict=True):
                    keep_row(rows, profile, name, ms, share)
            axis.set_title(
                "this host (measured compute)" if profile == HOST else f"{profile} (modelled)",
                loc="left",
            )
            axis.set_ylabel("share answered")
            axis.set_ylim(0.0, 1.02)
            axis.set_xlim(0.0, None)
            axis.grid(alpha=0.3)
        axes[-1, 0].set_xlabel("latency from onset until the answer stays (ms)")
        figure.legend(
            handles=list(named.values()),
            labels=list(named),
            loc="outside lower center",
            ncols=min(3, max(len(named), 1)),
        )
        return save_figure(figure, folder, "latency_cdf", rows)


def _cdfs(run: RunRecord) -> dict[str, dict[str, Mapping[str, Any]]]:
    """Curves of a run by profile and model."""
    return {
        profile: {
            name: cdf
            for name, model in run.result["models"].items()
            if (cdf := _by_profile(model).get(profile, {}).get("cdf")) is not None
        }
        for profile in timed_profiles(run.result)
    }


def timed_profiles(result: Mapping[str, Any]) -> list[str]:
    """Profiles on which the latency of any model is known, in the order of the run."""
    found: dict[str, None] = {}
    for model in result["models"].values():
        for profile, entry in _by_profile(model).items():
            if entry.get("p50_ms") is not None:
                found[profile] = None
    return list(found)


def _by_profile(model: Mapping[str, Any]) -> Mapping[str, Any]:
    """Latency by profile; empty in a run without."""
    entries: Mapping[str, Any] = model["latency"].get("by_profile", {})
    return entries


def _keys() -> list[Any]:
    """What lines and stars mean."""
    from matplotlib.lines import Line2D

    return [
        Line2D([], [], color="black", alpha=0.35, linestyle="--", label="all at one time"),
        Line2D([], [], color="black", marker=".", label="exit when sure"),
        Line2D(
            [],
            [],
            color="white",
            marker="*",
            markersize=11,
            markeredgecolor="black",
            linestyle="none",
            label="threshold chosen on validation",
        ),
    ]
