"""Fronts of the models of finished runs: answers over time, exits and sizes are their points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.answers import clusters_of
from analysis.fronts import Point, at_accuracy, cost_at, dominates, hypervolume, monotone_front
from analysis.nested import nested_means
from analysis.records import RunRecord
from analysis.stats import interval_of
from spikefuse._types import FloatArray

_DRAWS = 1000
_SIDES = ("snn", "dense")


@dataclass(frozen=True)
class Block:
    """Points of one model of one run whose answers are known sample by sample, or are not.

    Parameters
    ----------
    points : tuple of Point
    right : float array [S, k, n], optional
        Whether the model of each seed answered each test sample rightly at each point.
    clusters : list of list of str
        Group of each test sample by modality.
    """

    points: tuple[Point, ...]
    right: FloatArray | None = None
    clusters: tuple[tuple[str, ...], ...] = ()


def blocks_of(run: RunRecord, model: str, profile: str) -> list[Block]:
    """A model's points under one profile: its answers over time, then its exits.

    An answer costs the dynamic energy until it is given. A run without energies over time gives one
    point, the whole window.
    """
    entry = run.result["models"].get(model)
    if entry is None:
        return []
    curve, name = entry["anytime"], run.result["name"]
    energies = (curve.get("energy") or {}).get(profile) or {}
    # One answer at a time that is known: a dense model need not have answered before.
    spent = energies.get("single_dynamic_pj") or energies.get("dynamic_pj")
    if spent is None:
        whole = entry["energy"].get(profile, {}).get("dynamic_pj")
        last = Point(entry["accuracy"], whole, curve["time_ms"][-1], f"{name}: whole window")
        return [Block((last,), *_answers(run, model, slice(-1, None)))]
    over_time = tuple(
        Point(accuracy, energy, time_ms, f"{name}: after {time_ms:g} ms")
        for accuracy, energy, time_ms in zip(
            curve["accuracy"], spent, curve["time_ms"], strict=True
        )
    )
    blocks = [Block(over_time, *_answers(run, model, slice(None)))]
    left = entry.get("exit") or {}
    until_exit = (left.get("energy", {}).get(profile) or {}).get("dynamic_pj")
    if until_exit is None:
        return blocks
    exits = tuple(
        Point(accuracy, energy, mean_ms, f"{name}: exit at {theta:g}")
        for theta, accuracy, energy, mean_ms in zip(
            left["thetas"], left["accuracy"], until_exit, left["mean_ms"], strict=True
        )
    )
    return [*blocks, Block(exits)]


def describe_front(
    groups: Sequence[Sequence[RunRecord]], profile: str, accuracy: float | None = None
) -> dict[str, Any]:
    """Fronts of all models under one profile, what an accuracy costs each, and who dominates.

    Parameters
    ----------
    groups : sequence of sequences of RunRecord
        Runs of one group are the folds of one recipe: their points are pooled. Several groups, such
        as sizes of the models, give points of one front.
    profile : str
    accuracy : float, optional
        Where the fronts are compared; the lower of the best accuracies of SNN and dense twin, or
        of all models where one of them is absent, by default.

    Returns
    -------
    dict
        ``models``: of each priced one ``points`` on its front (accuracy, energy_pj, latency_ms,
        source) and ``hypervolume`` (secondary). ``accuracy``, and ``at_accuracy``: of each model
        ``energy_pj`` and ``latency_ms``, None where it is not reached. ``dominance`` and ``ratio``
        of SNN and dense twin, see `_dominance` and `_ratio`. ``own``: each network of one's own
        beside them, own / other.
    """
    runs = [run for group in groups for run in group]
    names = list(dict.fromkeys(name for run in runs for name in run.result["models"]))
    blocks = {
        name: _priced(
            [
                b
                for group in groups
                for b in pool_blocks([blocks_of(r, name, profile) for r in group])
            ]
        )
        for name in names
    }
    blocks = {name: found for name, found in blocks.items() if found}
    if not blocks:
        return {"models": {}, "reason": f"{profile} prices none of the models"}
    points = {name: [p for b in found for p in b.points] for name, found in blocks.items()}
    worst = max(p.energy_pj or 0.0 for found in points.values() for p in found)
    chance = 1 / int(runs[0].result["data"]["n_classes"])
    best = {name: max(p.accuracy for p in found) for name, found in points.items()}
    compared = [best[name] for name in _SIDES if name in best]
    target = accuracy
    if target is None:
        target = min(compared if len(compared) == len(_SIDES) else best.values())
    described: dict[str, Any] = {
        "models": {
            name: {
                "points": [vars(p) for p in _front(found)],
                "hypervolume": hypervolume(
                    [p.accuracy for p in found], _energies(found), worst, chance
                ),
            }
            for name, found in points.items()
        },
        "accuracy": target,
        "at_accuracy": {name: _cost(found, target) for name, found in points.items()},
    }
    if all(name in blocks for name in _SIDES):
        described["dominance"] = _dominance(blocks["snn"], blocks["dense"])
        described["ratio"] = _ratio(blocks["snn"], blocks["dense"], target)
    entries = runs[0].result["models"]
    own = [name for name in blocks if "own_network" in entries.get(name, {})]
    if own:
        beside = [name for name in _SIDES if name in blocks]
        guessing = {n for n in (*own, *beside) if entries[n]["accuracy_interval"][0] <= chance}
        described["own"] = {
            name: {other: _beside(blocks, name, other, guessing, accuracy) for other in beside}
            for name in own
        }
    return described


def _beside(
    blocks: Mapping[str, Sequence[Block]],
    own: str,
    other: str,
    guessing: set[str],
    accuracy: float | None,
) -> dict[str, Any]:
    """Energy of a network of one's own / that of another at one accuracy, see `_ratio`.

    The accuracy is the lower of their two final answers' by default, not a best time's, which would
    be chosen on the test pairs. A guess costs nothing, so nothing is said of a network that may be
    guessing.
    """
    at_chance = [name for name in (own, other) if name in guessing]
    if at_chance:
        return {"accuracy": None, "reason": f"{' and '.join(at_chance)} may be at chance"}
    final = min(blocks[name][0].points[-1].accuracy for name in (own, other))
    target = final if accuracy is None else accuracy
    return {"accuracy": target, **_ratio(blocks[other], blocks[own], target)}


def pool_blocks(folds: Sequence[Sequence[Block]]) -> list[Block]:
    """The same points of several folds as one: costs averaged, test samples joined.

    Folds whose points differ, such as exits at thresholds of their own, are left as they are.
    """
    if len(folds) == 1:
        return list(folds[0])
    shapes = {tuple(len(block.points) for block in blocks) for blocks in folds}
    if len(shapes) != 1:
        return [block for blocks in folds for block in blocks]
    return [_joined(parts) for parts in zip(*folds, strict=True)]


def _joined(parts: Sequence[Block]) -> Block:
    """One block of the folds' blocks."""
    points = tuple(
        Point(
            float(np.mean([p.accuracy for p in same])),
            _mean([p.energy_pj for p in same]),
            _mean([p.latency_ms for p in same]),
            f"{same[0].source}, {len(parts)} folds",
        )
        for same in zip(*(part.points for part in parts), strict=True)
    )
    right = [part.right for part in parts if part.right is not None]
    kinds = {(len(r), len(p.clusters)) for r, p in zip(right, parts, strict=False)}
    if len(right) < len(parts) or len(kinds) > 1:
        return Block(points)
    clusters = tuple(
        tuple(name for part in same for name in part)
        for same in zip(*(part.clusters for part in parts), strict=True)
    )
    return Block(points, np.concatenate(right, axis=2), clusters)


