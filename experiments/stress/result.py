"""From responses to the measures of ``stress.json``; definitions and sources: docs/stress.md."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from analysis.stress_measures import area, d_prime_of, slope, tolerance, utilisation
from experiments.stress import sound
from experiments.stress.conditions import (
    CLEAN,
    DRIFTS_PPM,
    GAIN_DROPS,
    OFFSETS_MS,
    noise_kinds,
    noise_name,
)
from experiments.stress.plan import alone_name, only
from experiments.stress.rows import (
    Figure,
    Means,
    agreement,
    divergence,
    figure_of,
    foreign_class,
    right,
    right_at,
)
from experiments.stress.run import Stressed
from spikefuse._types import FloatArray

_NEARLY = 0.95


def measures(
    tested: Stressed, means: Mapping[str, Means], families: Sequence[str], n_classes: int
) -> dict[str, dict[str, Any]]:
    """Measures by model and family; a model of one modality has those of noise alone."""
    found: dict[str, dict[str, Any]] = {}
    for model, learners in tested.learners.items():
        names = learners[0].modalities
        described: dict[str, Any] = {}
        for family in families:
            if family == "noise":
                described[family] = _noise(tested, means, model)
            elif len(names) > 1:
                described[family] = _OF_FUSED[family](tested, means, model, n_classes)
        found[model] = described
    return found


def _missing(tested: Stressed, means: Mapping[str, Means], model: str, _: int) -> dict[str, Any]:
    """Retention, and accuracy against the model that was trained on what is left."""
    names = tested.learners[model][0].modalities
    own, found = means[model], {}
    for absent in names:
        key = right(f"missing/{absent}")
        left = [name for name in names if name != absent]
        found[absent] = {
            "accuracy": own.mean(key),
            "retention": own.figure(lambda a: _share(a[..., 1], a[..., 0]), [right(CLEAN), key]),
            "no_harm": _no_harm(tested, means, model, left, key),
        }
    return found


def _no_harm(
    tested: Stressed, means: Mapping[str, Means], model: str, left: Sequence[str], key: str
) -> dict[str, Any]:
    """Accuracy with a modality missing less that of the model trained without it."""
    spiking = tested.learners[model][0].spiking
    reference = f"snn_{left[0]}"
    if not spiking or len(left) > 1 or reference not in means:
        why = "no model of the same kind in this run was trained on what is left alone"
        return {"reference": None, "value": None, "interval": None, "reason": why}
    return {"reference": reference} | _difference(means[model], means[reference], key, right(CLEAN))


def _difference(first: Means, second: Means, key: str, other: str) -> Figure:
    """First less second, paired by the draws of test pairs."""
    return figure_of(first.value[key] - second.value[other], first.draws[key] - second.draws[other])


def _noise(tested: Stressed, means: Mapping[str, Means], model: str) -> dict[str, Any]:
    """Accuracy by level and the area under it, by modality and kind."""
    found: dict[str, Any] = {}
    for name in tested.learners[model][0].modalities:
        kinds = noise_kinds(name, tested.sizes[name])
        found[name] = {
            kind: _curve(tested, means, model, name, kind)
            for kind, (_, levels) in kinds.items()
            if noise_name(name, kind, levels[-1]) in tested.conditions
        }
    return found


def _curve(
    tested: Stressed, means: Mapping[str, Means], model: str, name: str, kind: str
) -> dict[str, Any]:
    """One kind of noise of one modality."""
    unit, levels = noise_kinds(name, tested.sizes[name])[kind]
    keys = [right(noise_name(name, kind, level) if level else CLEAN) for level in levels]
    found: dict[str, Any] = {
        "unit": unit,
        "levels": list(levels),
        "accuracy": [means[model].mean(key) for key in keys],
        "area": means[model].figure(_area_over(levels), keys),
        "relative_area": means[model].figure(_relative_area_over(levels), keys),
    }
    if kind == sound.KIND:
        found["snr_db"] = [None, *sound.SNR_DB]
    reference = _reference(tested)
    if reference not in (None, model) and name in (tested.learners[str(reference)][0].modalities):
        first, second = (_areas(means[m], keys, levels) for m in (model, str(reference)))
        found["area_less"] = {"model": reference} | figure_of(
            first[0] - second[0], first[1] - second[1]
        )
    return found


def _area_over(levels: Sequence[float]) -> Callable[[FloatArray], FloatArray]:
    """The area as a function of accuracies alone."""
    return lambda a: area(a, levels)


def _relative_area_over(levels: Sequence[float]) -> Callable[[FloatArray], FloatArray]:
    """The area as a share of the accuracy on clean inputs."""
    return lambda a: _share(area(a, levels), a[..., 0])


def _areas(means: Means, keys: Sequence[str], levels: Sequence[float]) -> tuple[float, FloatArray]:
    """Area over all samples, and in each draw."""
    value = area(np.array([means.value[key] for key in keys]), levels)
    return float(value), area(means.stacked(keys), levels)


def _reference(tested: Stressed) -> str | None:
    """The first fused model, with which others are compared."""
    fused = [m for m, found in tested.learners.items() if len(found[0].modalities) > 1]
    return fused[0] if fused else None


def _misalignment(
    tested: Stressed, means: Mapping[str, Means], model: str, _: int
) -> dict[str, Any]:
    """Accuracy over offset and drift of every modality but the first."""
    own = means[model]
    found: dict[str, Any] = {}
    for name in tested.learners[model][0].modalities[1:]:
        keys = [right(f"offset/{name}/{v:g}" if v else CLEAN) for v in OFFSETS_MS]
        drifts = [right(f"drift/{name}/{v:g}" if v else CLEAN) for v in DRIFTS_PPM]
        found[name] = {
            "offsets_ms": list(OFFSETS_MS),
            "accuracy": [own.mean(key) for key in keys],
            **_widths(own, keys, OFFSETS_MS),
            "drifts_ppm": list(DRIFTS_PPM),
            "drift_accuracy": [own.mean(key) for key in drifts],
            "drift_tolerance_ppm": _widths(own, drifts, DRIFTS_PPM)["right"],
        }
    return found


def _widths(own: Means, keys: Sequence[str], at: Sequence[float]) -> dict[str, Any]:
    """Half-width at 95 % of the peak, asymmetry and the right side; censored: at least."""
    left, far, censored = tolerance(np.array([own.value[key] for key in keys]), at, _NEARLY)
    drawn = np.array([tolerance(row, at, _NEARLY)[:2] for row in own.stacked(keys)])
    return {
        "half_width_ms": figure_of((far - left) / 2, (drawn[:, 1] - drawn[:, 0]) / 2)
        | {"censored": censored},
        "asymmetry_ms": figure_of((far + left) / 2, (drawn[:, 1] + drawn[:, 0]) / 2),
        "right": figure_of(far, drawn[:, 1]) | {"censored": far == at[-1]},
    }


def _consistency(
    tested: Stressed, means: Mapping[str, Means], model: str, _: int
) -> dict[str, Any]:
    """Agreement and divergence of the modalities, and which wins where they disagree."""
    names = list(tested.learners[model][0].modalities)
    own, readings = means[model], [*names, "all"]
    pairs = [(a, b) for i, a in enumerate(readings) for b in readings[i + 1 :]]
    found: dict[str, Any] = {
        "agreement": {f"{a} and {b}": own.mean(agreement(a, b)) for a, b in pairs},
        "jensen_shannon_bits": {f"{a} and {b}": own.mean(divergence(a, b)) for a, b in pairs},
        "incongruent": {},
    }
    conditions = [f"swap/{name}/other" for name in names]
    conditions += [f"incongruent/{names[-1]}/weak_{name}" for name in names]
    for condition in conditions:
        keys = [right(condition), foreign_class(condition)]
        modality, what = condition.split("/")[1:]
        weak = what.removeprefix("weak_") if what.startswith("weak_") else None
        found["incongruent"][condition] = {
            "foreign": modality,
            "weakened": weak,
            "answers_rest": own.mean(keys[0]),
            "answers_foreign": own.mean(keys[1]),
            "answers_neither": own.figure(lambda a: 1 - a.sum(axis=-1), keys),
            "foreign_share": own.figure(_share_of_second, keys),
        }
    return found


def _share_of_second(a: FloatArray) -> FloatArray:
    """Second of both."""
    return _share(a[..., 1], a.sum(axis=-1))


def _share(part: FloatArray, whole: FloatArray) -> FloatArray:
    """A part of a whole, NaN where there is none."""
    return np.asarray(np.where(whole > 0, part / np.maximum(whole, 1e-12), np.nan))


def _imbalance(tested: Stressed, means: Mapping[str, Means], model: str, _: int) -> dict[str, Any]:
    """Conditional utilisation of each modality, and the difference of the two."""
    names = tested.learners[model][0].modalities
    keys = [right(CLEAN), *(right(f"missing/{name}") for name in names)]
    own = means[model]
    found: dict[str, Any] = {
        "utilisation": {
            name: own.figure(lambda a: utilisation(a[..., 0], a[..., 1]), [keys[0], key])
            for name, key in zip(names, keys[1:], strict=True)
        }
    }
    if len(names) == 2:
        found["difference"] = {"first": names[0], "second": names[1]} | own.figure(
            lambda a: utilisation(a[..., 0], a[..., 1]) - utilisation(a[..., 0], a[..., 2]), keys
        )
    return found


def _anytime(tested: Stressed, means: Mapping[str, Means], model: str, _: int) -> dict[str, Any]:
    """Accuracy of the answer after each time, with and without each modality."""
    own, found = means[model], {}
    for condition in (CLEAN, *(f"missing/{m}" for m in tested.learners[model][0].modalities)):
        times = tested.responses[model][condition].times_ms
        keys = [right_at(condition, i) for i in range(len(times))]
        found[condition] = {
            "time_ms": times.tolist(),
            "accuracy": [own.mean(key) for key in keys],
            "mean_accuracy": own.figure(_mean_over(times), keys),
            "ms_to_95_percent": own.figure(_reached(times), keys),
        }
    return found


def _mean_over(times: FloatArray) -> Callable[[FloatArray], FloatArray]:
    """Mean accuracy over time; of the only answer there is, its own."""
    return lambda a: area(a, times.tolist()) if len(times) > 1 else a[..., 0]


def _reached(times: FloatArray) -> Callable[[FloatArray], FloatArray]:
    """The first time at which accuracy is nearly the last one."""
    return lambda a: times[np.argmax(a >= _NEARLY * a[..., -1:], axis=-1)]


def _gain(
    tested: Stressed, means: Mapping[str, Means], model: str, n_classes: int
) -> dict[str, Any]:
    """Multisensory gain in d' as the task gets harder: own modalities alone, and trained models."""
    own = dict.fromkeys(tested.learners[model][0].modalities, (model, True))
    trained = {m: (f"snn_{m}", False) for m in own}
    found = {"own": _gains(tested, means, model, own, n_classes)}
    spiking = tested.learners[model][0].spiking
    if spiking and all(name in means for name, _ in trained.values()):
        found["trained"] = _gains(tested, means, model, trained, n_classes)
    return found


