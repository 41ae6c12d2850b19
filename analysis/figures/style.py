"""One look for every figure, and how a figure is saved."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from spikefuse.atomic import write_bytes

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
MODALITY_COLORS = {"vision": BLUE, "audio": ORANGE, "tactile": GREEN}
_FURTHER = (SKY, PURPLE, YELLOW, GREY)
_STYLE: Any = {
    "font.size": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10.0,
    "legend.frameon": False,
    "svg.hashsalt": "spikefuse",
    "svg.fonttype": "none",
    "pdf.fonttype": 42,  # letters stay letters, which journals ask for
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
    """A figure of ``rows`` panels and its axes ``[rows, 1]``; sizes in inches.

    Parameters
    ----------
    rows : int
    width, height : float
    **options
        Of ``Figure.subplots``.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, 1, squeeze=False, **options)


def save_figure(
    figure: Any, folder: Path, name: str, data: Mapping[str, Sequence[Any]]
) -> list[Path]:
    """Write PNG, SVG and PDF (the same bytes for the same figure) and the data as CSV beside them.

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
        PNG, SVG, PDF, CSV.
    """
    contents = {
        "png": _png(figure),
        "svg": _vector(figure, "svg", {"Date": None}),
        "pdf": _vector(figure, "pdf", {"CreationDate": None}),
        "csv": _table(data).encode(),
    }
    paths = {suffix: folder / f"{name}.{suffix}" for suffix in contents}
    for suffix, content in contents.items():
        write_bytes(paths[suffix], content)
    return list(paths.values())


def color_of(name: str, position: int = 0) -> str:
    """Colour of a modality or model; of one without a colour of its own, the next of the others."""
    return MODALITY_COLORS.get(name, MODEL_COLORS.get(name, _FURTHER[position % len(_FURTHER)]))


def keep_row(rows: Mapping[str, list[Any]], *cells: Any) -> None:
    """One line of a figure's table, a cell for each column."""
    for column, cell in zip(rows.values(), cells, strict=True):
        column.append(cell)


def _vector(figure: Any, kind: str, metadata: Mapping[str, Any]) -> bytes:
    """A drawing without the time at which it was made."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, metadata=metadata)
    return buffer.getvalue()


def _table(data: Mapping[str, Sequence[Any]]) -> str:
    """Columns of unequal length as CSV."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(data)
    length = max((len(column) for column in data.values()), default=0)
    for i in range(length):
        writer.writerow([column[i] if i < len(column) else "" for column in data.values()])
    return buffer.getvalue()


def _png(figure: Any) -> bytes:
    """A PNG of 256 colours: a third of the size, so that a report stays under 1 MB."""
    from PIL import Image

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150, metadata={"Software": None})
    small = io.BytesIO()
    with Image.open(buffer) as image:
        flat = image.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    flat.save(small, format="PNG", optimize=True)
    return small.getvalue()
