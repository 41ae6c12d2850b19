"""How models are named for people, and how an energy is written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MODEL_NAMES = {
    "snn": "SNN fusion",
    "snn_late": "SNN late fusion",
    "dense": "dense twin",
    "snn_vision": "SNN vision only",
    "snn_audio": "SNN audio only",
}
_SENSORS = {"vision": ("event camera", "pixel row"), "audio": ("cochlea", "channel")}
_UNITS = (("J", 1e12), ("mJ", 1e9), ("uJ", 1e6), ("nJ", 1e3))


def model_name(model: str) -> str:
    """A model's name for people."""
    alone = f"SNN {model[4:]} only" if model.startswith("snn_") else model
    return MODEL_NAMES.get(model, alone)


def sensor_words(
    modality: str, raster: Mapping[str, Any], data: Mapping[str, Any]
) -> tuple[str, str]:
    """What a modality's events in a run's raster come from, and what their rows are."""
    # Scenes may be read without a sensor between: no camera is without polarities.
    if data.get("scene") and "vision_p" not in raster:
        return modality, "channel"
    what, rows = _SENSORS.get(modality, (modality, "row"))
    if modality == "audio" and data.get("synthetic_speech"):
        what += " (synthetic)"
    return what, rows


def energy_unit(value_pj: float) -> tuple[str, float]:
    """The unit that suits an energy, and its size in pJ."""
    for unit, scale in _UNITS:
        if abs(value_pj) >= 0.9995 * scale:  # three digits of less would round to 1000
            return unit, scale
    return "pJ", 1.0


def format_pj(value_pj: float | None) -> str:
    """A readable energy from picojoule, three digits."""
    if value_pj is None:
        return "n/a"
    unit, scale = energy_unit(value_pj)
    return f"{value_pj / scale:#.3g}".rstrip(".") + f" {unit}"
