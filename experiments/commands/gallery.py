"""``spikefuse gallery``: one page with every figure."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def gallery(
    out: Annotated[Path, typer.Argument(help="Folder of the page, gallery.md.")],
    runs: Annotated[list[Path] | None, typer.Argument(help="Finished run directories.")] = None,
    root: Annotated[
        Path | None,
        typer.Option("--root", help="With NMNIST/ and FSDD/: pictures of recordings too."),
    ] = None,
) -> None:
    """Draw every figure of runs and recordings, small, on one Markdown page."""
    from experiments.pictures.gallery import write_gallery

    page = write_gallery(out, runs or [], root)
    pictures = sorted((out / "gallery").glob("*.png"))
    size_kb = sum(path.stat().st_size for path in pictures) / 1e3
    typer.echo(f"{page}: {len(pictures)} pictures, {size_kb:.0f} kB")
