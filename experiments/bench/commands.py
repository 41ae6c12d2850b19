"""``spikefuse bench``: one command per group of rows, and the page written from their figures."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from spikefuse.errors import ConfigError

bench = typer.Typer(
    name="bench",
    help="Time kernels, layers, networks and sensors against other libraries and the hardware.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

PeersOption = Annotated[
    bool, typer.Option("--peers", help="Also run scipy, torch.sparse, snnTorch, Norse and so on.")
]
QuickOption = Annotated[
    bool, typer.Option("--quick", help="Small shapes, few rounds: a test, no figures.")
]
RoundsOption = Annotated[int, typer.Option("--rounds", min=3, help="Rounds; 7 or more.")]
OnlyOption = Annotated[
    str, typer.Option("--only", help="Only rows whose name this regular expression finds.")
]
JsonOption = Annotated[Path | None, typer.Option("--json", help="Also write all samples here.")]
CalibrateOption = Annotated[
    bool,
    typer.Option("--calibrate", help="Only measure on this GPU from where on dense products win."),
]
DataOption = Annotated[
    Path | None,
    typer.Option("--data-root", help="Real recordings, for rows of training and loading."),
]


_GROUPS = {
    "kernels": "Products, weight gradients, convolutions, compaction, binning, growth, threads.",
    "layers": "Linear + LIF with its peak memory, event-driven layers.",
    "network": "Three-layer inference, and training of the fusion model.",
    "neurons": "LIF forward and backward, synaptic, adaptive, readout and recurrent neurons.",
    "sensors": "Pixel model, cochleas, transforms, loading, codes.",
    "counting": "Training and inference while operations are counted, and without.",
    "stream": "Cost of an event and wait for a decision; with --hours, memory of a long stream.",
}


def _add(group: str, what: str) -> None:
    """Make the command of one group of rows."""

    def command(
        peers: PeersOption = False,
        quick: QuickOption = False,
        rounds: RoundsOption = 9,
        only: OnlyOption = "",
        json_path: JsonOption = None,
        data_root: DataOption = None,
    ) -> None:
        _run(group, peers, quick, rounds, only, json_path, data_root)

    bench.command(group, help=what)(command)


for _group, _what in _GROUPS.items():
    if _group not in ("kernels", "stream"):
        _add(_group, _what)


@bench.command(help=_GROUPS["kernels"])
def kernels(
    peers: PeersOption = False,
    quick: QuickOption = False,
    rounds: RoundsOption = 9,
    only: OnlyOption = "",
    json_path: JsonOption = None,
    data_root: DataOption = None,
    calibrate: CalibrateOption = False,
) -> None:
    """Kernels on the host, or the thresholds of a GPU."""
    if not calibrate:
        _run("kernels", peers, quick, rounds, only, json_path, data_root)
        return
    from experiments.files import write_json
    from experiments.gpu.thresholds import calibrate as measure

    found = measure(Console())
    if json_path is not None:
        write_json(json_path, found)


@bench.command()
def index(
    n_runs: Annotated[int, typer.Option("--runs", help="Made-up runs.", min=1)] = 3000,
    json_path: JsonOption = None,
    document: Annotated[
        Path | None, typer.Option("--document", help="Put the figures into this page's table.")
    ] = None,
) -> None:
    """The index of runs: built, brought up to date, asked."""
    from experiments.bench.run_index import index_table, measure_index

    found = measure_index(n_runs)
    table = index_table(found)
    Console().print(table, highlight=False, markup=False, soft_wrap=True)
    if document is not None:
        from spikefuse.pages import write_tables

        write_tables(document, {"index": table})
    if json_path is not None:
        from experiments.files import write_json

        write_json(json_path, found)


@bench.command(help=_GROUPS["stream"])
def stream(
    peers: PeersOption = False,
    quick: QuickOption = False,
    rounds: RoundsOption = 9,
    only: OnlyOption = "",
    json_path: JsonOption = None,
    data_root: DataOption = None,
    hours: Annotated[
        float, typer.Option("--hours", min=0.0, help="Push so many hours at 1e6 events/s instead.")
    ] = 0.0,
    into: Annotated[
        Path | None, typer.Option("--into", help="With --hours: page for the table.")
    ] = None,
) -> None:
    """The rows, or one long stream whose events and memory are counted."""
    if not hours:
        _run("stream", peers, quick, rounds, only, json_path, data_root)
        return
    _limit_threads()
    from experiments.bench.stream_soak import soak, soak_table
    from experiments.files import write_json
    from spikefuse.pages import write_tables

    console = Console()
    found = soak(hours, on_progress=lambda text: console.print(text, highlight=False))
    console.print(soak_table(found), highlight=False, soft_wrap=True)
    if json_path is not None:
        write_json(json_path, found)
    if into is not None:
        write_tables(into, {"stream soak": soak_table(found)})


@bench.command()
def report(
    results: Annotated[list[Path], typer.Argument(help="JSON files of the other commands.")],
    out: Annotated[Path, typer.Option("--out", help="The page to write.")] = Path(
        "docs/performance.md"
    ),
    into: Annotated[
        Path | None,
        typer.Option("--into", help="Only place each group's tables between the marks of a page."),
    ] = None,
) -> None:
    """Write the tables as a page, or into one."""
    from experiments.bench.report import write_into, write_report

    if into is None:
        write_report(results, out)
    elif not into.is_file():
        raise ConfigError(f"--into must be a page, got {into}")
    else:
        write_into(results, into)
    Console().print(f"page: {into or out}", highlight=False, soft_wrap=True)


def _run(
    group: str,
    peers: bool,
    quick: bool,
    rounds: int,
    only: str,
    json_path: Path | None,
    data_root: Path | None,
) -> None:
    """One group, its rows as they come."""
    _limit_threads()
    if data_root is not None and not data_root.is_dir():
        raise ConfigError(f"--data-root must be a folder, got {data_root}")
    try:
        pattern = re.compile(only)
    except re.error as error:
        raise ConfigError(f"--only must be a regular expression, got {only!r}: {error}") from error
    from experiments.bench.peers import describe, present
    from experiments.bench.rows import Setting
    from experiments.bench.show import row_lines
    from experiments.bench.suite import run_group
    from experiments.commands.console import ConsoleReporter
    from experiments.files import write_json

    console = Console()
    setting = Setting(
        present() if peers else frozenset(),
        quick,
        3 if quick else rounds,
        1.0 if quick else 20.0,
        data_root,
    )
    if peers:
        for name, told in describe().items():
            if told.startswith("absent"):
                console.print(f"{name} is {told}", markup=False, highlight=False)
    n_done = 0

    def on_row(result: dict[str, Any]) -> None:
        nonlocal n_done
        n_done += 1
        for line in row_lines(result):
            console.print(line, markup=False, highlight=False, soft_wrap=True)
        if console.is_terminal:
            reporter.stage(f"{group}: {n_done} rows done")

    with ConsoleReporter(console) as reporter:
        reporter.stage(f"{group}: one thread, processor time, {setting.rounds} rounds")
        result = run_group(group, setting, on_row, lambda name: bool(pattern.search(name)))
    if json_path is not None:
        write_json(json_path, result)


def _limit_threads() -> None:
    """One thread; before torch starts, because libraries read these once."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "1"
