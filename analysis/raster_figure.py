"""The aligned raster: vision, cochlea, fused spikes and evidence on one time axis."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from analysis.records import RunRecord
from analysis.style import BLUE, GREY, ORANGE, SKY, VERMILION, new_figure, save_figure


def draw_raster(run: RunRecord, folder: Path) -> list[Path]:
    """Draw one test sample of the fused SNN with its decision marked.

    Raises
    ------
    ValueError
        If the run holds no raster.
    """
    raster = run.raster
    if raster is None:
        raise ValueError(f"run must hold raster.npz, got none in {run.path}")
    figure, axes = new_figure(
        4, 7.0, 7.6, sharex=True, gridspec_kw={"height_ratios": [3, 3, 3, 2.2]}
    )
    vision, audio, hidden, output = axes[:, 0]
    on = raster["vision_p"].astype(bool)
    for mask, color, label in ((on, VERMILION, "ON"), (~on, BLUE, "OFF")):
        vision.scatter(
            raster["vision_t_ms"][mask], raster["vision_y"][mask], s=1, color=color, label=label
        )
    vision.set_ylim(int(raster["height"]), -1)
    vision.set_ylabel("event camera\npixel row")
    vision.legend(loc="upper right", markerscale=5, ncols=2, handletextpad=0.1)

    synthetic = run.result["data"]["synthetic_speech"]
    audio.scatter(raster["audio_t_ms"], raster["audio_channel"], s=1, color=ORANGE)
    audio.set_ylim(-1, int(raster["n_channels"]))
    audio.set_ylabel("cochlea channel\n(synthetic speech)" if synthetic else "cochlea\nchannel")

    hidden.scatter(raster["hidden_t_ms"], raster["hidden_neuron"], s=2, color=GREY, marker="|")
    hidden.set_ylim(-1, int(raster["n_hidden"]))
    hidden.set_ylabel("fused layer\nneuron")

    true_class, decision = int(raster["label"]), float(raster["decision_ms"])
    others = [digit for digit in range(raster["output"].shape[1]) if digit != true_class]
    for digit in others:
        name = "other classes" if digit == others[0] else None
        output.plot(
            raster["output_t_ms"], raster["output"][:, digit], color=SKY, linewidth=0.8, label=name
        )
    output.plot(
        raster["output_t_ms"],
        raster["output"][:, true_class],
        color=VERMILION,
        linewidth=2.0,
        label=f"true class {true_class}",
    )
    output.set_ylim(0, 1.02)
    output.set_ylabel("class evidence\n(softmax)")
    output.set_xlabel("time from stimulus onset (ms)")
    output.legend(loc="center right", fontsize=8)
    for axis in axes[:, 0]:
        axis.axvline(decision, color="black", linestyle="--", linewidth=1)
    output.annotate(
        f"answer {int(raster['prediction'])} final at {decision:.0f} ms",
        (decision, 0.08),
        xytext=(6, 0),
        textcoords="offset points",
    )
    output.set_xlim(0, float(raster["duration_ms"]))
    vision.set_title(
        f"{raster['vision_source']} with {raster['audio_source']}, seed {int(raster['seed'])}",
        loc="left",
    )
    return save_figure(figure, folder, "raster", _columns(raster))


def _columns(raster: dict[str, Any]) -> dict[str, Any]:
    """The drawn events as columns of unequal length."""
    names = (
        "vision_t_ms",
        "vision_y",
        "vision_p",
        "audio_t_ms",
        "audio_channel",
        "hidden_t_ms",
        "hidden_neuron",
        "output_t_ms",
    )
    return {name: raster[name].tolist() for name in names}
