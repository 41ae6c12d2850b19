"""The study of widths: which rows there are, what its tables say, and that rows are kept."""

from dataclasses import replace
from pathlib import Path

import pytest

from experiments.config import load_config
from experiments.loading.data import load_data
from experiments.studies.precision import MARKS, Study, main, tables, wanted_rows
from experiments.studies.runs import Row, completed


def rows_of_two_seeds() -> list[Row]:
    found: list[Row] = []
    for i, key in enumerate(wanted_rows([0, 1])):
        accuracy = 0.9 if key["kind"] == "float" else 0.5 + 0.01 * i
        found.append(key | {"accuracy": accuracy, "changed": 0.25, "acs": 2000.0, "fired": 1.0})
    return found


def test_every_width_is_rounded_and_some_are_trained_on() -> None:
    keys = wanted_rows([3])
    assert len({tuple(sorted(key.items(), key=str)) for key in keys}) == len(keys)
    rounded = {(k["weight"], k["state"]) for k in keys if k["kind"] == "rounded"}
    aware = {(k["weight"], k["state"]) for k in keys if k["kind"] == "aware"}
    assert {(8, 24), (6, 24), (4, 24), (8, 8), (8, 16)} <= rounded
    assert {(8, 24), (6, 24), (4, 24)} <= aware <= rounded


def test_tables_hold_means_and_their_spread() -> None:
    found = tables(rows_of_two_seeds())
    assert set(found) == set(MARKS)
    by_weight = found[MARKS[0]].splitlines()
    assert by_weight[0].startswith("2 seeds")
    assert by_weight[4].startswith("| float | 90.0 (90.0 to 90.0) |")
    assert by_weight[5].startswith("| 8 bits | ")
    assert "25.0 %" in by_weight[5]
    assert by_weight[5].endswith("| 2 |")
    assert any(line.startswith("| 24 bits |") for line in found[MARKS[1]].splitlines())


def test_a_missing_row_leaves_its_cell_empty() -> None:
    rows = [row for row in rows_of_two_seeds() if row["kind"] != "aware"]
    line = tables(rows)[MARKS[0]].splitlines()[5]
    assert line.split("|")[3].strip() == ""


def test_stored_rows_are_printed_and_a_folder_without_rows_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="must hold rows"):
        main(["--runs", str(tmp_path), "--stored"])
    completed(tmp_path / "rows.jsonl", [{"seed": 0, "kind": "float"}], lambda _: row_of(0.75))
    page = tmp_path / "page.md"
    page.write_text("".join(f"<!-- {mark} -->\n<!-- /{mark} -->\n" for mark in MARKS))
    main(["--runs", str(tmp_path), "--stored", "--document", str(page)])
    assert "| float | 75.0 |" in capsys.readouterr().out
    assert page.read_text().count("| float | 75.0 |") == 2


def row_of(accuracy: float) -> Row:
    return {"accuracy": accuracy, "changed": 0.0, "acs": 1.0, "fired": 1.0}


def test_a_small_study_trains_its_float_model_once(tmp_path: Path) -> None:
    config = load_config(
        "demo",
        [
            "data.digits.n_train=30",
            "data.digits.n_validation=20",
            "data.digits.n_test=20",
            "model.vision.convs=[]",
            "model.fusion_hidden=10",
            "data.dt_ms=40.0",
            "train.threads=1",
        ],
    )
    config = replace(config, train=replace(config.train, epochs=1, aware_epochs=1))
    study = Study(tmp_path, config, load_data(config.data, cache_dir=tmp_path / "cache"))
    keys = [
        {"seed": 0, "kind": "float"},
        {"seed": 0, "kind": "float, trained on"},
        {"seed": 0, "kind": "rounded", "weight": 8, "state": 24},
        {"seed": 0, "kind": "aware", "weight": 3, "state": 24},
    ]
    rows = completed(tmp_path / "rows.jsonl", keys, study.find)
    assert rows[0]["changed"] == 0.0
    assert 0 < rows[2]["changed"] < 0.5 or rows[2]["accuracy"] == rows[0]["accuracy"]
    assert rows[3]["acs"] < rows[0]["acs"]  # weights that round to 0 are left out
    assert study.float_model(0) is study.float_model(0)
    again = completed(tmp_path / "rows.jsonl", keys, lambda _: pytest.fail("computed again"))
    assert again == rows
