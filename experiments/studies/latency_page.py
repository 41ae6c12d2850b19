"""Tables of docs/latency.md, from a finished run.

python -m experiments.studies.latency_page RUN --document docs/latency.md
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from analysis.latency_tables import (
    deadline_table,
    decision_energy_table,
    exit_table,
    latency_table,
)
from analysis.naming import format_pj, model_name
from analysis.records import load_run
from analysis.tables import Table, to_markdown
from spikefuse.pages import write_tables


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the tables."""
    parser = argparse.ArgumentParser(prog="python -m experiments.studies.latency_page")
    parser.add_argument("run", type=Path, help="a finished run directory")
    parser.add_argument("--document", type=Path, required=True, help="the page to write into")
    given = parser.parse_args(arguments)
    write_tables(given.document, tables_of(load_run(given.run).result))


def tables_of(result: dict[str, Any]) -> dict[str, str]:
    """Every table of the page by its mark."""
    tables = {
        "latency": latency_table(result),
        "clock": clock_table(result),
        "answers": answers_table(result),
        "exits": exit_table(result),
        "deadlines": deadline_table(result),
        "decisions": decision_energy_table(result),
    }
    return {"run": describe_run(result)} | {n: to_markdown(t) for n, t in tables.items()}


def describe_run(result: dict[str, Any]) -> str:
    """What the tables are of, in a line."""
    data = result["data"]
    accuracies = ", ".join(
        f"{model_name(name)} {model['accuracy']:.3f}" for name, model in result["models"].items()
    )
    return (
        f"Run `{result['name']}` ({data['name']}), {data['n_test']} test pairs, window "
        f"{data['duration_ms']:g} ms, step {data['dt_ms']:g} ms, {len(result['seeds'])} seed(s). "
        f"Accuracy: {accuracies}."
    )


def clock_table(result: dict[str, Any]) -> Table:
    """Latency where the onset comes at any phase of the system's clock."""
    rows: list[tuple[str, ...]] = []
    for name, model in result["models"].items():
        for profile, entry in model["latency"].get("by_profile", {}).items():
            later = entry.get("from_later_onset")
            after = "n/a" if later is None else f"{later['p50_ms']:.1f} / {later['p95_ms']:.1f}"
            for kind, found in entry.get("free_running", {}).items():
                rows.append(
                    (
                        model_name(name),
                        profile,
                        kind,
                        f"{found['phase_ms']:g}",
                        f"{found['p50_ms']:.1f} / {found['p95_ms']:.1f}",
                        after,
                    )
                )
    header = (
        "model",
        "profile",
        "clock",
        "phase (ms)",
        "p50 / p95 (ms)",
        "from the later onset, p50 / p95 (ms)",
    )
    return Table("Onset at any phase of the system's clock", header, tuple(rows))


def answers_table(result: dict[str, Any]) -> Table:
    """Energy up to an answer at a third, two thirds and the whole of the window."""
    rows: list[tuple[str, ...]] = []
    for name, model in result["models"].items():
        times, energies = model["anytime"]["time_ms"], model["anytime"].get("energy", {})
        at = [max(round(len(times) * share / 3) - 1, 0) for share in (1, 2, 3)]
        for profile, entry in energies.items():
            if entry["dynamic_pj"] is None:
                continue
            for kind, label in (
                ("dynamic_pj", "every answer"),
                ("single_dynamic_pj", "this answer alone"),
                ("delta_dynamic_pj", "every answer, changes only"),
            ):
                if kind not in entry or (model["kind"] == "spiking" and kind != "dynamic_pj"):
                    continue
                cells = [f"{format_pj(entry[kind][i])} at {times[i]:g} ms" for i in at]
                rows.append((model_name(name), profile, label, *cells))
    header = ("model", "profile", "paid for", "early", "later", "at the end")
    return Table("Energy up to an answer (modelled, dynamic)", header, tuple(rows))


if __name__ == "__main__":
    main()
