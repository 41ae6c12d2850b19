"""``spikefuse fits``: whether the models of a run fit a chip, and why not."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from spikefuse.errors import ConfigError

if TYPE_CHECKING:
    from spikefuse.cost.fits import Fit
    from spikefuse.cost.profile import HardwareProfile


def fits(
    run: Annotated[Path, typer.Argument(help="A finished run directory.")],
    profile: Annotated[
        list[str] | None,
        typer.Option(
            "--profile",
            help="This hardware profile, or TOML file; the run's by default. Repeatable.",
        ),
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option("--model", help="Only this model. Repeatable.")
    ] = None,
    bits: Annotated[
        int | None,
        typer.Option("--bits", help="Bits of a weight; by default the chip's.", min=1, max=64),
    ] = None,
    json_path: Annotated[
        Path | None, typer.Option("--json", help="Also write the figures here.")
    ] = None,
) -> None:
    """Say of each model and profile whether it fits, and why not, from what the run has counted."""
    found = fits_of(run, profile or [], model or [], bits)
    console = Console()
    for name, by_profile in found.items():
        console.print(_table(name, by_profile))
        for fit in by_profile:
            console.print(f"- {fit.sentence}", highlight=False, markup=False)
    if json_path is not None:
        from experiments.files import write_json

        figures = {name: [fit.to_dict() for fit in by] for name, by in found.items()}
        write_json(json_path, figures)


def fits_of(
    run: Path, profiles: list[str], models: list[str], bits: int | None
) -> dict[str, list[Fit]]:
    """Every model of a run on every profile.

    Raises
    ------
    ConfigError
        If the run is not finished, a model is not in it, or it holds no counts.
    """
    from analysis.records import load_run
    from spikefuse.cost.fits import fits as fit
    from spikefuse.cost.profile import load_profile
    from spikefuse.cost.stored import counts_of

    record = load_run(run)
    entries: dict[str, Any] = record.result["models"]
    unknown = [name for name in models if name not in entries]
    if unknown:
        raise ConfigError(f"--model must be of {list(entries)}, got {unknown[0]!r}")
    named = profiles or list(next(iter(entries.values()))["energy"])
    chips = [load_profile(name) for name in named]
    found: dict[str, list[Fit]] = {}
    for name in models or entries:
        stored = entries[name]["counts"].get("exact")
        if stored is None:
            raise ConfigError(f"RUN must hold the counts of {name}, got none: evaluate it again")
        counts = counts_of(stored)
        found[name] = [fit(counts, chip, *_widths(chip, bits)) for chip in chips]
    return found


def _widths(chip: HardwareProfile, bits: int | None) -> tuple[int, int]:
    """Bits of a weight and of a state: what the run's models are given on that chip."""
    from experiments.evaluation.precision import precision_of

    form = precision_of(chip)[1]
    if form is None:
        return bits or chip.word_bits, chip.state_bits
    return bits or min(chip.word_bits, form.weight_bits), min(chip.state_bits, form.state_bits)


def _table(name: str, by_profile: list[Fit]) -> Table:
    """Needed and available, one line a resource."""
    table = Table(title=name, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for column in ("profile", "resource", "needed", "available", "fits"):
        right = column in ("needed", "available")
        table.add_column(column, justify="right" if right else "left", overflow="fold")
    said = {True: "yes", False: "no", None: "not known"}
    for fit in by_profile:
        for budget in fit.budgets:
            available = "" if budget.available is None else f"{budget.available:,.0f}"
            table.add_row(
                fit.profile,
                f"{budget.name}, {budget.unit}" if budget.unit != budget.name else budget.name,
                f"{budget.needed:,.0f}",
                available,
                said[budget.fits],
            )
    return table
