"""One look for every figure, and how a figure is saved."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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
_STYLE: Any = {
    "font.size": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10.0,
    "legend.frameon": False,
    "svg.hashsalt": "spikefuse",
    "svg.fonttype": "none",
}


@contextmanager
def house_style() -> Iterator[None]:
    """Matplotlib settings of every figure; the caller's own come back afterwards."""
    import matplotlib

    with matplotlib.rc_context():
        # The user's matplotlibrc must not change a figure's bytes.
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        yield


def new_figure(rows: int, width: float, height: float, **options: Any) -> tuple[Any, Any]:
    """A figure of ``rows`` panels and its axes ``[rows, 1]``; sizes in inches."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, 1, squeeze=False, **options)


def save_figure(
    figure: Any, folder: Path, name: str, data: Mapping[str, Sequence[Any]]
) -> list[Path]:
    """Write PNG and SVG (the same bytes for the same figure) and the data as CSV beside them.

    Parameters
    ----------
    figure : Figure
    folder : Path
        Made where it is missing.
    name : str
    data : mapping of column name to values
        Columns may differ in length; a shorter one ends in empty cells.

    Returns
    -------
    list of Path
        PNG, SVG, CSV.
    """
    folder.mkdir(parents=True, exist_ok=True)
    picture, drawing, table = (folder / f"{name}.{suffix}" for suffix in ("png", "svg", "csv"))
    _write_png(figure, picture)
    figure.savefig(drawing, metadata={"Date": None})
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(data)
    length = max((len(column) for column in data.values()), default=0)
    for i in range(length):
        writer.writerow([column[i] if i < len(column) else "" for column in data.values()])
    table.write_text(buffer.getvalue(), encoding="utf-8")
    return [picture, drawing, table]


def _write_png(figure: Any, path: Path) -> None:
    """A PNG of 256 colours: a third of the size, so that a report stays under 1 MB."""
    from PIL import Image

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150, metadata={"Software": None})
    with Image.open(buffer) as image:
        flat = image.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    flat.save(path, optimize=True)
