"""``spikefuse sweep``: a grid of values, or a search that Optuna leads."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console

from experiments.commands.places import limit_threads, new_folder
from spikefuse.errors import ConfigError

if TYPE_CHECKING:
    from experiments.sweeps.search import Task


def sweep(
    over: Annotated[
        list[str] | None,
        typer.Option("--over", help="A key and its values: a.b=v1,v2. Repeat it for a grid."),
    ] = None,
    search: Annotated[
        Path | None,
        typer.Option("--search", help="Instead of a grid: a TOML file of ranges for Optuna."),
    ] = None,
    config_path: Annotated[
        str | None, typer.Option("--config", help="A TOML file, or the name of a packaged recipe.")
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="Override one key: a.b=value. Repeatable.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder of all runs; new.")] = None,
    trials: Annotated[int, typer.Option("--trials", help="Points of a search.", min=1)] = 30,
    workers: Annotated[
        int, typer.Option("--workers", help="Points at a time, a process each.", min=1)
    ] = 1,
    on: Annotated[str, typer.Option("--on", help="Where a search runs: local or ray.")] = "local",
    rotate_seeds: Annotated[
        int,
        typer.Option("--rotate-seeds", help="One seed per point, of this many, in rotation."),
    ] = 0,
    json_path: Annotated[
        Path | None, typer.Option("--json", help="Also write the figures here.")
    ] = None,
) -> None:
    """Train one recipe at many points; the same call with --out goes on."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ConfigError("sweep must run without torchrun; --workers runs several points at once")
    if search is None and not over:
        over = _over_of(config_path)
    if (search is None) == (not over):
        raise ConfigError(f"sweep must have --over or --search, got over {over}, search {search}")
    if on not in ("local", "ray"):
        raise ConfigError(f"--on must be local or ray, got {on!r}")
    if search is None:
        if on != "local":
            raise ConfigError(f"--on {on} must come with --search, got a grid")
        summary = _grid(over or [], config_path, overrides or [], out, rotate_seeds, workers)
    else:
        if rotate_seeds:
            raise ConfigError(f"--rotate-seeds {rotate_seeds} must come with a grid, got --search")
        where: Literal["local", "ray"] = "ray" if on == "ray" else "local"
        summary = _search(search, config_path, overrides or [], out, trials, workers, where)
    if json_path is not None:
        from experiments.files import write_json

        write_json(json_path, summary)


def _over_of(config_path: str | None) -> list[str]:
    """Axes that a recipe itself names."""
    from experiments.config import load_config

    return list(load_config(config_path).over)


def _grid(
    over: Sequence[str],
    config_path: str | None,
    overrides: Sequence[str],
    out: Path | None,
    rotate_seeds: int,
    workers: int,
) -> dict[str, Any]:
    """Every combination."""
    from experiments.sweeps.grid import parse_axis, plan_sweep

    axes = [parse_axis(text) for text in over]
    points = plan_sweep(config_path, overrides, axes, rotate_seeds)
    config = next(iter(points.values()))[1]
    folder = out or new_folder(f"sweep-{config.name}")
    limit_threads(config.train.threads)
    from experiments.commands.console import ConsoleReporter
    from experiments.commands.summary import print_sweep
    from experiments.sweeps.grid import run_sweep

    console = Console()
    try:
        summary = run_sweep(points, folder, ConsoleReporter(console), workers)
    except KeyboardInterrupt:
        _interrupted(folder)
    print_sweep(summary, console)
    if len(summary["keys"]) == 1:
        from analysis.figures.sweep import draw_sweep

        console.print(f"figure: {draw_sweep(folder)[0]}", highlight=False, soft_wrap=True)
    return summary


def _search(
    path: Path,
    config_path: str | None,
    overrides: Sequence[str],
    out: Path | None,
    trials: int,
    workers: int,
    where: Literal["local", "ray"],
) -> dict[str, Any]:
    """Points that Optuna proposes."""
    from experiments.config import load_config
    from experiments.sweeps.journal import check_optuna
    from experiments.sweeps.space import load_space

    check_optuna()
    space = load_space(path)
    config = load_config(config_path, overrides)
    folder = out or new_folder(f"search-{config.name}")
    limit_threads(config.train.threads)
    from experiments.commands.console import ConsoleReporter
    from experiments.commands.summary import print_search
    from experiments.sweeps.ray_pool import check_ray, work_on_ray
    from experiments.sweeps.search import Search, begin_search
    from experiments.sweeps.workers import work, work_together

    if where == "ray":
        check_ray()
    begin_search(folder, config, space)
    try:
        if where == "ray":
            work_on_ray(folder, trials, workers, print_point)
        elif workers > 1:
            work_together(folder, trials, workers, print_point)
        else:
            work(folder, trials, print_point, reporter=ConsoleReporter(Console()))
    except KeyboardInterrupt:
        _interrupted(folder)
    found = Search(folder, trials)
    try:
        summary = found.summary()
    finally:
        found.close()
    print_search(summary, Console())
    return summary


def print_point(task: Task, outcome: dict[str, Any]) -> None:
    """A line for a point that is done; also called in processes of their own."""
    from analysis.naming import format_pj

    if "error" in outcome:
        line = f"{task.name}: failed: {outcome['error']}"
    else:
        line = (
            f"{task.name}: accuracy {outcome['accuracy']:.3f}, energy "
            f"{format_pj(outcome['energy_pj'])}, latency {outcome['latency_ms']:.0f} ms"
        )
    print(line, flush=True)


def _interrupted(folder: Path) -> None:
    """Say how to go on, and end."""
    Console(stderr=True).print(
        f"interrupted; the same command with --out {folder} goes on", soft_wrap=True
    )
    sys.exit(130)
