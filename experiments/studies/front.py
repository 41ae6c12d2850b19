"""Accuracy against synaptic operations: every fusion operator at rising prices of an operation.

``python -m experiments.studies.front --json FILE --document docs/objectives.md --figure PNG``
trains on the embedded default and writes table and figure. Results already in the file are not
computed again.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from analysis.figures.style import BLUE, VERMILION, house_style
from experiments.config import Config, load_config
from experiments.evaluation.missing import accuracy_without
from experiments.loading.data import PairedData, load_data
from experiments.studies.runs import Row, completed, operations, trained
from spikefuse.fusion import OPERATORS
from spikefuse.pages import markdown_table, write_tables

MARK = "accuracy-operations front"
# A cheaper model is chosen if it loses no more than this on validation, in points.
ALLOWED_LOSS = 2.0
SPIKES_ALONE = ", spikes alone"
LIGHT = "#CCCCCC"
_COLUMNS = 4
_TICKS = (20, 50, 100, 200, 500, 1000, 2000)


@dataclass(frozen=True)
class FrontProtocol:
    """How models are trained.

    Parameters
    ----------
    weights : tuple of float
        ``train.activity_weight``, 0 first.
    epochs : int
    seeds : tuple of int
    operators : tuple of str
    spikes_alone : tuple of str
        Operators trained once more without pruning.
    """

    weights: tuple[float, ...] = (0.0, 0.02, 0.06, 0.2, 0.6)
    epochs: int = 10
    seeds: tuple[int, ...] = (0,)
    operators: tuple[str, ...] = tuple(OPERATORS)
    spikes_alone: tuple[str, ...] = ("concat",)


def study(p: FrontProtocol, path: Path, data: PairedData, base: Config) -> list[Row]:
    """A row for each operator, weight and seed."""
    lines = [(name, True) for name in p.operators] + [(name, False) for name in p.spikes_alone]
    wanted = [
        {
            "operator": name if prunes else f"{name}{SPIKES_ALONE}",
            "weight": weight,
            "seed": seed,
            "epochs": p.epochs,
        }
        for seed in p.seeds
        for name, prunes in lines
        for weight in p.weights
    ]

    def find(key: Row) -> Row:
        started = time.process_time()
        name = key["operator"]
        train = replace(
            base.train,
            epochs=key["epochs"],
            activity_weight=key["weight"],
            activity_prunes=not name.endswith(SPIKES_ALONE),
        )
        model = replace(base.model, fusion=name.removesuffix(SPIKES_ALONE))
        learner = trained("snn", replace(base, train=train, model=model), data, key["seed"])
        found: Row = {}
        for split in ("validation", "test"):
            counts = operations(learner, data, split)
            found[split] = {
                "accuracy": accuracy_without(learner, data, split, ""),
                "operations": counts.effective_acs + counts.effective_macs,
            }
        return {**found, "cpu_s": time.process_time() - started}

    return completed(path, wanted, find)


def points(rows: Sequence[Row], operator: str, split: str) -> dict[float, tuple[float, float]]:
    """Operations and accuracy of an operator by weight, means over seeds."""
    found: dict[float, tuple[float, float]] = {}
    for weight in sorted({r["weight"] for r in rows if r["operator"] == operator}):
        here = [r[split] for r in rows if (r["operator"], r["weight"]) == (operator, weight)]
        found[weight] = (
            sum(h["operations"] for h in here) / len(here),
            sum(h["accuracy"] for h in here) / len(here),
        )
    return found


def undominated(found: Mapping[float, tuple[float, float]]) -> list[float]:
    """Weights whose point no other one beats in operations and in accuracy."""
    return [
        w
        for w, (cost, right) in found.items()
        if not any(c <= cost and a >= right and (c, a) != (cost, right) for c, a in found.values())
    ]


def chosen_weight(found: Mapping[float, tuple[float, float]]) -> float:
    """The cheapest point within `ALLOWED_LOSS` points of the one without a penalty."""
    least = found[min(found)][1] - ALLOWED_LOSS / 100
    return min((w for w, (_, right) in found.items() if right >= least), key=lambda w: found[w][0])


def table(rows: Sequence[Row]) -> str:
    """Test operations (thousands) and accuracy (percent) per point; the choice by validation."""
    operators = list(dict.fromkeys(r["operator"] for r in rows))
    weights = sorted({r["weight"] for r in rows})
    head = ["operator", *(f"price {w:g}" for w in weights), "chosen on validation", "on the front"]
    lines: list[list[str]] = []
    for name in operators:
        tested, validated = (points(rows, name, split) for split in ("test", "validation"))
        chosen, free = chosen_weight(validated), tested[weights[0]]
        saved = free[0] / tested[chosen][0]
        change = 100 * (tested[chosen][1] - free[1])
        lines.append(
            [
                name,
                *(f"{tested[w][0] / 1e3:.0f}k, {100 * tested[w][1]:.1f}" for w in weights),
                f"price {chosen:g}: {saved:.1f}x fewer, {change:+.1f} points",
                f"{len(undominated(validated))} of {len(weights)}",
            ]
        )
    return markdown_table(head, lines)


def draw(rows: Sequence[Row], path: Path) -> None:
    """Test accuracy against operations: a panel per operator, the others' points behind it."""
    from matplotlib.figure import Figure

    operators = list(dict.fromkeys(r["operator"] for r in rows))
    lines = {name: _line(rows, name) for name in operators}
    n_rows = -(-len(operators) // _COLUMNS)
    with house_style():
        figure: Any = Figure(figsize=(8.0, 0.6 + 1.7 * n_rows), layout="constrained")
        panels = figure.subplots(n_rows, _COLUMNS, sharex=True, sharey=True, squeeze=False).flat
        for axes, name in zip(panels, operators, strict=False):
            for other in lines.values():
                axes.plot(*other, color=LIGHT, marker=".", markersize=3.0, linewidth=0.6)
            axes.plot(*lines[name], color=BLUE, marker="o", markersize=3.5, linewidth=1.2)
            free = tuple(values[0] for values in lines[name])
            axes.plot(*free, color=VERMILION, marker="o", markersize=4.5)
            axes.set_title(name)
            axes.set_xscale("log")
            axes.tick_params(labelbottom=True)
        for axes in list(panels)[len(operators) :]:
            axes.set_visible(False)
        ticks = [v for v in _TICKS if _within(v, figure.axes[0].get_xlim())]
        figure.axes[0].set_xticks(ticks, [f"{v:g}" for v in ticks])
        for axes in figure.axes:
            axes.minorticks_off()
        figure.supxlabel("synaptic operations per sample (thousands); red: an operation is free")
        figure.supylabel("test accuracy (%)")
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=150, metadata={"Software": None})


def _line(rows: Sequence[Row], operator: str) -> tuple[list[float], list[float]]:
    """Thousands of operations and percent by rising weight."""
    found = points(rows, operator, "test")
    return (
        [found[w][0] / 1e3 for w in sorted(found)],
        [100 * found[w][1] for w in sorted(found)],
    )


def _within(value: float, limits: tuple[float, float]) -> bool:
    return limits[0] <= value <= limits[1]


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line: see the module."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.studies.front", description=__doc__
    )
    parser.add_argument("--json", type=Path, required=True, help="results, one line each")
    parser.add_argument("--document", type=Path, help="page whose table is replaced")
    parser.add_argument("--figure", type=Path, help="picture of the fronts")
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)
    base = load_config("demo")
    rows = study(FrontProtocol(), chosen.json, load_data(base.data), base)
    text = table(rows)
    print(text)
    if chosen.figure is not None:
        draw(rows, chosen.figure)
    if chosen.document is not None:
        if chosen.figure is not None:
            link = os.path.relpath(chosen.figure, chosen.document.parent)
            text += f"\n\n![Test accuracy against synaptic operations]({Path(link).as_posix()})"
        write_tables(chosen.document, {MARK: text})


if __name__ == "__main__":
    main()
