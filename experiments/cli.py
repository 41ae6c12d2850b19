"""The command line. Heavy imports happen inside the commands, so that ``--help`` is quick."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from experiments.bench.commands import bench
from experiments.commands.compare import compare
from experiments.commands.count import count
from experiments.commands.data import data
from experiments.commands.fits import fits
from experiments.commands.gallery import gallery
from experiments.commands.neurobench import neurobench
from experiments.commands.nir import nir
from experiments.commands.places import limit_threads, new_folder, wait_asleep
from experiments.commands.recipes import recipes
from experiments.commands.runs import runs
from experiments.commands.stream import stream
from experiments.commands.stress import stress
from experiments.commands.study import study
from experiments.commands.sweep import sweep
from spikefuse.errors import ConfigError, SpikefuseError

if TYPE_CHECKING:
    from experiments.config import Config
    from experiments.training.distributed import Group

app = typer.Typer(
    name="spikefuse",
    help="Spiking multimodal fusion on one clock, with energy and latency counted from what ran.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(bench)
app.add_typer(data)
app.add_typer(nir)
app.add_typer(study)
app.command()(compare)
app.command()(count)
app.command()(fits)
app.command()(gallery)
app.command()(neurobench)
app.command()(recipes)
app.command()(runs)
app.command()(stream)
app.command()(stress)
app.command()(sweep)

ConfigOption = Annotated[
    str | None, typer.Option("--config", help="A TOML file, or the name of a packaged recipe.")
]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", help="Override one key: a.b=value. Repeatable.")
]
OutOption = Annotated[Path | None, typer.Option("--out", help="Run directory; new or empty.")]
JsonOption = Annotated[Path | None, typer.Option("--json", help="Also write the figures here.")]
RunArgument = Annotated[Path, typer.Argument(help="A run directory.")]
RunsArgument = Annotated[list[Path], typer.Argument(help="Run directories.")]


@app.command()
def demo(
    out: OutOption = None,
    json_path: JsonOption = None,
    overrides: SetOption = None,
) -> None:
    """Train and compare all four models on the embedded data; no download, a few minutes."""
    from experiments.config import load_config

    config = load_config("demo", overrides or [])
    folder = out or new_folder("demo")
    _train(config, folder, json_path)


@app.command()
def train(
    config_path: ConfigOption = None,
    overrides: SetOption = None,
    out: OutOption = None,
    resume: Annotated[
        Path | None, typer.Option("--resume", help="Continue an interrupted run directory.")
    ] = None,
    json_path: JsonOption = None,
    download: Annotated[
        bool, typer.Option("--download", help="Let Tonic download missing data sets first.")
    ] = False,
) -> None:
    """Train the configured models, read the test set once, write result.json and the report."""
    from experiments.config import load_config
    from experiments.run import load_run_config

    if resume is not None:
        if config_path is not None or overrides or out is not None:
            raise ConfigError(
                "--resume must stand without --config, --set and --out: a run is continued as it "
                "was begun"
            )
        _train(load_run_config(resume), resume, json_path)
        return
    config = load_config(config_path, overrides or [])
    if download:
        from experiments.loading.sets import download_sets

        for line in download_sets(config.data):
            typer.echo(line)
    _train(config, out or new_folder(config.name), json_path)


@app.command()
def evaluate(run: RunArgument, json_path: JsonOption = None) -> None:
    """Evaluate a trained run again from its checkpoints."""
    from experiments.run import load_run_config

    _train(load_run_config(run), run, json_path)


@app.command()
def report(
    runs: RunsArgument,
    out: Annotated[Path | None, typer.Option("--out", help="Where to write the HTML file.")] = None,
    open_it: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
    tables: Annotated[
        Path | None,
        typer.Option("--tables", help="Write the tables into this folder too: Markdown, LaTeX."),
    ] = None,
) -> None:
    """Write the figures and one self-contained HTML report."""
    console = Console()
    path = _report(runs, out)
    console.print(f"report: {path}", highlight=False, soft_wrap=True)
    if tables is not None:
        from analysis.report import write_tables

        n_files = len(write_tables(runs, tables))
        console.print(f"tables: {n_files} files in {tables}", highlight=False, soft_wrap=True)
    if open_it:
        import webbrowser

        webbrowser.open(path.resolve().as_uri())


@app.command()
def profiles(
    name: Annotated[str | None, typer.Argument(help="Profile name or TOML path.")] = None,
    json_path: JsonOption = None,
    document: Annotated[
        Path | None, typer.Option("--document", help="Put all constants into this page's table.")
    ] = None,
) -> None:
    """List the hardware and sensor profiles, or print one with the source of every constant."""
    from experiments.commands.listing import constants_table, print_profile, print_profiles

    if document is not None:
        from spikefuse.pages import write_tables

        write_tables(document, {"constants": constants_table()})
    figures = print_profiles(Console()) if name is None else print_profile(name, Console())
    if json_path is not None:
        _write_json(json_path, figures)


@app.command()
def doctor(
    json_path: JsonOption = None,
    gpu: Annotated[
        bool, typer.Option("--gpu", help="Check every CUDA kernel on this GPU, and time it.")
    ] = False,
) -> None:
    """Say what is installed, what is not, and where data and caches are looked for."""
    if gpu:
        _examine_gpu(json_path)
        return
    from experiments.commands.doctor import diagnose, render_diagnosis

    diagnosis = diagnose()
    render_diagnosis(diagnosis, Console())
    if json_path is not None:
        _write_json(json_path, diagnosis)


def _examine_gpu(json_path: Path | None) -> None:
    """Parity and times on a GPU; exit code 1 where there is none or a kernel is wrong."""
    from experiments.gpu.doctor import examine_gpu

    found = examine_gpu(Console())
    if found is not None and json_path is not None:
        _write_json(json_path, found)
    if found is None or not found["healthy"]:
        sys.exit(1)


def main() -> None:
    """Run the command line; every expected error is one line and an exit code."""
    errors = Console(stderr=True)
    wait_asleep()
    try:
        app(standalone_mode=False)
    except typer.Exit as leave:
        sys.exit(leave.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        errors.print("interrupted", highlight=False)
        sys.exit(130)
    except SpikefuseError as error:
        errors.print(f"error: {error}", markup=False, highlight=False, soft_wrap=True)
        sys.exit(error.exit_code)
    except Exception as error:
        # Typer vendors click's errors, which share no public base; they carry an exit code.
        code = getattr(error, "exit_code", None)
        show = getattr(error, "show", None)
        if code is None or show is None:
            raise
        show()
        sys.exit(int(code))


def _train(config: Config, folder: Path, json_path: Path | None) -> None:
    """Train or continue a run, with every process that torchrun started for it."""
    limit_threads(config.train.threads)
    from experiments.run import follow_experiment
    from experiments.training.distributed import joined

    with joined() as group:
        if group.first:
            _lead(config, folder, json_path, group)
        else:
            follow_experiment(config, group)


def _lead(config: Config, folder: Path, json_path: Path | None, group: Group) -> None:
    """Train or continue a run, then print the table and write the report."""
    from analysis.records import load_run
    from experiments.commands.console import ConsoleReporter
    from experiments.commands.summary import print_summary
    from experiments.run import run_experiment

    console = Console()
    started = time.perf_counter()
    try:
        with ConsoleReporter(console) as reporter:
            result = run_experiment(config, folder, reporter, group)
            reporter.stage("figures and report")
            path = _report([folder], None)
    except KeyboardInterrupt:
        Console(stderr=True).print(
            f"interrupted; continue with: spikefuse train --resume {folder}",
            highlight=False,
            soft_wrap=True,
        )
        sys.exit(130)
    print_summary(load_run(folder), console)
    console.print(
        f"{time.perf_counter() - started:.0f} s. run: {folder}  report: {path}",
        highlight=False,
        soft_wrap=True,
    )
    if json_path is not None:
        _write_json(json_path, result)


def _report(runs: list[Path], out: Path | None) -> Path:
    """Figures of every run, where the report shows them, then the report."""
    from analysis.figures import make_figures
    from analysis.report import MOST_WHOLE_RUNS, write_report

    for run in runs if len(runs) <= MOST_WHOLE_RUNS else ():
        make_figures(run)
    return write_report(runs, out)


def _write_json(path: Path, value: Any) -> None:
    """Figures for other programs."""
    from experiments.files import write_json

    write_json(path, value)
