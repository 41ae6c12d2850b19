"""Contrastive alignment: what does a joint embedding retrieve, and what is it that aligns?

``python -m experiments.studies.alignment.study --results FILE.jsonl`` trains joint embeddings by
InfoNCE on label-paired digits (retrieval by class) and on the same-source scenes S2 and S5
(retrieval by instance), with controls and references, and prints the tables; with ``--document
FILE`` it puts them between the marks in that page. Results that the file holds already are not made
again."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from analysis.retrieval import mean_interval
from analysis.stats import paired_difference_interval
from experiments.config import load_config
from experiments.loading.data import load_data
from experiments.studies.alignment.digits import VARIANTS, DigitsProtocol, digits_cell
from experiments.studies.alignment.scenes import (
    N_CANDIDATES,
    RANKS,
    SCENE_PROTOCOLS,
    reference_cells,
    scene_cells,
)
from sensors.digits import DigitsParams
from spikefuse.pages import markdown_table, write_tables

Cells = list[dict[str, Any]]
PARTS = ("digits", *(p.name for p in SCENE_PROTOCOLS))
_DIRECTIONS = (("vision", "vision to sound"), ("audio", "sound to vision"))
_FEW_DIGITS = DigitsParams(n_train=40, n_validation=20, n_test=40, voices=2)
_SCENE_VARIANTS = (
    "untrained",
    "trained",
    "trained, sound moved at test",
    "trained on moved sound",
    "cross-correlation",
    "ideal observer",
)


def known(path: Path) -> Cells:
    """Results of earlier calls."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def study(
    path: Path, seeds: Sequence[int], parts: Sequence[str] = PARTS, quick: bool = False
) -> Cells:
    """All results, made and appended to the file where it lacks them.

    Parameters
    ----------
    path : Path
        JSON lines.
    seeds : sequence of int
        Of the models.
    parts : sequence of str
        Which of `PARTS` are made.
    quick : bool
        A few updates on few samples: shows that everything runs, and nothing else.
    """
    cells = known(path)
    have = {(c["part"], c["variant"], c["seed"]) for c in cells}

    def add(new: Iterable[dict[str, Any]]) -> None:
        """Keep results, each as a line of its own."""
        made = list(new)
        cells.extend(made)
        with path.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(cell) + "\n" for cell in made)

    path.parent.mkdir(parents=True, exist_ok=True)
    for p in (p for p in SCENE_PROTOCOLS if p.name in parts):
        if quick:
            p = replace(p, hidden=16, dim=8, n_train=2, n_batch=16, n_galleries=2)
        if (p.name, "ideal observer", 0) not in have:
            add(reference_cells(p))
        for seed in seeds:
            if (p.name, "trained", seed) not in have:
                add(scene_cells(p, seed))
    digits = DigitsProtocol(epochs=1) if quick else DigitsProtocol()
    wanted = [(v, s) for s in seeds for v in VARIANTS if ("digits", v, s) not in have]
    if wanted and "digits" in parts:
        config = load_config("demo")
        if quick:
            config = replace(config, data=replace(config.data, digits=_FEW_DIGITS))
        data = load_data(config.data)
        for variant, seed in wanted:
            add([digits_cell(config, data, digits, variant, seed)])
    return cells


def digits_table(cells: Cells) -> str:
    """Mean average precision by class."""
    rows = []
    for variant in VARIANTS:
        mine = [c for c in cells if c["part"] == "digits" and c["variant"] == variant]
        row: list[str] = [variant]
        for name, _ in _DIRECTIONS:
            values = np.mean([c["precision"][name] for c in mine], axis=0)
            row.append(_with_interval(values, mine[0]["groups"][name]))
        cost = [np.mean([c[key] for c in mine]) for key in ("accumulates", "multiplications")]
        rows.append([*row, str(len(mine)), *(f"{value:.0f}" for value in cost)])
    first = next(c for c in cells if c["part"] == "digits")
    chance = [f"{first['chance'][name]:.3f}" for name, _ in _DIRECTIONS]
    rows.append(["chance", *chance, "", "", ""])
    header = ["InfoNCE", *(f"mAP, {text}" for _, text in _DIRECTIONS), "seeds"]
    return markdown_table([*header, "accumulates", "multiplications"], rows)


