"""Tables of a stream that a run has answered, from its ``stream.json``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from analysis.naming import format_pj
from analysis.records import read_beside
from analysis.tables import Table

SCHEMA = 1
FILE = "stream.json"


def read_stream(folder: Path) -> dict[str, Any] | None:
    """``stream.json`` of a run directory, None where there is none.

    Raises
    ------
    DataError
        If it is damaged or of another schema.
    """
    return read_beside(folder, FILE, SCHEMA, "a stream")


def stream_tables(stream: Mapping[str, Any]) -> list[Table]:
    """Every table that has rows."""
    tables = (_sensors(stream), _answers(stream), _latency(stream), _energy(stream))
    return [table for table in tables if table.rows]


def _sensors(stream: Mapping[str, Any]) -> Table:
    """What came, what was let through, and what was wrong with it."""
    rows: list[tuple[str, ...]] = []
    for name, found in stream["modalities"].items():
        wrong = stream["outcomes"].get(name, {})
        rows.append(
            (
                name,
                f"{found['events']:,}",
                f"{found['rate_hz'] / 1e3:.2f}",
                f"{found['to_network']:,}",
                f"{100 * found['awake_share']:.0f} %",
                ", ".join(f"{kind} {n:,}" for kind, n in wrong.items()) or "-",
            )
        )
    header = ("sensor", "events", "k events/s", "to the network", "awake", "outcomes")
    title = f"Stream: {stream['stream_s']:.2f} s, {stream['host_s']:.2f} s on the host"
    return Table(title, header, tuple(rows))


def _answers(stream: Mapping[str, Any]) -> Table:
    """The last decision, and how many trials were answered early."""
    last = stream["decision"]
    if last is None:
        return Table("", (), ())
    rows = [
        (
            "last decision",
            f"{last['class']} ({last['confidence']:.2f})",
            f"{last['time_us'] * 1e-3:.0f} ms",
        )
    ]
    answers = stream.get("answers")
    if answers is not None:
        rows += [
            (
                f"trial {a['trial']}",
                f"{stream['classes'][a['label']]} ({a['confidence']:.2f})",
                f"{a['time_us'] * 1e-3:.0f} ms" + (" early" if a["early"] else ""),
            )
            for a in answers["last"][-10:]
        ]
    of = "" if answers is None else f", {answers['n']} trials, {answers['early']} left early"
    title = f"Answers: {stream['n_decisions']} decisions{of}"
    return Table(title, ("", "class (probability)", "at"), tuple(rows))


def _latency(stream: Mapping[str, Any]) -> Table:
    """On this host, and behind the stream's clock."""
    found = stream["latency"]
    rows = [
        (title, *(f"{parts[q]:.2f}" for q in ("p50_ms", "p95_ms", "p99_ms", "max_ms")))
        for key, title in (
            ("host", "last event's arrival to decision, measured"),
            ("behind_stream", "foremost clock past the decision's step"),
        )
        if (parts := found[key]) is not None
    ]
    title = f"Latency, ms (buffer's budget {found['buffer_ms']:g} ms, step {found['step_ms']:g} ms)"
    return Table(title, ("", "p50", "p95", "p99", "largest"), tuple(rows))


def _energy(stream: Mapping[str, Any]) -> Table:
    """Modelled energy of the whole stream."""
    rows = tuple(
        (
            profile,
            format_pj(found["dynamic_pj"]),
            "n/a"
            if found["dynamic_pj"] is None or not found["stream_s"]
            else f"{found['dynamic_pj'] * 1e-6 / found['stream_s']:.3g}",
            format_pj(found["with_sensors_pj"]),
        )
        for profile, found in (stream["energy"] or {}).items()
    )
    header = ("profile", "network, dynamic", "its mean power, uW", "with sensors")
    return Table("Energy of the stream, modelled; front ends not counted", header, rows)
