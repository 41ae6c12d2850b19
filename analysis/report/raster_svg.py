"""One test sample on one clock: every modality, the fused layer and the evidence, stacked."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.naming import sensor_words
from analysis.records import RunRecord
from analysis.report.svg import Scale, bar, chart, legend, line, path, px, text, x_axis, y_axis

Raster = Mapping[str, np.ndarray[Any, Any]]

# Above it a browser draws on a canvas: a path of so many strokes is slow to move.
MOST_SVG_SPIKES = 20_000
_WIDTH, _LEFT, _RIGHT = 900.0, 140.0, 16.0
_PANEL, _STRIP, _GAP, _EVIDENCE = 112.0, 24.0, 12.0, 96.0
# Fewer spikes than this are drawn larger than their row, to be seen.
_FEW = 1000
_ROWS = ("y", "channel", "neuron", "row", "x")
_HEIGHTS = {"vision": "height", "audio": "n_channels", "hidden": "n_hidden"}
_TINTS = {"vision": "blue", "audio": "orange", "hidden": "purple"}
_FURTHER = ("green", "sky", "grey")


@dataclass(frozen=True)
class Panel:
    """The events of one modality or layer.

    Parameters
    ----------
    name : str
    words : (str, str)
        What it is, and what its rows are.
    time_ms : array [n]
        In order.
    row : array [n]
    n_rows : int
    tint : array [n] of str
        Colour of every event.
    """

    name: str
    words: tuple[str, str]
    time_ms: np.ndarray[Any, Any]
    row: np.ndarray[Any, Any]
    n_rows: int
    tint: np.ndarray[Any, Any]


def panels_of(raster: Raster, data: Mapping[str, Any] | None = None) -> list[Panel]:
    """Every modality in the file, then the fused layer; ``data`` of the run's result names them."""
    times = {k.removesuffix("_ms").removesuffix("_t"): k for k in raster if _is_times(k)}
    panels: list[Panel] = []
    for name in sorted(times, key=lambda n: (*_order(n), n)):
        key = next((f"{name}_{r}" for r in _ROWS if f"{name}_{r}" in raster), None)
        if key is None:
            continue
        time_ms, row = raster[times[name]], raster[key].astype(np.int64)
        known = _HEIGHTS.get(name, f"n_{name}")
        n_rows = int(raster[known]) if known in raster else int(row.max(initial=0)) + 1
        tint = np.full(len(row), _TINTS.get(name, _FURTHER[len(panels) % len(_FURTHER)]))
        if f"{name}_p" in raster:
            tint = np.where(raster[f"{name}_p"].astype(bool), "vermilion", "blue")
        words = sensor_words(name, raster, data or {})
        if name == "hidden":
            words = ("fused layer", "neuron")
        if name.startswith("encoder_"):
            words = (f"{name.removeprefix('encoder_')} encoder", "neuron")
        sort = np.argsort(time_ms, kind="stable")
        panels.append(Panel(name, words, time_ms[sort], row[sort], n_rows, tint[sort]))
    return panels


def _is_times(key: str) -> bool:
    """Whether an array holds times of spikes."""
    events = key.endswith("_t_ms") and key != "output_t_ms"
    return events or (key.startswith("encoder_") and key.endswith("_ms"))


def _order(name: str) -> tuple[int, int]:
    """Modalities, then encoders, then the fused layer; vision and audio first."""
    if name == "hidden":
        return (2, 0)
    known = {"vision": 0, "audio": 1}
    return (int(name.startswith("encoder_")), known.get(name.removeprefix("encoder_"), 2))


