"""Runs beside each other: what sets them apart, and the front of accuracy and energy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from analysis.fronts import monotone_front
from analysis.model_fronts import blocks_of
from analysis.naming import energy_unit, format_pj, model_name
from analysis.pooled import pool_runs, runs_by_recipe
from analysis.records import RunRecord
from analysis.report.lines import Axis, Series, Spot, draw_lines
from analysis.report.svg import tints
from analysis.tables import ENERGY_METRICS, METRIC_NAMES, Table, profiles_of

_NOT_SET = "not set"
_SHOWN_SETTINGS = 6
# Above it points off the front are not explained: the page would be words for the pointer.
_MOST_EXPLAINED = 1200


def run_labels(runs: Sequence[RunRecord]) -> list[str]:
    """A name for each run: that of its recipe, with the folder where names repeat."""
    names = [str(run.result["name"]) for run in runs]
    return [
        name if names.count(name) == 1 else f"{name} ({run.path.name})"
        for name, run in zip(names, runs, strict=True)
    ]


def differences(runs: Sequence[RunRecord]) -> list[dict[str, str]]:
    """Of each run, the settings that are not the same in all of them, as ``a.b`` and text."""
    flat = [dict(flatten(run.config)) for run in runs]
    keys = dict.fromkeys(key for one in flat for key in one)
    varied = [key for key in keys if len({one.get(key, _NOT_SET) for one in flat}) > 1]
    return [{key: one.get(key, _NOT_SET) for key in varied} for one in flat]


def same_task(runs: Sequence[RunRecord]) -> bool:
    """Whether all runs ask the same question of the same kind of data.

    Accuracies of different classes or scenes are not better or worse than each other.
    """
    data = [run.result["data"] for run in runs]
    return len({(d["name"], d.get("scene"), tuple(d.get("classes", ()))) for d in data}) <= 1


def flatten(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested values as ``a.b`` and text."""
    rows: list[tuple[str, str]] = []
    for key, value in values.items():
        if isinstance(value, Mapping):
            rows += flatten(value, f"{prefix}{key}.")
        else:
            rows.append((f"{prefix}{key}", "unknown" if value is None else str(value)))
    return rows


def runs_table(runs: Sequence[RunRecord]) -> Table:
    """One line for each run and model: accuracy with its interval, latency, energies."""
    profiles = _profiles(runs)
    rows: list[tuple[str, ...]] = []
    for label, run in zip(run_labels(runs), runs, strict=True):
        for name, entry in run.result["models"].items():
            interval = entry.get("accuracy_interval")
            rows.append(
                (
                    label,
                    model_name(name),
                    f"{entry['accuracy']:.3f}",
                    f"{interval[0]:.3f} to {interval[1]:.3f}" if interval else "n/a",
                    f"{entry['latency']['p50_ms']:.1f}",
                    *(
                        format_pj(entry["energy"].get(p, {}).get(m))
                        for p in profiles
                        for m in ENERGY_METRICS[:1]
                    ),
                )
            )
    energies = [f"{METRIC_NAMES['dynamic_pj']} energy, {p} (modelled)" for p in profiles]
    header = ("run", "model", "accuracy", "95 % interval", "latency p50 (ms)", *energies)
    return Table("Runs", header, tuple(rows))


def settings_table(runs: Sequence[RunRecord]) -> Table:
    """A line for each run with the settings that are not the same in all, a column each."""
    found = differences(runs)
    keys = list(found[0]) if found else []
    shown, more = keys[:_SHOWN_SETTINGS], keys[_SHOWN_SETTINGS:]
    rows = [
        (label, *(one[key] for key in shown))
        for label, one in zip(run_labels(runs), found, strict=True)
    ]
    title = "Settings that set the runs apart"
    if more:
        title += f" ({len(shown)} of {len(keys)}; also {', '.join(more)})"
    return Table(title, ("run", *shown), tuple(rows) if keys else ())


def pooled_tables(runs: Sequence[RunRecord]) -> list[tuple[Table, list[str]]]:
    """Each recipe's runs as one, with what that says: see `pool_runs`.

    None of a recipe with a single run, or whose runs cannot be pooled.
    """
    found: list[tuple[Table, list[str]]] = []
    for group in runs_by_recipe(runs):
        if len(group) == 1 or any(run.predictions is None for run in group):
            continue
        pooled = pool_runs(group)
        if not pooled["models"]:
            continue
        profiles = list(next(iter(pooled["models"].values()))["dynamic_pj"])
        gained = {d["second"]: d for d in pooled["differences"]}
        rows = [
            (
                model_name(name),
                f"{row['accuracy']:.3f}",
                "{:.3f} to {:.3f}".format(*row["interval"]),
                *_points(gained.get(name)),
                f"{row['evidence_ms']:.0f}",
                *(format_pj(row["dynamic_pj"][p]) for p in profiles),
            )
            for name, row in pooled["models"].items()
        ]
        header = (
            "model",
            "accuracy",
            "95 % interval",
            "SNN fusion minus it (points)",
            "its 95 % interval",
            "evidence time, median (ms)",
            *(f"{METRIC_NAMES['dynamic_pj']} energy, {p} (modelled)" for p in profiles),
        )
        title = (
            f"{pooled['n_runs']} runs of {group[0].result['name']} as one: "
            f"{pooled['n_samples']:,} test samples, seeds {', '.join(map(str, pooled['seeds']))}"
        )
        found.append((Table(title, header, tuple(rows)), pooled["sentences"]))
    return found


