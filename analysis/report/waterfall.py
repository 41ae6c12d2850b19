"""Where the modelled energy goes: path by path and kind by kind, both models on one axis."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from analysis.naming import energy_unit, format_pj, model_name
from analysis.own_networks import own_names
from analysis.records import RunRecord
from analysis.report.svg import Scale, bar, chart, legend, line, text, x_axis
from analysis.tables import Table, profiles_of
from spikefuse.cost.bill import bill_of
from spikefuse.cost.stored import counts_of
from spikefuse.errors import ConfigError, DataError, ProfileError

Matrix = dict[str, dict[str, float]]  # path -> kind -> pJ

KINDS = {
    "accumulate": ("accumulate", "sky"),
    "multiply_accumulate": ("multiply-accumulate", "vermilion"),
    "neuron_update": ("neuron update", "green"),
    "weight_memory": ("weight memory", "blue"),
    "state_memory": ("state and data memory", "orange"),
    "spike_routing": ("spike routing", "purple"),
    "all": ("all kinds", "grey"),
    "static": ("static power", "grey"),
    "sensors": ("sensors", "yellow"),
}
_WIDTH, _LEFT, _RIGHT = 900.0, 236.0, 84.0
_ROW, _HEAD, _TOP = 19.0, 26.0, 10.0


def energy_matrix(run: RunRecord, model: str, profile: str) -> Matrix | None:
    """Dynamic energy of a model by path and kind, from its stored counts.

    Returns
    -------
    dict of path to dict of kind to pJ, or None
        Front ends are called encoding. One kind ``all`` for each path where the run holds no
        counts, or they do not give the total that the run reports. None without a price.
    """
    entry = run.result["models"][model]
    estimate = entry["energy"].get(profile, {})
    if estimate.get("dynamic_pj") is None:
        return None
    by_path: Mapping[str, float] = estimate["breakdown"]["by_path"]
    whole: Matrix = {path: {"all": value} for path, value in by_path.items()}
    counts = entry["counts"].get("exact_at", {}).get(estimate.get("precision"))
    counts = counts or entry["counts"].get("exact")
    if counts is None:
        return whole
    cost = run.config.get("cost", {})
    try:
        bill = bill_of(
            counts_of(counts),
            profile,
            reuse=cost.get("reuse", "ideal"),
            frontend_profile=cost.get("frontend_profile") or None,
        )
    except (ConfigError, DataError, ProfileError, ValueError):
        return whole
    matrix: Matrix = {path: {} for path in by_path}
    for charge in bill.charges:
        pj = charge.amount * bill.constants[charge.profile, charge.constant].value
        kinds = matrix.setdefault(charge.path, {})
        kinds[charge.action] = kinds.get(charge.action, 0.0) + pj
    total = sum(value for kinds in matrix.values() for value in kinds.values())
    if not math.isclose(total, float(estimate["dynamic_pj"]), rel_tol=1e-6):
        return whole
    return matrix


def waterfalls(run: RunRecord) -> list[dict[str, Any]]:
    """One entry a profile: ``profile``, ``linear`` and ``log`` pictures, ``table``, ``legend``.

    A profile that prices no model of the run is left out.
    """
    shown = ("snn", "dense", *own_names(run.result))
    models = [m for m in shown if m in run.result["models"]]
    models = models or list(run.result["models"])
    found: list[dict[str, Any]] = []
    for profile in profiles_of(run.result):
        priced = {m: energy_matrix(run, m, profile) for m in models}
        if not any(priced.values()):
            continue
        whole = {m: _with_the_rest(run, m, profile, x) for m, x in priced.items() if x}
        found.append(
            {
                "profile": profile,
                "linear": _linear(priced, profile),
                "log": _log(whole, profile),
                "table": _table(whole, profile),
                "legend": _legend(whole),
            }
        )
    return found


def _with_the_rest(run: RunRecord, model: str, profile: str, matrix: Matrix) -> Matrix:
    """Static power and sensors as further paths."""
    breakdown = run.result["models"][model]["energy"][profile]["breakdown"]
    rest: Matrix = {}
    if breakdown.get("static_pj") is not None:
        rest["static power"] = {"static": breakdown["static_pj"]}
    for name, value in (breakdown.get("sensors_pj") or {}).items():
        rest[f"sensor {name}"] = {"sensors": value}
    return {**matrix, **rest}


def path_name(path: str) -> str:
    """A path in words; front ends encode."""
    return path.replace("frontend.", "encoding: ", 1) if path.startswith("frontend.") else path


def _linear(priced: Mapping[str, Matrix | None], profile: str) -> str:
    """Each bar begins where the one above ended; the last one of a model is its total."""
    totals = {m: sum(sum(k.values()) for k in x.values()) for m, x in priced.items() if x}
    highest = max(totals.values()) or 1.0
    unit, size = energy_unit(highest)
    scale = Scale(0.0, highest / size, _LEFT, _WIDTH - _RIGHT)
    body: list[str] = []
    y = _TOP
    for model, matrix in priced.items():
        body.append(text(4, y + 16, model_name(model), "start", "label"))
        if matrix is None:
            words = "not priced by this profile"
            body.append(text(_LEFT, y + 16, words, "start", "small"))
            y += _HEAD
            continue
        y += _HEAD
        done = 0.0
        for name, kinds in matrix.items():
            body.append(text(_LEFT - 8, y + 13, path_name(name), "end"))
            for kind, value in _sorted(kinds):
                x = scale(done / size)
                words = f"{path_name(name)}, {KINDS[kind][0]}: {format_pj(value)}"
                width = scale((done + value) / size) - x
                body.append(bar(x, y + 3, width, _ROW - 6, f"f-{KINDS[kind][1]}", words))
                done += value
            end = scale(done / size)
            body.append(line(end, y + 3, end, y + _ROW + 3, "grid"))
            body.append(text(end + 5, y + 13, format_pj(sum(kinds.values())), "start", "small"))
            y += _ROW
        body.append(text(_LEFT - 8, y + 13, "total", "end", "label"))
        body.append(bar(_LEFT, y + 3, scale(done / size) - _LEFT, _ROW - 6, "total"))
        body.append(text(scale(done / size) + 5, y + 13, format_pj(done), "start", "label"))
        y += _ROW + 8
    label = f"dynamic energy per sample ({unit}, modelled)"
    axis = x_axis(scale, y, label, "{:g}".format, _TOP + _HEAD)
    return chart(_WIDTH, y + 40, axis + "".join(body), f"Energy waterfall, {profile}, linear axis")


def _log(priced: Mapping[str, Matrix], profile: str) -> str:
    """A mark per path and kind on a logarithmic axis: bars have no length there."""
    values = [v for x in priced.values() for k in x.values() for v in k.values() if v > 0]
    if not values:
        return ""
    scale = Scale(min(values) / 1.5, max(values) * 1.5, _LEFT, _WIDTH - _RIGHT, log=True)
    body: list[str] = []
    y = _TOP
    for model, matrix in priced.items():
        body.append(text(4, y + 16, model_name(model), "start", "label"))
        y += _HEAD
        for name, kinds in matrix.items():
            body.append(text(_LEFT - 8, y + 13, path_name(name), "end"))
            body.append(line(_LEFT, y + 9, _WIDTH - _RIGHT, y + 9, "grid"))
            for kind, value in _sorted(kinds):
                words = f"{path_name(name)}, {KINDS[kind][0]}: {format_pj(value)}"
                body.append(bar(scale(value) - 5, y + 4, 10, 10, f"f-{KINDS[kind][1]}", words))
            y += _ROW
        y += 8
    label = "energy per sample (modelled, logarithmic; static power and sensors too)"
    axis = x_axis(scale, y, label, format_pj, _TOP + _HEAD)
    return chart(_WIDTH, y + 40, axis + "".join(body), f"Energy by path and kind, {profile}, log")


def _table(priced: Mapping[str, Matrix], profile: str) -> Table:
    """The same numbers."""
    kinds = [k for k in KINDS if any(k in row for x in priced.values() for row in x.values())]
    rows = [
        (
            model_name(model),
            path_name(name),
            *(format_pj(row[k]) if row.get(k) else "0" for k in kinds),
            format_pj(sum(row.values())),
        )
        for model, matrix in priced.items()
        for name, row in matrix.items()
    ]
    header = ("model", "path", *(KINDS[k][0] for k in kinds), "sum")
    return Table(f"Energy per sample by path and kind, {profile} (modelled)", header, tuple(rows))


def _legend(priced: Mapping[str, Matrix]) -> str:
    """Kinds that occur."""
    seen = {k for x in priced.values() for row in x.values() for k, v in row.items() if v}
    square = '<rect class="f-{}" x="6" width="10" height="10"/>'
    return legend((square.format(KINDS[k][1]), KINDS[k][0]) for k in KINDS if k in seen)


def _sorted(kinds: Mapping[str, float]) -> list[tuple[str, float]]:
    """Kinds with a value in the order of the legend."""
    return [(k, kinds[k]) for k in KINDS if kinds.get(k)]
