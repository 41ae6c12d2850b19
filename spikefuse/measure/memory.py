"""Peak of resident memory between two moments, where the kernel can start it anew (Linux)."""

from __future__ import annotations

import ctypes
import gc
from pathlib import Path


class PeakMemory:
    """Largest resident memory of this process since `start`, above what it had then.

    Parameters
    ----------
    root : Path
        Where the kernel describes this process.

    Notes
    -----
    Pages that the allocator keeps for reuse are given back first where it can (``malloc_trim`` of
    glibc); what other pools keep is used again and not seen.

    References
    ----------
    Linux, proc_pid_clear_refs(5): writing 5 sets the peak (``VmHWM``) to the present size
    (``VmRSS``).
    """

    def __init__(self, root: Path = Path("/proc/self")) -> None:
        self._root = root
        self._begin_kib: int | None = None

    def start(self) -> None:
        """Forget the peak so far, and give free memory back, so that its next use is seen."""
        _trim()
        try:
            (self._root / "clear_refs").write_text("5", encoding="ascii")
            self._begin_kib = self._read("VmRSS")
        except (OSError, ValueError):
            self._begin_kib = None

    def stop(self) -> float | None:
        """MiB above `start`, never negative; None where the kernel does not say."""
        if self._begin_kib is None:
            return None
        try:
            return max(0, self._read("VmHWM") - self._begin_kib) / 1024
        except (OSError, ValueError):
            return None

    def _read(self, key: str) -> int:
        """A size in KiB."""
        text = (self._root / "status").read_text(encoding="ascii")
        for line in text.splitlines():
            if line.startswith(f"{key}:"):
                return int(line.split()[1])
        raise ValueError(f"{self._root / 'status'} must hold {key}, got none")


def _trim() -> None:
    """Give the allocator's free pages back to the system, where it is glibc's."""
    gc.collect()
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError, TypeError):  # another allocator, or no such library
        return
