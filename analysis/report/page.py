"""One self-contained HTML file per set of runs: no request, readable without scripts."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from analysis.records import RunRecord, load_run
from analysis.report.runs import (
    pareto_fronts,
    pooled_tables,
    run_labels,
    runs_table,
    same_task,
    settings_table,
)
from analysis.report.view import Detail, view_of
from spikefuse.atomic import write_bytes
from spikefuse.errors import ConfigError

MOST_BYTES = 1_000_000
# More runs than this are compared with each other; each alone has a report of its own.
MOST_WHOLE_RUNS = 8

_LEVELS = (
    Detail(),
    Detail(pictures=False, said="To stay below 1 MB, some pictures of each run are left out"),
    Detail(sections=False, pictures=False, said="Of each run the cards and main tables are shown"),
)
_OWN = "the whole is in the run's own report: spikefuse report RUN"


def write_report(run_dirs: Sequence[Path], out: Path | None = None) -> Path:
    """Write the report of finished runs; pictures beside a run are taken as they are.

    Parameters
    ----------
    run_dirs : sequence of Path
    out : Path, optional
        Defaults to ``report.html`` in the first run directory.

    Returns
    -------
    Path
        The file; its bytes depend on the runs alone. It stays below 1 MB: of many runs less is
        shown of each, and the page says so.

    Raises
    ------
    ConfigError
        If no run is named, or one is no finished run.
    DataError
        If a file of a run is damaged.
    """
    if not run_dirs:
        raise ConfigError("run_dirs must name at least one run, got none")
    runs = [load_run(path) for path in run_dirs]
    content = _rendered(runs)
    path = out if out is not None else runs[0].path / "report.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, content)
    return path


def _rendered(runs: Sequence[RunRecord]) -> bytes:
    """The page at the first level of detail that fits, else at the last."""
    content = b""
    for detail in _LEVELS if len(runs) <= MOST_WHOLE_RUNS else _LEVELS[-1:]:
        content = _render(runs, detail).encode()
        if len(content) <= MOST_BYTES:
            break
    return content


def _render(runs: Sequence[RunRecord], detail: Detail) -> str:
    """The page as text."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_part),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    labels = run_labels(runs)
    return environment.get_template("page.html.j2").render(
        runs=[view_of(run, label, detail) for run, label in zip(runs, labels, strict=True)],
        pareto=pareto_fronts(runs),
        joined=same_task(runs),
        table=runs_table(runs) if len(runs) > 1 else None,
        pooled=pooled_tables(runs) if len(runs) > 1 else [],
        settings=settings_table(runs),
        detail=detail,
        left_out=f"{detail.said}; {_OWN}." if detail.said else "",
        style=_text("report.css"),
        script=_text("report.js"),
    )


def _part(name: str) -> str:
    """A template by name."""
    return _text(f"parts/{name}")


def _text(name: str) -> str:
    """A file that ships beside this one."""
    place = resources.files("analysis.report")
    return (place / name).read_text(encoding="utf-8")
