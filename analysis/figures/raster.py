"""The aligned raster: vision, cochlea, fused spikes and evidence on one time axis."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from analysis.figures.style import (
    BLUE,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    house_style,
    new_figure,
    save_figure,
)
from analysis.records import RunRecord


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
    with house_style():
        figure, axes = new_figure(
            4, 7.0, 7.6, sharex=True, gridspec_kw={"height_ratios": [3, 3, 3, 2.2]}
        )
        vision, audio, hidden, output = axes[:, 0]
        _draw_events(vision, raster)
        audio.scatter(raster["audio_t_ms"], raster["audio_channel"], s=1, color=ORANGE)
        audio.set_ylim(-1, int(raster["n_channels"]))
        synthetic = run.result["data"]["synthetic_speech"]
        audio.set_ylabel("cochlea channel\n(synthetic speech)" if synthetic else "cochlea\nchannel")
        hidden.scatter(
            raster["hidden_t_ms"], raster["hidden_neuron"], s=9, color=PURPLE, marker="|"
        )
        hidden.set_ylim(-1, int(raster["n_hidden"]))
        hidden.set_ylabel("fused layer\nneuron")
        _draw_evidence(output, raster, run.result["data"]["classes"])
        decision = float(raster["decision_ms"])
        for axis in axes[:, 0]:
            axis.axvline(decision, color="black", linestyle="--", linewidth=1)
        late = decision > 0.6 * float(raster["duration_ms"])
        vision.annotate(
            f"answer final at {decision:.0f} ms",
            (decision, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(-4 if late else 4, 3),
            textcoords="offset points",
            ha="right" if late else "left",
        )
        output.set_xlim(0, float(raster["duration_ms"]))
        figure.suptitle(_title(raster, synthetic), fontsize=10, x=0.02, ha="left")
        return save_figure(figure, folder, "raster", _columns(raster))


def _draw_events(axis: Any, raster: dict[str, Any]) -> None:
    """Events of the camera: time against pixel row, ON and OFF apart."""
    on = raster["vision_p"].astype(bool)
    for mask, color, label in ((on, VERMILION, "ON"), (~on, BLUE, "OFF")):
        axis.scatter(
            raster["vision_t_ms"][mask], raster["vision_y"][mask], s=1, color=color, label=label
        )
    axis.set_ylim(int(raster["height"]), -1)
    axis.set_ylabel("event camera\npixel row")
    # Above the panel: inside, it would hide events.
    axis.legend(
        loc="lower right",
        bbox_to_anchor=(1.0, 0.98),
        markerscale=5,
        ncols=2,
        handletextpad=0.1,
        borderpad=0.1,
    )


def _draw_evidence(axis: Any, raster: dict[str, Any], classes: list[str]) -> None:
    """Class probabilities: the true class thick, a wrong answer dashed, the others thin."""
    label, prediction = int(raster["label"]), int(raster["prediction"])
    others = [k for k in range(raster["output"].shape[1]) if k not in (label, prediction)]
    styles: list[tuple[int, str | None, dict[str, Any]]] = [
        (k, "other classes" if k == others[0] else None, {"color": SKY, "linewidth": 0.8})
        for k in others
    ]
    if prediction != label:
        wrong = {"color": "black", "linewidth": 1.4, "linestyle": ":"}
        styles.append((prediction, f"answered class {classes[prediction]}", wrong))
    styles.append((label, f"true class {classes[label]}", {"color": VERMILION, "linewidth": 2.2}))
    for k, name, style in styles:
        axis.plot(raster["output_t_ms"], raster["output"][:, k], label=name, **style)
    axis.set_ylim(0, 1.02)
    axis.set_ylabel("class evidence\n(softmax)")
    axis.set_xlabel("time from stimulus onset (ms)")
    axis.legend(loc="center right", fontsize=8)


def _title(raster: dict[str, Any], synthetic: bool) -> str:
    """What is shown, and whether it was answered rightly."""
    right = int(raster["label"]) == int(raster["prediction"])
    speech = "synthetic speech " if synthetic else ""
    return (
        f"{raster['vision_source']} with {speech}{raster['audio_source']}: answered "
        f"{'rightly' if right else 'wrongly'} (seed {int(raster['seed'])})"
    )


def _columns(raster: dict[str, Any]) -> dict[str, Any]:
    """The drawn events and lines as columns of unequal length."""
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
    columns = {name: raster[name].tolist() for name in names}
    for k in range(raster["output"].shape[1]):
        columns[f"output_class_{k}"] = raster["output"][:, k].tolist()
    return columns
