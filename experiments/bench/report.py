"""The performance page: tables from the JSON files, text from a template."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from experiments.bench.show import UNITS, figure, verdict
from experiments.bench.titles import TITLES
from experiments.files import write_text
from spikefuse.errors import DataError
from spikefuse.pages import write_tables

Result = Mapping[str, Any]


def write_report(paths: Sequence[Path], out: Path) -> None:
    """Write the page.

    Parameters
    ----------
    paths : sequence of Path
        What the benchmark commands wrote; of a group given twice,
        rows measured again replace those before.
    out : Path

    Raises
    ------
    DataError
        If a file is missing or is no result of these commands.
    """
    found = [_read(path) for path in paths]
    results = [
        joined([result for result in found if result["group"] == group])
        for group in TITLES
        if any(result["group"] == group for result in found)
    ]
    write_text(out, render(results))


def write_into(paths: Sequence[Path], page: Path) -> None:
    """Place the tables of groups between their marks, ``<!-- bench GROUP -->``, in another page.

    Raises
    ------
    DataError
        As of `write_report`.
    ValueError
        If the page lacks a mark.
    """
    found = [_read(path) for path in paths]
    groups = dict.fromkeys(result["group"] for result in found)
    tables: dict[str, str] = {}
    for group in groups:
        result = joined([r for r in found if r["group"] == group])
        machine = result["machine"]
        when = f"{machine['cpu']}, one thread, processor time, {machine['when']}"
        load = machine["load_average"]
        busy = f", load average {load[0]:.1f}" if load else ""
        rounds = f"{result['setting']['rounds']} rounds"
        lines = [f"{when}{busy}, {rounds}, {result['setting']['data']} recordings.", ""]
        told = "\n\n".join(row_tables(result["rows"]))  # tables apart, or Markdown joins them
        tables[f"bench {group}"] = "\n".join([*lines, told])
    write_tables(page, tables)


def joined(results: Sequence[Result]) -> Result:
    """Several runs of one group as one: a row measured again replaces the one before."""
    rows = {row["name"]: row for result in results for row in result["rows"]}
    return {**results[0], "rows": list(rows.values())}


def render(results: Sequence[Result]) -> str:
    """The page as Markdown.

    Parameters
    ----------
    results : sequence of dict
        One for each group.
    """
    import jinja2

    template = resources.files("experiments.bench") / "performance.md.j2"
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False
    )
    page = environment.from_string(template.read_text(encoding="utf-8")).render(
        results=results,
        machine=results[0]["machine"],
        setting=results[0]["setting"],
        titles=TITLES,
        targets=target_table(results),
        bandwidth=bandwidth_table(results),
        tables={result["group"]: row_tables(result["rows"]) for result in results},
    )
    return page.rstrip() + "\n"


def target_table(results: Sequence[Result]) -> str:
    """Every target with the lowest and the highest value over the rows it judges."""
    judged: dict[str, list[tuple[str, Result]]] = {}
    for result in results:
        for row in result["rows"]:
            for name, target in row["targets"].items():
                judged.setdefault(name, []).append((row["name"], target))
    lines = []
    for found in judged.values():
        of = found[0][1]
        values = sorted(t["value"] for _, t in found if t["value"] is not None)
        if not values:
            lines.append([of["work"], "not judged", _promise(of), _number(of["aim"]), ""])
            continue
        span = figure(values[0])
        if len(values) > 1:
            span += f" to {figure(values[-1])}"
        missed = [row for row, t in found if t["met"] is False]
        lines.append(
            [
                of["work"],
                span,
                f"{_promise(of)} {_share(found, 'met')}".strip(),
                f"{_number(of['aim'])} {_share(found, 'aim_met')}".strip(),
                "; ".join(missed) if len(missed) <= 4 else f"{len(missed)} rows, see below",
            ]
        )
    return _table(["work", "measured", "at least", "aim", "missed in"], lines)


def bandwidth_table(results: Sequence[Result]) -> str:
    """Bandwidth of one thread in each run."""
    sets = [(b["set_kib"], b["kind"]) for b in results[0]["bandwidth"]]
    header = ["run", *(f"{kind} {kib / 1024:g} MiB" for kib, kind in sets)]
    lines = []
    for result in results:
        cells = [figure(b["gb_per_s"]["median"]) for b in result["bandwidth"]]
        lines.append([result["group"], *cells])
    return _table(header, lines)


def row_tables(rows: Sequence[Result]) -> list[str]:
    """One table for all rows with the same contenders."""
    by_names: dict[tuple[str, ...], list[Result]] = {}
    for row in rows:
        by_names.setdefault((row["unit"], *_contenders(row)), []).append(row)
    return [
        _rows_table(names, kept) if names else _failures(kept)
        for (_, *names), kept in by_names.items()
    ]


def _rows_table(names: Sequence[str], rows: list[Result]) -> str:
    """Rows with the same contenders: ours in its unit, the others as ratios."""
    floor = any("floor" in row for row in rows)
    header = ["work", f"{names[0]} ({rows[0]['unit']})", *names[1:]]
    header += ["over the floor (MB)"] if floor else []
    lines = []
    for row in rows:
        line = [row["name"]]
        for entry in row["contenders"]:
            line.append(_cell(entry, row["ours"]))
        if floor:
            line.append(
                f"{row['floor']['ours_over_floor']:.2f} ({row['floor']['moved_bytes'] / 1e6:.3g})"
                if "floor" in row
                else ""
            )
        lines.append([*line, "; ".join([*_verdicts(row), *_remarks(row)])])
    return _table([*header, "target, remarks"], lines)


def _failures(rows: list[Result]) -> str:
    """Rows that could not be timed."""
    return _table(["work", "failed"], [[row["name"], row["error"]] for row in rows])


def _contenders(row: Result) -> tuple[str, ...]:
    """Names of a row's contenders; none if the row failed."""
    return tuple(entry["name"] for entry in row["contenders"])


