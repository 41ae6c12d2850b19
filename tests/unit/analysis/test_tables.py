"""Tables hold the numbers of result.json and nothing else."""

import csv
import io

import pytest

from analysis.naming import format_pj
from analysis.tables import (
    Table,
    energy_table,
    ranges_table,
    ratio_table,
    results_table,
    summary_rows,
    to_csv,
    to_latex,
    to_markdown,
)

FP32, LOIHI = "horowitz_45nm_fp32", "loihi1_davies2018"


def test_rows_equal_the_result(result) -> None:
    rows = {row["model"]: row for row in summary_rows(result)}
    assert list(rows) == list(result["models"])
    for name, model in result["models"].items():
        row = rows[name]
        assert row["accuracy"] == model["accuracy"]
        assert row["latency_p50_ms"] == model["latency"]["p50_ms"]
        assert row["acs"] == model["counts"]["total"]["effective_acs"]
        assert row["params"] == model["params"]
        for profile, estimate in model["energy"].items():
            for metric, value in row["energy"][profile].items():
                assert value == estimate[metric]
                assert (metric in row["why_null"][profile]) == (value is None)
    assert "event-driven" in rows["dense"]["why_null"][LOIHI]["dynamic_pj"]


def test_csv_reads_back_exactly(result) -> None:
    lines = list(csv.DictReader(io.StringIO(to_csv(result))))
    dense = next(line for line in lines if line["model"] == "dense")
    model = result["models"]["dense"]
    assert float(dense["accuracy"]) == model["accuracy"]
    assert float(dense[f"{FP32}.dynamic_pj"]) == model["energy"][FP32]["dynamic_pj"]
    assert dense[f"{LOIHI}.dynamic_pj"] == ""


def test_energy_cells_say_why_there_is_no_number(result) -> None:
    table = energy_table(result)
    cells = {row[:2]: row[2:] for row in table.rows}
    assert cells[(FP32, "SNN fusion")] == ("2.00 uJ", "n/a (1)", "9.00 mJ")
    assert cells[(LOIHI, "dense twin")] == ("n/a (2)", "n/a (2)", "n/a (2)")
    assert cells[(LOIHI, "SNN fusion")][1] == "4.00 mJ"
    assert table.notes[0].endswith("publishes no static power")
    assert "is dense" in table.notes[1]


def test_precision_and_the_accuracy_at_it_stand_beside_the_energy(result) -> None:
    estimate = result["models"]["snn"]["energy"][FP32]
    estimate |= {"precision": "int8", "accuracy": 0.875, "accuracy_interval": [0.8, 0.9]}
    table = energy_table(result)
    assert table.header[2:4] == ("precision", "accuracy at it")
    cells = {row[:2]: row[2:4] for row in table.rows}
    assert cells[(FP32, "SNN fusion")] == ("int8", "0.875 (0.800 to 0.900)")
    assert cells[(LOIHI, "SNN fusion")] == ("not in this run", "not in this run")


def test_a_range_gets_a_column(result) -> None:
    result["models"]["snn"]["energy"][FP32]["dynamic_range_pj"] = [1.5e6, 3e6]
    result["models"]["dense"]["energy"][FP32]["dynamic_range_pj"] = [2.5e6, 2.5e6]
    table = energy_table(result)
    assert table.header[-1] == "range of dynamic"
    assert table.rows[0][-1] == "1.50 uJ to 3.00 uJ"
    assert table.rows[1][-1] == "none published"
    assert table.rows[2][-1] == "n/a"


def test_an_absent_reason_is_said(result) -> None:
    estimate = result["models"]["snn"]["energy"][FP32]
    estimate["reasons"] = {}
    assert "no reason recorded" in energy_table(result).notes


def test_seeds_are_listed_where_there_are_several(result, five_seeds) -> None:
    assert "accuracy by seed" not in results_table(result).header
    table = results_table(five_seeds)
    column = table.header.index("accuracy by seed")
    assert table.rows[0][column] == ", ".join(["0.900"] * 5)


def test_a_missing_interval_is_said(result) -> None:
    result["models"]["snn"]["accuracy_interval"] = None
    assert results_table(result).rows[0][2] == "n/a"
    assert next(csv.DictReader(io.StringIO(to_csv(result))))["accuracy_low"] == ""


def test_nominal_ratios_name_no_winner(result) -> None:
    rows = {row[:2]: row[2:] for row in ratio_table(result).rows}
    assert rows[(FP32, "dynamic")] == ("1.250",)
    assert rows[(FP32, "+ sensors")] == ("1.000",)
    assert rows[(LOIHI, "dynamic")] == ("n/a",)


def test_ranges_say_how_sure_a_ratio_is_and_why_there_is_none(result) -> None:
    ideal, none, loihi = ranges_table(result).rows
    assert ideal[2:4] == ("0.91 [0.63, 1.26]", "25%")
    assert ideal[5] == "1.50 (counted: 2.00)"
    assert none[5] == "always (counted: 2.00)"
    assert loihi[2] == "n/a"
    assert "event-driven layers only" in loihi[-1]
    result["energy_ranges"]["horowitz_45nm_fp32"]["ideal"]["break_even"] = None
    assert ranges_table(result).rows[0][5] == "n/a (no neuron fired)"
    del result["energy_ranges"]
    assert ranges_table(result).rows == ()


def test_no_ratio_without_the_twin(result) -> None:
    result["ratios"] = {}
    assert ratio_table(result).rows == ()


@pytest.mark.parametrize(
    ("value_pj", "text"),
    [
        (None, "n/a"),
        (0.0, "0.00 pJ"),
        (0.5, "0.500 pJ"),
        (999.4, "999 pJ"),
        (999.6, "1.00 nJ"),
        (1e3, "1.00 nJ"),
        (45e6, "45.0 uJ"),
        (513e6, "513 uJ"),
        (2.5e9, "2.50 mJ"),
        (1e12, "1.00 J"),
    ],
)
def test_units(value_pj, text) -> None:
    assert format_pj(value_pj) == text


def test_markdown_has_one_line_per_row_and_escapes() -> None:
    table = Table("T", ("a", "b"), (("x|y", "1\n2"),), ("why",))
    assert to_markdown(table) == (
        "**T**\n\n| a | b |\n| --- | ---: |\n| x\\|y | 1 2 |\n\n(1) why\n"
    )


def test_latex_escapes_its_own_signs() -> None:
    text = to_latex(Table("T", ("model", "share (%)"), (("a_b & c", "$5"),), ("50 % ~ #1",)))
    assert r"a\_b \& c & \$5 \\" in text
    assert r"share (\%)" in text
    assert r"\par (1) 50 \% \textasciitilde{} \#1" in text
    assert [text.count(rf"\{rule}rule") for rule in ("top", "mid", "bottom")] == [1, 1, 1]
    assert r"\begin{tabular}{lr}" in text