def scenes_table(cells: Cells) -> str:
    """Recall by instance."""
    rows = []
    for p in SCENE_PROTOCOLS:
        for variant in _SCENE_VARIANTS:
            mine = [c for c in cells if c["part"] == p.name and c["variant"] == variant]
            keys = [f"{name}@{k}" for k in RANKS for name, _ in _DIRECTIONS]
            values = [np.mean([c["recall"][key] for c in mine], axis=0) for key in keys]
            shown = [_with_interval(v, _galleries(len(v))) for v in values]
            rows.append([p.name, variant + _choice(mine[0]), *shown])
        chance = [f"{k / N_CANDIDATES:.2f}" for k in RANKS for _ in _DIRECTIONS]
        rows.append([p.name, "chance", *chance])
    header = [f"recall@{k}, {text}" for k in RANKS for _, text in _DIRECTIONS]
    return markdown_table(["scene", "scores", *header], rows)


def verdicts(cells: Cells) -> str:
    """The trained embedding against the reference without learning, in sentences."""
    lines = []
    for p in SCENE_PROTOCOLS:
        for k in RANKS:
            found = {
                variant: np.mean(
                    [
                        c["recall"][f"{name}@{k}"]
                        for c in cells
                        if c["part"] == p.name and c["variant"] == variant
                        for name, _ in _DIRECTIONS
                    ],
                    axis=0,
                )
                for variant in ("trained", "cross-correlation", "ideal observer")
            }
            ours, other = found["trained"], found["cross-correlation"]
            groups = _galleries(len(ours))
            low, high = paired_difference_interval(
                ours, other, groups, ["all"] * len(groups), np.random.default_rng(0)
            )
            says = "wins" if low > 0 else "loses" if high < 0 else "is not told apart"
            lines.append(
                f"- {p.name}, recall@{k}, both directions: trained minus cross-correlation "
                f"{ours.mean() - other.mean():+.3f} [{low:+.3f}, {high:+.3f}]: the embedding "
                f"{says}; the ideal observer is ahead by "
                f"{found['ideal observer'].mean() - ours.mean():.3f}."
            )
    return "\n".join(lines)


def _galleries(n: int) -> list[str]:
    """The gallery of each query."""
    return [str(i // N_CANDIDATES) for i in range(n)]


def _with_interval(values: np.ndarray[Any, Any], groups: Sequence[str]) -> str:
    """A mean over queries with its interval."""
    low, high = mean_interval(values, groups, np.random.default_rng(0))
    return f"{values.mean():.3f} [{low:.3f}, {high:.3f}]"


def _choice(cell: dict[str, Any]) -> str:
    """What was chosen on validation samples, where something was."""
    if "choice" not in cell:
        return ""
    choice = cell["choice"]
    of = "best vision channel" if choice["best"] else "all channels"
    return f" (smoothed {choice['sd_ms']:g} ms, lag {choice['lag_ms']} ms, {of})"


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line: see the module."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.studies.alignment.study", description=__doc__
    )
    parser.add_argument("--results", type=Path, required=True, help="JSON lines, kept and added to")
    parser.add_argument("--document", type=Path, help="page whose tables are replaced")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of the models")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="to be made now")
    parser.add_argument("--quick", action="store_true", help="a trial run that tells nothing")
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)
    cells = study(chosen.results, chosen.seeds, chosen.parts, chosen.quick)
    if {cell["part"] for cell in cells} != set(PARTS):
        print(f"tables need all of {list(PARTS)}")
        return
    tables = {
        "alignment digits": digits_table(cells),
        "alignment scenes": scenes_table(cells),
        "alignment verdicts": verdicts(cells),
    }
    print("\n\n".join(tables.values()))
    if chosen.document is not None:
        write_tables(chosen.document, tables)


if __name__ == "__main__":
    main()
