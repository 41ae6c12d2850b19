"""One line of progress when kernels are really compiled, which a machine does once."""

from __future__ import annotations

import logging
import sys
from typing import Any

from numba.core import event

_LOG = logging.getLogger("spikefuse")
_PACKAGE = __name__.rpartition(".")[0] + "."


class _Announcer(event.Listener):
    """Hears of every compilation; what comes from the disk cache is none."""

    def __init__(self) -> None:
        self.said = False

    def on_start(self, event: Any) -> None:
        """Say it before the first kernel of ours is compiled."""
        module = event.data["dispatcher"].py_func.__module__ or ""
        if self.said or not module.startswith(_PACKAGE) or "ignore" in sys.warnoptions:
            return
        self.said = True
        _LOG.warning(
            "spikefuse: compiling CPU kernels for this machine, once; the next start finds them "
            "in the cache"
        )

    def on_end(self, event: Any) -> None:
        """Nothing to say."""


def announce() -> None:
    """Write the line to the log ``spikefuse`` (by default to stderr) at the first compilation.

    ``python -W ignore`` and ``logging.getLogger("spikefuse").setLevel("ERROR")`` keep it back.
    """
    event.register("numba:compile", _Announcer())  # type: ignore[no-untyped-call]
