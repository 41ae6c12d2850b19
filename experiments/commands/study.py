"""``spikefuse study``: the studies whose tables stand in the documents."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

study = typer.Typer(
    name="study",
    help="Studies that take minutes to hours, resumable; they write the tables of a page.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

RowsOption = Annotated[
    list[Path], typer.Option("--json", help="Rows, one a line; new ones go to the first file.")
]
DocumentOption = Annotated[
    Path | None,
    typer.Option("--document", exists=True, dir_okay=False, help="Page whose tables are replaced."),
]
StoredOption = Annotated[
    bool, typer.Option("--stored", help="Train nothing; tables of the rows that there are.")
]


@study.callback()
def group() -> None:
    """Keeps this a group of commands."""


@study.command()
def resolution(
    json_paths: RowsOption,
    document: DocumentOption = None,
    figures: Annotated[
        Path | None, typer.Option("--figures", help="Folder for the figure and its data.")
    ] = None,
    summary: Annotated[
        Path | None, typer.Option("--summary", help="Page that repeats where the SNN loses.")
    ] = None,
    scenes: Annotated[
        list[str] | None, typer.Option("--scenes", help="s1 or s2. Repeatable; both by default.")
    ] = None,
    resolutions: Annotated[
        list[int] | None,
        typer.Option(
            "--resolutions",
            help="4, 8, 16, 32, 64 or 128 (ms), those of the tables. Repeatable; all by default.",
        ),
    ] = None,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Of every chosen net.")] = 3,
    steps: Annotated[int, typer.Option("--steps", min=20, help="Updates of a training.")] = 400,
    stored: StoredOption = False,
) -> None:
    """Smallest energy and latency with d' >= 1 against the temporal resolution that is needed."""
    from experiments.studies.resolution.study import ResolutionProtocol, run_study
    from experiments.studies.resolution.tasks import RESOLUTIONS_MS, SCENES
    from spikefuse.errors import ConfigError

    for scene in scenes or ():
        if scene not in SCENES:
            raise ConfigError(f"--scenes must be one of {list(SCENES)}, got {scene!r}")
    for asked_ms in resolutions or ():
        if asked_ms not in RESOLUTIONS_MS:
            raise ConfigError(
                f"--resolutions must be one of {list(RESOLUTIONS_MS)} (ms), got {asked_ms}"
            )
    run_study(
        ResolutionProtocol(steps=steps),
        json_paths,
        scenes or SCENES,
        resolutions or RESOLUTIONS_MS,
        seeds,
        document,
        figures,
        summary,
        train=not stored,
    )


@study.command()
def information(
    json_path: Annotated[Path, typer.Option("--json", help="Rows, one a line; new ones go there.")],
    runs: Annotated[list[Path] | None, typer.Argument(help="Finished run directories.")] = None,
    document: DocumentOption = None,
    scenes: Annotated[bool, typer.Option("--scenes", help="Nets on timed scenes too.")] = False,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Of every net on scenes.")] = 3,
    stored: StoredOption = False,
) -> None:
    """Bits that modalities tell of the class and of each other, and what each path causes."""
    from experiments.studies.information.scenes import TASKS
    from experiments.studies.information.study import run_study

    run_study(json_path, runs or [], TASKS if scenes else (), seeds, document, not stored)
