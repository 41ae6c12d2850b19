"""Tables of a stress suite, from its ``stress.json``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from analysis.naming import format_pj, model_name
from analysis.records import read_beside
from analysis.tables import Table
from spikefuse.pages import markdown_table

SCHEMA = 2
FILE = "stress.json"
CLEAN = "clean"
NONE = "n/a"


def read_stress(folder: Path) -> dict[str, Any] | None:
    """``stress.json`` of a run directory, None where there is none.

    Raises
    ------
    DataError
        If it is damaged or of another schema.
    """
    return read_beside(folder, FILE, SCHEMA, "a stress suite")


def stress_tables(stress: Mapping[str, Any]) -> list[Table]:
    """Every table that has rows."""
    tables = (
        missing_stress(stress),
        noise_stress(stress),
        misalignment_stress(stress),
        consistency_stress(stress),
        incongruent_stress(stress),
        gain_stress(stress),
        anytime_stress(stress),
        intervention_stress(stress),
        cost_stress(stress),
    )
    return [table for table in tables if table.rows]


def missing_stress(stress: Mapping[str, Any]) -> Table:
    """A missing modality: accuracy, retention, no-harm, utilisation, energy."""
    rows: list[tuple[str, ...]] = []
    profile = _profile(stress)
    for model, found in _of(stress, "missing"):
        used = stress["measures"][model].get("imbalance", {}).get("utilisation", {})
        for absent, entry in found.items():
            costs = [
                _entry(stress, condition, model)["energy"].get(profile, {})
                for condition in (CLEAN, f"missing/{absent}")
            ]
            costs[1] = costs[1].get("sensor_off", {})
            rows.append(
                (
                    model_name(model),
                    absent,
                    figure_text(entry["accuracy"]),
                    figure_text(entry["retention"]),
                    figure_text(entry["no_harm"], sign=True),
                    figure_text(used.get(absent)),
                    " -> ".join(_energy(cost.get("dynamic_pj")) for cost in costs),
                )
            )
    header = (
        "model",
        "missing",
        "accuracy",
        "retention",
        "no harm",
        "utilisation",
        f"dynamic energy, all -> its front end off ({profile})",
    )
    return Table("A missing modality", header, tuple(rows))


def noise_stress(stress: Mapping[str, Any]) -> Table:
    """Accuracy at the highest level and the area under every noise curve."""
    rows: list[tuple[str, ...]] = []
    profile = _profile(stress)
    for model, by_modality in _of(stress, "noise"):
        for modality, kinds in by_modality.items():
            for kind, found in kinds.items():
                level = found["levels"][-1]
                worst = _entry(stress, f"noise/{modality}/{kind}/{level:g}", model)
                less = found.get("area_less")
                rows.append(
                    (
                        model_name(model),
                        modality,
                        kind.replace("_", " "),
                        f"{found['snr_db'][-1]:g} dB" if "snr_db" in found else f"{level:g}",
                        figure_text(found["accuracy"][-1]),
                        figure_text(found["area"]),
                        figure_text(found["relative_area"]),
                        figure_text(less, sign=True),
                        _energy(worst["energy"][profile]["dynamic_pj"]),
                        f"{worst['evidence_p50_ms']:.0f}",
                    )
                )
    header = (
        "model",
        "modality",
        "noise",
        "level",
        "accuracy",
        "area",
        "relative area",
        "area less the first fused model",
        f"dynamic energy ({profile})",
        "evidence p50 (ms)",
    )
    return Table("Noise: the highest level, and the area over all levels", header, tuple(rows))


def misalignment_stress(stress: Mapping[str, Any]) -> Table:
    """How far a modality may be late or drift."""
    rows: list[tuple[str, ...]] = []
    for model, by_modality in _of(stress, "misalignment"):
        for modality, found in by_modality.items():
            width, drift = found["half_width_ms"], found["drift_tolerance_ppm"]
            rows.append(
                (
                    model_name(model),
                    modality,
                    _least(width) + figure_text(width, digits=0),
                    figure_text(found["asymmetry_ms"], digits=0, sign=True),
                    _least(drift) + figure_text(drift, digits=0),
                )
            )
    header = ("model", "late", "half-width at 95 % (ms)", "asymmetry (ms)", "drift at 95 % (ppm)")
    return Table("Misalignment", header, tuple(rows))


def consistency_stress(stress: Mapping[str, Any]) -> Table:
    """How often two readings of a sample agree, and how far their distributions are apart."""
    rows: list[tuple[str, ...]] = []
    for model, found in _of(stress, "consistency"):
        for pair, agreed in found["agreement"].items():
            divergence = figure_text(found["jensen_shannon_bits"][pair])
            rows.append((model_name(model), pair, figure_text(agreed), divergence))
    header = ("model", "answers from", "agreement", "Jensen-Shannon (bits)")
    return Table("Consistency of the modalities", header, tuple(rows))


def incongruent_stress(stress: Mapping[str, Any]) -> Table:
    """Which modality wins where they are of different classes."""
    rows: list[tuple[str, ...]] = []
    for model, found in _of(stress, "consistency"):
        for entry in found["incongruent"].values():
            rows.append(
                (
                    model_name(model),
                    entry["foreign"],
                    entry["weakened"] or "none",
                    *(
                        figure_text(entry[key])
                        for key in ("answers_rest", "answers_foreign", "answers_neither")
                    ),
                    figure_text(entry["foreign_share"]),
                )
            )
    header = (
        "model",
        "of another class",
        "weakened",
        "answers the rest's class",
        "the other's class",
        "neither",
        "other's share of both",
    )
    return Table("Incongruent pairs", header, tuple(rows))


def gain_stress(stress: Mapping[str, Any]) -> Table:
    """d' together and alone as events are lost, and how the gain changes with it."""
    rows: list[tuple[str, ...]] = []
    for model, found in _of(stress, "gain"):
        for against, entry in found.items():
            for i, share in enumerate(entry["drop"]):
                alone = " / ".join(
                    figure_text(figures[i], digits=2, interval=False)
                    for figures in entry["d_prime_alone"].values()
                )
                rows.append(
                    (
                        model_name(model),
                        _AGAINST[against],
                        f"{share:g}",
                        figure_text(entry["d_prime"][i], digits=2),
                        alone,
                        figure_text(entry["gain"][i], digits=2, sign=True),
                        figure_text(entry["over_independent"][i], digits=2, sign=True),
                        figure_text(entry["slope"], digits=2, sign=True) if not i else "",
                    )
                )
    names = next((list(e["d_prime_alone"]) for _, f in _of(stress, "gain") for e in f.values()), [])
    header = (
        "model",
        "against",
        "lost of both",
        "d' together",
        f"d' alone: {' / '.join(names)}",
        "gain",
        "d' over independent",
        "slope of gain",
    )
    return Table("Multisensory gain", header, tuple(rows))


