"""A stream on the terminal: live rates, decision, latency and energy; then a summary."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from rich import box
from rich.console import Console
from rich.live import Live
from rich.table import Table

from analysis.naming import format_pj
from experiments.config import Config
from experiments.streaming.result import stream_energy
from experiments.streaming.session import Session, percentiles, rates_hz

_EVERY_S = 0.25
_PLAIN_EVERY_S = 2.0


class LiveTable:
    """What a stream does now: a table that is redrawn, or a line now and then without a terminal.

    Parameters
    ----------
    console : Console
    config : Config
        Its first profile prices the energy so far.
    """

    def __init__(self, console: Console, config: Config) -> None:
        self._console, self._config = console, config
        self._live: Live | None = None
        self._shown_s = time.monotonic()

    def __enter__(self) -> LiveTable:
        if self._console.is_terminal:
            self._live = Live(console=self._console, transient=True, auto_refresh=False)
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def update(self, session: Session) -> None:
        """Called after every chunk; draws seldom."""
        now = time.monotonic()
        if now - self._shown_s < (_PLAIN_EVERY_S if self._live is None else _EVERY_S):
            return
        self._shown_s = now
        found = current(session, self._config)
        if self._live is not None:
            self._live.update(_table(found), refresh=True)
        else:
            self._console.print(", ".join(f"{k} {v}" for k, v in found.items()), highlight=False)


def current(session: Session, config: Config) -> dict[str, str]:
    """The figures of this moment, as text."""
    found = {"stream": f"{session.reached_us * 1e-6:.2f} s"}
    for name, rate in rates_hz(session).items():
        silent = " (absent)" if name in session.buffer.absent else ""
        found[name] = f"{rate / 1e3:.2f} k events/s{silent}"
    if session.last is not None:
        told = session.describe(session.last)
        found["decision"] = f"{told['class']} ({told['confidence']:.2f})"
    host = percentiles(session.tally.host_ms)
    if host is not None:
        found["latency p50/p99"] = f"{host['p50_ms']:.1f} / {host['p99_ms']:.1f} ms"
    if session.runner.n_steps:
        try:
            spent = stream_energy(session, config, config.cost.profiles[0])
        except ValueError:
            return found
        found["energy so far"] = format_pj(spent["dynamic_pj"])
    return found


def print_stream(found: Mapping[str, Any], console: Console) -> None:
    """The tables of a finished stream."""
    from analysis.stream_tables import stream_tables

    for table in stream_tables(found):
        shown = Table(title=table.title, title_justify="left", box=box.SIMPLE_HEAD)
        for i, cell in enumerate(table.header):
            shown.add_column(cell, justify="left" if i == 0 else "right")
        for row in table.rows:
            shown.add_row(*row)
        console.print(shown)


def _table(found: Mapping[str, str]) -> Table:
    shown = Table(box=box.SIMPLE, show_header=False)
    for name, value in found.items():
        shown.add_row(name, value)
    return shown
