"""Fronts and missing modalities as tables: choices by hand, results kept line by line."""

from pathlib import Path

import pytest

from experiments.studies import front as front_study
from experiments.studies import missing as missing_study
from experiments.studies.runs import completed, rows_of
from spikefuse.errors import DataError


def row(operator: str, weight: float, cost: float, right: float) -> dict[str, object]:
    both = {"operations": cost, "accuracy": right}
    return {"operator": operator, "weight": weight, "seed": 0, "validation": both, "test": both}


ROWS = [
    row("concat", 0.0, 1000.0, 0.90),
    row("concat", 1.0, 500.0, 0.895),
    row("concat", 3.0, 600.0, 0.85),
    row("concat", 10.0, 100.0, 0.70),
]


def test_a_point_is_dominated_by_one_that_is_cheaper_and_as_good() -> None:
    found = front_study.points(ROWS, "concat", "test")
    assert front_study.undominated(found) == [0.0, 1.0, 10.0]


def test_the_cheapest_point_within_two_points_is_chosen() -> None:
    assert front_study.chosen_weight(front_study.points(ROWS, "concat", "test")) == 1.0


def test_the_table_says_what_the_choice_saves() -> None:
    text = front_study.table(ROWS)
    assert "| concat | 1k, 90.0 |" in text
    assert "price 1: 2.0x fewer, -0.5 points | 3 of 4 |" in text


def test_the_figure_is_written(tmp_path: Path) -> None:
    front_study.draw(ROWS, tmp_path / "front.png")
    assert (tmp_path / "front.png").stat().st_size > 10_000


def test_rows_that_are_there_are_not_computed_again(tmp_path: Path) -> None:
    path, asked = tmp_path / "rows.jsonl", []

    def find(key):
        asked.append(key["a"])
        return {"b": 2 * key["a"]}

    completed(path, [{"a": 1}], find)
    with path.open("a") as file:
        file.write('{"a": 2, "b"')  # a kill in the middle of a line
    assert rows_of(path) == [{"a": 1, "b": 2}]
    assert completed(path, [{"a": 1}, {"a": 3}], find) == [{"a": 1, "b": 2}, {"a": 3, "b": 6}]
    assert asked == [1, 3]
    assert rows_of(path) == [{"a": 1, "b": 2}, {"a": 3, "b": 6}]


@pytest.mark.parametrize("text", ['{bad\n{"a": 1}\n', '{"a": 1}\n5\n', "no rows", "\xff\n"])
def test_a_damaged_line_is_named_and_the_file_left_as_it_is(tmp_path: Path, text: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(DataError, match=r"line \d of .*rows.jsonl must be a JSON object, got"):
        completed(path, [{"a": 2}], lambda key: {})
    assert path.read_text(encoding="latin-1") == text


def test_a_whole_last_line_without_its_end_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"a": 1}')
    completed(path, [{"a": 2}], lambda key: {"b": 4})
    assert rows_of(path) == [{"a": 1}, {"a": 2, "b": 4}]


def test_missing_is_measured_against_the_model_of_what_is_left() -> None:
    def line(model: str, dropout: float, absent: dict[str, float]) -> dict[str, object]:
        return {"model": model, "dropout": dropout, "seed": 0, "absent": absent}

    text = missing_study.table(
        [
            line("snn_vision", 0.0, {"none": 0.80}),
            line("snn_audio", 0.0, {"none": 0.60}),
            line("concat", 0.5, {"none": 0.9, "vision": 0.58, "audio": 0.75}),
        ]
    )
    last = text.splitlines()[-1]
    assert "75.0 (-5.0, beyond the margin)" in last
    assert "58.0 (-2.0)" in last
