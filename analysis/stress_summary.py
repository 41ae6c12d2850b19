"""A stress suite in one table: a row for each measure, a column for each fused model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from analysis.naming import format_pj, model_name
from analysis.stress_tables import CLEAN, NONE, figure_text
from analysis.tables import Table

# What a measure is called, and how it reads in what was found of a model.
Row = tuple[str, Callable[[str, Mapping[str, Any]], str]]


def stress_summary(stress: Mapping[str, Any], names: Mapping[str, str] | None = None) -> Table:
    """Every measure of the models of several modalities, with intervals, and what it costs.

    Parameters
    ----------
    stress : mapping
        Of a ``stress.json`` of all families.
    names : mapping of model to its name for people, optional
    """
    named = names or {}
    models = [m for m, found in stress["models"].items() if len(found["modalities"]) > 1]
    modalities = stress["models"][models[0]]["modalities"]
    rows = [
        (title, *(cell(model, stress["measures"][model]) for model in models))
        for title, cell in _rows(stress, models[0], modalities)
    ]
    header = ("", *(named.get(model, model_name(model)) for model in models))
    return Table("Stress", header, tuple(rows))


def _rows(stress: Mapping[str, Any], first: str, modalities: Sequence[str]) -> Iterator[Row]:
    """Rows in order; the first model says which there are."""
    conditions = stress["conditions"]
    measured = stress["measures"][first]
    yield (
        "clean accuracy",
        lambda model, _: figure_text(conditions[CLEAN]["models"][model]["accuracy"]),
    )
    for name in modalities:
        yield f"without {name}: accuracy", _figure("missing", name, "accuracy")
        yield f"without {name}: retention", _figure("missing", name, "retention")
        yield f"without {name}: no harm", _figure("missing", name, "no_harm", sign=True)
        yield f"utilisation of {name}", _figure("imbalance", "utilisation", name)
    for name, kinds in measured["noise"].items():
        for kind, found in kinds.items():
            worst = f"{found['levels'][-1]:g}"
            if "snr_db" in found:
                worst = f"{found['snr_db'][-1]:g} dB"
            title = f"{name}, {kind.replace('_', ' ')}"
            yield f"{title}: accuracy at {worst}", _figure("noise", name, kind, "accuracy", -1)
            yield f"{title}: area", _figure("noise", name, kind, "area")
    for name in measured["misalignment"]:
        of_name = ("misalignment", name)
        yield f"{name} late: half-width (ms)", _figure(*of_name, "half_width_ms", digits=0)
        yield (
            f"{name} late: asymmetry (ms)",
            _figure(*of_name, "asymmetry_ms", digits=0, sign=True),
        )
        yield f"{name}: drift (ppm)", _figure(*of_name, "drift_tolerance_ppm", digits=0)
    for pair in measured["consistency"]["agreement"]:
        yield f"agreement, {pair}", _figure("consistency", "agreement", pair)
        yield f"Jensen-Shannon, {pair} (bits)", _figure("consistency", "jensen_shannon_bits", pair)
    for condition, found in measured["consistency"]["incongruent"].items():
        weak = f", {found['weakened']} weak" if found["weakened"] else ""
        yield (
            f"incongruent {found['foreign']}{weak}: its share of answers",
            _figure("consistency", "incongruent", condition, "foreign_share"),
        )
    yield "mean accuracy over time", _figure("anytime", CLEAN, "mean_accuracy")
    yield "ms to 95 % of the accuracy", _figure("anytime", CLEAN, "ms_to_95_percent", digits=0)
    for against, title in (("own", "itself"), ("trained", "models trained alone")):
        kind = ("gain", against)
        yield f"gain in d' over {title}, clean", _figure(*kind, "gain", 0, digits=2, sign=True)
        lost = f"{_most_lost(measured):.0%} of both lost"
        yield f"gain in d' over {title}, {lost}", _figure(*kind, "gain", -1, digits=2, sign=True)
        yield f"slope of the gain over {title}", _figure(*kind, "slope", digits=2, sign=True)
    for name in modalities:
        yield (
            f"effect of the content of {name}",
            _figure("intervention", name, "effect_of_content", sign=True),
        )
    yield from _cost_rows(conditions, modalities)


def _most_lost(measured: Mapping[str, Any]) -> float:
    """The largest share of events that all modalities lost."""
    return float(measured["gain"]["own"]["drop"][-1])


def _figure(*path: str | int, digits: int = 3, sign: bool = False) -> Callable[..., str]:
    """A cell of the figure at a path; n/a where a model has none."""

    def cell(_: str, measured: Mapping[str, Any]) -> str:
        found: Any = measured
        for key in path:
            if isinstance(found, Mapping) and key not in found:
                return NONE
            found = found[key]
        least = "at least " if found.get("censored") else ""
        return least + figure_text(found, digits, sign)

    return cell


def _cost_rows(conditions: Mapping[str, Any], modalities: Sequence[str]) -> Iterator[Row]:
    """Modelled energy and evidence time on clean inputs and where they are most and least."""
    profiles = list(next(iter(conditions[CLEAN]["models"].values()))["energy"])
    profile = profiles[0]

    def pj(found: Mapping[str, Any]) -> float | None:
        cost = found["energy"][profile]
        value: float | None = cost.get("sensor_off", cost).get("dynamic_pj")
        return value

    def over(model: str, quantity: Callable[[Mapping[str, Any]], float | None]) -> str:
        values = {
            name: value
            for name, entry in conditions.items()
            if model in entry["models"] and (value := quantity(entry["models"][model])) is not None
        }
        if not values:
            return NONE
        shown = format_pj if quantity is pj else "{:.0f} ms".format
        low, high = (pick(values, key=lambda n: values[n]) for pick in (min, max))
        return f"{shown(values[low])} (`{low}`) .. {shown(values[high])} (`{high}`)"

    def one(condition: str) -> Callable[[str, Mapping[str, Any]], str]:
        return lambda model, _: format_pj(pj(conditions[condition]["models"][model]))

    yield f"dynamic energy, clean ({profile})", one(CLEAN)
    for name in modalities:
        yield f"dynamic energy without {name}, front end off", one(f"missing/{name}")
    yield "dynamic energy, least .. most", lambda model, _: over(model, pj)
    yield (
        "evidence time p50, least .. most",
        lambda model, _: over(model, lambda found: found["evidence_p50_ms"]),
    )
