"""The index of runs: what it reads, when it reads again, what it answers, what it names."""

import json
import os
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from experiments.bench.run_index import make_runs, measure_index
from experiments.cli import app
from experiments.sweeps.index import INDEX, open_index, refresh
from experiments.sweeps.query import COLUMNS, find_runs, parse_condition
from spikefuse.errors import ConfigError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    make_runs(tmp_path / "made", 5, np.random.default_rng(0))
    return tmp_path


def asked(root: Path, *texts: str, sort: str = "", limit: int | None = None) -> list[dict]:
    with open_index(root) as index:
        refresh(index, root)
        return find_runs(index, [parse_condition(t) for t in texts], sort, limit)


def result_of(root: Path, run: str) -> dict:
    return json.loads((root / run / "result.json").read_text())


def test_rows_hold_what_the_files_say(root: Path) -> None:
    rows = asked(root, "model=dense")
    assert [r["run"] for r in rows] == [f"made/run-000{i}" for i in range(5)]
    for row in rows:
        told = result_of(root, row["run"])["models"]["dense"]
        for key in ("accuracy", "val_accuracy", "params", "kind"):
            assert row[key] == told[key]
        assert row["latency_ms"] == told["latency"]["p50_ms"]
        assert row["energy.loihi1_davies2018"] == told["energy"]["loihi1_davies2018"]["dynamic_pj"]
    assert {*COLUMNS} < rows[0].keys()


def test_conditions_choose_what_a_loop_over_the_files_chooses(root: Path) -> None:
    every = asked(root, "train.learning_rate>0")
    assert len(every) == 20
    cut = sorted(r["train.learning_rate"] for r in every)[10]
    price = sorted(r["energy.horowitz_45nm_int8"] for r in every)[12]
    found = asked(
        root, "accuracy>=0.6", f"train.learning_rate<{cut!r}", "model ~ snn",
        f"energy.horowitz_45nm_int8<={price!r}", sort="-accuracy",
    )  # fmt: skip
    expected = [
        r
        for r in every
        if r["accuracy"] >= 0.6
        and r["train.learning_rate"] < cut
        and "snn" in r["model"]
        and r["energy.horowitz_45nm_int8"] <= price
    ]
    assert len(expected) > 2
    expected.sort(key=lambda r: -r["accuracy"])
    assert [(r["run"], r["model"]) for r in found] == [(r["run"], r["model"]) for r in expected]
    limited = asked(root, sort="-accuracy", limit=3)
    assert [r["accuracy"] for r in limited] == sorted((r["accuracy"] for r in every), reverse=True)[
        :3
    ]


def test_a_text_is_neither_more_nor_less_than_a_number(root: Path) -> None:
    assert len(asked(root, "model.fusion=concat")) == 20
    assert len(asked(root, "model.fusion!=concat")) == 0
    for text in ("model.fusion>0", "model.fusion<0", "accuracy>a"):
        with pytest.raises(ConfigError, match="as in the runs"):
            asked(root, text)
    assert len(asked(root, "seeds=[0]")) == 20


def test_a_list_is_found_however_it_is_spaced(root: Path) -> None:
    for text in ("[50.0,100.0,150.0,200.0,300.0]", "[50.0, 100.0,  150.0, 200.0, 300.0]"):
        assert len(asked(root, f"cost.windows_ms={text}")) == 20
    assert asked(root, "cost.windows_ms=[50.0]") == []


def test_true_and_false_are_found_as_toml_or_python_writes_them(root: Path) -> None:
    one = asked(root, "train.mask_padding=True")
    assert one == asked(root, "train.mask_padding=true") == asked(root, "train.mask_padding!=False")
    assert len(one) + len(asked(root, "train.mask_padding=False")) == 20


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("train.epochs=abc", "a number"),
        ("accuracy!=abc", "a number"),
        ("energy.horowitz_45nm_int8=abc", "a number"),
        ("train.mask_padding=0", "true or false"),
        ("cost.windows_ms=50", "a list"),
        ("train.epochs=True", "a number"),
    ],
)
def test_a_value_of_a_kind_that_no_run_has_is_refused(root: Path, text: str, kind: str) -> None:
    with pytest.raises(ConfigError, match=rf"must be {kind}, as in the runs, got '\w+'"):
        asked(root, text)


def test_a_text_that_looks_like_a_number_is_compared_as_text(root: Path) -> None:
    (root / "made" / "run-0003").rename(root / "2024")
    assert {row["run"] for row in asked(root, "run=2024")} == {"2024"}


def test_only_what_has_changed_is_read_again(root: Path) -> None:
    def state():
        with open_index(root) as index:
            found = refresh(index, root)
            return found.read, found.removed, found.kept

    assert state() == (5, 0, 0)
    assert state() == (0, 0, 5)
    path = root / "made" / "run-0001" / "result.json"
    result = json.loads(path.read_text())
    result["models"]["snn"]["accuracy"] = 0.123
    path.write_text(json.dumps(result))
    os.utime(path, ns=(1, 1))
    (root / "made" / "run-0002" / "result.json").unlink()
    assert state() == (1, 1, 3)
    assert [r["accuracy"] for r in asked(root, "model=snn", "run~0001")] == [0.123]
    assert asked(root, "run~0002") == []


def test_damaged_and_unfinished_runs_are_named(root: Path) -> None:
    made = root / "made"
    (made / "run-0000" / "result.json").write_text('{"schema": 1')
    other = result_of(made, "run-0001")
    del other["models"]["snn"]["params"]
    (made / "run-0001" / "result.json").write_text(json.dumps(other))
    (made / "run-0002" / "config.toml").write_text("= wrong")
    (made / "run-0003" / "result.json").unlink()
    with open_index(root) as index:
        state = refresh(index, root)
        rows = find_runs(index)
    assert list(state.damaged) == [f"made/run-000{i}" for i in (0, 1, 2)]
    assert "must be JSON" in state.damaged["made/run-0000"]
    assert "'params'" in state.damaged["made/run-0001"]
    assert "must be TOML" in state.damaged["made/run-0002"]
    assert state.unfinished == ("made/run-0003",)
    assert (state.read, state.kept) == (1, 0)
    command = CliRunner().invoke(app, ["runs", str(root)])
    words = "4 row(s); 1 finished run(s), 0 of them read anew, 1 unfinished, 3 damaged"
    assert words in command.output
    assert {r["run"] for r in rows} == {"made/run-0004"}


def test_an_index_that_is_damaged_or_of_another_version_is_made_anew(root: Path) -> None:
    expected = asked(root)
    (root / INDEX).write_bytes(b"no data base at all, and long enough to be looked at" * 100)
    assert asked(root) == expected
    with sqlite3.connect(root / INDEX) as index:
        index.execute("PRAGMA user_version = 99")
    assert asked(root) == expected


def test_wrong_questions_name_what_is_near(root: Path) -> None:
    with pytest.raises(ConfigError, match=r"nearest: 'train.learning_rate'"):
        asked(root, "learning_rate>0")
    with pytest.raises(ConfigError, match=r"no run has a key 'energy.nobody'"):
        asked(root, "energy.nobody<1")
    with pytest.raises(ConfigError, match="--where must be KEY=VALUE"):
        asked(root, "accuracy")
    with pytest.raises(ConfigError, match="ROOT must be a folder"), open_index(root / "none"):
        pass


def test_the_bench_says_how_long_it_took() -> None:
    found = measure_index(4)
    assert found["n_runs"] == 4
    assert all(found[f"{name}_ms"] > 0 for name in ("build", "refresh", "query", "one_new"))
