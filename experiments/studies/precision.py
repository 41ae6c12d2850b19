"""What widths cost: ``python -m experiments.studies.precision --runs FOLDER [--document PAGE]``.

The spiking model of the recipe ``demo`` is trained in float, rounded to whole numbers of several
widths of weights and membranes, and trained on behind the rounding at some of them. Rows that are
in FOLDER already are not computed again; with ``--stored`` none is. With ``--document`` the tables
are put between the marks in that page.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from experiments.config import Config, load_config
from experiments.evaluation.evaluate import answers_of
from experiments.evaluation.precision import at_precision, train_aware, trained_on
from experiments.loading.data import PairedData, load_data
from experiments.studies.runs import Row, completed, rows_of
from experiments.training.checkpoints import CheckpointFolder
from experiments.training.learners import Learner, build_learner
from experiments.training.loop import train_model
from spikefuse.neurons import FixedFormat
from spikefuse.pages import markdown_table, write_tables

WEIGHT_BITS, STATE_BITS = (8, 6, 5, 4, 3), (24, 20, 16, 12, 10, 8)
AWARE = ((8, 24), (6, 24), (4, 24), (8, 8))
_WIDE_STATE, _MOST_WEIGHT = 24, 8
MARKS = ("precision weights", "precision states")


def wanted_rows(seeds: Sequence[int]) -> list[Row]:
    """Keys of all rows: float, rounded at every width, trained on at some."""
    widths = [(bits, _WIDE_STATE) for bits in WEIGHT_BITS]
    widths += [(_MOST_WEIGHT, bits) for bits in STATE_BITS if bits != _WIDE_STATE]
    keys: list[Row] = []
    for seed in seeds:
        keys += [{"seed": seed, "kind": "float"}, {"seed": seed, "kind": "float, trained on"}]
        keys += [{"seed": seed, "kind": "rounded", "weight": w, "state": s} for w, s in widths]
        keys += [{"seed": seed, "kind": "aware", "weight": w, "state": s} for w, s in AWARE]
    return keys


class Study:
    """One configuration with its data and the float models that were trained for it.

    Parameters
    ----------
    folder : Path
    config : Config
    data : PairedData
    """

    def __init__(self, folder: Path, config: Config, data: PairedData) -> None:
        self.folder, self.config, self.data = folder, config, data
        self.float_model: Callable[[int], Learner] = cache(self._float_model)

    def find(self, key: Row) -> Row:
        """Accuracy on the test pairs, operations a sample, and answers unlike the float model's."""
        seed = int(key["seed"])
        exact = self.float_model(seed)
        if key["kind"] == "float":
            learner = exact
        elif key["kind"] == "float, trained on":
            learner = self._on(exact, seed)
        else:
            form = FixedFormat(int(key["weight"]), int(key["state"]))
            if key["kind"] == "rounded":
                learner = at_precision(exact, form, self.data, seed)
            else:
                name = f"aware-{form.weight_bits}-{form.state_bits}-seed{seed}"
                learner = train_aware(
                    exact, self.data, self.config, seed, self.folder / name, _quiet, form
                )
        found = answers_of(learner, self.data, self.config)
        plain = answers_of(exact, self.data, self.config)
        labels = np.array(self.labels())
        if found.predictions is None or plain.predictions is None or found.counts is None:
            raise ValueError(f"answers must be known, got none for {key}")
        return {
            "accuracy": float((found.predictions == labels).mean()),
            "changed": float((found.predictions != plain.predictions).mean()),
            "acs": found.counts.effective_acs,
            "fired": found.counts.spikes_fired,
        }

    def labels(self) -> list[int]:
        """Labels of the test pairs."""
        part = next(iter(self.data.splits["test"].values()))
        return [part[pair[0]].label for pair in self.data.fixed_pairs["test"]]

    def _on(self, exact: Learner, seed: int) -> Learner:
        """The float model after as many epochs more as those behind the rounding."""
        learner = replace(exact, model=copy.deepcopy(exact.model))
        checkpoints = CheckpointFolder(self.folder / f"float-on-seed{seed}")
        train_model(learner, self.data, trained_on(self.config), seed, checkpoints, _quiet)
        checkpoints.load_best(learner.model)
        return learner

    def _float_model(self, seed: int) -> Learner:
        """Trained once, kept in the folder."""
        learner = build_learner(
            "snn", self.config, self.data.sensor_sizes, seed, len(self.data.classes)
        )
        checkpoints = CheckpointFolder(self.folder / f"float-seed{seed}")
        train_model(learner, self.data, self.config, seed, checkpoints, _quiet)
        checkpoints.load_best(learner.model)
        learner.model.eval()
        return learner