def anytime_stress(stress: Mapping[str, Any]) -> Table:
    """When answers are nearly as good as the last ones."""
    rows: list[tuple[str, ...]] = []
    for model, found in _of(stress, "anytime"):
        for condition, curve in found.items():
            rows.append(
                (
                    model_name(model),
                    condition,
                    figure_text(curve["accuracy"][-1]),
                    figure_text(curve["ms_to_95_percent"], digits=0),
                    figure_text(curve["mean_accuracy"]),
                )
            )
    header = ("model", "inputs", "last accuracy", "ms to 95 % of it", "mean accuracy over time")
    return Table("Anytime accuracy", header, tuple(rows))


def intervention_stress(stress: Mapping[str, Any]) -> Table:
    """What one modality's content causes."""
    rows: list[tuple[str, ...]] = []
    for model, found in _of(stress, "intervention"):
        for modality, entry in found.items():
            texts = [figure_text(entry[k]) for k in ("same_class", "other_class", "follows_donor")]
            texts += [
                figure_text(entry[k], sign=True)
                for k in ("effect_of_content", "loss_when_scrambled")
            ]
            rows.append((model_name(model), modality, *texts))
    header = (
        "model",
        "exchanged",
        "accuracy, same class",
        "other class",
        "answers follow it",
        "effect of content",
        "loss when scrambled",
    )
    return Table("Interventions: content exchanged, number of events kept", header, tuple(rows))


