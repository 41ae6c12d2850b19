"""``spikefuse runs``: which runs there are, and which of them fulfil a condition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

if TYPE_CHECKING:
    from experiments.sweeps.index import Refreshed

_SHOWN = ("model", "accuracy", "val_accuracy", "latency_ms")


def runs(
    root: Annotated[Path, typer.Argument(help="Folder of run directories.")] = Path("runs"),
    where: Annotated[
        list[str] | None,
        typer.Option(
            "--where",
            help="KEY=VALUE, or with != < <= > >= ~ (contains). KEY is a column, "
            "energy.PROFILE (pJ) or a configuration key. Repeat it: all must hold.",
        ),
    ] = None,
    sort: Annotated[str, typer.Option("--sort", help="A key to sort by; -KEY the other way.")] = "",
    limit: Annotated[int | None, typer.Option("--limit", help="At most so many.", min=1)] = None,
    json_path: Annotated[
        Path | None, typer.Option("--json", help="Also write the figures here.")
    ] = None,
) -> None:
    """List finished runs below a folder, from an index that is brought up to date first."""
    from experiments.sweeps.index import open_index, refresh
    from experiments.sweeps.query import find_runs, parse_condition

    conditions = [parse_condition(text) for text in where or []]
    with open_index(root) as index:
        state = refresh(index, root)
        found = find_runs(index, conditions, sort, limit)
    keys = [*(c.key for c in conditions), *([sort.removeprefix("-")] if sort else [])]
    console = Console()
    print_runs(found, keys, console)
    print_state(state, len(found), console)
    if json_path is not None:
        from experiments.files import write_json

        left = {"damaged": state.damaged, "unfinished": list(state.unfinished)}
        write_json(json_path, {"schema": 1, "root": str(root), "rows": found, **left})


def print_runs(found: Sequence[Mapping[str, Any]], keys: Sequence[str], console: Console) -> None:
    """A row for each model of a run, with what was asked about."""
    from rich.table import Table

    from analysis.naming import format_pj

    columns = [*dict.fromkeys([*_SHOWN, *(k for k in keys if k != "run")])]
    table = Table(box=None, padding=(0, 1, 0, 0))
    table.add_column("run", overflow="fold")
    for name in columns:
        table.add_column(name, justify="left" if name == "model" else "right", overflow="fold")
    for row in found:
        shown = []
        for name in columns:
            value = row.get(name)
            if name.startswith("energy."):
                shown.append(format_pj(value))
            else:
                shown.append(f"{value:.4g}" if isinstance(value, float) else str(value))
        table.add_row(str(row["run"]), *shown)
    if found:
        console.print(table)


def print_state(state: Refreshed, n_rows: int, console: Console) -> None:
    """How many there are, and what could not be read, by name."""
    n_runs = state.read + state.kept
    words = f"{n_rows} row(s); {n_runs} finished run(s), {state.read} of them read anew"
    if state.unfinished:
        words += f", {len(state.unfinished)} unfinished"
    if state.damaged:
        words += f", {len(state.damaged)} damaged"
    console.print(words, highlight=False)
    for run, error in state.damaged.items():
        console.print(f"damaged: {run}: {error}", highlight=False, markup=False, soft_wrap=True)
