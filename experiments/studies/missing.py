"""Missing modality: models trained with modality dropout, beside unimodal ones.

``python -m experiments.studies.missing --json FILE --document docs/objectives.md`` trains on the
embedded default and writes the table. Results already in the file are not computed again.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from experiments.config import Config, load_config
from experiments.evaluation.missing import accuracy_without
from experiments.loading.data import PairedData, load_data
from experiments.studies.runs import Row, completed, mean_and_range, trained
from spikefuse.fusion import OPERATORS
from spikefuse.pages import markdown_table, write_tables

MARK = "missing modality"
# What the fused model may lose against a model of the modality that is left, in points.
MARGIN = 3.0


@dataclass(frozen=True)
class MissingProtocol:
    """How models are trained.

    Parameters
    ----------
    dropouts : tuple of float
        ``train.modality_dropout`` of the fused models.
    auxiliary : float
        ``train.auxiliary_weight`` of those with encoders.
    epochs : int
    seeds : tuple of int
    operators : tuple of str
    """

    dropouts: tuple[float, ...] = (0.5,)
    auxiliary: float = 0.5
    epochs: int = 20
    seeds: tuple[int, ...] = (0, 1, 2)
    operators: tuple[str, ...] = tuple(OPERATORS)


def study(p: MissingProtocol, path: Path, data: PairedData, base: Config) -> list[Row]:
    """Rows of every model and seed; accuracies with both modalities and with each absent."""
    alone: list[Row] = [{"model": f"snn_{m}", "dropout": 0.0} for m in data.sensor_sizes]
    plain: list[Row] = [{"model": "concat", "dropout": 0.0}]
    fused: list[Row] = [{"model": name, "dropout": d} for name in p.operators for d in p.dropouts]
    wanted = [
        {**model, "seed": seed, "epochs": p.epochs, "auxiliary": _auxiliary(p, model)}
        for model in sorted([*alone, *plain, *fused], key=lambda m: m["dropout"])
        for seed in p.seeds
    ]

    def find(key: Row) -> Row:
        unimodal = key["model"].startswith("snn_")
        train = replace(
            base.train,
            epochs=key["epochs"],
            modality_dropout=key["dropout"],
            auxiliary_weight=key["auxiliary"],
        )
        config = replace(base, train=train)
        if not unimodal:
            config = replace(config, model=replace(base.model, fusion=key["model"]))
        learner = trained(key["model"] if unimodal else "snn", config, data, key["seed"])
        absent = ("",) if unimodal else ("", *learner.modalities)
        found = {a or "none": accuracy_without(learner, data, "test", a) for a in absent}
        return {"absent": found}

    return completed(path, wanted, find)


def _auxiliary(p: MissingProtocol, model: Row) -> float:
    """Weight of the unimodal readouts: only where there is dropout, and encoders to read."""
    name = model["model"]
    return p.auxiliary if model["dropout"] and not OPERATORS[name].reads_inputs else 0.0


def table(rows: Sequence[Row]) -> str:
    """The study as Markdown: accuracies in percent, and points against the unimodal model."""
    modalities = [r["model"].removeprefix("snn_") for r in rows if r["model"].startswith("snn_")]
    modalities = list(dict.fromkeys(modalities))
    head = ["model", "modality dropout", "all modalities"]
    head += [f"{m} alone (against its own model)" for m in modalities]
    lines: list[list[str]] = []
    unimodal = {m: _by_seed(rows, f"snn_{m}", 0.0, "none") for m in modalities}
    for name, dropout in dict.fromkeys((r["model"], r["dropout"]) for r in rows):
        whole = mean_and_range(100 * _by_seed(rows, name, dropout, "none"))
        if name.startswith("snn_"):
            cells = [whole if name == f"snn_{m}" else "" for m in modalities]
            lines.append([f"{name.removeprefix('snn_')} alone", "", "", *cells])
            continue
        cells = []
        for left in modalities:
            (gone,) = (m for m in modalities if m != left)
            found = _by_seed(rows, name, dropout, gone)
            points = 100 * (found - unimodal[left])
            holds = "" if points.mean() >= -MARGIN else ", beyond the margin"
            cells.append(f"{mean_and_range(100 * found)} ({points.mean():+.1f}{holds})")
        lines.append([name, f"{dropout:g}", whole, *cells])
    return markdown_table(head, lines)


def _by_seed(rows: Sequence[Row], name: str, dropout: float, absent: str) -> np.ndarray:
    found = [r for r in rows if r["model"] == name and r["dropout"] == dropout]
    return np.array([r["absent"][absent] for r in sorted(found, key=lambda r: r["seed"])])


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line: see the module."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.studies.missing", description=__doc__
    )
    parser.add_argument("--json", type=Path, required=True, help="results, one line each")
    parser.add_argument("--document", type=Path, help="page whose table is replaced")
    parser.add_argument("--dropout", type=float, nargs="+", help="shares of modality dropout")
    parser.add_argument("--epochs", type=int, help="another schedule, with a table of its own")
    parser.add_argument("--operators", nargs="+", choices=list(OPERATORS), help="these alone")
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)
    base = load_config("demo")
    protocol = MissingProtocol()
    if chosen.dropout:
        protocol = replace(protocol, dropouts=tuple(chosen.dropout))
    if chosen.operators:
        protocol = replace(protocol, operators=tuple(chosen.operators))
    mark = MARK
    if chosen.epochs:
        protocol = replace(protocol, epochs=chosen.epochs)
        mark = f"{MARK}, {chosen.epochs} epochs"
    text = table(study(protocol, chosen.json, load_data(base.data), base))
    print(text)
    if chosen.document is not None:
        write_tables(chosen.document, {mark: text})


if __name__ == "__main__":
    main()
