"""Zeus: adapter for those who have it installed; what it reports as nothing is not zero joules."""

from __future__ import annotations

from typing import Any

from spikefuse.measure.meter import Reading

_WINDOW = "spikefuse"


class ZeusMeter:
    """Energy of a ``zeus.monitor.ZeusMonitor`` window.

    Parameters
    ----------
    monitor : ZeusMonitor, optional
        A new one by default.

    Raises
    ------
    OSError
        If zeus is not installed or finds nothing to measure.

    Notes
    -----
    On a host without counters ``total_energy`` is 0 and ``cpu_energy`` None: that is read as not
    available.
    """

    name = "zeus"

    def __init__(self, monitor: Any = None) -> None:
        if monitor is None:
            try:
                from zeus.monitor import ZeusMonitor  # type: ignore[import-not-found]
            except ImportError as error:
                raise OSError("zeus is not installed (pip install zeus)") from error
            try:
                monitor = ZeusMonitor()
            except Exception as error:  # zeus raises types of its own for each backend
                raise OSError(f"zeus found nothing to measure: {error}") from error
        self._monitor = monitor
        self.start()
        first = self.stop()
        if not first.parts and first.reason == _NOTHING:
            raise OSError(f"zeus: {_NOTHING}")

    def start(self) -> None:
        """Open the window."""
        self._monitor.begin_window(_WINDOW)

    def stop(self) -> Reading:
        """Close the window."""
        window = self._monitor.end_window(_WINDOW)
        parts: dict[str, float] = {}
        for kind in ("gpu_energy", "cpu_energy", "dram_energy"):
            for index, joules in (getattr(window, kind, None) or {}).items():
                parts[f"{kind.removesuffix('_energy')} {index}"] = float(joules)
        if not parts:
            return Reading(None, self.name, _NOTHING)
        total = sum(parts.values())
        if not total > 0:
            return Reading(None, self.name, "no counter moved: the window was too short", parts)
        return Reading(total, self.name, None, parts)


_NOTHING = "no counter is available on this host"