def _points(difference: Mapping[str, Any] | None) -> tuple[str, str]:
    """A difference of accuracies in points, and its interval."""
    if difference is None:
        return "n/a", "n/a"
    low, high = difference["interval"]
    return f"{100 * difference['difference']:+.1f}", f"{100 * low:+.1f} to {100 * high:+.1f}"


def pareto_fronts(runs: Sequence[RunRecord]) -> list[dict[str, str]]:
    """Per profile, accuracy over modelled dynamic energy of all runs, with the front of them.

    There is no front over runs of different data (`same_task`). One run shows its answers over
    time and its exits, several show the whole window of each.
    """
    found: list[dict[str, str]] = []
    for profile in _profiles(runs):
        series = _answers(runs[0], profile) if len(runs) == 1 else _windows(runs, profile)
        spots = [spot for one in series for spot in one.spots]
        if not spots:
            continue
        kept = monotone_front([s.y for s in spots], [s.x for s in spots])
        front = [Spot(spots[i].x, spots[i].y) for i in kept]
        dashed = Series("front of all points", "grey", front, None, dashed=True)
        joined = same_task(runs)
        unit, size = energy_unit(sorted(s.x for s in spots)[len(spots) // 2])
        if len(spots) > _MOST_EXPLAINED:
            best = {(s.x, s.y) for s in front}
            series = [_less_said(one, best) for one in series]
        html = draw_lines(
            [*series, dashed] if joined else series,
            Axis(
                f"dynamic energy per sample ({unit}, modelled, logarithmic)",
                log=True,
                write=lambda pj, size=size: f"{pj / size:.3g}",  # type: ignore[misc]
            ),
            Axis("test accuracy", (0.0, 1.0) if len(runs) == 1 else None),
            f"Accuracy over energy, {profile}"
            + ("; the front of all points is dashed" if joined else ""),
            kind="spots",
        )
        found.append({"profile": profile, "html": html, "n": str(len(spots))})
    return found


def _profiles(runs: Sequence[RunRecord]) -> list[str]:
    """Profiles of all runs, in order of appearance."""
    return list(dict.fromkeys(p for run in runs for p in profiles_of(run.result)))


def _answers(run: RunRecord, profile: str) -> list[Series]:
    """Answers over time, then exits, of every model."""
    color = tints(run.result["models"])
    series: list[Series] = []
    for name, entry in run.result["models"].items():
        dense = entry["kind"] == "dense"
        for block, exits in zip(blocks_of(run, name, profile), (False, True), strict=False):
            spots = [
                Spot(
                    p.energy_pj,
                    p.accuracy,
                    f"{model_name(name)}, {p.source.rpartition(': ')[2]}: accuracy "
                    f"{p.accuracy:.3f}, {format_pj(p.energy_pj)}",
                )
                for p in block.points
                if p.energy_pj
            ]
            label = f"{model_name(name)}, {'exits' if exits else 'answers over time'}"
            marker = "cross" if exits else "square" if dense else "dot"
            if spots:
                series.append(Series(label, color[name], spots, marker, not exits, dense))
    return series


def _windows(runs: Sequence[RunRecord], profile: str) -> list[Series]:
    """One point for each run and model."""
    color = tints(dict.fromkeys(name for run in runs for name in run.result["models"]))
    told = [_in_words(found) for found in differences(runs)]
    series: list[Series] = []
    for name, tint in color.items():
        spots: list[Spot] = []
        dense = False
        for label, run, words in zip(run_labels(runs), runs, told, strict=True):
            entry = run.result["models"].get(name)
            pj = entry["energy"].get(profile, {}).get("dynamic_pj") if entry else None
            if entry is None or not pj:
                continue
            dense = entry["kind"] == "dense"
            said = f"{label}, {model_name(name)}: accuracy {entry['accuracy']:.3f}, {format_pj(pj)}"
            spots.append(Spot(pj, entry["accuracy"], f"{said}. {words}" if words else said))
        if spots:
            marker = "square" if dense else "dot"
            series.append(Series(model_name(name), tint, spots, marker, joined=False))
    return series


def _in_words(found: Mapping[str, str]) -> str:
    """Settings of a run that others have otherwise."""
    words = [f"{key} = {value}" for key, value in found.items()]
    more = len(words) - _SHOWN_SETTINGS
    return "; ".join(words[:_SHOWN_SETTINGS]) + (f"; and {more} more" if more > 0 else "")


def _less_said(one: Series, best: set[tuple[float, float]]) -> Series:
    """The series with words at the points of the front alone."""
    spots = [s if (s.x, s.y) in best else Spot(s.x, s.y) for s in one.spots]
    return Series(one.name, one.tint, spots, one.marker, one.joined, one.dashed)
