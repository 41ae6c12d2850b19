"""The stress suite on the best spiking fusion, concat and the dense twin, on two data sets.

``python -m experiments.studies.stress_summary --data nmnist_fsdd --root DATA --runs FOLDER
--document docs/results.md`` trains what is lacking below FOLDER, tests it under stress and writes
one summary table; ``--data s1`` needs no data. Real recordings: a run has a fold of recordings, a
test speaker and a seed of its own, and their test pairs are pooled. S1: three seeds on one test
set. ``--stored`` writes the tables of an earlier call again.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from analysis.stress_summary import stress_summary
from analysis.stress_tables import FILE, read_stress
from experiments.commands.console import ConsoleReporter
from experiments.config import Config, load_config
from experiments.files import write_json
from experiments.run import Reporter, run_experiment
from experiments.stress.conditions import FAMILIES
from experiments.stress.pooled import pooled
from experiments.stress.suite import Chosen, describe, run_models
from experiments.studies.fusion import SPEAKERS
from spikefuse.pages import markdown_table, write_tables

_ALONE = ("snn_vision", "snn_audio")


@dataclass(frozen=True)
class Plan:
    """What is compared on one data set.

    Parameters
    ----------
    recipe : str
    best : str
        The spiking operator of the highest accuracy: on validation pairs in docs/fusion.md, at
        every offset of S1 in docs/timing.md.
    n_cells : int
        Runs whose test pairs are pooled; each has one seed if there are several.
    seeds : tuple of int
        Of a run, where there is one.
    settings : tuple of str
        Keys set over the recipe in all runs.
    options : tuple of str
        Keys set for the best operator alone.
    """

    recipe: str
    best: str
    n_cells: int = 1
    seeds: tuple[int, ...] = (0, 1, 2)
    settings: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


PLANS = {
    "nmnist_fsdd": Plan("nmnist_fsdd", "late", n_cells=len(SPEAKERS)),
    "s1": Plan(
        "scene_s1",
        "coincidence",
        settings=(
            "data.dt_ms=2.0",
            "data.scene.n_train=8000",
            "model.readout_tau_ms=300.0",
            "model.lif.tau_mem_ms=7.0",
            "model.fusion_options={}",
            "train.epochs=4",
            "train.dense_epochs=20",
            "train.learning_rate=0.02",
        ),
        # Weak direct synapses: to pairs, single spikes are noise (docs/timing.md).
        options=("model.fusion_options={units=32,gain=0.3,pair_gain=3.0}",),
    ),
}


def configs_of(plan: Plan, cell: int, settings: Sequence[str] = ()) -> dict[str, Config]:
    """Runs of a cell: concat with the references, and the best operator."""
    common = ["train.threads=1", "cost.latency_repeats=3", *plan.settings, *settings]
    if plan.n_cells > 1:
        common += [
            f"seeds=[{cell}]",
            f"data.fold={cell}",
            f"data.test_speaker={SPEAKERS[cell % len(SPEAKERS)]}",
        ]
    else:
        common.append(f"seeds={list(plan.seeds)}")
    models = ["snn", "dense", *_ALONE, *(["snn_late"] if plan.best == "late" else [])]
    own = ["model.fusion=concat", f"models={','.join(models)}"]
    found = {"concat": load_config(plan.recipe, [*common, *own])}
    if plan.best != "late":  # every run can have a model of that name beside its own
        own = [f"model.fusion={plan.best}", *plan.options, "models=snn"]
        found[plan.best] = load_config(plan.recipe, [*common, *own])
    return found


def stress_cells(
    plan: Plan,
    folder: Path,
    configs: Sequence[Mapping[str, Config]],
    limit: int | None,
    reporter: Reporter,
) -> dict[str, Any]:
    """Train what is lacking, test every cell under stress, pool; written to ``stress.json``."""
    cells = []
    best = "snn_late" if plan.best == "late" else "snn"
    for cell, of_cell in enumerate(configs):
        runs = {name: folder / f"cell{cell}" / name for name in of_cell}
        for name, config in of_cell.items():
            if not (runs[name] / "result.json").is_file():
                reporter.stage(f"cell {cell}: {name}")
                run_experiment(config, runs[name], reporter)
        chosen = [
            Chosen(runs["concat"], "snn", "concat"),
            Chosen(runs.get(plan.best, runs["concat"]), best, plan.best),
            *(Chosen(runs["concat"], name) for name in ("dense", *_ALONE)),
        ]
        cells.append(run_models(chosen, reporter, FAMILIES, limit))
    reporter.stage("intervals")
    first = cells[0]
    together = pooled([cell.stressed for cell in cells])
    found: dict[str, Any] = describe(together, first.config, FAMILIES, first.n_classes, 0)
    found |= first.facts
    found["of_test_pairs"] = sum(cell.facts["of_test_pairs"] for cell in cells)
    found["seeds"] = [seed for cell in cells for seed in cell.config.seeds]
    found["cells"] = len(cells)
    write_json(folder / FILE, found)
    return found


def page_table(found: Mapping[str, Any], plan: Plan) -> str:
    """The summary as Markdown, with what it was measured on."""
    names = {name: f"`{name}`" for name in ("concat", plan.best)}
    table = stress_summary(found, names)
    rows = markdown_table(list(table.header), [list(row) for row in table.rows])
    runs = (
        f"{found['cells']} runs of one seed with a fold and a test speaker each, pooled"
        if found["cells"] > 1
        else f"{len(found['seeds'])} seeds"
    )
    return (
        f"{found['n_pairs']} of {found['of_test_pairs']} test pairs; {runs}; intervals: "
        f"{found['interval']}.\n\n{rows}"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line: see the module."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.studies.stress_summary", description=__doc__
    )
    parser.add_argument("--data", choices=sorted(PLANS), required=True)
    parser.add_argument("--runs", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--root", type=Path, help="folder of NMNIST and FSDD")
    parser.add_argument("--limit", type=int, help="the first N test pairs of each run")
    parser.add_argument("--cells", type=int, help="runs to pool; all by default")
    parser.add_argument("--stored", action="store_true", help="run nothing")
    parser.add_argument("--document", type=Path, help="page whose table is replaced")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    chosen = parser.parse_args(arguments)
    plan, folder = PLANS[chosen.data], chosen.runs / chosen.data
    settings = [*chosen.set, *([f"data.root={chosen.root}"] if chosen.root else [])]
    found = read_stress(folder) if chosen.stored else None
    if chosen.stored and found is None:
        parser.error(f"--runs must hold {chosen.data}/{FILE} with --stored, got {chosen.runs}")
    if found is None:
        cells = range(chosen.cells or plan.n_cells)
        configs = [configs_of(plan, cell, settings) for cell in cells]
        with ConsoleReporter(Console()) as reporter:
            found = stress_cells(plan, folder, configs, chosen.limit, reporter)
    table = page_table(found, plan)
    print(table)
    if chosen.document is not None:
        write_tables(chosen.document, {f"stress {chosen.data}": table})


if __name__ == "__main__":
    main()
