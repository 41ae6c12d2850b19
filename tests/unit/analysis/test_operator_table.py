"""The table of operators from small run directories, by hand."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis.operator_table import (
    BOUND,
    POOL,
    REFERENCES,
    Row,
    chosen_on_validation,
    operator_rows,
)
from analysis.records import RunRecord, load_run
from spikefuse.errors import DataError

SEEDS = (0, 1)


def prepared(result: dict[str, Any], keep: dict[str, float], seed: int) -> dict[str, Any]:
    """A result of one seed that holds the models of ``keep`` at these accuracies."""
    result = {**result, "seeds": [seed], "models": {m: result["models"][m] for m in keep}}
    for name, accuracy in keep.items():
        entry = result["models"][name] = {**result["models"][name]}
        entry.update(accuracy=accuracy, accuracy_by_seed=[accuracy], val_accuracy=accuracy - 0.01)
        fp32 = entry["energy"]["horowitz_45nm_fp32"]
        entry["energy"] = {**entry["energy"], "horowitz_45nm_int8": {**fp32, "dynamic_pj": 7.0}}
        paths = {"fusion": 100.0, "frontend.audio.cochlea": 900.0}
        entry["counts"] = {
            "total": {},
            "by_path": {p: {"effective_acs": n, "effective_macs": 1.0} for p, n in paths.items()},
        }
    if "snn_vision" in keep:
        # Vision is trusted more, so it decides where the two are of different opinion.
        vision = result["models"]["snn_vision"]
        vision["calibration"] = {**vision["calibration"], "temperature_by_seed": [1.0]}
    return result


@pytest.fixture
def cells(result, write: Callable[[dict[str, Any]], Path], tmp_path: Path):
    """Two cells of two operators; "good" has two more right than the pool, "bad" twenty less."""

    def record(accuracies: dict[str, float], seed: int, name: str) -> RunRecord:
        folder = write(prepared(result, accuracies, seed))
        return load_run(folder.rename(tmp_path / f"{name}{seed}"))

    alone = {"snn_vision": 0.8, "snn_audio": 0.75, "dense": 0.9}
    return [
        {
            "good": record({"snn": 0.85}, seed, "good"),
            "bad": record({"snn": 0.3}, seed, "bad"),
            REFERENCES: record(alone, seed, "references"),
        }
        for seed in SEEDS
    ]


def by_name(rows: list[Row]) -> dict[str, Row]:
    return {row.name: row for row in rows}


def test_rows_are_operators_references_pool_and_bound(cells) -> None:
    rows = operator_rows(cells, [30.0, 50.0])
    names = ["good", "bad", "SNN vision only", "SNN audio only", "dense twin", POOL, BOUND]
    assert [row.name for row in rows] == names
    found = by_name(rows)
    assert found["good"].accuracy == pytest.approx(0.85)
    assert found["good"].by_cell == (0.85, 0.85)
    assert found["good"].operations == 101
    assert found["dense twin"].dynamic_pj == {
        "horowitz_45nm_fp32": 2.5e6,
        "horowitz_45nm_int8": 7.0,
        "loihi1_davies2018": None,
    }
    assert found["dense twin"].difference == pytest.approx(0.1)
    assert found["dense twin"].comparison is None


def test_the_pool_is_vision_where_vision_is_surer_and_costs_both(cells) -> None:
    pool = by_name(operator_rows(cells, [30.0, 50.0]))[POOL]
    assert pool.accuracy == pytest.approx(0.8)
    assert pool.operations == 202
    assert pool.params == 2 * 12345
    assert pool.latency_ms == 40
    assert pool.dynamic_pj is not None
    assert pool.dynamic_pj["horowitz_45nm_fp32"] == pytest.approx(2.0e6)
    assert by_name(operator_rows(cells))[POOL].latency_ms is None


def test_operators_are_judged_against_the_pool(cells) -> None:
    found = by_name(operator_rows(cells))
    assert found["good"].difference == pytest.approx(0.05)
    assert found["good"].comparison is not None
    assert found["good"].comparison.verdict == "non-inferior"
    assert found["bad"].comparison is not None
    assert found["bad"].comparison.verdict == "inferior"
    assert chosen_on_validation(list(found.values())).name == "good"


def test_the_bound_pairs_every_recording_of_a_class(cells) -> None:
    run = cells[0][REFERENCES]
    labels = run.scores["test.labels"]
    vision, audio = (run.scores[f"test.snn_{m}.seed0"].astype(float) for m in ("vision", "audio"))
    right = [
        np.argmax(vision[i] + audio[j] / 1.5) == labels[i]
        for i in range(len(labels))
        for j in range(len(labels))
        if labels[i] == labels[j]
    ]
    bound = by_name(operator_rows(cells))[BOUND]
    assert len(right) == 14**2 + 2 * 13**2
    assert bound.accuracy == pytest.approx(np.mean(right))
    assert bound.interval[0] < bound.accuracy < bound.interval[1]
    assert bound.operations is None


def test_cells_must_hold_the_same_runs(cells) -> None:
    with pytest.raises(DataError, match="cells must hold the same runs"):
        operator_rows([cells[0], {REFERENCES: cells[1][REFERENCES]}])
