"""Curves of a stress suite: noise, misalignment, and d' together and alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from analysis.naming import model_name
from analysis.report.lines import Axis, Series, Spot, draw_lines
from analysis.report.svg import tints

_SIZE = (440.0, 270.0)


def stress_curves(stress: Mapping[str, Any]) -> list[str]:
    """One picture for each modality and kind of damage; bands are 95 % intervals."""
    panels: dict[tuple[str, str, str], list[Series]] = {}
    color = tints(stress["models"])
    for model, found in stress["measures"].items():
        look = (model_name(model), color[model], stress["models"][model]["kind"] == "dense")
        for modality, kinds in found.get("noise", {}).items():
            for kind, entry in kinds.items():
                key = (f"{modality}: {kind.replace('_', ' ')}", entry["unit"], "test accuracy")
                _add(panels, key, look, entry["levels"], entry["accuracy"])
        for modality, entry in found.get("misalignment", {}).items():
            key = (f"{modality}: misaligned", "late by (ms)", "test accuracy")
            _add(panels, key, look, entry["offsets_ms"], entry["accuracy"])
            key = (f"{modality}: drift", "clock fast by (ppm)", "test accuracy")
            _add(panels, key, look, entry["drifts_ppm"], entry["drift_accuracy"])
        for against, entry in found.get("gain", {}).items():
            words = "alone" if against == "own" else "trained alone"
            title = f"{model_name(model)}, each modality {words}"
            key = (title, "share of events lost, all modalities", "d'")
            _add(panels, key, ("together", "blue", False), entry["drop"], entry["d_prime"])
            alone = entry["d_prime_alone"]
            for name, tint in tints(f"snn_{m}" for m in alone).items():
                modality = name.removeprefix("snn_")
                by_level = alone[modality]
                _add(panels, key, (f"{modality} alone", tint, True), entry["drop"], by_level)
    chance = {"chance": 1 / stress["n_classes"]}
    return [
        draw_lines(
            series,
            Axis(x),
            Axis(f"{y} | {title}", (0.0, 1.0) if y == "test accuracy" else None),
            f"{title}: {y} over {x}",
            horizontals=chance if y == "test accuracy" else None,
            size=_SIZE,
        )
        for (title, x, y), series in panels.items()
        if any(s.spots for s in series)
    ]


def _add(
    panels: dict[tuple[str, str, str], list[Series]],
    key: tuple[str, str, str],
    look: tuple[str, str, bool],
    x: Sequence[float],
    figures: Sequence[Mapping[str, Any]],
) -> None:
    """A curve, levels without a value left out."""
    name, tint, dashed = look
    spots = [
        Spot(
            at,
            f["value"],
            f"{name}, {at:g}: {f['value']:.3f}",
            tuple(f["interval"]) if f["interval"] else None,
        )
        for at, f in zip(x, figures, strict=True)
        if f["value"] is not None
    ]
    panels.setdefault(key, []).append(Series(name, tint, spots, "dot", True, dashed, band=True))
