"""Ctrl-C between two batches: the one under way is finished, so that what is saved is whole."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any


class Interrupts:
    """Hold back SIGINT inside the block; `wanted` says whether it came.

    A second one goes through at once. Outside the main thread, where Python takes no signals, and
    where SIGINT is ignored, nothing is changed.
    """

    def __init__(self) -> None:
        self.wanted = False
        self._before: Any = None
        self._active = False

    def __enter__(self) -> Interrupts:
        here = threading.current_thread() is threading.main_thread()
        if here and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            self._before = signal.signal(signal.SIGINT, self._note)
            self._active = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._active:
            signal.signal(signal.SIGINT, self._before)
            self._active = False
        if self.wanted and kind is None:
            raise KeyboardInterrupt

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.wanted:
            raise KeyboardInterrupt
        self.wanted = True
