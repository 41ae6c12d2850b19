"""What a run says, in sentences that claim no more than it holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from analysis.records import RunRecord
from analysis.stats import paired_difference_interval
from analysis.style import format_pj, model_name
from analysis.tables import why_null
from spikefuse.errors import DataError

SEEDS_FOR_A_VERDICT = 5


def sentences(run: RunRecord) -> list[str]:
    """The verdict, or that there is none; accuracy, energy and latency of SNN and dense twin.

    Every ratio names its profile, the reuse assumed, the window, both accuracies and the seeds.
    Where the dense twin is ahead, that is said first-hand.
    """
    result = run.result
    models = result["models"]
    n_seeds = len(result["seeds"])
    lines: list[str] = []
    if n_seeds < SEEDS_FOR_A_VERDICT:
        lines.append(
            f"No verdict: it needs {SEEDS_FOR_A_VERDICT} seeds, this run has {n_seeds}. "
            "What follows are figures of this run only."
        )
    if "snn" in models and "dense" in models:
        lines.append(_accuracy(run))
        lines += [_energy(run, profile) for profile in result["ratios"].get("dynamic_pj", {})]
        lines += _latency(result)
    else:
        missing = [model_name(name) for name in ("snn", "dense") if name not in models]
        lines.append(f"No comparison: this run holds no {' and no '.join(missing)}.")
    lines += _fusion(result)
    return lines


def accuracy_difference(
    run: RunRecord, first: str, second: str
) -> tuple[float, tuple[float, float]] | None:
    """Mean of ``first - second`` in accuracy and its paired 95 % interval.

    Seeds are averaged per sample first; vision recordings and speakers are resampled. None where
    the run holds no predictions of both models.

    Raises
    ------
    DataError
        If the two models were not tested on the same samples.
    """
    if run.predictions is None:
        return None
    sides = [right_by_sample(run.predictions, model) for model in (first, second)]
    if not all(len(samples) for samples, _ in sides):
        return None
    (samples, right), (others, other_right) = sides
    if not np.array_equal(samples, others):
        raise DataError(
            f"predictions of {first} and {second} must be of the same samples, got "
            f"{len(samples)} and {len(others)} samples"
        )
    of_sample = {int(sample): i for i, sample in enumerate(run.predictions["sample"])}
    lines = [of_sample[int(sample)] for sample in samples]
    interval = paired_difference_interval(
        right,
        other_right,
        run.predictions["vision_group"][lines].tolist(),
        run.predictions["audio_group"][lines].tolist(),
        np.random.default_rng(0),
    )
    return float(np.mean(right - other_right)), interval


def right_by_sample(
    predictions: Mapping[str, np.ndarray[Any, Any]], model: str
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Samples of a model, ascending, and the share of seeds that answered each rightly."""
    of_model = predictions["model"] == model
    right = (predictions["label"] == predictions["prediction"])[of_model].astype(np.float64)
    samples, codes = np.unique(predictions["sample"][of_model], return_inverse=True)
    return samples, np.bincount(codes, right, len(samples)) / np.maximum(np.bincount(codes), 1)


def _accuracy(run: RunRecord) -> str:
    """Who is more accurate, and whether the interval tells them apart."""
    result = run.result
    snn, dense = (result["models"][name]["accuracy"] for name in ("snn", "dense"))
    text = (
        f"Accuracy on {result['data']['n_test']} test pairs: SNN fusion {snn:.3f}, dense twin "
        f"{dense:.3f} ({_seeds(result)})"
    )
    found = accuracy_difference(run, "snn", "dense")
    if found is None:
        return f"{text}. No interval of the difference: the run holds no predictions."
    difference, (low, high) = found
    text += (
        f"; SNN - dense = {100 * difference:+.1f} points, paired 95 % interval "
        f"[{100 * low:+.1f}, {100 * high:+.1f}]"
    )
    if low > 0:
        said = "The SNN is ahead on this test set"
    elif high < 0:
        said = "The dense twin is ahead on this test set"
    else:
        higher = "The SNN" if difference > 0 else "The dense twin"
        higher = f"{higher} scores higher here, but" if difference else "Both score the same;"
        said = f"{higher} the interval includes 0, so the two are not told apart"
    speakers = set(run.predictions["audio_group"].tolist()) if run.predictions else set()
    if len(speakers) == 1 and "" not in speakers:
        said += "; with one test speaker it says nothing about other speakers"
    return f"{text}. {said}."


def _energy(run: RunRecord, profile: str) -> str:
    """Modelled energies of both under one profile, in full."""
    result = run.result
    snn, dense = (result["models"][name]["energy"][profile] for name in ("snn", "dense"))
    ratio = result["ratios"]["dynamic_pj"][profile]
    if ratio is None:
        side, estimate = ("SNN fusion", snn) if snn["dynamic_pj"] is None else ("dense twin", dense)
        return f"{profile}: no energy ratio; {side}: {why_null(estimate, 'dynamic_pj')}."
    if abs(ratio - 1) < 0.01:
        said = "equal within 1 %"
    else:
        said = f"{'the SNN' if ratio > 1 else 'the dense twin'} needs less"
    text = (
        f"{profile}: modelled dynamic energy per sample SNN {format_pj(snn['dynamic_pj'])}, dense "
        f"{format_pj(dense['dynamic_pj'])}, dense / SNN = {ratio:.2f}: {said}"
    )
    sensors = result["ratios"].get("with_sensors_pj", {}).get(profile)
    if sensors is not None:
        text += f"; with the sensors' power dense / SNN = {sensors:.3f}"
    accuracies = " and ".join(f"{result['models'][m]['accuracy']:.3f}" for m in ("snn", "dense"))
    return (
        f"{text} (dense weight reuse {reuse(run)}, window {result['data']['duration_ms']:g} ms, "
        f"accuracy {accuracies}, {_seeds(result)})."
    )


def reuse(run: RunRecord) -> str:
    """The weight reuse that the dense twin was priced with."""
    return str(run.config.get("cost", {}).get("reuse", "as listed under assumptions"))


def _latency(result: Mapping[str, Any]) -> list[str]:
    """Stimulus time at equal accuracy, the only fair comparison of latency."""
    same = result["comparison"].get("at_equal_accuracy")
    if not same or same["accuracy"] is None:
        return []
    times = [same["snn_ms"], same["dense_ms"]]
    snn, dense = ("never" if t is None else f"after {t:.0f} ms" for t in times)
    text = f"Accuracy {same['accuracy']:.3f} is reached by the SNN {snn} and by the dense twin "
    text += f"{dense} of stimulus"
    if None not in times and times[0] != times[1]:
        text += f": {'the SNN' if times[0] < times[1] else 'the dense twin'} is sooner"
    return [f"{text} (window {result['data']['duration_ms']:g} ms, {_seeds(result)}; "
            f"{same['note']})."]  # fmt: skip


def _fusion(result: Mapping[str, Any]) -> list[str]:
    """Whether fusion beat the better single modality, seed by seed."""
    beats = result["comparison"].get("fused_beats_unimodal")
    if not beats:
        return []
    text = f"The fused SNN beat the better single modality in {sum(beats['by_seed'])} of "
    text += f"{len(beats['by_seed'])} seed(s)"
    margins = ", ".join(f"{100 * m:+.1f}" for m in beats.get("margin_by_seed", []))
    return [f"{text} (margin in points by seed: {margins})." if margins else f"{text}."]


def _seeds(result: Mapping[str, Any]) -> str:
    """How many seeds stand behind a number."""
    n_seeds = len(result["seeds"])
    return "1 seed" if n_seeds == 1 else f"mean of {n_seeds} seeds"