def raster_figure(run: RunRecord, canvas: bool = True) -> dict[str, Any] | None:
    """The picture, and what the script needs for its cursor.

    Parameters
    ----------
    run : RunRecord
    canvas : bool
        Whether spikes above `MOST_SVG_SPIKES` are given to the script too.

    Returns
    -------
    dict or None
        ``html``; ``data`` with ``duration_ms``, ``bin_ms``, ``left``, ``right`` and ``width`` of
        the plot in pixels, and per panel ``name``, ``rates_hz`` [n_bins] and, above the limit,
        ``canvas``; None without a raster.
    """
    raster = run.raster
    if raster is None:
        return None
    data = run.result["data"]
    panels = panels_of(raster, data)
    duration_ms, bin_ms = float(raster["duration_ms"]), float(raster["dt_ms"])
    scale = Scale(0.0, duration_ms, _LEFT, _WIDTH - _RIGHT)
    many = sum(len(p.time_ms) for p in panels) > MOST_SVG_SPIKES
    body: list[str] = []
    shown: list[dict[str, Any]] = []
    top = 22.0
    for panel in panels:
        rates_hz = _rates_hz(panel.time_ms, duration_ms, bin_ms)
        entry: dict[str, Any] = {"name": panel.words[0], "rates_hz": [round(r) for r in rates_hz]}
        if many and canvas:
            entry["canvas"] = {"top": top, "height": _PANEL, **_packed(panel, scale)}
        shown.append(entry)
        body.append(_panel(panel, scale, top, many))
        top += _PANEL + 3
        body.append(_strip(panel, rates_hz, scale, top, bin_ms))
        top += _STRIP + _GAP
    evidence, top = _evidence(raster, scale, top, data["classes"])
    body.append(evidence)
    decision_ms = float(raster["decision_ms"])
    at = scale(decision_ms)
    body.append(line(at, 18, at, top, "decision"))
    end = decision_ms > 0.7 * duration_ms
    said = f"answer final at {decision_ms:.0f} ms"
    body.append(text(at + (-5 if end else 5), 14, said, "end" if end else "start", "label"))
    body.append(line(scale.start, 18, scale.start, top, "cursor"))
    title = _title(raster, data["synthetic_speech"])
    html = chart(_WIDTH, top + 40, "".join(body), title, "raster")
    keys = [("f-vermilion", "ON event"), ("f-blue", "OFF event")] if _has_polarity(raster) else []
    rest = [
        (f"f-{p.tint[0]}", p.words[0])
        for p in panels
        if f"{p.name}_p" not in raster and len(p.tint)
    ]
    square = '<rect class="{}" x="6" width="10" height="10"/>'
    return {
        "html": legend((square.format(kind), words) for kind, words in keys + rest)
        + f'<div class="wide"><div class="stack">{html}</div></div>',
        "title": title,
        "data": {
            "duration_ms": duration_ms,
            "bin_ms": bin_ms,
            "left": scale.start,
            "right": scale.stop,
            "width": _WIDTH,
            "height": top + 40,
            "panels": shown,
        },
    }


def _has_polarity(raster: Raster) -> bool:
    """Whether any modality tells ON from OFF."""
    return any(key.endswith("_p") for key in raster)


def _rates_hz(time_ms: Any, duration_ms: float, bin_ms: float) -> list[float]:
    """Events per second in every bin, the last one perhaps shorter."""
    n_bins = max(1, round(np.ceil(duration_ms / bin_ms - 1e-9)))
    index = np.clip((time_ms / bin_ms).astype(np.int64), 0, n_bins - 1)
    counts = np.bincount(index, minlength=n_bins)
    widths_s = np.minimum(bin_ms, duration_ms - np.arange(n_bins) * bin_ms) / 1e3
    return [float(c / w) for c, w in zip(counts, widths_s, strict=True)]


def _panel(panel: Panel, scale: Scale, top: float, many: bool) -> str:
    """Spikes as short strokes, one path for each colour."""
    tall = _PANEL / max(panel.n_rows, 1)
    parts = [
        bar(scale.start, top, scale.stop - scale.start, _PANEL, "plot"),
        text(4, top + 14, panel.words[0], "start", "label"),
        text(4, top + 30, f"{panel.words[1]} 0 to {panel.n_rows - 1}", "start", "small"),
        text(4, top + 46, f"{len(panel.time_ms):,} spikes", "start", "small"),
    ]
    few = len(panel.time_ms) < _FEW
    stroke = px(max(tall, 4.0 if few else 1.2))
    for tint in dict.fromkeys(panel.tint.tolist()):
        chosen = panel.tint == tint
        x = np.array([scale(t) for t in panel.time_ms[chosen]])
        y = top + panel.row[chosen] * tall
        if panel.name != "vision":  # channels and neurons count upwards, pixel rows downwards
            y = top + _PANEL - (panel.row[chosen] + 1) * tall
        x = np.round(x) if many else np.round(x, 1)
        strokes = dict.fromkeys(f"M{px(a)} {px(b)}v{stroke}" for a, b in zip(x, y, strict=True))
        kind = f"spikes{' heavy' if few else ''} s-{tint}"
        parts.append(f'<path class="{kind}" d="{"".join(strokes)}"/>')
    return "".join(parts)