def _mean(values: Sequence[float | None]) -> float | None:
    """Mean of what is known throughout."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if len(known) == len(values) else None


def _answers(
    run: RunRecord, model: str, times: slice
) -> tuple[FloatArray | None, tuple[tuple[str, ...], ...]]:
    """Right answers [S, k, n] at some times, and the samples' clusters; None where unknown."""
    seeds = [f"{model}.seed{seed}" for seed in run.result["seeds"]]
    table = run.predictions
    if table is None or run.answers is None or not all(key in run.answers for key in seeds):
        return None, ()
    lines = (table["model"] == model) & (table["seed"] == run.result["seeds"][0])
    order = np.argsort(table["sample"][lines])
    labels, samples = table["label"][lines][order], table["sample"][lines][order]
    right = np.stack([run.answers[key][times] == labels for key in seeds]).astype(np.float64)
    return right, tuple(tuple(names) for names in clusters_of(table, samples))


def _priced(blocks: Sequence[Block]) -> list[Block]:
    """Blocks of which every point has an energy; a price is of a model, not of a point."""
    return [b for b in blocks if all(p.energy_pj is not None for p in b.points)]


def _energies(points: Sequence[Point]) -> list[float]:
    """Energies of priced points."""
    return [p.energy_pj for p in points if p.energy_pj is not None]


def _front(points: Sequence[Point]) -> list[Point]:
    """Points that are worth their energy, by rising accuracy."""
    return [points[i] for i in monotone_front([p.accuracy for p in points], _energies(points))]


def _cost(points: Sequence[Point], target: float) -> dict[str, float | None]:
    """Least energy and, apart from it, least latency of an accuracy; None if not reached."""
    timed = [p for p in points if p.latency_ms is not None]
    return {
        "energy_pj": cost_at([p.accuracy for p in points], _energies(points), target),
        "latency_ms": cost_at(
            [p.accuracy for p in timed], [p.latency_ms or 0.0 for p in timed], target
        ),
    }


