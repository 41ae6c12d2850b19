"""What the command line prints: stages, progress bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn


class ConsoleReporter:
    """Reporter of a run; a context manager, so that the bar is always taken down.

    On a terminal one progress bar; otherwise a line per stage and at most one every five seconds.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self._bar: Progress | None = None
        self._task = 0
        self._text = ""
        self._last_line_s = 0.0
        self._interactive = console.is_terminal

    def __enter__(self) -> ConsoleReporter:
        if self._interactive:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[note]}"),
                TimeElapsedColumn(),
                console=self.console,
                transient=True,
            )
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def stage(self, text: str) -> None:
        """A new stage begins."""
        self._text = text
        self._last_line_s = time.monotonic()
        if self._bar is None:
            self._line(text)
            return
        for task in list(self._bar.task_ids):
            self._bar.remove_task(task)
        self._task = self._bar.add_task(text, total=None, note="")

    def progress(self, done: int, total: int, text: str) -> None:
        """``done`` of ``total`` of the stage."""
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[-1], completed=done, total=total, note=text)
        elif time.monotonic() - self._last_line_s > 5 or done == total:
            self._last_line_s = time.monotonic()
            self._line(f"  {self._text}: {done}/{total} {text}")

    def _line(self, text: str) -> None:
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)
        sys.stdout.flush()