def tables(rows: Sequence[Row]) -> dict[str, str]:
    """Both tables by the name of their mark."""
    seeds = sorted({int(row["seed"]) for row in rows})
    several = "seed" if len(seeds) == 1 else "seeds"
    note = (
        f"{len(seeds)} {several}, test pairs of the embedded default: mean (lowest to highest) in "
        "per cent; accumulates per sample in thousands, of the rounded model."
    )
    header = ["", "rounded", "trained on", "answers changed by rounding", "accumulates"]
    exact = _cell(rows, "float")
    first = ["float", exact, _cell(rows, "float, trained on"), "", _acs(rows, "float")]
    by_weight = [first] + [_line(rows, f"{w} bits", w, _WIDE_STATE) for w in WEIGHT_BITS]
    by_state = [first] + [_line(rows, f"{s} bits", _MOST_WEIGHT, s) for s in STATE_BITS]
    return {
        MARKS[0]: f"{note}\n\n" + markdown_table(["weights", *header[1:]], by_weight),
        MARKS[1]: f"{note}\n\n" + markdown_table(["membranes", *header[1:]], by_state),
    }


def _line(rows: Sequence[Row], name: str, weight: int, state: int) -> list[str]:
    """One width in a table."""
    widths = {"weight": weight, "state": state}
    changed = _values(rows, "rounded", "changed", widths)
    return [
        name,
        _cell(rows, "rounded", widths),
        _cell(rows, "aware", widths),
        f"{100 * float(np.mean(changed)):.1f} %" if changed else "",
        _acs(rows, "rounded", widths),
    ]


def _values(
    rows: Sequence[Row], kind: str, name: str, widths: dict[str, int] | None = None
) -> list[float]:
    """A value of each seed."""
    key: dict[str, Any] = {"kind": kind, **(widths or {})}
    return [float(row[name]) for row in rows if key.items() <= row.items()]


def _cell(rows: Sequence[Row], kind: str, widths: dict[str, int] | None = None) -> str:
    """Accuracy in per cent; empty if there is no row."""
    values = [100 * value for value in _values(rows, kind, "accuracy", widths)]
    if not values:
        return ""
    mean = f"{float(np.mean(values)):.1f}"
    return mean if len(values) == 1 else f"{mean} ({min(values):.1f} to {max(values):.1f})"


def _acs(rows: Sequence[Row], kind: str, widths: dict[str, int] | None = None) -> str:
    values = _values(rows, kind, "acs", widths)
    return f"{float(np.mean(values)) / 1e3:,.0f}" if values else ""


def _quiet(_: dict[str, Any]) -> None:
    """Epochs go by unsaid."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m experiments.studies.precision")
    parser.add_argument("--runs", type=Path, required=True, help="folder of models and rows")
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds (3)")
    parser.add_argument("--epochs", type=int, help="epochs in float; those of the recipe")
    parser.add_argument("--aware-epochs", type=int, default=10, help="epochs behind rounding (10)")
    parser.add_argument(
        "--stored", action="store_true", help="compute nothing, print what is there"
    )
    parser.add_argument("--document", type=Path, help="page to put the tables into")
    given = parser.parse_args(arguments)
    path = given.runs / "rows.jsonl"
    if given.stored:
        rows = rows_of(path)
    else:
        config = load_config("demo", ["train.threads=1"])
        epochs = config.train.epochs if given.epochs is None else given.epochs
        train = replace(config.train, epochs=epochs, aware_epochs=given.aware_epochs)
        config = replace(config, train=train)
        torch.set_num_threads(1)
        study = Study(given.runs, config, load_data(config.data))
        rows = completed(path, wanted_rows(range(given.seeds)), study.find)
    if not rows:
        raise SystemExit(f"--runs must hold rows of the study, got {given.runs}")
    found = tables(rows)
    print("\n\n".join(found.values()))
    if given.document is not None:
        write_tables(given.document, found)


if __name__ == "__main__":
    main()
