"""What a run says, in sentences that claim no more than it holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from analysis.answers import accuracy_difference, lonely_groups
from analysis.energy_verdict import SEEDS_FOR_A_VERDICT, energy_findings, figures_only, sentence
from analysis.naming import model_name
from analysis.own_networks import own_sentences
from analysis.records import RunRecord


def sentences(run: RunRecord) -> list[str]:
    """The verdict, or that there is none; accuracy, energy and latency of SNN and dense twin.

    Every ratio comes with its range and names its profile, the reuse assumed, the window, both
    accuracies and the seeds. Where the dense twin is ahead, that is said first-hand.
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
        lines += _energies(run)
        lines += _latency(result)
    else:
        missing = [model_name(name) for name in ("snn", "dense") if name not in models]
        lines.append(f"No comparison: this run holds no {' and no '.join(missing)}.")
    lines += _fusion(result)
    return lines + own_sentences(run)


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
    for modality in lonely_groups(run):
        kind = "speaker" if modality == "audio" else f"{modality} group"
        said += f"; with one test {kind} it says nothing about other {kind}s"
    return f"{text}. {said}."


def _energies(run: RunRecord) -> list[str]:
    """A verdict for every profile and reuse; with few seeds the figures at the run's reuse."""
    findings = energy_findings(run)
    if len(run.result["seeds"]) >= SEEDS_FOR_A_VERDICT:
        return [sentence(finding) for finding in findings]
    priced = [f for f in findings if f["reuse"] in (reuse(run), "any")] or findings
    return [figures_only(finding) for finding in priced]


def reuse(run: RunRecord) -> str:
    """The weight reuse that the dense twin was priced with."""
    return str(run.config.get("cost", {}).get("reuse", "as listed under assumptions"))


def _latency(result: Mapping[str, Any]) -> list[str]:
    """Stimulus time at equal accuracy, the only fair comparison of latency."""
    same = result["comparison"].get("at_equal_accuracy")
    if not same or same["accuracy"] is None:
        reason = (same or {}).get("reason")
        return [f"No comparison at equal accuracy: {reason}."] if reason else []
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
