"""``spikefuse data list``, ``data download`` and ``data gallery``: public sets, and pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from experiments.loading.datafiles import data as data

RootOption = Annotated[
    Path, typer.Option("--root", help="Where sets lie, or shall lie (Tonic's save_to).")
]


@data.command("list")
def list_sets(
    root: RootOption = Path("data"),
    json_path: Annotated[Path | None, typer.Option("--json", help="Also write it here.")] = None,
) -> None:
    """Print the public data sets, with lengths and class counts where they are present."""
    from experiments.commands.listing import print_sets

    rows = print_sets(root, Console())
    if json_path is not None:
        from experiments.files import write_json

        write_json(json_path, rows)


@data.command()
def download(
    name: Annotated[str, typer.Argument(help="A name that `data list` prints.")],
    root: RootOption = Path("data"),
) -> None:
    """Let Tonic's class download one public data set, all its parts; nothing else downloads."""
    from sensors.data_sets import DATA_SETS, open_set
    from spikefuse.errors import ConfigError

    if name not in DATA_SETS:
        raise ConfigError(f"NAME must be one of {sorted(DATA_SETS)}, got {name!r}")
    for part in DATA_SETS[name].parts:
        typer.echo(open_set(name, root, part, download_missing=True).describe())


@data.command()
def gallery(
    out: Annotated[Path, typer.Argument(help="Folder for the pictures.")],
    root: Annotated[
        Path, typer.Option("--root", help="With NMNIST/ (mnist_frames.npz too) and FSDD/.")
    ] = Path("data"),
    index: Annotated[int, typer.Option("--index", help="Number of the N-MNIST recording.")] = 8,
    word: Annotated[str, typer.Option("--word", help="Spoken digit.")] = "7_jackson_0.wav",
) -> None:
    """Draw a digit simulated and recorded, a word in three cochleas, and damaged recordings."""
    from experiments.pictures.sensors import draw_gallery

    for path in draw_gallery(root, out, index, word):
        typer.echo(path)
