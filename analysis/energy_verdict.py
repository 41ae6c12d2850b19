"""Verdict on energy, one per profile and reuse: at which accuracy, how sure, and what is in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from analysis.answers import accuracy_difference
from analysis.records import RunRecord
from analysis.tables import why_null

SEEDS_FOR_A_VERDICT = 5
TOTALS = ("dynamic", "with_static", "with_sensors")
SIDES = {"snn": "the SNN", "dense": "the dense twin"}
_EQUAL = 0.01
_NOT_COMPARABLE = "not comparable at equal accuracy"


def energy_verdicts(run: RunRecord) -> list[dict[str, Any]]:
    """`energy_findings` with their ``sentence``; none with fewer than five seeds."""
    if len(run.result["seeds"]) < SEEDS_FOR_A_VERDICT:
        return []
    return [{**finding, "sentence": sentence(finding)} for finding in energy_findings(run)]


def energy_findings(
    run: RunRecord, found: tuple[float, tuple[float, float]] | None = None
) -> list[dict[str, Any]]:
    """What the run holds on dense against spiking energy, by profile and reuse of the dense side.

    Parameters
    ----------
    run : RunRecord
    found : (float, (float, float)), optional
        Difference in accuracy and its interval; from the run's predictions by default.

    Returns
    -------
    list of dict
        ``profile``, ``reuse``, ``window_ms``, ``seeds``, ``accuracy`` (of ``snn``, ``dense``, at
        ``precision``), ``difference`` in accuracy with its nested ``interval`` (None without
        predictions), ``basis`` ("whole window" or "equal accuracy"), ``at_accuracy``, ``reason``
        where there is no price, and ``totals``: of each that both sides have, ``nominal``,
        ``median``, ``low`` and ``high`` (5 and 95 %), ``share_snn_wins``, ``n_draws`` and
        ``outcome`` (``snn``, ``dense``, ``equal within 1 %``, ``not told apart`` or ``not
        comparable at equal accuracy``). Empty without both models.
    """
    result = run.result
    if not {"snn", "dense"} <= set(result["models"]):
        return []
    if found is None:
        found = accuracy_difference(run, "snn", "dense")
    findings: list[dict[str, Any]] = []
    for profile in result["ratios"].get("dynamic_pj", {}):
        entries = result.get("energy_ranges", {}).get(profile) or _nominal_only(run, profile)
        if len({entry.get("reason") for entry in entries.values()} - {None}) == 1 and all(
            "reason" in entry for entry in entries.values()
        ):
            entries = {"any": next(iter(entries.values()))}  # no price, whatever the reuse
        for reuse, entry in entries.items():
            finding: dict[str, Any] = {
                "profile": profile,
                "reuse": reuse,
                "window_ms": result["data"]["duration_ms"],
                "seeds": len(result["seeds"]),
                "accuracy": accuracy_beside(result, profile),
                "difference": None if found is None else found[0],
                "interval": None if found is None else list(found[1]),
                "basis": "whole window",
                "at_accuracy": None,
                "totals": {},
            }
            same = result["comparison"].get("at_equal_accuracy") or {}
            if "reason" in entry or "reason" in same:
                finding["reason"] = entry.get("reason", same.get("reason"))
            else:
                equal = same.get("energy", {}).get(profile, {}).get(reuse)
                finding.update(_decided(finding, entry, equal))
            findings.append(finding)
    return findings


def accuracy_beside(result: Mapping[str, Any], profile: str) -> dict[str, Any]:
    """Accuracy of both models at the precision that the profile prices, as far as it is known."""
    beside: dict[str, Any] = {}
    precisions: list[str] = []
    for side in SIDES:
        model = result["models"][side]
        estimate = model["energy"].get(profile, {})
        known = estimate.get("accuracy")
        beside[side] = model["accuracy"] if known is None else known
        precisions.append("fp32" if known is None else str(estimate.get("precision", "fp32")))
    same = precisions[0] == precisions[1]
    beside["precision"] = precisions[0] if same else " and ".join(precisions)
    return beside


def sentence(finding: Mapping[str, Any]) -> str:
    """The verdict in full; every ratio with its range, and nothing that the range does not hold."""
    if "reason" in finding:
        return f"{_where(finding)}: no verdict, {finding['reason']}."
    parts = [
        f"{_included(name, finding)}: {_said(total)}{_figures(total)}"
        for name, total in finding["totals"].items()
    ]
    return f"{_where(finding)}, {_at(finding)}. {_capital('; '.join(parts))}. {_draws(finding)}"


def figures_only(finding: Mapping[str, Any]) -> str:
    """The same figures where there are too few seeds for a verdict."""
    if "reason" in finding:
        return f"{_where(finding)}: no energy ratio; {finding['reason']}."
    parts = [
        f"{_included(name, finding)}{_figures(total).replace(', dense', ': dense', 1)}"
        for name, total in finding["totals"].items()
    ]
    return f"{_where(finding)}, {_at(finding)}. {_capital('; '.join(parts))}. {_draws(finding)}"


def told(spread: Mapping[str, Any]) -> str:
    """Who needs less by a 5 to 95 % range of dense / SNN, if it leaves one side only."""
    if spread.get("low") is None:
        return "not told apart"
    if spread["low"] > 1 - _EQUAL and spread["high"] < 1 + _EQUAL:
        return "equal within 1 %"
    if spread["low"] > 1:
        return "snn"
    return "dense" if spread["high"] < 1 else "not told apart"


def _decided(
    finding: Mapping[str, Any], entry: Mapping[str, Any], equal: Mapping[str, Any] | None
) -> dict[str, Any]:
    """On what the verdict rests, and the outcome of each total.

    Where both have a front: energies at equal accuracy. Otherwise those of the whole window, if the
    accuracies are not told apart; if they differ there is no verdict, but where the more accurate
    model needs less as well.
    """
    ahead = _more_accurate(finding)
    if equal is None or "reason" in equal:
        totals = {
            name: {**_spread(entry[name]), "outcome": _outcome(entry[name], ahead)}
            for name in TOTALS
            if name in entry
        }
        if ahead is None:
            return {"totals": totals}
        missing = "this run holds no energies over time" if equal is None else equal["reason"]
        return {"totals": totals, "no_front": missing}
    totals = {
        name: {**_spread(equal[name]), "outcome": told(equal[name])}
        for name in TOTALS
        if name in equal
    }
    return {"basis": "equal accuracy", "at_accuracy": equal["accuracy"], "totals": totals}


def _more_accurate(finding: Mapping[str, Any]) -> str | None:
    """The side whose accuracy is higher by more than chance; None if they are not told apart.

    Without an interval a difference counts as one.
    """
    difference, interval = finding["difference"], finding["interval"]
    if interval is None:
        accuracy = finding["accuracy"]
        difference = accuracy["snn"] - accuracy["dense"]
        return None if not difference else "snn" if difference > 0 else "dense"
    if interval[0] <= 0 <= interval[1]:
        return None
    return "snn" if difference > 0 else "dense"


def _outcome(spread: Mapping[str, Any], ahead: str | None) -> str:
    """Whole windows decide between equals, or where the more accurate side needs less as well."""
    outcome = told(spread)
    return outcome if ahead is None or outcome == ahead else _NOT_COMPARABLE


def _spread(found: Mapping[str, Any]) -> dict[str, Any]:
    """A ratio's range without its tornado."""
    keys = ("nominal", "median", "low", "high", "share_snn_wins", "n_draws")
    return {key: found.get(key) for key in keys}


