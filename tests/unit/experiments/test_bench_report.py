"""The page and the command line of the benchmarks."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from experiments.bench.commands import bench
from experiments.bench.report import joined, row_tables, target_table, write_report
from experiments.bench.show import figure, row_lines
from spikefuse.errors import ConfigError, DataError


def result_row(name: str = "work A", value: float = 7.0, **changes) -> dict:
    """A row as the runner makes it."""
    time = {"median": 2.0, "q1": 1.5, "q3": 2.5}
    ratio = {"median": value, "q1": value - 1, "q3": value + 1}
    return {
        "name": name,
        "unit": "ms",
        "clock": "process",
        "facts": {"firing": 0.125},
        "ours": "spikefuse",
        "contenders": [
            {"name": "spikefuse", "time": time, "ratio": {"median": 1.0, "q1": 1.0, "q3": 1.0}},
            {"name": "peer", "time": time, "ratio": ratio},
            {"name": "bad|peer", "error": "check failed: spikes"},
        ],
        "targets": {
            "t": {
                "work": "the work",
                "value": value,
                "at_least": 6.0,
                "aim": 9.0,
                "against": ["peer"],
                "metric": "ratio",
                "met": value >= 6,
                "aim_met": value >= 9,
                "floor_at_most": None,
                "floor_met": None,
            }
        },
    } | changes


def test_lines_of_a_row() -> None:
    lines = row_lines(result_row())
    assert lines[0] == "work A"
    assert lines[1].split() == ["spikefuse", "2", "ms", "[1.5", "to", "2.5]"]
    assert lines[2].endswith("7.00x ours [6.00 to 8.00]")
    assert lines[3].endswith("FAILED: check failed: spikes")
    assert lines[4] == "  target: 7x, at least 6 met, aim 9 MISSED"
    assert row_lines({"name": "w", "error": "broke"}) == ["w", "  FAILED: broke"]


def test_a_target_without_its_peer_is_not_judged() -> None:
    row = result_row()
    row["targets"]["t"] |= {"value": None, "met": None, "aim_met": None}
    assert "not judged (needs peer)" in row_lines(row)[-1]
    assert "not judged" in target_table([{"rows": [row]}])


@pytest.mark.parametrize(
    ("value", "text"), [(0.01234, "0.0123"), (1.0, "1"), (12.34, "12.3"), (123.4, "123")]
)
def test_figures_have_three_digits(value: float, text: str) -> None:
    assert figure(value) == text


def test_the_table_of_targets_names_the_rows_that_miss() -> None:
    rows = [result_row("work A", 9.5), result_row("work B", 5.0), result_row("work C", 7.0)]
    (line,) = target_table([{"rows": rows}]).splitlines()[2:]
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells == ["the work", "5 to 9.5", "6 (met in 2 of 3)", "9 (met in 1 of 3)", "work B"]


def test_rows_with_the_same_contenders_share_a_table() -> None:
    other = result_row("work B")
    other["contenders"] = other["contenders"][:1]
    failed = {"name": "work C", "unit": "ms", "error": "broke", "contenders": []}
    tables = row_tables([result_row(), other, result_row("work A2"), failed])
    assert [len(table.splitlines()) for table in tables] == [4, 3, 3]
    # A bar inside a cell would be one more column.
    assert "failed: check failed" in tables[0]
    assert len({line.count("|") for line in tables[0].splitlines()[1:]}) == 1
    assert "broke" in tables[2]


def test_a_row_measured_again_replaces_the_one_before() -> None:
    first = {"group": "kernels", "rows": [result_row("a", 1.0), result_row("b", 1.0)]}
    again = {"group": "kernels", "rows": [result_row("b", 2.0), result_row("c", 3.0)]}
    rows = joined([first, again])["rows"]
    assert [(row["name"], row["targets"]["t"]["value"]) for row in rows] == [
        ("a", 1.0),
        ("b", 2.0),
        ("c", 3.0),
    ]


def run_quick(tmp_path: Path) -> Path:
    """A small true result through the command line."""
    path = tmp_path / "neurons.json"
    options = ["neurons", "--quick", "--only", "Leaky readout", "--json", str(path)]
    done = CliRunner().invoke(bench, options)
    assert done.exit_code == 0, done.output
    assert "Leaky readout" in done.output
    assert "torch loop" in done.output
    return path


def counted_row(value: float) -> dict:
    """A row whose promise is not to exceed something."""
    row = result_row(value=value)
    row["targets"]["t"] |= {"at_least": None, "aim": None, "aim_met": None, "at_most": 2.0}
    row["targets"]["t"]["met"] = value <= 2.0
    return row


def test_a_promise_not_to_exceed_is_told_as_such() -> None:
    rows = [counted_row(1.5), counted_row(2.5) | {"name": "work B"}]
    table = row_tables(rows)[0].splitlines()
    assert "1.5x against peer: at most 2 met" in table[2]
    assert "2.5x against peer: at most 2 MISSED" in table[3]
    line = target_table([{"rows": rows}]).splitlines()[-1]
    assert "at most 2 (met in 1 of 2)" in line
    assert line.endswith("| work B |")


def test_tables_are_placed_between_the_marks_of_a_page(tmp_path: Path) -> None:
    result = {
        "group": "counting",
        "machine": {"cpu": "a chip", "when": "today", "load_average": [0.25]},
        "setting": {"rounds": 9, "data": "synthetic"},
        "rows": [counted_row(1.5)],
    }
    found, page = tmp_path / "counting.json", tmp_path / "page.md"
    found.write_text(json.dumps(result))
    marks = "<!-- bench counting -->", "<!-- /bench counting -->"
    page.write_text(f"Before.\n\n{marks[0]}\nold\n{marks[1]}\n\nAfter.\n")
    told = CliRunner().invoke(bench, ["report", str(found), "--into", str(page)])
    assert told.exit_code == 0, told.output
    text = page.read_text()
    assert text.startswith("Before.\n\n<!--")
    assert text.endswith("-->\n\nAfter.\n")
    assert "old" not in text
    assert "at most 2 met" in text
    assert "load average 0.2, 9 rounds" in text
    page.write_text("No marks.\n")
    told = CliRunner().invoke(bench, ["report", str(found), "--into", str(page)])
    assert isinstance(told.exception, ValueError)
    lost = CliRunner().invoke(bench, ["report", str(found), "--into", str(tmp_path / "none.md")])
    assert isinstance(lost.exception, ConfigError)


def test_from_the_command_line_to_the_page(tmp_path: Path) -> None:
    path = run_quick(tmp_path)
    result = json.loads(path.read_text())
    assert result["setting"]["rounds"] == 3
    assert result["machine"]["peers"].keys() >= {"spikingjelly", "norse", "snntorch", "scipy"}
    (row,) = result["rows"]
    assert [len(entry["samples"]) for entry in row["contenders"]] == [3, 3]
    page = tmp_path / "page.md"
    done = CliRunner().invoke(bench, ["report", str(path), "--out", str(page)])
    assert done.exit_code == 0, done.output
    text = page.read_text()
    assert "Leaky readout forward + backward [20, 4, 64]" in text
    assert result["machine"]["cpu"] in text
    assert "spikefuse bench neurons --peers --json" in text
    assert "{{" not in text
    assert "{%" not in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--only", "["], "--only must be a regular expression, got '\\['"),
        (["--data-root", "nowhere"], "--data-root must be a folder, got nowhere"),
    ],
)
def test_wrong_options_are_refused_before_anything_runs(options: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        CliRunner().invoke(bench, ["network", "--quick", *options], catch_exceptions=False)


def test_the_page_refuses_what_is_no_result(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"must be JSON files of spikefuse bench, got .*none\.json"):
        write_report([tmp_path / "none.json"], tmp_path / "page.md")
    broken = tmp_path / "broken.json"
    broken.write_text("{")
    with pytest.raises(DataError, match="must be JSON, got an error"):
        write_report([broken], tmp_path / "page.md")
    broken.write_text('{"group": "gpu", "rows": []}')
    with pytest.raises(DataError, match="must be a result of spikefuse bench"):
        write_report([broken], tmp_path / "page.md")
    assert not (tmp_path / "page.md").exists()


@pytest.mark.parametrize("arguments", [["bench", "--help"], ["bench", "kernels", "--help"]])
def test_help_loads_no_torch(arguments: list[str]) -> None:
    script = (
        "import runpy, sys\n"
        f"sys.argv = ['spikefuse', *{arguments!r}]\n"
        "try:\n"
        "    runpy.run_module('experiments', run_name='__main__')\n"
        "except SystemExit as stop:\n"
        "    assert not stop.code, stop.code\n"
        "loaded = {'torch', 'numpy', 'numba', 'snntorch', 'spikingjelly'} & set(sys.modules)\n"
        "print('LOADED', sorted(loaded))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "LOADED []"
