"""Modelled energy: a hardware profile times the operations that really ran."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from spikefuse.cost.profile import Bound, HardwareProfile, Sensor, load_profile, load_sensor
from spikefuse.errors import ProfileError
from spikefuse.opcounts import OpCounts, PathCounts

Reuse = Literal["ideal", "none"]

ACTIONS = (
    "accumulate",
    "multiply_accumulate",
    "neuron_update",
    "weight_memory",
    "state_memory",
    "spike_routing",
)
METRICS = ("dynamic_pj", "with_static_pj", "with_sensors_pj")
_MEMORIES_BYTES = ((8 * 1024, "e_sram_8kib"), (32 * 1024, "e_sram_32kib"), (2**20, "e_sram_1mib"))


@dataclass(frozen=True)
class EnergyEstimate:
    """Modelled energy per sample, in picojoule; None where it cannot be priced.

    Parameters
    ----------
    profile : str
    dynamic_pj : float or None
        Network and digital front ends.
    with_static_pj : float or None
        Plus static power over wall time.
    with_sensors_pj : float or None
        Plus the sensors' power over wall time.
    breakdown : dict
        ``by_path``, ``by_action``, ``by_modality`` (each sums to ``dynamic_pj``), ``static_pj``,
        ``sensors_pj``.
    reason : str or None
        Why ``dynamic_pj`` is None.
    reasons : dict
        Why any of the totals is None.
    assumptions : tuple of str
    dynamic_range_pj : tuple of float, or None
        ``dynamic_pj`` with every constant at the low, and at the high end of its published range.
        A constant without a range counts with its value, so equal ends mean "no range published",
        not "exact".
    """

    profile: str
    dynamic_pj: float | None
    with_static_pj: float | None
    with_sensors_pj: float | None
    breakdown: dict[str, Any]
    reason: str | None = None
    reasons: dict[str, str] = field(default_factory=dict)
    assumptions: tuple[str, ...] = ()
    dynamic_range_pj: tuple[float, float] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a result file."""
        spread = self.dynamic_range_pj
        return {
            **asdict(self),
            "assumptions": list(self.assumptions),
            "dynamic_range_pj": None if spread is None else list(spread),
        }


