"""Duty cycle: mean power of an always-on system over how often it has to answer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class DutyPoint:
    """Mean power at one rate of inferences.

    Parameters
    ----------
    rate_hz : float
    duty : float
        Share of the time in which the processor is busy.
    dynamic_mw, static_mw, sensors_mw : float
    """

    rate_hz: float
    duty: float
    dynamic_mw: float
    static_mw: float
    sensors_mw: float

    @property
    def total_mw(self) -> float:
        """All three."""
        return self.dynamic_mw + self.static_mw + self.sensors_mw


def duty_curve(
    dynamic_pj: float,
    busy_s: float,
    rates_hz: Sequence[float],
    *,
    static_mw: float = 0.0,
    sensors_mw: float = 0.0,
    gated: bool = False,
) -> list[DutyPoint]:
    r"""Mean power of a system whose sensors are always on.

    .. math:: P(f) = E_{dyn} f + P_{static} (f t_{busy} \text{ if gated, else } 1) + P_{sensors}

    Parameters
    ----------
    dynamic_pj : float
        Per inference.
    busy_s : float
        How long the processor is busy with one inference: the whole stimulus for one that follows
        its events, the computing time for one that waits for a frame.
    rates_hz : sequence of float
        Inferences per second.
    static_mw, sensors_mw : float
        While on.
    gated : bool
        Whether the processor is switched off between inferences, at no cost of switching.

    Raises
    ------
    ValueError
        If a number is negative, or inferences would overlap (``rate * busy_s`` above 1).
    """
    numbers = (dynamic_pj, busy_s, static_mw, sensors_mw, *rates_hz)
    if not all(0 <= number < math.inf for number in numbers):
        raise ValueError(f"energies, times, powers and rates must be >= 0, got {numbers}")
    points: list[DutyPoint] = []
    for rate_hz in rates_hz:
        duty = rate_hz * busy_s
        if duty > 1 + 1e-9:
            raise ValueError(
                f"rates_hz must leave each inference its {busy_s:g} s, got {rate_hz:g} Hz"
            )
        on = duty if gated else 1.0
        points.append(
            DutyPoint(rate_hz, duty, dynamic_pj * rate_hz * 1e-9, static_mw * on, sensors_mw)
        )
    return points