def _gains(
    tested: Stressed,
    means: Mapping[str, Means],
    model: str,
    alone: Mapping[str, tuple[str, bool]],
    n_classes: int,
) -> dict[str, Any]:
    """d' of all modalities and of each, by level; gain over the best one, and its slope."""
    names, n = tuple(alone), len(tested.labels)
    levels = [f"gain/drop/{share:g}" if share else CLEAN for share in GAIN_DROPS]

    def unimodal(level: str, name: str) -> str:
        if not alone[name][1]:
            return right(level)
        return right(only(name, names).name if level == CLEAN else alone_name(level, name))

    def both(found: Means, keys: Sequence[str]) -> tuple[FloatArray, FloatArray]:
        values = np.array([found.value[key] for key in keys])
        return d_prime_of(values, n_classes, n), d_prime_of(found.stacked(keys), n_classes, n)

    fused = both(means[model], [right(level) for level in levels])
    each = {
        name: both(means[alone[name][0]], [unimodal(level, name) for level in levels])
        for name in names
    }
    best = [np.max([found[i] for found in each.values()], axis=0) for i in (0, 1)]
    optimal = [
        np.sqrt(sum(np.maximum(found[i], 0.0) ** 2 for found in each.values())) for i in (0, 1)
    ]
    gains = [fused[i] - best[i] for i in (0, 1)]
    return {
        "drop": list(GAIN_DROPS),
        "d_prime": _by_level(*fused),
        "d_prime_alone": {name: _by_level(*found) for name, found in each.items()},
        "gain": _by_level(*gains),
        "over_independent": _by_level(*(fused[i] - optimal[i] for i in (0, 1))),
        "slope": figure_of(float(slope(best[0], gains[0])), slope(best[1], gains[1])),
    }


def _by_level(value: FloatArray, drawn: FloatArray) -> list[Figure]:
    """A figure of each level."""
    return [figure_of(float(value[i]), drawn[:, i]) for i in range(len(value))]


def _intervention(
    tested: Stressed, means: Mapping[str, Means], model: str, _: int
) -> dict[str, Any]:
    """What the content of each modality does to the answer, its number of events kept."""
    own, found = means[model], {}
    for name in tested.learners[model][0].modalities:
        same, other, noise = (right(f"swap/{name}/{k}") for k in ("same", "other", "scrambled"))
        found[name] = {
            "same_class": own.mean(same),
            "other_class": own.mean(other),
            "scrambled": own.mean(noise),
            "follows_donor": own.mean(foreign_class(f"swap/{name}/other")),
            "effect_of_content": own.figure(lambda a: a[..., 0] - a[..., 1], [same, other]),
            "loss_when_scrambled": own.figure(
                lambda a: a[..., 0] - a[..., 1], [right(CLEAN), noise]
            ),
        }
    return found


_OF_FUSED = {
    "missing": _missing,
    "misalignment": _misalignment,
    "consistency": _consistency,
    "imbalance": _imbalance,
    "anytime": _anytime,
    "gain": _gain,
    "intervention": _intervention,
}
