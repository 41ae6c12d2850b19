"""Smaller models: ``python -m experiments.studies.edge --runs FOLDER [--document PAGE]``.

The spiking model of a recipe is trained in float, rounded and trained on at 8 and 4 bits, pruned by
counted operations, and taught by the dense twin. Rows that are in FOLDER already are not computed
again; with ``--stored`` none is. ``--protocol RUN...`` takes finished runs with
``train.aware_epochs`` and says how far 8 bits are from float. With ``--document`` the tables are
put between the marks in that page.
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

from analysis.energy_verdict import SEEDS_FOR_A_VERDICT
from analysis.records import RunRecord, load_run
from analysis.stats import cluster_interval
from experiments.config import Config, load_config
from experiments.evaluation.evaluate import answers_of, without_frontend
from experiments.evaluation.precision import AWARE, FLOAT, at_precision, train_aware, trained_on
from experiments.loading.data import PairedData, load_data
from experiments.run import quiet
from experiments.studies.runs import Row, completed, rows_of
from experiments.training.checkpoints import CheckpointFolder
from experiments.training.distil import Teacher
from experiments.training.learners import Learner, build_learner
from experiments.training.loop import train_model
from experiments.training.prune import prune_learner
from spikefuse.cost import energy
from spikefuse.errors import ConfigError
from spikefuse.neurons import FixedFormat
from spikefuse.objectives.magnitude import zeros_kept
from spikefuse.pages import markdown_table, write_tables

PROFILES = ("horowitz_45nm_fp32", "horowitz_45nm_int8", "loihi1_davies2018")
BITS, SHARES, ORDERS = (8, 4), (0.3, 0.5, 0.7), ("magnitude", "per_operation")
WEIGHT = 0.5  # of the distance from the teacher
MARGIN = 0.01
MARKS = ("edge bits", "edge pruning", "edge distillation", "edge protocol")
_STATE_BITS, _DRAWS = 24, 10_000


def wanted_rows(seeds: Sequence[int]) -> list[Row]:
    """Keys of all rows."""
    keys: list[Row] = []
    for seed in seeds:
        keys += [{"seed": seed, "kind": "float"}, {"seed": seed, "kind": "float, trained on"}]
        keys += [
            {"seed": seed, "kind": kind, "bits": b} for b in BITS for kind in ("rounded", "aware")
        ]
        keys += [
            {"seed": seed, "kind": kind, "order": order, "share": share}
            for share in SHARES
            for order in ORDERS
            for kind in ("pruned", "pruned, trained on")
        ]
        keys += [{"seed": seed, "kind": kind} for kind in ("teacher", "distilled")]
        keys.append({"seed": seed, "kind": "distilled, pruned, aware", "share": 0.5, "bits": 8})
    return keys


class Study:
    """One configuration with its data and the models that were trained for it.

    Parameters
    ----------
    folder : Path
    config : Config
    data : PairedData
    """

    def __init__(self, folder: Path, config: Config, data: PairedData) -> None:
        self.folder, self.config, self.data = folder, config, data
        self.trained: Callable[[str, int], Learner] = cache(self._trained)

    def find(self, key: Row) -> Row:
        """Accuracy on the test pairs, operations a sample, modelled energies, weights left."""
        learner = self._model(key)
        found = answers_of(learner, self.data, self.config)
        if found.predictions is None or found.counts is None:
            raise ValueError(f"answers must be known, got none for {key}")
        own = without_frontend(found.counts)
        part = next(iter(self.data.splits["test"].values()))
        labels = np.array([part[pair[0]].label for pair in self.data.fixed_pairs["test"]])
        window_s, reuse = self.config.data.duration_ms * 1e-3, self.config.cost.reuse
        return {
            "accuracy": float((found.predictions == labels).mean()),
            "acs": own.effective_acs,
            "macs": own.effective_macs,
            "weights": _weights(learner),
            "energy_pj": {
                profile: energy(own, profile, wall_time_s=window_s, reuse=reuse).dynamic_pj
                for profile in PROFILES
            },
        }

    def _model(self, key: Row) -> Learner:
        """The model that a row is about."""
        kind, seed = str(key["kind"]), int(key["seed"])
        if kind == "teacher":
            return self.trained("dense", seed)
        base = self.trained("distilled" if kind.startswith("distilled") else "snn", seed)
        if kind == "rounded":
            form = FixedFormat(int(key["bits"]), _STATE_BITS)
            return at_precision(base, form, self.data, seed)
        if kind == "float, trained on":
            return self._on(base, seed, "float-on")
        if "pruned" in kind:
            base = replace(base, model=copy.deepcopy(base.model))
            order, share = str(key.get("order", ORDERS[0])), float(key["share"])
            prune_learner(base, self.data, share, seed, order)  # type: ignore[arg-type]
            if kind != "pruned":
                name = f"{kind.partition(',')[0]}-{order}-{share:g}"
                base = self._on(base, seed, name)
        if "aware" in kind:
            form = FixedFormat(int(key["bits"]), _STATE_BITS)
            name = f"{'-'.join(kind.split(', '))}-{key['bits']}-seed{seed}"
            # What is pruned stays so where the configuration prunes.
            train = replace(self.config.train, prune_share=float(key.get("share", 0.0)))
            config = replace(self.config, train=train)
            return train_aware(base, self.data, config, seed, self.folder / name, quiet, form)
        return base

    def _trained(self, name: str, seed: int) -> Learner:
        """Trained once, kept in the folder."""
        kind = "snn" if name == "distilled" else name
        n_classes = len(self.data.classes)
        learner = build_learner(kind, self.config, self.data.sensor_sizes, seed, n_classes)
        teacher = None
        if name == "distilled":
            temperature = self.config.train.distil_temperature
            teacher = Teacher(self.trained("dense", seed), WEIGHT, temperature)
        checkpoints = CheckpointFolder(self.folder / f"{name}-seed{seed}")
        train_model(learner, self.data, self.config, seed, checkpoints, quiet, teacher=teacher)
        checkpoints.load_best(learner.model)
        learner.model.eval()
        return learner

    def _on(self, base: Learner, seed: int, name: str) -> Learner:
        """A model after as many epochs more as those behind the rounding; zeros stay."""
        learner = replace(base, model=copy.deepcopy(base.model))
        checkpoints = CheckpointFolder(self.folder / f"{name}-seed{seed}")
        with zeros_kept(learner.model):
            train_model(learner, self.data, trained_on(self.config), seed, checkpoints, quiet)
        checkpoints.load_best(learner.model)
        learner.model.eval()
        return learner


def tables(rows: Sequence[Row]) -> dict[str, str]:
    """Tables of the study by the name of their mark."""
    seeds = sorted({int(row["seed"]) for row in rows})
    note = (
        f"{len(seeds)} seed{'s' * (len(seeds) > 1)}, test pairs: accuracy in per cent, mean "
        "(lowest to highest); accumulates and multiply-accumulates a sample in thousands; modelled "
        "dynamic energy a sample in uJ. The network alone, without front ends and sensors."
    )
    header = ["", "accuracy", "ACs", "MACs", "weights left", "45 nm fp32", "45 nm int8", "Loihi"]
    bits = [_line(rows, "float", kind="float"), _line(rows, "float, trained on")]
    for b in BITS:
        bits += [_line(rows, f"{b} bits, rounded", kind="rounded", bits=b)]
        bits += [_line(rows, f"{b} bits, trained so", kind="aware", bits=b)]
    pruned = [_line(rows, "nothing pruned", kind="float"), _line(rows, "float, trained on")]
    for share in SHARES:
        for order in ORDERS:
            for kind in ("pruned", "pruned, trained on"):
                tuned = ", trained on" * (kind != "pruned")
                name = f"{share:.0%}, {order.replace('_', ' ')}{tuned}"
                pruned.append(_line(rows, name, kind=kind, order=order, share=share))
    taught = [
        _line(rows, "dense twin, the teacher", kind="teacher"),
        _line(rows, "spiking, alone", kind="float"),
        _line(rows, "spiking, taught", kind="distilled"),
        _line(rows, "taught, half pruned, 8 bits", kind="distilled, pruned, aware"),
    ]
    found = zip(MARKS[:3], (bits, pruned, taught), strict=True)
    return {
        mark: f"{note}\n\n" + markdown_table(header, [x for x in lines if x])
        for mark, lines in found
    }


def _line(rows: Sequence[Row], name: str, **key: Any) -> list[str]:
    """One kind of row over all seeds; empty where there is none."""
    wanted = key or {"kind": name}
    match = [row for row in rows if wanted.items() <= row.items()]
    if not match:
        return []
    accuracy = [100 * float(row["accuracy"]) for row in match]
    mean = f"{np.mean(accuracy):.1f}"
    spread = f" ({min(accuracy):.1f} to {max(accuracy):.1f})" if len(match) > 1 else ""
    thousands = [f"{np.mean([row[f] for row in match]) / 1e3:,.0f}" for f in ("acs", "macs")]
    weights = f"{np.mean([row['weights'] for row in match]):,.0f}"
    energies = [[row["energy_pj"][p] for row in match] for p in PROFILES]
    priced = [
        "no price" if None in of_profile else f"{np.mean(of_profile) / 1e6:.3g}"
        for of_profile in energies
    ]
    return [name, mean + spread, *thousands, weights, *priced]


def protocol_table(folders: Sequence[Path]) -> str:
    """How far 8 bits are from float over finished runs, and their energies.

    Differences are those of each run's seeds. Runs that differ by fold and test speaker share
    recordings and voices, so the interval draws folds and speakers, each with replacement
    (`analysis.stats.cluster_interval`); other runs are drawn as they are. A model that no run has
    is left out.

    Raises
    ------
    ConfigError
        If a run has no model that was trained behind the rounding to 8 bits.
    """
    runs = [load_run(folder) for folder in folders]
    rows: list[list[str]] = []
    for name in ("snn", "dense"):
        if not any(name in run.result["models"] for run in runs):
            continue
        having = [run for run in runs if name in run.result["models"]]
        held = [run.result["models"][name] for run in having]
        at = [entry["accuracy_by_precision"] for entry in held]
        if any(AWARE not in found for found in at):
            raise ConfigError(
                f"--protocol must be of runs with train.aware_epochs, got {name} without"
            )
        precisions = (FLOAT, "int8", AWARE)
        means = {p: np.array([found[p]["accuracy"] for found in at]) for p in precisions}
        off = means[AWARE] - means[FLOAT]
        clusters = [_by_key(having, "fold"), _by_key(having, "test_speaker")]
        low, high = cluster_interval(off, clusters, np.random.default_rng(0), _DRAWS)
        said = "yes" if low >= -MARGIN else "no" if high < -MARGIN else "not told apart"
        if len(off) < SEEDS_FOR_A_VERDICT:
            said = "too few runs to say"
        energies = [
            float(np.mean([e["energy"][profile]["dynamic_pj"] for e in held])) / 1e6
            if all(e["energy"].get(profile, {}).get("dynamic_pj") is not None for e in held)
            else None
            for profile in PROFILES
        ]
        rows.append(
            [
                {"snn": "SNN fusion", "dense": "dense twin"}[name],
                *(f"{100 * means[p].mean():.2f}" for p in precisions),
                f"{100 * off.mean():+.2f} [{100 * low:+.2f}, {100 * high:+.2f}]",
                said,
                *("no price" if e is None else f"{e:.3g}" for e in energies),
            ]
        )
    header = ["", "float", "rounded", "trained at 8 bits", "trained - float [95 %]"]
    header += ["within 1 point", "45 nm fp32", "45 nm int8", "Loihi"]
    note = (
        f"{len(folders)} run{'s' * (len(folders) > 1)}: accuracy in per cent, differences in "
        "points, interval over folds and test speakers; modelled dynamic energy a sample in uJ "
        "(fp32 of the float model, the others of the one trained at 8 bits)."
    )
    return f"{note}\n\n" + markdown_table(header, rows)


def _by_key(runs: Sequence[RunRecord], key: str) -> list[str]:
    """Value of a key of the data of each run; where a run does not say, the run by itself."""
    said = (run.config.get("data", {}).get(key) for run in runs)
    return [f"run {i}" if value is None else str(value) for i, value in enumerate(said)]


def _weights(learner: Learner) -> int:
    """Parameters that are not zero, of at least two dimensions."""
    return sum(int(p.count_nonzero()) for p in learner.model.parameters() if p.ndim > 1)


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m experiments.studies.edge")
    parser.add_argument("--runs", type=Path, help="folder of models and rows")
    parser.add_argument("--config", default="demo", help="recipe or TOML file (demo)")
    parser.add_argument("--set", action="append", default=[], help="override one key: a.b=value")
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds (3)")
    parser.add_argument("--aware-epochs", type=int, default=10, help="epochs of training on (10)")
    parser.add_argument("--stored", action="store_true", help="compute nothing")
    parser.add_argument("--protocol", type=Path, nargs="+", help="finished runs at 8 bits")
    parser.add_argument("--document", type=Path, help="page to put the tables into")
    given = parser.parse_args(arguments)
    found: dict[str, str] = {}
    if given.runs is not None:
        path = given.runs / "rows.jsonl"
        if given.stored:
            rows = rows_of(path)
        else:
            torch.set_num_threads(1)
            overrides = ["train.threads=1", f"train.aware_epochs={given.aware_epochs}"]
            config = load_config(given.config, [*overrides, *given.set])
            study = Study(given.runs, config, load_data(config.data))
            rows = completed(path, wanted_rows(range(given.seeds)), study.find)
        if not rows:
            raise SystemExit(f"--runs must hold rows of the study, got {given.runs}")
        found |= tables(rows)
    if given.protocol is not None:
        found[MARKS[3]] = protocol_table(given.protocol)
    if not found:
        raise SystemExit("--runs or --protocol must be given, got neither")
    print("\n\n".join(found.values()))
    if given.document is not None:
        write_tables(given.document, found)


if __name__ == "__main__":
    main()
