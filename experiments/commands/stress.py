"""``spikefuse stress``: trained models on damaged test inputs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table as RichTable

from experiments.commands.compare import (
    LayoutOption,
    LoopOption,
    ModalityOption,
    ModelOption,
    NameOption,
    ReadAsOption,
    StrictOption,
    WeightsOption,
    foreign_of,
)
from experiments.commands.places import limit_threads

if TYPE_CHECKING:
    from experiments.training.foreign import Foreign

# Columns that a page has room for, and a terminal has not.
_PAGE_ONLY = ("relative area", "area less", "dynamic energy", "d' over independent")


def stress(
    run: Annotated[Path, typer.Argument(help="A run directory.")],
    models: Annotated[
        str,
        typer.Option(
            "--models",
            help="Models of the run, with commas; all by default. That of --model comes besides.",
        ),
    ] = "",
    only: Annotated[
        str,
        typer.Option(
            "--only",
            help="Measures, with commas: missing, noise, misalignment, consistency, imbalance, "
            "anytime, gain, intervention; all by default.",
        ),
    ] = "",
    limit: Annotated[
        int | None, typer.Option("--limit", help="The first N test pairs; all by default.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of the changes to the inputs.")] = 0,
    json_path: Annotated[
        Path | None, typer.Option("--json", help="Also write the figures here.")
    ] = None,
    document: Annotated[
        Path | None,
        typer.Option(
            "--document",
            exists=True,
            dir_okay=False,
            help="Put the tables between this page's marks.",
        ),
    ] = None,
    model: ModelOption = None,
    name: NameOption = "",
    layout: LayoutOption = "TB...",
    loop: LoopOption = False,
    modality: ModalityOption = None,
    weights: WeightsOption = None,
    read_as: ReadAsOption = "auto",
    strict: StrictOption = True,
    stored: Annotated[
        bool, typer.Option("--stored", help="Run nothing; show the stress.json that there is.")
    ] = False,
) -> None:
    """Damage the test inputs of a trained run and say what its models still answer."""
    from analysis.figures.stress import draw_stress
    from analysis.stress_tables import markdown_tables
    from experiments.stress.suite import FILE

    console = Console()
    own = None
    if model is not None:
        own = foreign_of(model, name, layout, loop, modality, weights, read_as, strict)
    found = _stored(run) if stored else _tested(run, console, models, only, limit, seed, own)
    print_stress(found, console)
    drawn = draw_stress(found, run / "figures")
    for path in (path for path in drawn if path.suffix == ".png"):
        console.print(f"figure: {path}", highlight=False, soft_wrap=True)
    took = "" if stored else f"{found['seconds']:.0f} s. "
    console.print(f"{took}{run / FILE}", highlight=False, soft_wrap=True)
    if document is not None:
        from spikefuse.pages import write_tables

        write_tables(document, {"stress": markdown_tables(found)})
    if json_path is not None:
        from experiments.files import write_json

        write_json(json_path, found)


def _tested(
    run: Path,
    console: Console,
    models: str,
    only: str,
    limit: int | None,
    seed: int,
    own: Foreign | None,
) -> dict[str, Any]:
    """The suite, run now."""
    from experiments.run import load_run_config

    limit_threads(load_run_config(run).train.threads)
    from experiments.commands.console import ConsoleReporter
    from experiments.stress.suite import run_stress

    with ConsoleReporter(console) as reporter:
        return run_stress(run, reporter, _names(models), _names(only), limit, seed, own)


def _stored(run: Path) -> dict[str, Any]:
    """What an earlier call has written."""
    from analysis.stress_tables import FILE, read_stress
    from spikefuse.errors import ConfigError

    found = read_stress(run)
    if found is None:
        raise ConfigError(f"RUN must hold {FILE} with --stored, got {run} without it")
    return found


def print_stress(found: dict[str, Any], console: Console) -> None:
    """Every table of a suite."""
    from analysis.stress_tables import stress_tables

    n, seeds = found["n_pairs"], len(found["seeds"])
    console.print(
        f"{found['name']}: {n} test pairs, {seeds} seed(s); {found['interval']}", highlight=False
    )
    console.print("Energies and differences of models: in the report and with --document.")
    for table in stress_tables(found):
        shown = RichTable(
            title=table.title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0)
        )
        kept = [i for i, cell in enumerate(table.header) if not cell.startswith(_PAGE_ONLY)]
        for i in kept:
            shown.add_column(table.header[i], justify="left" if i < 2 else "right")
        for row in table.rows:
            shown.add_row(*(row[i].replace(" [", "\n[") for i in kept))
        console.print(shown)
    for note in found["notes"]:
        console.print(f"- {note}", markup=False, highlight=False)


def _names(text: str) -> list[str]:
    """Names between commas."""
    return [name.strip() for name in text.split(",") if name.strip()]