def _nominal_only(run: RunRecord, profile: str) -> dict[str, dict[str, Any]]:
    """Ratios of a run that holds no ranges: figures, from which nothing can be told."""
    ratios = run.result["ratios"]
    reuse = str(run.config.get("cost", {}).get("reuse", "as listed under assumptions"))
    if ratios["dynamic_pj"][profile] is None:
        side = next(s for s in SIDES if _energy(run, s, profile)["dynamic_pj"] is None)
        return {reuse: {"reason": why_null(_energy(run, side, profile), "dynamic_pj")}}
    values = {name: ratios.get(f"{name}_pj", {}).get(profile) for name in TOTALS}
    return {reuse: {name: {"nominal": v} for name, v in values.items() if v is not None}}


def _energy(run: RunRecord, side: str, profile: str) -> Mapping[str, Any]:
    """A model's estimate."""
    estimate: Mapping[str, Any] = run.result["models"][side]["energy"][profile]
    return estimate


def _where(finding: Mapping[str, Any]) -> str:
    """Profile, reuse, window and seeds."""
    n_seeds = finding["seeds"]
    seeds = "1 seed" if n_seeds == 1 else f"mean of {n_seeds} seeds"
    return (
        f"{finding['profile']}, dense weight reuse {finding['reuse']}, window "
        f"{finding['window_ms']:g} ms, {seeds}"
    )


def _at(finding: Mapping[str, Any]) -> str:
    """Both accuracies, how sure their difference is, and what the energies belong to."""
    accuracy = finding["accuracy"]
    text = (
        f"accuracy SNN {accuracy['snn']:.3f}, dense twin {accuracy['dense']:.3f} "
        f"({accuracy['precision']}"
    )
    if finding["interval"] is not None:
        low, high = finding["interval"]
        text += (
            f"; difference{'' if accuracy['precision'] == 'fp32' else ' in float'} "
            f"{100 * finding['difference']:+.1f} points, 95 % "
            f"[{100 * low:+.1f}, {100 * high:+.1f}] over recordings and seeds"
        )
    text += ")"
    if finding["basis"] == "equal accuracy":
        at = f"{finding['at_accuracy']:.3f}"
        return f"{text}, modelled energy at equal accuracy {at} of answers over time"
    if "no_front" in finding:
        text += f", {finding['no_front']}"
    return f"{text}, modelled energy of the whole window"


def _included(name: str, finding: Mapping[str, Any]) -> str:
    """What a total holds."""
    static = "with_static" in finding["totals"]
    return {
        "dynamic": "dynamic energy (network and digital front ends)",
        "with_static": "with static power",
        "with_sensors": "with static power and sensors" if static else "with sensors",
    }[name]


def _said(total: Mapping[str, Any]) -> str:
    """The outcome in words."""
    outcome = total["outcome"]
    return f"{SIDES[outcome]} needs less" if outcome in SIDES else str(outcome)


def _figures(total: Mapping[str, Any]) -> str:
    """A ratio, never without its range."""
    if total["median"] is None:
        return f", dense / SNN = {total['nominal']:.2f} at nominal constants, range not in this run"
    return (
        f", dense / SNN = {_number(total['median'])} [{_number(total['low'])}, "
        f"{_number(total['high'])}], the SNN needs less in {total['share_snn_wins']:.0%} of draws"
    )


def _draws(finding: Mapping[str, Any]) -> str:
    """What the ranges are."""
    n_draws = next((t["n_draws"] for t in finding["totals"].values() if t["n_draws"]), None)
    if n_draws is None:
        return "No range: this run holds no draws of the constants."
    return f"(Median and 5 to 95 % of {n_draws} draws of the constants.)"


def _number(ratio: float) -> str:
    """Two decimals, more where the ratio is nearly one."""
    return f"{ratio:.3f}" if 0.9 < ratio < 1.1 else f"{ratio:.3g}"


def _capital(text: str) -> str:
    """First letter upper case."""
    return text[:1].upper() + text[1:]
