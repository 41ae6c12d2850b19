"""Tables of the comparison: energy by profile and reuse with ranges, and the fronts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from analysis.energy_verdict import SEEDS_FOR_A_VERDICT
from analysis.naming import format_pj, model_name
from analysis.own_networks import own_lines, ratio_limits

_TOTALS = {"dynamic": "dynamic", "with_static": "+ static", "with_sensors": "+ sensors"}
_OUTCOMES = {"snn": "SNN", "dense": "dense twin"}


def print_findings(findings: Sequence[Mapping[str, Any]], console: Console) -> None:
    """Dense / SNN of every profile, reuse and total; nothing without both models."""
    if not findings:
        return
    table = Table(
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        title="modelled energy, dense / SNN: median [5 to 95 %] of draws of the constants",
    )
    table.add_column("profile", no_wrap=True)
    for name in ("reuse", "total"):
        table.add_column(name)
    for name in ("dense / SNN", "SNN needs\nless in"):
        table.add_column(name, justify="right", no_wrap=True)
    enough = findings[0]["seeds"] >= SEEDS_FOR_A_VERDICT
    if enough:
        table.add_column("needs less")
    for finding in findings:
        where = (finding["profile"], finding["reuse"])
        if "reason" in finding:
            table.add_row(*where, "no price", *[""] * (2 + enough))
        for name, total in finding["totals"].items():
            text = "no range"
            share = ""
            if total["median"] is not None:
                text = f"{total['median']:.3g} [{total['low']:.3g}, {total['high']:.3g}]"
                share = f"{total['share_snn_wins']:.0%}"
            said = [_OUTCOMES.get(total["outcome"], total["outcome"])] if enough else []
            table.add_row(*where, _TOTALS[name], text, share, *said)
    console.print(table)


def print_fronts(fronts: Mapping[str, Mapping[str, Any]], console: Console) -> None:
    """What one accuracy costs each model, by profile, and whether a front dominates."""
    table = Table(
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        title="fronts: least dynamic energy and least time for one accuracy (modelled, nominal)",
        caption="Along each model's own points, linear between them, never beyond them. Time is "
        "stimulus, without compute. Volume: accuracy above chance over decades of energy, a "
        "secondary figure.",
    )
    table.add_column("profile")
    table.add_column("model")
    for name in ("points", "accuracy", "energy", "time (ms)", "volume"):
        table.add_column(name, justify="right")
    for profile, front in fronts.items():
        for model, found in front["models"].items():
            cost = front["at_accuracy"][model]
            energy, time_ms = cost["energy_pj"], cost["latency_ms"]
            table.add_row(
                profile,
                model_name(model),
                str(len(found["points"])),
                f"{front['accuracy']:.3f}",
                "not reached" if energy is None else format_pj(energy),
                "not reached" if time_ms is None else f"{time_ms:.0f}",
                f"{found['hypervolume']:.3f}",
            )
    if table.row_count:
        console.print(table)
    for profile, front in fronts.items():
        own = [f"{line}." for line in own_lines(profile, front)]
        for line in (*_front_lines(profile, front), *own):
            console.print(f"- {line}", highlight=False, markup=False)


def _front_lines(profile: str, front: Mapping[str, Any]) -> list[str]:
    """Dominance and the ratio at the accuracy, in words."""
    if "dominance" not in front:
        return []
    found, ratio = front["dominance"], front["ratio"]
    winner = {"snn": "the SNN's front dominates", "dense": "the dense twin's front dominates"}
    text = f"{profile}, {', '.join(found['objectives'])}: "
    text += winner.get(found["now"], "neither front dominates the other")
    if "n_draws" in found:
        text += (
            f"; in {found['n_draws']} draws of recordings and seeds the SNN's dominates in "
            f"{found['share_snn']:.0%}, the dense twin's in {found['share_dense']:.0%}"
        )
    lines = [f"{text}."]
    if ratio["value"] is not None:
        text = (
            f"{profile}, accuracy {front['accuracy']:.3f}: dynamic energy dense / SNN = "
            f"{ratio['value']:.3g} at nominal constants"
        )
        lines.append(f"{text}{ratio_limits(ratio)}.")
    return lines
