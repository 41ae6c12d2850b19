"""What goes wrong in a stream: counted always, logged seldom, never an error by itself."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Mapping

_LOG = logging.getLogger("spikefuse.runtime")


class Outcomes:
    """Counts of whatever a stream suffered, by modality and kind.

    The first of a kind is logged as a warning, then those at 10, 100, 1000, ...: a sensor that
    misbehaves all day writes a handful of lines. Any thread may note.
    """

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()
        self._next: dict[tuple[str, str], int] = {}
        self._lock = threading.Lock()

    def note(self, modality: str, kind: str, n: int = 1, detail: str = "") -> None:
        """Count ``n`` more of a kind.

        Parameters
        ----------
        modality, kind : str
        n : int
            Events or packets; 0 is nothing.
        detail : str
            What a reader of the log needs beside the count.
        """
        if n == 0:
            return
        key = (modality, kind)
        with self._lock:
            self._counts[key] += n
            total = self._counts[key]
            if total < self._next.get(key, 1):
                return
            self._next[key] = 10 ** len(str(total))
        _LOG.warning("%s: %s, %d so far%s", modality, kind, total, f" ({detail})" if detail else "")

    def count(self, modality: str, kind: str) -> int:
        """How many of a kind so far."""
        return self._counts[modality, kind]

    def by_modality(self) -> dict[str, dict[str, int]]:
        """All counts, for a result file."""
        found: dict[str, dict[str, int]] = {}
        with self._lock:
            for (modality, kind), n in sorted(self._counts.items()):
                found.setdefault(modality, {})[kind] = n
        return found

    def load(self, counts: Mapping[str, Mapping[str, int]]) -> None:
        """Count on from what `by_modality` gave."""
        found = {(name, kind): n for name, kinds in counts.items() for kind, n in kinds.items()}
        with self._lock:
            self._counts = Counter(found)
            self._next = {key: 10 ** len(str(n)) for key, n in found.items()}