def energy(
    counts: OpCounts,
    profile: HardwareProfile | str,
    *,
    wall_time_s: float | None = None,
    sensors: Sequence[str] = (),
    reuse: Reuse = "ideal",
    frontend_profile: HardwareProfile | str | None = None,
) -> EnergyEstimate:
    r"""Price the counts of a model, per sample.

    .. math:: E = \sum_{paths} \sum_{actions} n\, e \;+\; P_{static} t_{wall}
              \;+\; \sum_{sensors} P t_{wall}

    Parameters
    ----------
    counts : OpCounts
    profile : HardwareProfile or name or path
    wall_time_s : float, optional
        How long one sample keeps the system powered; needed for static power and sensors.
    sensors : sequence of sensor profile names
    reuse : "ideal" or "none"
        Dense layers read each weight once per sample, or at every use.
    frontend_profile : HardwareProfile or name, optional
        Prices front ends that ``profile`` has no constants for.

    Returns
    -------
    EnergyEstimate

    Raises
    ------
    ValueError
        If sensors are named without ``wall_time_s``, ``wall_time_s`` is not a positive number, or
        ``reuse`` is unknown.
    ProfileError
        If a profile is unknown or lacks a constant that a path needs, a sensor is used as a
        processor or the reverse, or ``frontend_profile`` has no multiplier.
    """
    chip = load_profile(profile) if isinstance(profile, str) else profile
    helper = (
        load_profile(frontend_profile) if isinstance(frontend_profile, str) else frontend_profile
    )
    if chip.prices == "sensor":
        raise ProfileError(f"profile must price a processor, got the sensor {chip.name!r}")
    if helper is not None and helper.prices not in ("both", "dense"):
        raise ProfileError(
            f"frontend_profile must price multiply-accumulates, got {helper.name!r} "
            f"({helper.prices})"
        )
    if reuse not in ("ideal", "none"):
        raise ValueError(f"reuse must be 'ideal' or 'none', got {reuse!r}")
    if isinstance(sensors, str):
        raise ValueError(f"sensors must be a sequence of names, got the text {sensors!r}")
    if wall_time_s is not None and not 0 < wall_time_s < math.inf:
        raise ValueError(f"wall_time_s must be positive, got {wall_time_s}")
    if sensors and wall_time_s is None:
        raise ValueError("wall_time_s must be given with sensors, got None")
    powered = [load_sensor(name) for name in sensors]

    assumptions = [f"{chip.name}: {chip.title} ({chip.basis}), modelled."]
    if any(p.kind == "dense" for p in counts.by_path.values()):
        assumptions.append(f"Dense weight reuse: {reuse}.")
    by_path: dict[str, float] = {}
    by_action = dict.fromkeys(ACTIONS, 0.0)
    by_modality: dict[str, float] = {}
    low = high = 0.0
    reason: str | None = None
    for name, path in counts.by_path.items():
        priced_by: HardwareProfile | None = chip
        if chip.prices == "event" and path.kind == "frontend":
            priced_by = helper
            if helper is not None:
                assumptions.append(f"Front end {name} priced by {helper.name}.")
        reason = reason or _refusal(name, path, chip, priced_by)
        if reason or priced_by is None:
            continue
        actions = _price(path, priced_by, counts.n_samples, reuse)
        total = sum(actions.values())
        low += sum(_price(path, priced_by, counts.n_samples, reuse, "low").values())
        high += sum(_price(path, priced_by, counts.n_samples, reuse, "high").values())
        by_path[name] = total
        by_modality[path.modality] = by_modality.get(path.modality, 0.0) + total
        for action, value in actions.items():
            by_action[action] += value
    if reason is not None:
        reasons = dict.fromkeys(("dynamic_pj", "with_static_pj", "with_sensors_pj"), reason)
        nothing: dict[str, Any] = {
            "by_path": {},
            "by_action": {},
            "by_modality": {},
            "static_pj": None,
            "sensors_pj": {},
        }
        return EnergyEstimate(
            chip.name, None, None, None, nothing, reason, reasons, tuple(assumptions)
        )
    dynamic = sum(by_path.values(), 0.0)
    split: dict[str, Any] = {
        "by_path": by_path,
        "by_action": by_action,
        "by_modality": by_modality,
    }
    # Summed in the same order as `dynamic`, so both ends equal it where no range is published.
    return _with_totals(chip, dynamic, (low, high), split, wall_time_s, powered, assumptions)


def ratio(numerator: float | None, denominator: float | None) -> float | None:
    """Their quotient; None if either is not known, or the denominator is zero."""
    return None if numerator is None or not denominator else numerator / denominator


def ratios(dense: EnergyEstimate, snn: EnergyEstimate) -> dict[str, float | None]:
    """Dense / spiking of each of the three totals; None where either is not known."""
    return {metric: ratio(getattr(dense, metric), getattr(snn, metric)) for metric in METRICS}


def _refusal(
    name: str, path: PathCounts, chip: HardwareProfile, priced_by: HardwareProfile | None
) -> str | None:
    """Why this path has no price, if it has none."""
    if priced_by is None:
        return (
            f"{chip.name} cannot price the digital front end {name!r}; name a "
            "frontend_profile or a silicon front end"
        )
    if priced_by.prices == "event" and path.kind == "dense":
        return f"{chip.name} prices event-driven layers only; {name!r} is dense"
    if priced_by.prices == "dense" and path.kind == "event":
        return f"{priced_by.name} prices dense layers only; {name!r} is event-driven"
    if priced_by.prices == "event" and path.effective_macs:
        return f"{chip.name} has no price for the multiply-accumulates of {name!r}"
    return None


