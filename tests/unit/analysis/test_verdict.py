"""Sentences claim no more than the run holds."""

import csv

import numpy as np
import pytest

from analysis.answers import accuracy_difference
from analysis.records import load_run
from analysis.verdict import sentences
from experiments.evaluation.results import none_above_chance
from spikefuse.errors import DataError


def said(folder) -> str:
    return "\n".join(sentences(load_run(folder)))


def test_few_seeds_give_no_verdict(result, write) -> None:
    assert said(write(result)).startswith("No verdict: it needs 5 seeds, this run has 1.")


def test_five_seeds_need_no_such_line(five_seeds, write) -> None:
    text = said(write(five_seeds))
    assert "No verdict" not in text
    assert "mean of 5 seeds" in text


def test_a_ratio_names_what_it_rests_on(result, write) -> None:
    text = said(write(result))
    line = next(line for line in text.splitlines() if "dense / SNN = 0.909" in line)
    for part in ("horowitz_45nm_fp32", "modelled", "reuse ideal", "window 200 ms", "1 seed"):
        assert part in line
    assert "accuracy SNN 0.900, dense twin 0.920 (fp32; difference -2.5 points, 95 %" in line
    assert "dense / SNN = 0.909 [0.63, 1.26], the SNN needs less in 25% of draws" in line
    assert "5 to 95 % of 100 draws" in line
    assert (
        "loihi1_davies2018, dense weight reuse any, window 200 ms, 1 seed: no energy ratio" in text
    )


def test_figures_of_few_seeds_name_no_winner(result, write) -> None:
    text = said(write(result))
    assert "the SNN needs less in" in text
    assert ": the SNN needs less" not in text
    assert ": the dense twin needs less" not in text


def test_the_dense_twin_wins_aloud(result, write) -> None:
    result["models"]["dense"]["accuracy"] = 1.0
    result["models"]["snn"]["accuracy"] = 0.5
    text = said(write(result))
    assert "The dense twin is ahead on this test set." in text
    assert "the dense twin is sooner" in text


def test_an_interval_around_zero_tells_nobody_apart(result, write) -> None:
    text = said(write(result))
    assert "The dense twin scores higher here, but the interval includes 0" in text


@pytest.mark.parametrize(
    ("snn", "dense", "sentence"),
    [
        (1.0, 0.5, "The SNN is ahead on this test set."),
        (0.925, 0.9, "The SNN scores higher here, but the interval includes 0"),
        (0.9, 0.9, "Both score the same; the interval includes 0"),
    ],
)
def test_the_interval_decides(result, write, snn, dense, sentence) -> None:
    result["models"]["snn"]["accuracy"] = snn
    result["models"]["dense"]["accuracy"] = dense
    assert sentence in said(write(result))


def test_differences_are_paired_by_sample(result, write) -> None:
    run = load_run(write(result))
    found = accuracy_difference(run, "snn", "dense")
    assert found is not None
    difference, (low, high) = found
    assert difference == pytest.approx(-1 / 40)  # 4 wrong against 3 wrong of 40
    assert low <= difference <= high <= 0.0


def test_lines_in_another_order_make_no_difference(result, write) -> None:
    folder = write(result)
    before = accuracy_difference(load_run(folder), "snn", "snn_audio")
    path = folder / "predictions.csv"
    header, *lines = path.read_text().splitlines()
    order = np.random.default_rng(1).permutation(len(lines))
    path.write_text("\n".join([header, *(lines[i] for i in order)]) + "\n")
    assert accuracy_difference(load_run(folder), "snn", "snn_audio") == before


def test_other_samples_are_refused(result, write) -> None:
    folder = write(result)
    path = folder / "predictions.csv"
    rows = list(csv.reader(path.read_text().splitlines()))
    kept = [row for row in rows if not (row[0] == "dense" and row[2] == "7")]
    path.write_text("\n".join(",".join(row) for row in kept) + "\n")
    with pytest.raises(DataError, match="same samples, got 40 and 39"):
        accuracy_difference(load_run(folder), "snn", "dense")


def test_without_predictions_there_is_no_interval(result, write) -> None:
    folder = write(result)
    (folder / "predictions.csv").unlink()
    assert accuracy_difference(load_run(folder), "snn", "dense") is None
    assert "the run holds no predictions" in said(folder)


def test_one_speaker_is_said(result, write) -> None:
    folder = write(result)
    path = folder / "predictions.csv"
    text = path.read_text()
    for i in range(4):
        text = text.replace(f"speaker{i}", "theo")
    path.write_text(text)
    assert "one test speaker" in said(folder)


def test_without_the_twin_nothing_is_compared(result, write) -> None:
    del result["models"]["dense"]
    result["ratios"], result["comparison"] = {}, {}
    assert "No comparison: this run holds no dense twin." in said(write(result))


def test_guesses_are_not_compared(result, write) -> None:
    result["comparison"]["at_equal_accuracy"] = none_above_chance(["snn", "dense"], 0.5)
    text = said(write(result))
    assert "No comparison at equal accuracy: the SNN and the dense twin may be at chance" in text
    assert "is sooner" not in text


def test_an_accuracy_never_reached(result, write) -> None:
    result["comparison"]["at_equal_accuracy"]["snn_ms"] = None
    text = said(write(result))
    assert "reached by the SNN never and by the dense twin after 190 ms" in text
    assert "is sooner" not in text
