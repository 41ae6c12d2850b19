"""``spikefuse compare``: finished runs, and a network of one's own beside their models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from experiments.commands.places import limit_threads
from spikefuse.errors import ConfigError

if TYPE_CHECKING:
    from experiments.training.foreign import Foreign

ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        help="MODULE:NET: a network of yours (or a function that makes one) on this run's data. "
        "The module is imported, so its code runs.",
    ),
]
NameOption = Annotated[
    str, typer.Option("--name", help="What its row is called; NET in small letters by default.")
]
LayoutOption = Annotated[
    str,
    typer.Option(
        "--layout",
        help="What the network takes: TBN or BTN, flat addresses; TB... or BT..., planes "
        "(P, H, W); or frames, those of the dense twin.",
    ),
]
LoopOption = Annotated[bool, typer.Option("--loop", help="Call it once for every time step.")]
ModalityOption = Annotated[
    str | None, typer.Option("--modality", help="Hand over this modality alone.")
]
WeightsOption = Annotated[
    Path | None, typer.Option("--weights", help="A safetensors file of its parameters.")
]
ReadAsOption = Annotated[
    str,
    typer.Option(
        "--read-as", help="How it is counted: auto, events or frames; or module=events,..."
    ),
]
StrictOption = Annotated[
    bool, typer.Option("--strict/--list", help="Refuse an operation without a rule, or leave it.")
]


def compare(
    runs: Annotated[list[Path], typer.Argument(help="Run directories.")],
    profile: Annotated[
        list[str] | None,
        typer.Option("--profile", help="Only this hardware profile, or TOML file. Repeatable."),
    ] = None,
    reuse: Annotated[
        str | None, typer.Option("--reuse", help="Only this reuse: ideal, none or measured.")
    ] = None,
    at_accuracy: Annotated[
        float | None, typer.Option("--at-accuracy", help="Where the fronts are compared.")
    ] = None,
    model: ModelOption = None,
    name: NameOption = "",
    layout: LayoutOption = "TB...",
    loop: LoopOption = False,
    modality: ModalityOption = None,
    weights: WeightsOption = None,
    read_as: ReadAsOption = "auto",
    strict: StrictOption = True,
    train: Annotated[
        bool, typer.Option("--train", help="Train it first, on the run's training pairs and seeds.")
    ] = False,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="With --train: train.key=value. Repeatable.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Where the run with the network in it goes.")
    ] = None,
    json_path: Annotated[
        Path | None, typer.Option("--json", help="Also write the figures here.")
    ] = None,
) -> None:
    """Compare models over finished runs; with --model, a network of yours on a run's data."""
    console = Console()
    if model is not None:
        if len(runs) != 1:
            raise ConfigError(f"--model must go with one RUN, got {len(runs)}")
        about = foreign_of(model, name, layout, loop, modality, weights, read_as, strict)
        runs = [_with_network(runs[0], about, console, out, train, overrides or [])]
    elif train or out is not None or overrides:
        raise ConfigError("--train, --set and --out must go with --model, got them without")
    from experiments.evaluation.compare import compare_runs

    comparison = compare_runs(
        runs, console, profiles=profile or [], reuse=reuse, at_accuracy=at_accuracy
    )
    if model is not None:
        console.print(f"run: {runs[0]}  report: spikefuse report {runs[0]}", soft_wrap=True)
    if json_path is not None:
        from experiments.files import write_json

        write_json(json_path, comparison)


def foreign_of(
    model: str,
    name: str,
    layout: str,
    loop: bool,
    modality: str | None,
    weights: Path | None,
    read_as: str,
    strict: bool,
) -> Foreign:
    """A network as the options describe it."""
    from experiments.commands.count import readings
    from experiments.training.foreign import Foreign

    chosen: Any = layout  # its values are checked there
    return Foreign(model, name, chosen, loop, modality, weights, readings(read_as), strict)


def _with_network(
    run: Path, about: Foreign, console: Console, out: Path | None, train: bool, overrides: list[str]
) -> Path:
    """The run with the network in it, made now."""
    from experiments.run import load_run_config

    limit_threads(load_run_config(run).train.threads)
    from experiments.commands.console import ConsoleReporter
    from experiments.evaluation.foreign import add_foreign

    with ConsoleReporter(console) as reporter:
        return add_foreign(run, about, reporter, out, train, overrides)
