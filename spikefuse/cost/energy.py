"""Modelled energy: a hardware profile times the operations that really ran."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from spikefuse.cost.bill import Bill, bill_of
from spikefuse.cost.constants import Bound
from spikefuse.cost.pricing import ACTIONS, Reuse, memory_constant, total
from spikefuse.cost.profile import HardwareProfile, Sensor, load_sensor
from spikefuse.opcounts import OpCounts

METRICS = ("dynamic_pj", "with_static_pj", "with_sensors_pj")


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
    powered_s: float | None = None,
    chip_share: float = 1.0,
) -> EnergyEstimate:
    r"""Price the counts of a model, per sample.

    .. math:: E = \sum_{paths} \sum_{actions} n\, e \;+\; \phi P_{static} t_{on}
              \;+\; \sum_{sensors} P t_{wall}

    Parameters
    ----------
    counts : OpCounts
    profile : HardwareProfile or name or path
    wall_time_s : float, optional
        How long one sample keeps the system waiting; needed for static power and sensors.
    sensors : sequence of sensor profile names
    reuse : "ideal", "none" or "measured"
        Dense layers read each weight once per sample, at every use, or once and, beside it, as
        often from DRAM as was measured on Eyeriss (``r_dram_per_mac`` of the profile).
    frontend_profile : HardwareProfile or name, optional
        Prices front ends that ``profile`` has no constants for.
    powered_s : float, optional
        How long the chip is on for a sample: shorter than ``wall_time_s`` with power gating. The
        whole wall time by default.
    chip_share : float
        Share of the chip that pays static power, above 1 for several; one chip by default. See
        `spikefuse.cost.chip.chip_share`.

    Returns
    -------
    EnergyEstimate

    Raises
    ------
    ValueError
        If sensors are named without ``wall_time_s``, a time is not a positive number or longer
        than the wall time, ``chip_share`` is out of its range, or ``reuse`` is unknown.
    ProfileError
        If a profile is unknown or lacks a constant that a path needs, a sensor is used as a
        processor or the reverse, or ``frontend_profile`` has no multiplier.
    """
    if isinstance(sensors, str):
        raise ValueError(f"sensors must be a sequence of names, got the text {sensors!r}")
    if wall_time_s is not None and not 0 < wall_time_s < math.inf:
        raise ValueError(f"wall_time_s must be positive, got {wall_time_s}")
    if sensors and wall_time_s is None:
        raise ValueError("wall_time_s must be given with sensors, got None")
    if powered_s is not None and not 0 < powered_s <= (wall_time_s or math.inf):
        raise ValueError(
            f"powered_s must be positive and at most wall_time_s={wall_time_s}, got {powered_s}"
        )
    if not 0 < chip_share < math.inf:
        raise ValueError(f"chip_share must be positive, got {chip_share}")
    bill = bill_of(counts, profile, reuse=reuse, frontend_profile=frontend_profile)
    powered = [load_sensor(name) for name in sensors]
    if bill.reason is not None:
        reasons = dict.fromkeys(METRICS, bill.reason)
        nothing: dict[str, Any] = {
            "by_path": {},
            "by_action": {},
            "by_modality": {},
            "static_pj": None,
            "sensors_pj": {},
        }
        return EnergyEstimate(
            bill.profile.name,
            None,
            None,
            None,
            nothing,
            bill.reason,
            reasons,
            bill.assumptions,
        )
    split = _split(bill, counts)
    # Summed in the same order as the ends, so both equal it where no range is published.
    dynamic = total(bill.charges, bill.constants)
    ends = (
        total(bill.charges, bill.constants, "low"),
        total(bill.charges, bill.constants, "high"),
    )
    static = Static(wall_time_s, powered_s, chip_share)
    return _with_totals(bill, dynamic, ends, split, static, powered)


def _split(bill: Bill, counts: OpCounts) -> dict[str, Any]:
    """Energy by path, action and modality; each sums to the total but for rounding."""
    by_path = dict.fromkeys(counts.by_path, 0.0)
    by_action = dict.fromkeys(ACTIONS, 0.0)
    by_modality = dict.fromkeys((p.modality for p in counts.by_path.values()), 0.0)
    for charge in bill.charges:
        value = charge.amount * bill.constants[charge.profile, charge.constant].value
        by_path[charge.path] += value
        by_action[charge.action] += value
        by_modality[charge.modality] += value
    return {"by_path": by_path, "by_action": by_action, "by_modality": by_modality}


def ratio(numerator: float | None, denominator: float | None) -> float | None:
    """Their quotient; None if either is not known, or the denominator is zero."""
    return None if numerator is None or not denominator else numerator / denominator


def ratios(dense: EnergyEstimate, snn: EnergyEstimate) -> dict[str, float | None]:
    """Dense / spiking of each of the three totals; None where either is not known."""
    return {metric: ratio(getattr(dense, metric), getattr(snn, metric)) for metric in METRICS}


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
    constant = memory_constant(profile, n_words, word_bits)
    return profile.value(constant or "e_dram", bound) * word_bits / 64


@dataclass(frozen=True)
class Static:
    """How long and how much of a chip is on for one sample."""

    wall_time_s: float | None
    powered_s: float | None
    chip_share: float

    def energy_pj(self, power_mw: float) -> float:
        """Energy of a static power; mW x s = 1e9 pJ."""
        on_s = self.powered_s if self.powered_s is not None else self.wall_time_s
        return power_mw * self.chip_share * (on_s or 0.0) * 1e9


def _with_totals(
    bill: Bill,
    dynamic: float,
    dynamic_range: tuple[float, float],
    split: dict[str, Any],
    on: Static,
    sensors: Sequence[Sensor],
) -> EnergyEstimate:
    """Add static power and sensors to the dynamic total."""
    chip, assumptions = bill.profile, list(bill.assumptions)
    reasons: dict[str, str] = {}
    static: float | None = None
    power_mw = chip.static_mw()
    if power_mw is None:
        reasons["with_static_pj"] = f"{chip.name} publishes no static power"
    elif on.wall_time_s is None and on.powered_s is None:
        reasons["with_static_pj"] = "wall_time_s was not given"
    else:
        static = on.energy_pj(power_mw)
        row = chip.constants["p_static"]
        note = f"; {row.note}" if row.note else ""
        share = "" if on.chip_share == 1 else f", {on.chip_share:.3g} of the chip"
        gated = "" if on.powered_s is None else f", on for {on.powered_s * 1e3:.3g} ms"
        assumptions.append(
            f"Static power {power_mw:g} mW{share}{gated}: {row.source} ({row.locator}{note})."
        )
    sensor_pj: dict[str, float] = {}
    if on.wall_time_s is not None:
        for sensor in sensors:
            # A sensor named twice is there twice, such as a pair of microphones.
            energy_pj = sensor.power_mw * on.wall_time_s * 1e9
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
