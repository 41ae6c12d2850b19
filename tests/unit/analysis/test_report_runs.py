"""Many runs on one page, and tables as files."""

import copy
import re

import pytest
from unit.analysis.conftest import make_result, write_run

from analysis.pooled import pool_runs
from analysis.records import load_run
from analysis.report import page as page_module
from analysis.report import write_report, write_tables
from analysis.report.constants import constants_tables
from analysis.report.embedded import embedded_json
from analysis.report.runs import (
    differences,
    pareto_fronts,
    pooled_tables,
    run_labels,
    runs_table,
    same_task,
    settings_table,
)
from analysis.tables import Table, to_latex
from spikefuse.errors import ConfigError

FP32 = "horowitz_45nm_fp32"


@pytest.fixture
def plain_run(result, write):
    """A run whose figures are not drawn."""
    return write(result)


def copies(folder, n: int):
    """Runs that differ in accuracy, energy and one setting."""
    paths = []
    for i in range(n):
        result = copy.deepcopy(make_result())
        for entry in result["models"].values():
            entry["accuracy"] = round(entry["accuracy"] - 0.002 * i, 6)
            for estimate in entry["energy"].values():
                if estimate["dynamic_pj"] is not None:
                    estimate["dynamic_pj"] *= 1.0 - 0.01 * i
        path = write_run(folder / f"run{i}", result)
        (path / "config.toml").write_text(f'name = "tiny"\n[train]\nlr = {0.001 * (i + 1):g}\n')
        paths.append(path)
    return paths


def test_what_sets_runs_apart(tmp_path) -> None:
    runs = [load_run(path) for path in copies(tmp_path, 3)]
    assert differences(runs) == [{"train.lr": v} for v in ("0.001", "0.002", "0.003")]
    assert differences(runs[:1]) == [{}]
    assert run_labels(runs) == ["tiny (run0)", "tiny (run1)", "tiny (run2)"]
    assert run_labels(runs[:1]) == ["tiny"]


def test_the_front_holds_the_runs_that_no_other_beats(tmp_path) -> None:
    runs = [load_run(path) for path in copies(tmp_path, 2)]
    runs[1].result["models"]["dense"]["energy"][FP32]["dynamic_pj"] = 9e9  # beaten by the first
    front = pareto_fronts(runs)[0]
    assert (front["profile"], front["n"]) == (FP32, "8")
    assert "tiny (run1), dense twin: accuracy 0.918, 9.00 mJ. train.lr = 0.002" in front["html"]
    dashed = re.findall(r'<path class="line s-grey dashed" d="M([^"]*)"', front["html"])
    assert dashed[-1].count("L") == 7 - 1  # all points but that one; the first is the legend's


def test_runs_of_different_data_share_no_front(tmp_path) -> None:
    paths = copies(tmp_path, 2)
    runs = [load_run(path) for path in paths]
    assert same_task(runs)
    result = copy.deepcopy(make_result())
    result["data"]["scene"] = "s1"
    paths.append(write_run(tmp_path / "scene", result))
    runs = [load_run(path) for path in paths]
    assert not same_task(runs)
    assert "front of all points" not in pareto_fronts(runs)[0]["html"]
    text = write_report(paths, tmp_path / "all.html").read_text()
    assert "The runs are of different data: no front joins them." in text


def test_cells_of_all_runs_equal_their_results(tmp_path) -> None:
    paths = copies(tmp_path, 2)
    table = runs_table([load_run(path) for path in paths])
    row = next(row for row in table.rows if row[:2] == ("tiny (run1)", "SNN fusion"))
    assert row[2:6] == ("0.898", "0.850 to 0.940", "40.2", "1.98 uJ")


def test_what_sets_runs_apart_has_a_column_each(tmp_path) -> None:
    paths = copies(tmp_path, 2)
    table = settings_table([load_run(path) for path in paths])
    assert table.header == ("run", "train.lr")
    assert table.rows == (("tiny (run0)", "0.001"), ("tiny (run1)", "0.002"))
    assert not settings_table([load_run(paths[0])] * 2).rows
    many = "\n".join(f"k{i} = {{}}" for i in range(8))
    for value, path in enumerate(paths):
        text = many.replace("{}", str(value))
        (path / "config.toml").write_text(f'name = "tiny"\n[train]\n{text}\n')
    table = settings_table([load_run(path) for path in paths])
    assert table.header == ("run", *(f"train.k{i}" for i in range(6)))
    assert table.title.endswith("(6 of 8; also train.k6, train.k7)")


