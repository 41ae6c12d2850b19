"""Tables in documents: written by commands between marks, never by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from spikefuse.atomic import write_bytes
from spikefuse.errors import ConfigError


def placed(page: str, tables: Mapping[str, str]) -> str:
    """A page with what stands between ``<!-- NAME -->`` and ``<!-- /NAME -->`` replaced.

    Parameters
    ----------
    page : str
        Markdown.
    tables : mapping of a mark's name to what is to stand there

    Raises
    ------
    ConfigError
        If the page lacks a mark.
    """
    for name, table in tables.items():
        begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        if begin not in page or end not in page:
            raise ConfigError(f"page must hold {begin} and {end}, got neither or one of them")
        before, rest = page.split(begin, 1)
        page = f"{before}{begin}\n{table}\n{end}{rest.split(end, 1)[1]}"
    return page


def write_tables(path: Path, tables: Mapping[str, str]) -> None:
    """`placed` on a file, which is whole at every moment.

    Raises
    ------
    ConfigError
        If there is no such page, or as of `placed`.
    """
    if not path.is_file():
        raise ConfigError(f"page must be a file that holds the tables' marks, got {path}")
    page = path.read_text(encoding="utf-8")
    write_bytes(path, placed(page, tables).encode())


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows of text as a Markdown table; bars inside a cell are escaped."""

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    return "\n".join([line(header), "|" + "---|" * len(header), *map(line, rows)])
