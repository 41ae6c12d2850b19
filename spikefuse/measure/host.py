"""What a call costs on this host: wall and processor time, peak memory, joules if metered."""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from spikefuse.measure.memory import PeakMemory
from spikefuse.measure.meter import EnergyMeter, Reading, best_meter


@dataclass(frozen=True)
class HostCost:
    """Medians over repeats of one call, measured on this host.

    Parameters
    ----------
    wall_ms, cpu_ms : float
    peak_mib : float
        Largest resident memory of the process so far: memory never given back counts.
    extra_mib : float or None
        Largest resident memory during the calls above what it was before them; None where the
        system does not say. Memory that an earlier call left with the process is used again, and
        not seen.
    joules : float or None
        Per call, above idle; None where there is no counter or the load is not above idle.
    idle_w : float or None
        Power in the pauses before and after.
    counter : str
    reason : str or None
        Why there are no joules.
    n_calls : int
    """

    wall_ms: float
    cpu_ms: float
    peak_mib: float
    extra_mib: float | None
    joules: float | None
    idle_w: float | None
    counter: str
    reason: str | None
    n_calls: int


def measure(
    call: Callable[[], Any],
    *,
    meter: EnergyMeter | None = None,
    window_s: float = 5.0,
    n_calls: int = 20,
) -> HostCost:
    """Measure a call: idle, load, idle again.

    Parameters
    ----------
    call : callable
    meter : EnergyMeter, optional
        `best_meter` by default.
    window_s : float
        The load lasts at least so long where energy is metered, as do the two pauses together;
        counters move too slowly for single calls. Without a counter ``n_calls`` calls do.
    n_calls : int
        At least so many calls.

    Raises
    ------
    ValueError
        If ``n_calls`` is below 1 or ``window_s`` negative.
    """
    if n_calls < 1 or window_s < 0:
        raise ValueError(
            f"n_calls must be at least 1 and window_s not negative, got {n_calls} and {window_s}"
        )
    chosen = best_meter() if meter is None else meter
    metered = chosen.name != "none"
    peak_mib = _peak_mib()
    memory = PeakMemory()
    memory.start()
    call()
    before = _idle(chosen, window_s / 2) if metered else None
    chosen.start()
    started = time.perf_counter()
    wall: list[float] = []
    cpu: list[float] = []
    while len(wall) < n_calls or (metered and time.perf_counter() - started < window_s):
        wall_0, cpu_0 = time.perf_counter(), time.process_time()
        call()
        wall.append(time.perf_counter() - wall_0)
        cpu.append(time.process_time() - cpu_0)
    load = chosen.stop()
    extra_mib = memory.stop()
    loaded_s = time.perf_counter() - started
    after = _idle(chosen, window_s / 2) if metered else None
    joules, idle_w, reason = _above_idle(load, loaded_s, before, after, len(wall))
    return HostCost(
        statistics.median(wall) * 1e3,
        statistics.median(cpu) * 1e3,
        max(peak_mib, _peak_mib()),  # the first may have been forgotten meanwhile
        extra_mib,
        joules,
        idle_w,
        load.counter,
        reason,
        len(wall),
    )


def _peak_mib() -> float:
    """Largest resident memory of this process; the kernel counts in KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _idle(meter: EnergyMeter, pause_s: float) -> float | None:
    """Power of a pause in watt."""
    meter.start()
    started = time.perf_counter()
    time.sleep(pause_s)
    joules = meter.stop().joules
    return None if joules is None else joules / (time.perf_counter() - started)


def _above_idle(
    load: Reading, loaded_s: float, before: float | None, after: float | None, n_calls: int
) -> tuple[float | None, float | None, str | None]:
    """Joules per call, idle power, and why there are none."""
    if load.joules is None:
        return None, None, load.reason
    if before is None or after is None:
        return None, None, "the idle power could not be read"
    idle_w = (before + after) / 2
    spent = load.joules - idle_w * loaded_s
    if spent <= 0:
        return None, idle_w, "the load drew no more than the idle host"
    return spent / n_calls, idle_w, None
