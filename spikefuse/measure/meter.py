"""EnergyMeter: joules of a counter between two moments, or why there are none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Reading:
    """Energy between start and stop of a meter.

    Parameters
    ----------
    joules : float or None
        None where it could not be measured, never 0.0 in place of that.
    counter : str
        What was read.
    reason : str or None
        Why there are no joules.
    parts : dict
        Joules by domain, where the counter has several.
    """

    joules: float | None
    counter: str
    reason: str | None = None
    parts: dict[str, float] = field(default_factory=dict)


class EnergyMeter(Protocol):
    """Anything that reads an energy counter of the host."""

    name: str

    def start(self) -> None:
        """Remember the counter now."""

    def stop(self) -> Reading:
        """Energy since `start`."""


class Unavailable:
    """The meter of a host without counters.

    Parameters
    ----------
    reason : str
        Why nothing can be read.
    """

    name = "none"

    def __init__(self, reason: str) -> None:
        self.reason = reason

    def start(self) -> None:
        """Nothing to remember."""

    def stop(self) -> Reading:
        """No joules, and why."""
        return Reading(None, self.name, self.reason)


def best_meter(powercap: Path = Path("/sys/class/powercap")) -> EnergyMeter:
    """The first meter that works here: RAPL, then NVML, then zeus; else `Unavailable`.

    Parameters
    ----------
    powercap : Path
        Root of the kernel's power capping tree.
    """
    from spikefuse.measure.nvml import NvmlMeter
    from spikefuse.measure.rapl import RaplMeter
    from spikefuse.measure.zeus import ZeusMeter

    reasons: list[str] = []
    makers: list[Callable[[], EnergyMeter]] = [lambda: RaplMeter(powercap), NvmlMeter, ZeusMeter]
    for make in makers:
        try:
            return make()
        except (OSError, RuntimeError) as error:
            reasons.append(str(error))
    return Unavailable("; ".join(reasons))