def _cell(entry: Result, ours: str) -> str:
    """A time with its quartiles, or a ratio with its."""
    if "error" in entry:
        return f"failed: {entry['error']}"
    if entry["name"] == ours:
        time = entry["time"]
        return f"{figure(time['median'])} [{figure(time['q1'])}, {figure(time['q3'])}]"
    ratio = entry["ratio"]
    return f"{ratio['median']:.2f}x [{ratio['q1']:.2f}, {ratio['q3']:.2f}]"


def _verdicts(row: Result) -> list[str]:
    """Short verdicts of a row's targets."""
    told = []
    for target in row["targets"].values():
        if target["value"] is None:
            told.append(f"not judged (needs {' or '.join(target['against'])})")
            continue
        parts = []
        if target["at_least"] is not None:
            parts.append(f"at least {target['at_least']:g} {verdict(target['met'])}")
        if target.get("at_most") is not None:  # files of earlier versions have none
            parts.append(f"at most {target['at_most']:g} {verdict(target['met'])}")
        if target["aim"] is not None:
            parts.append(f"aim {target['aim']:g} {verdict(target['aim_met'])}")
        if target["floor_met"] is not None:
            parts.append(f"floor {target['floor_at_most']:g} {verdict(target['floor_met'])}")
        against = f" against {' / '.join(target['against'])}" if target["against"] else ""
        unit = UNITS.get(target["metric"], f" ({target['metric']})")
        said = f"{figure(target['value'])}{unit}{against}"
        told.append(f"{said}: {', '.join(parts)}" if parts else said)
    return told


def _remarks(row: Result) -> list[str]:
    """Facts that a reader needs beside the time."""
    told, facts = [], row["facts"]
    if "row_gb_per_s" in facts and "row_bandwidth" not in row["targets"]:
        told.append(f"{facts['row_gb_per_s']:.0f} GB/s of weight rows")
    if "additions" in facts:
        told.append(f"density {facts['density']:.1%}, {facts['additions'] / 1e6:.3g} M additions")
    if "firing" in facts:
        told.append(f"firing {facts['firing']:.1%}")
    if "rates" in facts:
        told.append("layers fire " + ", ".join(f"{rate:.1%}" for rate in facts["rates"]))
    if "r_squared" in facts:
        told.append(
            f"{facts['ns_per_event']:.3g} ns an event, intercept {facts['intercept_ms']:.3g} ms"
        )
    if "one tensor MiB" in facts:
        told.append(f"one [T, B, N] tensor is {facts['one tensor MiB']:.3g} MiB")
    if "input" in facts:
        told.append(f"{facts['samples']} samples, {facts['batches']} batches; {facts['input']}")
    return told


def _share(found: list[tuple[str, Result]], key: str) -> str:
    """How many rows reached it."""
    verdicts = [target[key] for _, target in found if target[key] is not None]
    if not verdicts:
        return ""
    if all(verdicts):
        return "(met)"
    return f"(met in {sum(verdicts)} of {len(verdicts)})" if any(verdicts) else "(MISSED)"


def _promise(target: Result) -> str:
    """What must be reached, or must not be exceeded."""
    most = target.get("at_most")
    return _number(target["at_least"]) if most is None else f"at most {most:g}"


def _number(value: float | None) -> str:
    """A target, or nothing."""
    return "" if value is None else f"{value:g}"


def _table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    clean = [[cell.replace("|", "/").replace("\n", " ") for cell in line] for line in lines]
    rows = [list(header), ["---"] * len(header), *clean]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _read(path: Path) -> Result:
    """One result file."""
    if not path.is_file():
        raise DataError(f"results must be JSON files of spikefuse bench, got {path}")
    try:
        result: Result = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise DataError(f"{path} must be JSON, got an error: {error}") from error
    if not isinstance(result, dict) or result.get("group") not in TITLES or "rows" not in result:
        raise DataError(f"{path} must be a result of spikefuse bench, got other JSON")
    return result