def _packed(panel: Panel, scale: Scale) -> dict[str, Any]:
    """Spikes for a canvas: by colour, pairs of half pixels and rows as little-endian uint16."""
    tall = _PANEL / max(panel.n_rows, 1)
    spikes: dict[str, str] = {}
    for tint in dict.fromkeys(panel.tint.tolist()):
        chosen = panel.tint == tint
        at = np.round([2 * scale(t) for t in panel.time_ms[chosen]]).astype("<u2")
        row = panel.row[chosen]
        row = row if panel.name == "vision" else panel.n_rows - 1 - row
        pairs = np.unique(np.stack([at, row.astype("<u2")], axis=1), axis=0)
        spikes[tint] = base64.b64encode(pairs.tobytes()).decode()
    return {"tall": tall, "spikes": spikes}


def _strip(panel: Panel, rates_hz: list[float], scale: Scale, top: float, bin_ms: float) -> str:
    """Events per second below a panel, as steps."""
    highest = max(rates_hz)
    base = top + _STRIP
    d = f"M{px(scale.start)} {px(base)}"
    for i, rate in enumerate(rates_hz):
        level = base - (_STRIP * rate / highest if highest else 0.0)
        d += f"V{px(level)}H{px(scale(min((i + 1) * bin_ms, scale.high)))}"
    kind = f"f-{panel.tint[0]}" if len(panel.tint) else "f-grey"
    kind = "f-grey" if len(set(panel.tint.tolist())) > 1 else kind
    words = f"up to {highest / 1e3:.1f} k events/s" if highest >= 1e3 else f"up to {highest:.0f}/s"
    return (
        f'<path class="{kind}" d="{d}V{px(base)}Z"/>'
        + line(scale.start, base, scale.stop, base)
        + text(4, base - 5, words, "start", "small")
    )


def _evidence(raster: Raster, scale: Scale, top: float, classes: list[str]) -> tuple[str, float]:
    """Class probabilities over time: the true class thick, a wrong answer dashed."""
    bottom = top + _EVIDENCE
    up = Scale(0.0, 1.0, bottom, top)
    label, answer = int(raster["label"]), int(raster["prediction"])
    times = [scale(float(t)) for t in raster["output_t_ms"]]
    parts = [
        y_axis(up, scale.start, "", "{:g}".format, scale.stop),
        text(4, top + 14, "evidence", "start", "label"),
        text(4, top + 30, f"true: {classes[label]}", "start", "small"),
        text(4, top + 46, f"answered: {classes[answer]}", "start", "small"),
    ]
    ranked = sorted(range(raster["output"].shape[1]), key=lambda k: (k == label, k == answer))
    for k in ranked:
        kind = "line s-grey faint"
        if k == answer:
            kind = "line s-blue dashed"
        if k == label:
            kind = "line s-vermilion thick"
        levels = [up(float(v)) for v in raster["output"][:, k]]
        parts.append(path(list(zip(times, levels, strict=True)), kind))
    parts.append(x_axis(scale, bottom, "time from stimulus onset (ms)", "{:g}".format, top))
    return "".join(parts), bottom


def _title(raster: Raster, synthetic: bool) -> str:
    """What is shown, and whether it was answered rightly."""
    right = int(raster["label"]) == int(raster["prediction"])
    modalities = raster["modalities"].tolist() if "modalities" in raster else ["vision", "audio"]
    named = [
        f"{'synthetic speech ' if synthetic and m == 'audio' else ''}{raster[f'{m}_source']}"
        for m in modalities
        if f"{m}_source" in raster and str(raster[f"{m}_source"])
    ]
    sources = " with ".join(named) or "one test sample"
    return f"{sources}: answered {'rightly' if right else 'wrongly'} (seed {int(raster['seed'])})"