def test_runs_of_one_recipe_are_shown_as_one(tmp_path) -> None:
    paths = [write_run(tmp_path / f"run{i}", make_result()) for i in range(2)]
    for fold, path in enumerate(paths):
        (path / "config.toml").write_text(f'name = "tiny"\n[data]\nfold = {fold}\n')
    other = copies(tmp_path / "other", 1)
    runs = [load_run(path) for path in [*paths, *other]]
    (found,) = pooled_tables(runs)
    table, said = found
    pooled = pool_runs(runs[:2])
    assert table.title.startswith(f"2 runs of tiny as one: {pooled['n_samples']:,} test samples")
    assert [row[1] for row in table.rows] == [
        f"{entry['accuracy']:.3f}" for entry in pooled["models"].values()
    ]
    dense = next(d for d in pooled["differences"] if d["second"] == "dense")
    row = next(row for row in table.rows if row[0] == "dense twin")
    assert row[3] == f"{100 * dense['difference']:+.1f}"
    assert said == pooled["sentences"]
    text = write_report([run.path for run in runs], tmp_path / "all.html").read_text()
    assert table.title in text
    assert not pooled_tables([runs[0], runs[2]])  # two recipes


def test_a_page_of_many_runs_is_small_and_says_what_it_leaves_out(tmp_path) -> None:
    path = write_report(copies(tmp_path, 9), tmp_path / "all.html")
    text = path.read_text()
    assert path.stat().st_size < 300_000
    assert "Of each run the cards and main tables are shown" in text
    assert text.count('<section id="run-') == 9
    assert "Assumptions and sources" not in text


def test_a_page_above_its_size_shows_less(drawn_run, tmp_path, monkeypatch) -> None:
    whole = write_report([drawn_run], tmp_path / "a.html").stat().st_size
    monkeypatch.setattr(page_module, "MOST_BYTES", whole - 1)
    text = write_report([drawn_run], tmp_path / "b.html").read_text()
    assert "some pictures of each run are left out" in text
    assert "data:image/png" not in text
    assert "Assumptions and sources" in text


def test_every_constant_has_its_source(plain_run) -> None:
    tables = constants_tables(load_run(plain_run))
    titles = [table.title.split(":")[0] for table in tables]
    assert titles == [f"Constants of {name}" for name in (FP32, "loihi1_davies2018", "dvs128")]
    assert all(row[5] and row[6] for table in tables for row in table.rows)
    assert ("e_add", "0.9") in [row[:2] for row in tables[0].rows]


def test_a_profile_that_is_gone_is_named(result, write) -> None:
    for entry in result["models"].values():
        entry["energy"] = {"my_chip": entry["energy"][FP32]}
    result["energy_ranges"], result["ratios"] = {}, {}
    table = constants_tables(load_run(write(result)))[0]
    assert table.rows == ()
    assert "cannot be read here" in table.notes[0]


def test_embedded_json_cannot_close_its_element() -> None:
    text = embedded_json({"a": "</script><!--&"})
    assert not set("<>&") & set(text)


def test_tables_are_written_in_both_forms(plain_run, tmp_path) -> None:
    paths = write_tables([plain_run], tmp_path / "tables")
    names = {path.name for path in paths}
    assert {"results.md", "results.tex", "energy.md", "energy.tex", "neurobench.tex"} <= names
    assert "runs.md" not in names
    markdown = (tmp_path / "tables" / "results.md").read_text()
    assert "| SNN fusion | 0.900 | 0.850 to 0.940 | 40 |" in markdown
    several = write_tables([plain_run, plain_run], tmp_path / "more")
    assert "runs.tex" in {path.name for path in several}
    assert len(several) == 2 * len(paths) + 4  # runs, pooled
    with pytest.raises(ConfigError, match="at least one run"):
        write_tables([], tmp_path)


def test_latex_is_balanced_and_has_equal_rows(plain_run, tmp_path) -> None:
    for path in write_tables([plain_run], tmp_path):
        if path.suffix != ".tex":
            continue
        text = path.read_text()
        text.encode("ascii")  # no sign that a plain set-up cannot print
        bare = re.sub(r"\\[\\{}$&%#_]", "", text.replace(r"\\" + "\n", "\n"))
        assert bare.count("{") == bare.count("}")
        assert bare.count("$") % 2 == 0
        body = [line for line in text.splitlines() if line.endswith(r" \\")]
        columns = re.search(r"\\begin\{tabular\}\{([lr]+)\}", text)
        assert columns is not None
        assert {len(re.findall(r"(?<!\\)&", line)) for line in body} == {len(columns[1]) - 1}
        assert not re.search(r"(?<!\\)[%#_]", "\n".join(body))


def test_latex_writes_units_and_signs_for_print() -> None:
    text = to_latex(Table("T", ("model", "energy"), (("[a] > b", "52.6 uJ"), ("*", "0.5 → 1"))))
    assert r"{}[a] $>$ b & 52.6 $\mu$J \\" in text
    assert r"{}* & 0.5 $\rightarrow$ 1 \\" in text
