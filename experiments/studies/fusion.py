"""Every fusion operator on N-MNIST x FSDD, where timing tells nothing: the negative control.

``python -m experiments.studies.fusion --root DATA --runs FOLDER --document docs/fusion.md`` trains
a run per operator and cell, and a run of the references (each modality alone, dense twin) per cell,
then writes the tables. A cell is a seed with a fold of recordings and a test speaker of its own.
Finished runs are kept, so the same command goes on with an interrupted study.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from rich.console import Console

from analysis.naming import format_pj
from analysis.operator_table import (
    MARGIN,
    PROFILES,
    REFERENCES,
    Row,
    chosen_on_validation,
    operator_rows,
)
from analysis.records import load_run
from experiments.commands.console import ConsoleReporter
from experiments.config import Config, load_config
from experiments.evaluation.evaluate import first_final
from experiments.files import write_json
from experiments.loading.batches import batches
from experiments.loading.data import load_data
from experiments.run import Reporter, run_experiment
from experiments.training.trained import trained_learner
from spikefuse.fusion import OPERATORS
from spikefuse.pages import markdown_table, write_tables

SPEAKERS = ("george", "jackson", "lucas", "theo")
N_CELLS = 5
_UNIMODAL = ("snn_vision", "snn_audio")


def plan_cell(root: Path, cell: int, settings: Sequence[str] = ()) -> dict[str, Config]:
    """Configurations of one cell by run name: the references, and every operator."""
    of_cell = [
        f"data.root={root}",
        f"seeds=[{cell}]",
        f"data.fold={cell}",
        f"data.test_speaker={SPEAKERS[cell % len(SPEAKERS)]}",
        "train.threads=1",
        *settings,
    ]
    plan = {
        REFERENCES: load_config(
            "nmnist_fsdd", [*of_cell, 'models=["snn_vision","snn_audio","dense"]']
        )
    }
    for name in OPERATORS:
        plan[name] = load_config("nmnist_fsdd", [*of_cell, "models=snn", f"model.fusion={name}"])
    return plan


def run_jobs(
    root: Path, runs: Path, cells: Sequence[int], part: int, n_parts: int, reporter: Reporter
) -> None:
    """Train and evaluate what is lacking of every ``n_parts``-th run, from the ``part``-th on."""
    jobs = [
        (runs / f"cell{cell}" / name, config)
        for cell in cells
        for name, config in plan_cell(root, cell).items()
    ]
    for folder, config in jobs[part::n_parts]:
        if not (folder / "result.json").is_file():
            reporter.stage(f"{folder.parent.name}: {folder.name}")
            run_experiment(config, folder, reporter)
        if folder.name == REFERENCES and not (folder / "pool.json").is_file():
            write_json(folder / "pool.json", pool_latency(config, folder))


def pool_latency(config: Config, folder: Path) -> dict[str, float]:
    """When the log-opinion pool of a run's unimodal models has decided, median over test pairs.

    Both models run step by step; the pool adds their calibrated answers so far after each. What is
    waited for after the evidence is one step of both, from the compute times of the run.
    """
    entries = load_run(folder).result["models"]
    data = load_data(config.data)
    votes: list[torch.Tensor] = []
    compute_ms = 0.0
    for name in _UNIMODAL:
        learner = trained_learner(folder, config, data, name, config.seeds[0])
        times_ms = learner.anytime_ms(config.cost.windows_ms)
        with torch.no_grad():
            scores = [
                learner.anytime_scores(batch.samples, times_ms)
                for batch in batches(data, "test", data.fixed_pairs["test"], 64)
            ]
        temperature = entries[name]["calibration"]["temperature_by_seed"][0]
        votes.append(torch.log_softmax(torch.cat(scores, dim=1) / temperature, dim=2))
        compute_ms += entries[name]["latency"]["compute_ms"]
    answers = sum(votes[1:], votes[0]).argmax(2).numpy()
    evidence_ms = float(np.median(np.asarray(times_ms)[first_final(answers)]))
    return {"evidence_ms": evidence_ms, "p50_ms": evidence_ms + compute_ms / len(times_ms)}


def tables(rows: Sequence[Row]) -> str:
    """The study as Markdown: what each row reaches and costs, then how it compares."""
    profiles = " / ".join(profile.replace("_", " ") for profile in PROFILES)
    reached = markdown_table(
        [
            "",
            "accuracy [95 %]",
            "operations",
            f"dynamic energy (modelled): {profiles}",
            "latency (ms)",
            "parameters",
        ],
        [
            [
                _name(row),
                f"{row.accuracy:.3f} [{row.interval[0]:.3f}, {row.interval[1]:.3f}]",
                _or_dash(row.operations, ",.0f"),
                _energies(row.dynamic_pj),
                _or_dash(row.latency_ms, ".0f"),
                _or_dash(row.params, ","),
            ]
            for row in rows
        ],
    )
    compared = markdown_table(
        [
            "",
            "by cell",
            "validation",
            "minus pool, points [95 %]",
            "p (Holm), verdict",
            "NLL",
            "ECE",
            "area under risk-coverage",
        ],
        [
            [
                _name(row),
                " ".join(f"{value:.3f}" for value in row.by_cell),
                _or_dash(row.validation, ".3f"),
                _against_pool(row),
                "-"
                if row.comparison is None
                else f"{row.comparison.p_value:.4f}, {row.comparison.verdict}",
                *(_or_dash(value, ".3f") for value in (row.nll, row.ece, row.aurc)),
            ]
            for row in rows
        ],
    )
    return f"{reached}\n\n{compared}\n\n{conclusion(rows)}"


def conclusion(rows: Sequence[Row]) -> str:
    """What the study says of the operator chosen on validation, in one sentence."""
    chosen = chosen_on_validation(rows)
    found = chosen.comparison
    if found is None:
        raise ValueError("rows must hold an operator, got none")
    low, high = (100 * end for end in found.interval)
    return (
        f"{len(chosen.by_cell)} cells. Chosen on validation: `{chosen.name}` (accuracy "
        f"{chosen.validation:.3f} there). On the test pairs it differs from the log-opinion pool "
        f"by {100 * found.difference:+.1f} points [{low:+.1f}, {high:+.1f}]: **{found.verdict}** "
        f"at a margin of {100 * MARGIN:g} points (p = {found.p_value:.4f} after Holm over "
        f"{sum(row.comparison is not None for row in rows)} operators)."
    )


def _name(row: Row) -> str:
    """An operator's name as code, a reference's in plain words."""
    return row.name if row.comparison is None else f"`{row.name}`"


def _against_pool(row: Row) -> str:
    """Difference to the pool in points."""
    if row.difference is None or row.difference_interval is None:
        return "-"
    low, high = (100 * end for end in row.difference_interval)
    return f"{100 * row.difference:+.1f} [{low:+.1f}, {high:+.1f}]"


def _or_dash(value: float | None, form: str) -> str:
    """A formatted number, or a dash where there is none."""
    return "-" if value is None else format(value, form)


def _energies(dynamic_pj: Mapping[str, float | None] | None) -> str:
    """Energies under every profile."""
    if dynamic_pj is None:
        return "-"
    values = [dynamic_pj[profile] for profile in PROFILES]
    return " / ".join("no price" if value is None else format_pj(value) for value in values)


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line: see the module."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.studies.fusion", description=__doc__
    )
    parser.add_argument("--root", type=Path, required=True, help="folder of NMNIST and FSDD")
    parser.add_argument("--runs", type=Path, required=True, help="folder of the runs")
    parser.add_argument(
        "--part",
        type=int,
        nargs=2,
        metavar=("I", "N"),
        help="only run the I-th of N shares, several at once, and write no table",
    )
    parser.add_argument(
        "--cells", type=int, nargs="+", default=list(range(N_CELLS)), help="of these cells alone"
    )
    parser.add_argument("--document", type=Path, help="page whose tables are replaced")
    chosen = parser.parse_args(arguments)
    part, n_parts = chosen.part or (0, 1)
    with ConsoleReporter(Console()) as reporter:
        run_jobs(chosen.root, chosen.runs, chosen.cells, part, n_parts, reporter)
    if chosen.part:
        return
    folders = [chosen.runs / f"cell{cell}" for cell in chosen.cells]
    cells = [
        {name: load_run(folder / name) for name in (*OPERATORS, REFERENCES)} for folder in folders
    ]
    latency_ms = [
        json.loads((folder / REFERENCES / "pool.json").read_text())["p50_ms"] for folder in folders
    ]
    text = tables(operator_rows(cells, latency_ms))
    print(text)
    if chosen.document is not None:
        write_tables(chosen.document, {"fusion study": text})


if __name__ == "__main__":
    main()
