"""Active updates told by the kernels that ran, to whoever watches: nothing is scanned again."""

from __future__ import annotations

from contextvars import ContextVar, Token
from typing import Any

import numpy as np

from spikefuse._types import Int64Array

_NOBODY = np.zeros(0, np.int64)


class ActiveUpdates:
    """As a context: neuron-steps with a state or an input in the neuron kernels that run inside.

    Attributes
    ----------
    n : int or None
        Their number; None if no kernel has told, as where the plain reference ran.
    """

    def __init__(self) -> None:
        self.n: int | None = None
        self._token: Token[ActiveUpdates | None] | None = None

    def __enter__(self) -> ActiveUpdates:
        self._token = _watcher.set(self)
        return self

    def __exit__(self, *reason: Any) -> None:
        if self._token is not None:
            _watcher.reset(self._token)
            self._token = None


_watcher: ContextVar[ActiveUpdates | None] = ContextVar("spikefuse_active_updates", default=None)


def tally_for(n: int) -> Int64Array:
    """What a kernel adds its active updates to: ``n`` zeros, or nothing if nobody watches."""
    return _NOBODY if _watcher.get() is None else np.zeros(max(n, 1), np.int64)


def tell(active: Int64Array | int) -> None:
    """Hand over what a kernel has counted."""
    watcher = _watcher.get()
    if watcher is not None:
        watcher.n = (watcher.n or 0) + (
            active if isinstance(active, int) else int(active.sum()) if len(active) else 0
        )


def watched() -> bool:
    """Whether anybody wants to know."""
    return _watcher.get() is not None
