"""The aligned raster: modalities, their encoders, fused spikes and evidence on one axis."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from analysis.figures.style import (
    BLUE,
    PURPLE,
    SKY,
    VERMILION,
    color_of,
    house_style,
    new_figure,
    save_figure,
)
from analysis.naming import sensor_words
from analysis.records import RunRecord

_MOST_DELAYS = 3  # pairs whose delays are drawn: more cannot be told apart


@dataclass(frozen=True, eq=False)
class SpikeRows:
    """One panel of a raster.

    Parameters
    ----------
    name : str
        What column names of the CSV begin with.
    label : str
        What stands at its axis.
    time_ms : array [n]
    row : array [n]
    n_rows : int
    color : str
    on : bool array [n], optional
        Polarities, of a sensor that has two.
    layer : bool
        Whether these are neurons of a layer rather than places of a sensor.
    """

    name: str
    label: str
    time_ms: np.ndarray[Any, Any]
    row: np.ndarray[Any, Any]
    n_rows: int
    color: str
    on: np.ndarray[Any, Any] | None = None
    layer: bool = False


@dataclass(frozen=True, eq=False)
class RasterPicture:
    """What an aligned raster shows.

    Parameters
    ----------
    title : str
    panels : sequence of SpikeRows
        From top to bottom, on one clock.
    duration_ms : float
    evidence_ms : array [T]
        Times of the answers; none without evidence.
    evidence : array [T, C]
        Class probabilities.
    classes : sequence of str
    label, prediction : int
    decision_ms : float
        When the answer became final.
    delays_ms : mapping of pair to array
        Learned delays ``"vision>audio"``, drawn as arrows that end at the decision.
    """

    title: str
    panels: Sequence[SpikeRows]
    duration_ms: float
    evidence_ms: np.ndarray[Any, Any]
    evidence: np.ndarray[Any, Any]
    classes: Sequence[str]
    label: int
    prediction: int
    decision_ms: float
    delays_ms: Mapping[str, np.ndarray[Any, Any]]


def draw_raster(data: RunRecord | RasterPicture, folder: Path) -> list[Path]:
    """Draw one test sample through all layers, its decision and learned delays marked.

    Raises
    ------
    ValueError
        If a run holds no raster.
    """
    picture = picture_of(data) if isinstance(data, RunRecord) else data
    heights = [1.6 if panel.layer else 2.6 for panel in picture.panels]
    with house_style():
        figure, axes = new_figure(
            len(heights) + 1,
            7.0,
            1.0 + 0.62 * (sum(heights) + 2.2),
            sharex=True,
            gridspec_kw={"height_ratios": [*heights, 2.2]},
        )
        for axis, panel in zip(axes[:-1, 0], picture.panels, strict=True):
            _draw_rows(axis, panel)
        first, fused, output = axes[0, 0], axes[-2, 0], axes[-1, 0]
        _draw_evidence(output, picture)
        for axis in axes[:, 0]:
            axis.axvline(picture.decision_ms, color="black", linestyle="--", linewidth=1)
        late = picture.decision_ms > 0.6 * picture.duration_ms
        first.annotate(
            f"answer final at {picture.decision_ms:.0f} ms",
            (picture.decision_ms, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(-4 if late else 4, 3),
            textcoords="offset points",
            ha="right" if late else "left",
        )
        _draw_delays(fused, picture)
        output.set_xlim(0, picture.duration_ms)
        figure.align_ylabels(axes[:, 0])
        figure.suptitle(picture.title, fontsize=10, x=0.02, ha="left")
        return save_figure(figure, folder, "raster", _columns(picture))


def draw_spikes(
    panel: SpikeRows, duration_ms: float, folder: Path, name: str, bin_ms: float = 10.0
) -> list[Path]:
    """A single raster: the spikes of one sensor or layer, and how many per step of time above.

    Parameters
    ----------
    panel : SpikeRows
    duration_ms : float
    folder : Path
    name : str
        Name of the files.
    bin_ms : float
        Bins of the rate above; of a model's layer, its step.

    Raises
    ------
    ValueError
        If a length is not positive.
    """
    if not (duration_ms > 0 and bin_ms > 0):
        raise ValueError(
            f"duration_ms and bin_ms must be positive, got {duration_ms:g} and {bin_ms:g}"
        )
    n_bins = max(1, round(duration_ms / bin_ms))
    with house_style():
        figure, axes = new_figure(2, 6.5, 3.6, sharex=True, gridspec_kw={"height_ratios": [1, 3.2]})
        rate, axis = axes[:, 0]
        counts, edges = np.histogram(panel.time_ms, bins=n_bins, range=(0.0, duration_ms))
        width_ms = duration_ms / n_bins
        rate.stairs(1e3 * counts / (width_ms * panel.n_rows), edges, color=panel.color, fill=True)
        rate.set_ylabel("rate (Hz)\nper row")
        rate.set_title(f"{len(panel.time_ms):,} spikes", loc="left")
        _draw_rows(axis, panel)
        axis.set_xlim(0, duration_ms)
        axis.set_xlabel("time from stimulus onset (ms)")
        figure.align_ylabels(axes[:, 0])
        return save_figure(figure, folder, name, dict(_events_of(panel)))


def picture_of(run: RunRecord) -> RasterPicture:
    """The raster of a run, with the learned delays of the seed that it shows.

    Raises
    ------
    ValueError
        If the run holds none.
    """
    raster = run.raster
    if raster is None:
        raise ValueError(f"run must hold raster.npz, got none in {run.path}")
    start = f"snn.seed{int(raster['seed'])}.delay_end_ms."
    delays = {
        k.removeprefix(start): v for k, v in (run.delays or {}).items() if k.startswith(start)
    }
    return RasterPicture(
        _title(raster, run.result["data"]["synthetic_speech"]),
        list(panels_of(raster, run.result["data"])),
        float(raster["duration_ms"]),
        raster["output_t_ms"],
        raster["output"],
        run.result["data"]["classes"],
        int(raster["label"]),
        int(raster["prediction"]),
        float(raster["decision_ms"]),
        delays,
    )


def panels_of(
    raster: Mapping[str, Any], data: Mapping[str, Any] | None = None
) -> Iterator[SpikeRows]:
    """Every modality and, where it was kept, its encoder; then the fused layer.

    ``data`` of the run's result says what the modalities are.
    """
    modalities = [str(m) for m in raster.get("modalities", ("vision", "audio"))]
    for position, name in enumerate(modalities):
        rows = {"vision": "vision_y", "audio": "audio_channel"}.get(name, f"{name}_row")
        size = {"vision": "height", "audio": "n_channels"}.get(name, f"n_{name}")
        on = raster.get(f"{name}_p")
        color = color_of(name, position)
        label = "\n".join(sensor_words(name, raster, data or {}))
        yield SpikeRows(
            name,
            label,
            raster[f"{name}_t_ms"],
            raster[rows],
            int(raster[size]),
            color,
            None if on is None else on.astype(bool),
        )
        if f"encoder_{name}_ms" in raster:
            yield SpikeRows(
                f"encoder_{name}",
                f"{name} encoder\nneuron",
                raster[f"encoder_{name}_ms"],
                raster[f"encoder_{name}_neuron"],
                int(raster[f"n_encoder_{name}"]),
                color,
                layer=True,
            )
    yield SpikeRows(
        "hidden",
        "fused layer\nneuron",
        raster["hidden_t_ms"],
        raster["hidden_neuron"],
        int(raster["n_hidden"]),
        PURPLE,
        layer=True,
    )


def _draw_rows(axis: Any, panel: SpikeRows) -> None:
    """Spikes of one panel; ON and OFF apart, the first row of a picture at the top."""
    if panel.on is None:
        # Strokes while they can be told apart, else dots.
        stroke = panel.layer or panel.n_rows <= 24
        axis.scatter(
            panel.time_ms,
            panel.row,
            s=min(60.0, 700.0 / panel.n_rows) if stroke else 1,
            color=panel.color,
            marker="|" if stroke else "o",
            linewidths=0.8 if stroke else None,
        )
        axis.set_ylim(-1, panel.n_rows)
    else:
        for mask, color, label in ((panel.on, VERMILION, "ON"), (~panel.on, BLUE, "OFF")):
            axis.scatter(panel.time_ms[mask], panel.row[mask], s=1, color=color, label=label)
        axis.set_ylim(panel.n_rows, -1)
        # Above the panel: inside, it would hide events.
        axis.legend(
            loc="lower right",
            bbox_to_anchor=(1.0, 0.98),
            markerscale=5,
            ncols=2,
            handletextpad=0.1,
            borderpad=0.1,
        )
    axis.set_ylabel(panel.label)


def _draw_delays(axis: Any, picture: RasterPicture) -> None:
    """Arrows as long as learned delays: how far back spikes lie that arrive together."""
    shown = list(picture.delays_ms.items())[:_MOST_DELAYS]
    if not shown:
        return
    bottom, top = axis.get_ylim()
    axis.set_ylim(bottom, top + (top - bottom) * 0.22 * len(shown))
    # At the decision, or where an arrow of that length fits in after the onset.
    longest = max(float(np.percentile(delays, 75)) for _, delays in shown)
    at = max(picture.decision_ms, longest)
    for i, (pair, delays) in enumerate(shown):
        low, middle, high = np.percentile(delays, (25, 50, 75))
        y = top + (top - bottom) * (0.12 + 0.22 * i)
        color = color_of(pair.partition(">")[0], i)
        axis.annotate(
            "",
            (at, y),
            (at - middle, y),
            arrowprops={"arrowstyle": "->", "color": color, "linewidth": 1.6},
        )
        axis.plot([at - high, at - low], [y, y], color=color, linewidth=5, alpha=0.25)
        named = pair.replace(">", " to ")
        words = f"learned delay, {named}: median {middle:.0f} ms (half in {low:.0f} to {high:.0f})"
        axis.annotate(
            words, (at, y), xytext=(5, 0), textcoords="offset points", va="center", fontsize=8
        )


def _draw_evidence(axis: Any, picture: RasterPicture) -> None:
    """Class probabilities: the true class thick, a wrong answer dashed, the others thin."""
    label, prediction = picture.label, picture.prediction
    others = [k for k in range(picture.evidence.shape[1]) if k not in (label, prediction)]
    styles: list[tuple[int, str | None, dict[str, Any]]] = [
        (k, "other classes" if k == others[0] else None, {"color": SKY, "linewidth": 0.8})
        for k in others
    ]
    if prediction != label:
        wrong = {"color": "black", "linewidth": 1.4, "linestyle": ":"}
        styles.append((prediction, f"answered class {picture.classes[prediction]}", wrong))
    true = {"color": VERMILION, "linewidth": 2.2}
    styles.append((label, f"true class {picture.classes[label]}", true))
    for k, name, style in styles:
        axis.plot(picture.evidence_ms, picture.evidence[:, k], label=name, **style)
    axis.set_ylim(0, 1.02)
    axis.set_ylabel("class evidence\n(softmax)")
    axis.set_xlabel("time from stimulus onset (ms)")
    axis.legend(loc="best", fontsize=8)


def _title(raster: Mapping[str, Any], synthetic: bool) -> str:
    """What is shown, and whether it was answered rightly."""
    right = int(raster["label"]) == int(raster["prediction"])
    modalities = [str(m) for m in raster.get("modalities", ("vision", "audio"))]
    sources = [str(raster[f"{name}_source"]) for name in modalities]
    if synthetic and "audio" in modalities:
        at = modalities.index("audio")
        sources[at] = f"synthetic speech {sources[at]}"
    shown = " with ".join(source for source in dict.fromkeys(sources) if source)
    return f"{shown}: answered {'rightly' if right else 'wrongly'} (seed {int(raster['seed'])})"


def _events_of(panel: SpikeRows) -> Iterator[tuple[str, list[Any]]]:
    """Columns of one panel."""
    yield f"{panel.name}_t_ms", panel.time_ms.tolist()
    yield f"{panel.name}_row", panel.row.tolist()
    if panel.on is not None:
        yield f"{panel.name}_on", panel.on.tolist()


def _columns(picture: RasterPicture) -> dict[str, Any]:
    """The drawn events and lines as columns of unequal length."""
    columns: dict[str, Any] = {}
    for panel in picture.panels:
        columns |= dict(_events_of(panel))
    columns["output_t_ms"] = picture.evidence_ms.tolist()
    for k in range(picture.evidence.shape[1]):
        columns[f"output_class_{k}"] = picture.evidence[:, k].tolist()
    for pair, delays in picture.delays_ms.items():
        columns[f"delay_ms {pair}"] = delays.tolist()
    return columns
