"""``spikefuse recipes``: what each packaged recipe is, and the tables of docs/recipes.md."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console


def recipes(
    name: Annotated[str | None, typer.Argument(help="One recipe: print it whole.")] = None,
    runs: Annotated[
        list[Path] | None,
        typer.Option("--run", help="A finished run of a timed scene, for the page. Repeatable."),
    ] = None,
    sweep: Annotated[
        Path | None,
        typer.Option(
            "--sweep",
            exists=True,
            file_okay=False,
            help="A finished sweep of the recipe operators, for the page.",
        ),
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
) -> None:
    """Say of every recipe its data, split, seeds, time on a CPU and what it shows."""
    from experiments.config import recipe_names, recipe_text
    from experiments.config_recipes import recipe_heads
    from spikefuse.errors import ConfigError

    if name is not None:
        if name not in recipe_names():
            raise ConfigError(f"NAME must be one of {recipe_names()}, got {name!r}")
        typer.echo(recipe_text(name).rstrip())
        return
    if document is not None:
        from experiments.commands.recipe_tables import operators_table, recipe_tables, scene_table
        from spikefuse.pages import write_tables

        tables = recipe_tables(recipe_heads())
        if runs:
            tables["recipe scenes"] = scene_table(runs)
        if sweep is not None:
            tables["recipe operators"] = operators_table(sweep)
        write_tables(document, tables)
    console = Console()
    for head in recipe_heads():
        console.print(f"\n[bold]{head.name}[/bold]  {head.title}", highlight=False)
        for label in ("data", "split", "seeds", "time", "shows", "needs"):
            text = getattr(head, label)
            if text:
                console.print(f"  {label}: {text}", highlight=False, markup=False)
