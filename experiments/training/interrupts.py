"""Ctrl-C between two batches: the one under way is finished, so that what is saved is whole."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType


class Interrupts:
    """Hold back SIGINT inside the block; `wanted` says whether it came.

    SIGTERM, too, where it is handled alike. A second one goes through at once. Outside the main
    thread, where Python takes no signals, and where SIGINT is ignored, nothing is changed.
    """

    def __init__(self) -> None:
        self.wanted = False
        self._held: list[signal.Signals] = []

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(number) is signal.default_int_handler:
                    signal.signal(number, self._note)
                    self._held.append(number)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number in self._held:
            signal.signal(number, signal.default_int_handler)
        self._held = []
        if self.wanted and kind is None:
            raise KeyboardInterrupt

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.wanted:
            raise KeyboardInterrupt
        self.wanted = True
