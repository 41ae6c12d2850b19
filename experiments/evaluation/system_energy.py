"""What static power, gating and the rate of answers do to a model's energy on a chip."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from experiments.config import CostConfig
from spikefuse.cost.chip import chip_share, populations_of, step_time
from spikefuse.cost.duty import duty_curve
from spikefuse.cost.energy import energy
from spikefuse.cost.profile import HardwareProfile, load_profile, load_sensor
from spikefuse.opcounts import OpCounts

_RATES_PER_WINDOW = (1e-4, 1e-3, 1e-2, 0.03, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)


@dataclass(frozen=True)
class System:
    """A model with the sensors and the period that it is charged for.

    Parameters
    ----------
    counts : OpCounts
    cost : CostConfig
    sensors : tuple of str
        Sensor profiles.
    window_s : float
        Length of a sample; both systems are charged for all of it.
    n_steps : int or None
        Steps of a sample of a spiking model; None of a dense one.
    """

    counts: OpCounts
    cost: CostConfig
    sensors: tuple[str, ...]
    window_s: float
    n_steps: int | None


def describe_alternatives(system: System, profile: str) -> list[dict[str, Any]]:
    """Energy with the whole chip or the cores in use charged, always on or gated between steps.

    Returns
    -------
    list of dict
        ``chip`` ("whole" or "cores in use"), ``gated``, ``chip_share``, ``powered_s``,
        ``with_static_pj``, ``with_sensors_pj``, and ``reason`` where there are none. Gating is
        ideal: switching costs nothing and no state is lost. Empty where the profile publishes no
        static power.
    """
    chip = load_profile(profile)
    if chip.static_mw() is None:
        return []
    share, why_no_share = _share(system, chip)
    busy_s, why_not_gated = busy_time_s(system, chip)
    found: list[dict[str, Any]] = []
    for name, part, no_part in (("whole", 1.0, None), ("cores in use", share, why_no_share)):
        for gated in (False, True):
            reason = no_part or (why_not_gated if gated else None)
            powered_s = busy_s if gated else system.window_s
            entry: dict[str, Any] = {
                "chip": name,
                "gated": gated,
                "chip_share": part,
                "powered_s": powered_s,
                "with_static_pj": None,
                "with_sensors_pj": None,
                "reason": reason,
            }
            if reason is None and part is not None:
                estimate = energy(
                    system.counts,
                    chip,
                    wall_time_s=system.window_s,
                    sensors=list(system.sensors),
                    reuse=system.cost.reuse,
                    frontend_profile=system.cost.frontend_profile,
                    powered_s=powered_s,
                    chip_share=part,
                )
                entry["with_static_pj"] = estimate.with_static_pj
                entry["with_sensors_pj"] = estimate.with_sensors_pj
                entry["reason"] = estimate.reason
            found.append(entry)
    return found


def describe_duty(system: System, profile: str, dynamic_pj: float | None) -> dict[str, Any] | None:
    """Mean power over the rate of answers, up to one window after the other; None unpriced.

    Returns
    -------
    dict or None
        ``rates_hz``, ``always_on_mw``, ``gated_mw`` (None where the busy time is not known),
        ``sensors_mw``, ``static_mw``.
    """
    if dynamic_pj is None:
        return None
    chip = load_profile(profile)
    static_mw = chip.static_mw()
    sensors_mw = sum(load_sensor(name).power_mw for name in system.sensors)
    rates = [rate / system.window_s for rate in _RATES_PER_WINDOW]
    busy_s, _ = busy_time_s(system, chip)
    on = duty_curve(
        dynamic_pj, system.window_s, rates, static_mw=static_mw or 0.0, sensors_mw=sensors_mw
    )
    gated = (
        None
        if busy_s is None or static_mw is None
        else duty_curve(
            dynamic_pj, busy_s, rates, static_mw=static_mw, sensors_mw=sensors_mw, gated=True
        )
    )
    return {
        "rates_hz": rates,
        "always_on_mw": [point.total_mw for point in on],
        "gated_mw": None if gated is None else [point.total_mw for point in gated],
        "static_mw": static_mw,
        "sensors_mw": sensors_mw,
    }


def busy_time_s(system: System, chip: HardwareProfile) -> tuple[float | None, str | None]:
    """How long a chip computes for one sample, at the slow end of its step time; or why unknown."""
    if system.n_steps is None or not (chip.holds("t_synop") and chip.holds("t_sync")):
        return None, f"{chip.name} publishes no times of this model's work"
    if not chip.holds("n_neurons_per_core"):
        return None, f"{chip.name} does not say how many neurons a core holds"
    if not populations_of(system.counts):
        return None, f"a network without neurons fills no cores of {chip.name}"
    slow_us = step_time(system.counts, chip, system.n_steps).high_us
    busy_s = slow_us * 1e-6 * system.n_steps
    if busy_s > system.window_s:
        return None, f"a step takes {slow_us:.3g} us, longer than it lasts: the chip is never off"
    return busy_s, None


def _share(system: System, chip: HardwareProfile) -> tuple[float | None, str | None]:
    """Share of the chip's cores in use, or why it is not known."""
    if system.n_steps is None:
        return None, f"{chip.name} does not say which part of it a dense model fills"
    if not (chip.holds("n_cores") and chip.holds("n_neurons_per_core")):
        return None, f"{chip.name} does not publish its cores"
    if not populations_of(system.counts):
        return None, f"a network without neurons fills no cores of {chip.name}"
    return chip_share(system.counts, chip), None


def add_to(
    energies: dict[str, dict[str, Any]], system_at: Callable[[str], System]
) -> dict[str, dict[str, Any]]:
    """The estimates of a model, each with its ``alternatives`` and its ``duty`` curve."""
    for profile, estimate in energies.items():
        system = system_at(profile)
        estimate["alternatives"] = describe_alternatives(system, profile)
        estimate["duty"] = describe_duty(system, profile, estimate["dynamic_pj"])
    return energies