def cost_stress(stress: Mapping[str, Any]) -> Table:
    """Operations, energy and evidence time of models under all that is not noise."""
    profile = _profile(stress)
    shown = {name: c for name, c in stress["conditions"].items() if not name.startswith("noise/")}
    rows: list[tuple[str, ...]] = []
    for model, found in stress["models"].items():
        if len(found["modalities"]) < 2 or len(shown) < 2:
            continue
        for name, condition in shown.items():
            if not _shown_cost(name, list(shown)):
                continue
            entry = condition["models"][model]
            cost = entry["energy"].get(profile, {})
            cost = cost.get("sensor_off", cost)
            rows.append(
                (
                    model_name(model),
                    name,
                    f"{entry['counts']['effective_acs']:,.0f}",
                    f"{entry['counts']['effective_macs']:,.0f}",
                    _energy(cost.get("dynamic_pj")),
                    f"{entry['evidence_p50_ms']:.0f}",
                    f"{entry['evidence_p95_ms']:.0f}",
                )
            )
    header = (
        "model",
        "inputs",
        "accumulates",
        "multiply-accumulates",
        f"dynamic energy ({profile})",
        "evidence p50 (ms)",
        "p95 (ms)",
    )
    return Table("What inputs other than noisy ones cost", header, tuple(rows))


def _shown_cost(name: str, names: Sequence[str]) -> bool:
    """Of offsets, drifts and losses the ends alone; of any other condition all."""
    kind, _, level = name.rpartition("/")
    if not kind.startswith(("offset/", "drift/", "gain/drop")) or level.startswith("only_"):
        return not level.startswith("only_")
    levels = [float(n.rpartition("/")[2]) for n in names if n.rpartition("/")[0] == kind]
    return float(level) in (max(levels), *([min(levels)] if min(levels) < 0 else []))


def markdown_tables(stress: Mapping[str, Any]) -> str:
    """Every table as Markdown under its title."""
    n, seeds = stress["n_pairs"], len(stress["seeds"])
    speech = ", synthetic speech" if stress.get("synthetic_speech") else ""
    parts = [
        f"`{stress['name']}`, {n} test pairs, {seeds} seed(s){speech}; intervals: "
        f"{stress['interval']}."
    ]
    for table in stress_tables(stress):
        rows = [list(row) for row in table.rows]
        parts.append(f"**{table.title}**\n\n{markdown_table(list(table.header), rows)}")
    parts.append("\n".join(f"- {note}" for note in stress["notes"]))
    return "\n\n".join(parts)


def figure_text(
    figure: Mapping[str, Any] | None, digits: int = 3, sign: bool = False, interval: bool = True
) -> str:
    """A value and its interval; n/a where there is none."""
    if figure is None or figure["value"] is None:
        return NONE
    form = f"{'+' if sign else ''}.{digits}f"
    value = format(figure["value"], form)
    if not interval or figure["interval"] is None:
        return value
    low, high = (format(bound, form) for bound in figure["interval"])
    return f"{value} [{low}, {high}]"


_AGAINST = {"own": "itself, the others absent", "trained": "models trained alone"}


def _of(stress: Mapping[str, Any], family: str) -> Iterator[tuple[str, Any]]:
    """Models and what was found of a family."""
    for model, found in stress["measures"].items():
        if found.get(family):
            yield model, found[family]


def _entry(stress: Mapping[str, Any], condition: str, model: str) -> Mapping[str, Any]:
    """One model under one condition."""
    entry: Mapping[str, Any] = stress["conditions"][condition]["models"][model]
    return entry


def _profile(stress: Mapping[str, Any]) -> str:
    """The first profile of the run, which prices every table."""
    models: Sequence[Mapping[str, Any]] = list(stress["conditions"][CLEAN]["models"].values())
    return str(next(iter(models[0]["energy"])))


def _energy(value_pj: float | None) -> str:
    """An energy, or n/a."""
    return NONE if value_pj is None else format_pj(value_pj)


def _least(figure: Mapping[str, Any]) -> str:
    """A mark for what lies beyond the levels that were tried."""
    return "at least " if figure["censored"] else ""
