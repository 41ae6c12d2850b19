"""Comparison of models over finished runs: reads run directories, trains nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from analysis.answers import accuracy_difference
from analysis.energy_verdict import SEEDS_FOR_A_VERDICT, energy_findings, sentence
from analysis.model_fronts import describe_fronts
from analysis.pooled import pool_runs, runs_by_recipe
from analysis.records import SCHEMA, RunRecord, load_run
from analysis.tables import profiles_of
from analysis.verdict import sentences
from experiments.commands.summary import print_pooled, print_summary
from experiments.evaluation.compare_tables import print_findings, print_fronts
from experiments.evaluation.repricing import as_one, with_profiles
from spikefuse.cost.pricing import REUSES
from spikefuse.errors import ConfigError


def compare_runs(
    folders: Sequence[Path],
    console: Console,
    *,
    profiles: Sequence[str] = (),
    reuse: str | None = None,
    at_accuracy: float | None = None,
) -> dict[str, Any]:
    """Print and return every run's result, with differences, fronts, findings and verdicts.

    Parameters
    ----------
    folders : sequence of Path
        Runs of one recipe, such as the folds of a protocol, are pooled (see `pool_runs`); runs of
        several, such as sizes of the models, are points of one front.
    console : Console
    profiles : sequence of str
        Only these, also such as no run was priced with (from the stored counts).
    reuse : str, optional
        Only this reuse of the dense side.
    at_accuracy : float, optional
        Where the fronts are compared.

    Returns
    -------
    dict
        ``result.json`` of the run plus ``differences``, ``sentences`` and ``verdict`` (the first of
        them); for several runs ``runs``, and ``pooled`` (one recipe) or ``groups`` (several). All
        with ``findings`` and ``verdicts`` by profile and reuse (no verdicts below five seeds), and
        ``fronts`` by profile.

    Raises
    ------
    ConfigError, DataError
        If a folder is no finished run, its files are damaged, or an option does not fit.
    """
    if reuse is not None and reuse not in REUSES:
        raise ConfigError(f"--reuse must be one of {', '.join(REUSES)}, got {reuse!r}")
    if at_accuracy is not None and not 0 < at_accuracy <= 1:
        raise ConfigError(f"--at-accuracy must lie in (0, 1], got {at_accuracy}")
    runs = [load_run(folder) for folder in folders]
    if profiles:
        runs = [with_profiles(run, profiles) for run in runs]
    groups = runs_by_recipe(runs)
    fronts = describe_fronts(groups, _shared_profiles(runs), at_accuracy)
    if len(runs) == 1:
        found = _compare_one(_only(runs[0], reuse), console)
        print_findings(found["findings"], console)
    elif len(groups) == 1:
        found = _pooled(groups[0], reuse, console)
    else:
        found = {"schema": SCHEMA, "runs": [_described(run) for run in runs], "groups": []}
        for group in groups:
            console.rule(", ".join(run.path.name for run in group), style="dim")
            found["groups"].append(
                _pooled(group, reuse, console)
                if len(group) > 1
                else _compare_one(_only(group[0], reuse), console)
            )
    print_fronts(fronts, console)
    return {**found, "fronts": fronts}


def _compare_one(run: RunRecord, console: Console) -> dict[str, Any]:
    """One run's table, sentences and paired differences against the fused SNN."""
    print_summary(run, console)
    described = _described(run)
    for row in described["differences"]:
        low, high = row["interval"]
        console.print(
            f"- snn - {row['second']}: {100 * row['difference']:+.1f} points, 95 % interval "
            f"[{100 * low:+.1f}, {100 * high:+.1f}] (paired; recordings, speakers and seeds "
            "resampled)",
            highlight=False,
            markup=False,
        )
    return described


def _pooled(runs: Sequence[RunRecord], reuse: str | None, console: Console) -> dict[str, Any]:
    """Folds pooled: their table, what it says, and a verdict on their energy."""
    pooled = pool_runs(runs)
    print_pooled(runs, pooled, console)
    one = _only(as_one(runs, pooled), reuse)
    against = next((d for d in pooled["differences"] if d["second"] == "dense"), None)
    difference = None if against is None else (against["difference"], tuple(against["interval"]))
    findings = energy_findings(one, difference)
    verdicts = _verdicts(findings)
    print_findings(findings, console)
    for verdict in verdicts:
        console.print(f"- {verdict['sentence']}", highlight=False, markup=False)
    return {
        "schema": SCHEMA,
        "runs": [_described(run) for run in runs],
        "pooled": pooled,
        "findings": findings,
        "verdicts": verdicts,
    }


def _verdicts(findings: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The findings with their sentences, where there are seeds enough."""
    return [
        {**finding, "sentence": sentence(finding)}
        for finding in findings
        if finding["seeds"] >= SEEDS_FOR_A_VERDICT
    ]


def _only(run: RunRecord, reuse: str | None) -> RunRecord:
    """The run with the ranges of one reuse; those without any price are kept."""
    if reuse is None:
        return run
    ranges = {
        profile: {reuse: entries.get(reuse, {"reason": f"{profile} has no price of that reuse"})}
        for profile, entries in run.result.get("energy_ranges", {}).items()
    }
    config = {**run.config, "cost": {**run.config.get("cost", {}), "reuse": reuse}}
    return replace(run, result={**run.result, "energy_ranges": ranges}, config=config)


def _shared_profiles(runs: Sequence[RunRecord]) -> list[str]:
    """Profiles of all runs, in the order of the first."""
    return [p for p in profiles_of(runs[0].result) if all(p in profiles_of(r.result) for r in runs)]


def _described(run: RunRecord) -> dict[str, Any]:
    """result.json of a run with differences, findings, sentences; the first of them as verdict."""
    differences: list[dict[str, Any]] = []
    for other in (model for model in run.result["models"] if model != "snn"):
        found = accuracy_difference(run, "snn", other)
        if found is not None:
            difference, interval = found
            differences.append(
                {
                    "first": "snn",
                    "second": other,
                    "difference": difference,
                    "interval": list(interval),
                }
            )
    said = sentences(run)
    findings = energy_findings(run)
    return {
        **run.result,
        "differences": differences,
        "sentences": said,
        "verdict": said[0],
        "findings": findings,
        "verdicts": _verdicts(findings),
    }
