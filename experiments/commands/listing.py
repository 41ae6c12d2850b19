"""Printing of hardware profiles with the source of every constant, and of public data sets."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Column, Table

from spikefuse.cost.profile import list_profiles, load_profile
from spikefuse.pages import markdown_table


def print_profiles(console: Console) -> list[dict[str, Any]]:
    """One line per shipped profile."""
    table = Table(Column("name", no_wrap=True), "prices", "use", "what", "basis")
    shipped = [load_profile(name) for name in list_profiles()]
    for profile in shipped:
        table.add_row(profile.name, profile.prices, profile.use, profile.title, profile.basis)
    console.print(table)
    return [asdict(profile) for profile in shipped]


def print_profile(name: str, console: Console) -> dict[str, Any]:
    """Every constant of one profile: value, range, unit, source and where it stands."""
    profile = load_profile(name)
    process = f", {profile.process_nm:g} nm" if profile.process_nm else ""
    console.print(
        f"{profile.name}: {profile.title} ({profile.basis}{process}; {profile.use})",
        highlight=False,
        markup=False,
    )
    if profile.notes:
        console.print(profile.notes, highlight=False, markup=False)
    for key, row in profile.constants.items():
        spread = f" [{row.low:g} to {row.high:g}]" if row.has_range else " (no range)"
        console.print(
            f"{key} = {row.value:g} {row.unit}{spread}, {row.kind}, {row.seen}",
            highlight=False,
            markup=False,
        )
        console.print(f"    {row.source}; {row.locator}", highlight=False, markup=False)
        if row.note:
            console.print(f"    note: {row.note}", highlight=False, markup=False)
    return asdict(profile)


def constants_table() -> str:
    """Every constant of every shipped profile as a Markdown table."""
    rows: list[list[str]] = []
    for name in list_profiles():
        profile = load_profile(name)
        for i, (key, row) in enumerate(profile.constants.items()):
            spread = f" ({row.low:g} to {row.high:g})" if row.has_range else ""
            rows.append(
                [
                    f"**{name}** ({profile.use})" if i == 0 else "",
                    f"`{key}`",
                    f"{row.value:g} {row.unit}{spread}",
                    row.source,
                    row.locator,
                    row.seen,
                    row.kind,
                ]
            )
    header = ["profile", "constant", "value", "source", "where it was seen", "seen", "kind"]
    return markdown_table(header, rows)


def print_sets(root: Path, console: Console) -> list[dict[str, Any]]:
    """One line for each part of each public set: what is there, or where it would have to be."""
    from experiments.loading.sets import present_sets

    rows = present_sets(root)
    for row in rows:
        said = row.get("says") or row.get("error")
        if said is None:
            said = f"{row['name']} {row['part']}: not there ({row['place']})"
        console.print(said, highlight=False, markup=False, soft_wrap=True)
    console.print(
        "To get one: spikefuse data download NAME --root FOLDER", highlight=False, markup=False
    )
    return rows