def _price(
    path: PathCounts,
    profile: HardwareProfile,
    n_samples: int,
    reuse: Reuse,
    bound: Bound = "value",
) -> dict[str, float]:
    """Energy per sample of each action of one path."""

    def cost(name: str) -> float:
        return profile.value(name, bound)

    if profile.prices == "event":
        actions = {
            "accumulate": path.effective_acs * cost("e_synop"),
            "neuron_update": path.neuron_updates_active * cost("e_neuron_active")
            + path.neuron_updates_idle * cost("e_neuron_idle"),
            "spike_routing": path.spikes_routed * cost("e_spike_within_tile"),
        }
        return {name: value / n_samples for name, value in actions.items()}
    updates = path.neuron_updates_active + path.neuron_updates_idle
    weight_reads = path.weight_reads
    if path.kind == "dense" and reuse == "ideal":
        weight_reads = min(weight_reads, path.weight_words * n_samples)
    # Activations of a dense layer are as wide as its weights; membranes are wider.
    state_bits = profile.word_bits if path.kind == "dense" else profile.state_bits
    actions = {
        "accumulate": path.effective_acs * cost("e_add"),
        "multiply_accumulate": path.effective_macs * (cost("e_add") + cost("e_mul")),
        # One multiply (decay), one add (input), one compare (priced as an add).
        "neuron_update": updates * (cost("e_neuron_mul") + 2 * cost("e_neuron_add")),
        "weight_memory": weight_reads
        * word_energy_pj(profile, path.weight_words, profile.word_bits, bound),
        "state_memory": (path.state_reads + path.state_writes)
        * word_energy_pj(profile, path.state_words, state_bits, bound),
    }
    return {name: value / n_samples for name, value in actions.items()}


def word_energy_pj(
    profile: HardwareProfile, n_words: int, word_bits: int, bound: Bound = "value"
) -> float:
    """Energy to read or write one word of a memory that holds ``n_words`` of them.

    The memory is the smallest published one that is large enough (8 KiB, 32 KiB or 1 MiB SRAM, else
    DRAM); a word costs its share of a 64-bit access, ``e_mem(n_words word_bits / 8) word_bits/64``.

    Raises
    ------
    ProfileError
        If the profile has no price for that memory.
    """
    n_bytes = n_words * word_bits / 8
    constant = next((name for size, name in _MEMORIES_BYTES if n_bytes <= size), "e_dram")
    return profile.value(constant, bound) * word_bits / 64


def _with_totals(
    chip: HardwareProfile,
    dynamic: float,
    dynamic_range: tuple[float, float],
    split: dict[str, Any],
    wall_time_s: float | None,
    sensors: Sequence[Sensor],
    assumptions: list[str],
) -> EnergyEstimate:
    """Add static power and sensors to the dynamic total."""
    reasons: dict[str, str] = {}
    static: float | None = None
    if "p_static" not in chip.constants:
        reasons["with_static_pj"] = f"{chip.name} publishes no static power"
    elif wall_time_s is None:
        reasons["with_static_pj"] = "wall_time_s was not given"
    else:
        static = chip.power_mw("p_static") * wall_time_s * 1e9  # mW x s = 1e9 pJ
        row = chip.constants["p_static"]
        note = f"; {row.note}" if row.note else ""
        assumptions.append(
            f"Static power {row.value:g} {row.unit}: {row.source} ({row.locator}{note})."
        )
    sensor_pj: dict[str, float] = {}
    if wall_time_s is not None:
        for sensor in sensors:
            # A sensor named twice is there twice, such as a pair of microphones.
            energy_pj = sensor.power_mw * wall_time_s * 1e9
            sensor_pj[sensor.name] = sensor_pj.get(sensor.name, 0.0) + energy_pj
            assumptions.append(f"Sensor {sensor.name} {sensor.power_mw:g} mW: {sensor.source}.")
    with_static = None if static is None else dynamic + static
    with_sensors: float | None = None
    if sensors:
        with_sensors = (dynamic if with_static is None else with_static) + sum(sensor_pj.values())
        if with_static is None:
            assumptions.append("The total with sensors holds no static power: it is not published.")
    else:
        reasons["with_sensors_pj"] = "no sensors named"
    return EnergyEstimate(
        chip.name,
        dynamic,
        with_static,
        with_sensors,
        {**split, "static_pj": static, "sensors_pj": sensor_pj},
        None,
        reasons,
        tuple(dict.fromkeys(assumptions)),
        dynamic_range,
    )
