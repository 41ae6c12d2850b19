"""Every family of models on two data sets, tuned alike: accuracy, memory, energy.

``python -m experiments.studies.results.study --data embedded --runs FOLDER --document
docs/results.md`` tunes each family on validation (the same number of trials for all), trains it
with five seeds and reads the test pairs once each, sweeps its size, and writes the tables. With
``--data nmnist_fsdd`` (and ``--root``) a seed has a fold of recordings and a test speaker of its
own. Every cell is a file in FOLDER: the same command goes on with an interrupted study; ``--part``
names a share of the families, so that several processes can work at once and write no table;
``--stored`` makes none.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import torch

from experiments.config import Config, load_config
from experiments.loading.data import load_data
from experiments.studies.fusion import SPEAKERS
from experiments.studies.results.cells import SIZES, Budget, Cells, config_of_seed
from experiments.studies.results.data import Sensed
from experiments.studies.results.families import PARTS, TRIALS, families
from experiments.studies.results.tables import StudyTables, gathered
from experiments.training.learners import build_learner
from spikefuse.models import FusionSNN
from spikefuse.pages import write_tables

RECIPES = {"embedded": "demo", "nmnist_fsdd": "nmnist_fsdd"}
N_SEEDS = 5
# Epochs of a trial and of a tested model that fit the time stated in the page.
BUDGETS = {"embedded": Budget(10, 30), "nmnist_fsdd": Budget(4, 16)}


def cells_of(
    name: str, folder: Path, config: Config, budget: Budget, stored: bool, n_trials: int
) -> Cells:
    """The cells of one data set."""

    @lru_cache(maxsize=1)
    def load(seed: int) -> Sensed:
        own = config_of_seed(config, seed, SPEAKERS)
        return Sensed(load_data(own.data), own, folder / name, seed)

    by_seed = load if config.data.source == "nmnist_fsdd" else lambda _: load(0)
    sizes = {"vision": (34, 34, 2), "audio": (config.data.cochlea.n_channels, 1, 1)}
    if config.data.source == "embedded_digits":
        sizes["audio"] = (config.data.digits.cochlea.n_channels, 1, 1)
    model = build_learner("snn", config, sizes, 0).model
    if not isinstance(model, FusionSNN):
        raise TypeError(f"the reference must be spiking, got {type(model).__name__}")
    (folder / name).mkdir(parents=True, exist_ok=True)
    return Cells(folder / name, model.spec, by_seed, budget, stored, n_trials)


def run(cells: Cells, parts: Sequence[str], seeds: Sequence[int]) -> None:
    """Make what is lacking of some parts: tuning and first seed of all, then the rest."""
    chosen = [family for family in families().values() if family.part in parts]
    for seed in seeds:
        cells.samples(seed)
        for family in chosen:
            cells.tested(family, seed)
    for factor in SIZES:
        for family in chosen:
            cells.sized(family, factor, seeds[0])


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line: see the module."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.studies.results.study", description=__doc__
    )
    parser.add_argument("--data", choices=sorted(RECIPES), required=True)
    parser.add_argument("--runs", type=Path, required=True, help="folder of the cells' results")
    parser.add_argument("--root", type=Path, help="folder of NMNIST and FSDD")
    parser.add_argument(
        "--part", nargs="+", choices=PARTS, help="only make these families' cells; no table"
    )
    parser.add_argument("--stored", action="store_true", help="train nothing")
    parser.add_argument("--seeds", type=int, default=N_SEEDS, help="number of seeds")
    parser.add_argument(
        "--epochs", type=int, help="of a tested spiking model; others half as many again"
    )
    parser.add_argument("--trial-epochs", type=int, help="of a tuning trial, as above")
    parser.add_argument("--trials", type=int, default=len(TRIALS), help="per family")
    parser.add_argument("--document", type=Path, help="page whose tables are replaced")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)
    settings = list(chosen.set)
    if chosen.data == "nmnist_fsdd" and not chosen.stored:
        if chosen.root is None:
            parser.error("--root must be given with --data nmnist_fsdd")
        settings.append(f"data.root={chosen.root}")
    config = load_config(RECIPES[chosen.data], settings)
    budget = BUDGETS[chosen.data]
    budget = replace(
        budget,
        epochs=chosen.epochs or budget.epochs,
        trial_epochs=chosen.trial_epochs or budget.trial_epochs,
    )
    cells = cells_of(chosen.data, chosen.runs, config, budget, chosen.stored, chosen.trials)
    seeds = list(range(chosen.seeds))
    if not chosen.stored:
        run(cells, chosen.part or PARTS, seeds)
    if chosen.part:
        return
    tables = StudyTables(gathered(replace(cells, stored=True), seeds), config).by_mark(chosen.data)
    print("\n\n".join(tables.values()))
    if chosen.document is not None:
        write_tables(chosen.document, tables)


if __name__ == "__main__":
    main()