def _quotient(sides: Sequence[Sequence[Block]], target: float) -> float | None:
    """Dense / SNN energy of an accuracy; None where one does not reach it."""
    snn, dense = (_cost([p for b in side for p in b.points], target)["energy_pj"] for side in sides)
    return None if not snn or dense is None else dense / snn


def _known(first: Sequence[Block], second: Sequence[Block]) -> list[list[Block]] | None:
    """Blocks of both with answers by sample, all on the same samples; None without them."""
    sides = [[b for b in blocks if b.right is not None] for blocks in (first, second)]
    if not all(sides) or len({b.clusters for side in sides for b in side}) != 1:
        return None
    return sides


def _draws(sides: Sequence[Sequence[Block]]) -> list[FloatArray]:
    """Accuracies [d, k] of both sides' points in the same draws of recordings, and of seeds."""
    every = [b for side in sides for b in side]
    right = [b.right for b in every if b.right is not None]
    means = nested_means(right, every[0].clusters, np.random.default_rng(0), _DRAWS)
    n_first = len(sides[0])
    return [np.concatenate(part, axis=1) for part in (means[:n_first], means[n_first:])]


def _costs(accuracies: FloatArray, points: Sequence[Point], timed: bool) -> FloatArray:
    """Objectives [k, 2 or 3] to minimise: accuracy negated, energy and, if known, latency."""
    columns = [-accuracies, np.asarray(_energies(points))]
    if timed:
        columns.append(np.asarray([p.latency_ms for p in points], dtype=np.float64))
    return np.stack(columns, axis=1)


def _dominance(first: Sequence[Block], second: Sequence[Block]) -> dict[str, Any]:
    """Whether one front dominates the other in accuracy, energy and latency, and how surely.

    Of all points, ``now``; in draws of recordings and seeds (constants nominal), of the points
    whose answers are kept by sample: ``share_snn``, ``share_dense`` dominating and ``share_none``.
    """
    points = [[p for b in side for p in b.points] for side in (first, second)]
    timed = all(p.latency_ms is not None for side in points for p in side)
    snn, dense = (_costs(np.array([p.accuracy for p in s]), s, timed) for s in points)
    described: dict[str, Any] = {
        "objectives": ["accuracy", "energy", *(["latency"] if timed else [])],
        "now": "snn" if dominates(snn, dense) else "dense" if dominates(dense, snn) else "none",
    }
    sides = _known(first, second)
    if sides is None:
        return {**described, "reason": "the answers of every time are not in these runs"}
    sampled = [[p for b in side for p in b.points] for side in sides]
    won = {"snn": 0, "dense": 0, "none": 0}
    draws = _draws(sides)
    for ours, theirs in zip(*draws, strict=True):
        a, b = _costs(ours, sampled[0], timed), _costs(theirs, sampled[1], timed)
        won["snn" if dominates(a, b) else "dense" if dominates(b, a) else "none"] += 1
    n_draws = len(draws[0])
    shares = {f"share_{name}": count / n_draws for name, count in won.items()}
    return {**described, **shares, "n_draws": n_draws}


def _ratio(first: Sequence[Block], second: Sequence[Block], target: float) -> dict[str, Any]:
    """Dense / SNN energy at one accuracy, and its interval over recordings and seeds.

    Constants are nominal here: what they are worth is drawn apart. ``value`` and ``interval`` are
    of the points whose answers are kept by sample, ``value_with_exits`` is of all.
    ``share_reached`` is the share of draws in which both reach the accuracy; the interval is of
    those.
    """
    found: dict[str, Any] = {"value_with_exits": _quotient([first, second], target)}
    sides = _known(first, second)
    if sides is None:
        found["value"] = found["value_with_exits"]
        return {**found, "reason": "the answers of every time are not in these runs"}
    found["value"] = _quotient(sides, target)
    energies = [_energies([p for b in side for p in b.points]) for side in sides]
    draws = _draws(sides)
    ratios: list[float] = []
    for both in zip(*draws, strict=True):
        mixtures = [at_accuracy(a, e, target) for a, e in zip(both, energies, strict=True)]
        costs = [m.of(e) for m, e in zip(mixtures, energies, strict=True) if m is not None]
        if len(costs) == len(mixtures):
            ratios.append(costs[1] / costs[0])
    found |= {"share_reached": len(ratios) / len(draws[0]), "n_draws": len(draws[0])}
    return {**found, "interval": list(interval_of(np.asarray(ratios))) if ratios else None}


def describe_fronts(
    groups: Sequence[Sequence[RunRecord]],
    profiles: Sequence[str],
    accuracy: float | None = None,
) -> dict[str, dict[str, Any]]:
    """`describe_front` of every profile."""
    return {profile: describe_front(groups, profile, accuracy) for profile in profiles}
