"""One look for every figure, and how a figure is saved."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's colour-blind-safe palette.
BLUE, ORANGE, GREEN, VERMILION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PURPLE, SKY, YELLOW, GREY = "#CC79A7", "#56B4E9", "#F0E442", "#666666"

MODEL_COLORS = {
    "snn": BLUE,
    "snn_late": PURPLE,
    "dense": VERMILION,
    "snn_vision": GREEN,
    "snn_audio": ORANGE,
}
MODEL_NAMES = {
    "snn": "SNN fusion",
    "snn_late": "SNN late fusion",
    "dense": "dense twin",
    "snn_vision": "SNN vision only",
    "snn_audio": "SNN audio only",
}
_STYLE: Any = {
    "font.size": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10.0,
    "legend.frameon": False,
    "svg.hashsalt": "spikefuse",
    "svg.fonttype": "none",
    "savefig.bbox": "tight",
}


def new_figure(rows: int, width: float, height: float, **options: Any) -> tuple[Figure, Any]:
    """A figure of ``rows`` panels and its axes, in the common style."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    with matplotlib.rc_context(_STYLE):
        return plt.subplots(
            rows, 1, figsize=(width, height), squeeze=False, layout="constrained", **options
        )


def save_figure(
    figure: Figure, folder: Path, name: str, data: Mapping[str, Sequence[Any]]
) -> list[Path]:
    """Write PNG and SVG (the same bytes for the same figure) and the data as CSV beside them."""
    import matplotlib
    import matplotlib.pyplot as plt

    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    with matplotlib.rc_context(_STYLE):
        for suffix, metadata in (("png", {"Software": None}), ("svg", {"Date": None})):
            path = folder / f"{name}.{suffix}"
            figure.savefig(path, dpi=150, metadata=metadata)
            written.append(path)
    plt.close(figure)
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(data)
    length = max((len(column) for column in data.values()), default=0)
    for i in range(length):
        writer.writerow([column[i] if i < len(column) else "" for column in data.values()])
    table = folder / f"{name}.csv"
    table.write_text(buffer.getvalue())
    return [*written, table]


def format_pj(value_pj: float | None) -> str:
    """A readable energy from picojoule."""
    if value_pj is None:
        return "n/a"
    for unit, scale in (("mJ", 1e9), ("uJ", 1e6), ("nJ", 1e3)):
        if abs(value_pj) >= scale:
            return f"{value_pj / scale:.3g} {unit}"
    return f"{value_pj:.3g} pJ"
