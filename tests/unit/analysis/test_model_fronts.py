"""Fronts of hand-made runs: points over time, what is not reached, dominance and its draws."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis.model_fronts import blocks_of, describe_front
from analysis.records import RunRecord, load_run

Write = Callable[[dict[str, Any]], Path]
FP32, LOIHI = "horowitz_45nm_fp32", "loihi1_davies2018"
SNN_TIMES, DENSE_TIMES = [20.0, 40.0, 100.0, 200.0], [100.0, 200.0]


def over_time(result: dict[str, Any], snn_pj: list[float], dense_pj: list[float]) -> dict[str, Any]:
    """The result with energies over time and round accuracies."""
    changed = copy.deepcopy(result)
    for name, accuracies, energies in (
        ("snn", [0.3, 0.5, 0.7, 0.9], snn_pj),
        ("dense", [0.6, 0.8], dense_pj),
    ):
        curve = changed["models"][name]["anytime"]
        curve["accuracy"] = accuracies
        curve["energy"] = {FP32: {"dynamic_pj": energies, "with_sensors_pj": energies}}
    return changed


def with_answers(folder: Path, result: dict[str, Any], rng_seed: int = 0) -> RunRecord:
    """Answers whose shares are the accuracies over time, wrong ones at random places."""
    rng = np.random.default_rng(rng_seed)
    n = result["data"]["n_test"]
    labels = np.arange(n) % 3
    arrays: dict[str, Any] = {}
    for name in ("snn", "dense"):
        curve = result["models"][name]["anytime"]
        arrays[f"{name}.times_ms"] = np.asarray(curve["time_ms"])
        order = rng.permutation(n)
        for seed in result["seeds"]:
            answers = np.tile(labels, (len(curve["time_ms"]), 1))
            for row, accuracy in zip(answers, curve["accuracy"], strict=True):
                wrong = order[: round(n * (1 - accuracy))]
                row[wrong] = (row[wrong] + 1) % 3
            arrays[f"{name}.seed{seed}"] = answers.astype(np.int16)
    np.savez(folder / "answers.npz", **arrays)
    return load_run(folder)


def test_answers_over_time_are_points(result: dict[str, Any], write: Write) -> None:
    changed = over_time(result, [1.0, 2.0, 3.0, 4.0], [10.0, 20.0])
    run = with_answers(write(changed), changed)
    (block,) = blocks_of(run, "snn", FP32)
    assert [p.energy_pj for p in block.points] == [1.0, 2.0, 3.0, 4.0]
    assert [p.latency_ms for p in block.points] == SNN_TIMES
    assert block.points[1].source == "tiny: after 40 ms"
    assert block.right is not None
    assert block.right.shape == (1, 4, 40)
    assert block.right.mean(axis=(0, 2)) == pytest.approx([0.3, 0.5, 0.7, 0.9])


def test_without_energies_over_time_the_whole_window_is_the_point(
    result: dict[str, Any], write: Write
) -> None:
    (block,) = blocks_of(load_run(write(result)), "snn", FP32)
    (point,) = block.points
    assert (point.accuracy, point.energy_pj, point.latency_ms) == (0.9, 2.0e6, 200.0)
    assert point.source == "tiny: whole window"
    assert block.right is None


def test_exits_are_points_too(result: dict[str, Any], write: Write) -> None:
    changed = over_time(result, [1.0, 2.0, 3.0, 4.0], [10.0, 20.0])
    changed["models"]["snn"]["exit"] = {
        "thetas": [0.9],
        "accuracy": [0.88],
        "mean_ms": [70.0],
        "energy": {FP32: {"dynamic_pj": [2.5]}},
    }
    found = describe_front([[load_run(write(changed))]], FP32)
    sources = [p["source"] for p in found["models"]["snn"]["points"]]
    assert "tiny: exit at 0.9" in sources
    assert "tiny: after 100 ms" not in sources  # 0.7 at 3 pJ: the exit has more for less


def test_costs_at_the_lower_best_accuracy(result: dict[str, Any], write: Write) -> None:
    changed = over_time(result, [1.0, 2.0, 3.0, 4.0], [10.0, 20.0])
    found = describe_front([[load_run(write(changed))]], FP32)
    assert found["accuracy"] == 0.8
    assert found["at_accuracy"]["snn"] == {
        "energy_pj": pytest.approx(3.5),
        "latency_ms": pytest.approx(150.0),
    }
    assert found["at_accuracy"]["dense"] == {"energy_pj": 20.0, "latency_ms": 200.0}
    assert found["ratio"]["value"] == pytest.approx(20 / 3.5)
    assert "not in these runs" in found["ratio"]["reason"]


def test_what_is_not_reached_is_none(result: dict[str, Any], write: Write) -> None:
    changed = over_time(result, [1.0, 2.0, 3.0, 4.0], [10.0, 20.0])
    found = describe_front([[load_run(write(changed))]], FP32, accuracy=0.85)
    assert found["at_accuracy"]["dense"] == {"energy_pj": None, "latency_ms": None}
    assert found["ratio"]["value"] is None


def test_dominance_and_its_share_of_draws(result: dict[str, Any], write: Write) -> None:
    changed = over_time(result, [1.0, 2.0, 3.0, 4.0], [10.0, 20.0])
    found = describe_front([[with_answers(write(changed), changed)]], FP32)
    # 0.7 at 3 pJ and 100 ms, 0.9 at 4 pJ and 200 ms against 0.6 at 10 and 0.8 at 20.
    assert found["dominance"]["now"] == "snn"
    shares = [found["dominance"][f"share_{name}"] for name in ("snn", "dense", "none")]
    assert sum(shares) == pytest.approx(1)
    assert shares[0] > 0.5
    assert shares[1] == 0
    ratio = found["ratio"]
    low, high = ratio["interval"]
    assert low <= ratio["value"] <= high
    assert 0 < ratio["share_reached"] < 1


def test_a_dear_front_does_not_dominate(result: dict[str, Any], write: Write) -> None:
    changed = over_time(result, [50.0, 60.0, 70.0, 80.0], [10.0, 20.0])
    found = describe_front([[with_answers(write(changed), changed)]], FP32)
    assert found["dominance"]["now"] == "none"  # dearer, and better in the end


def test_sizes_of_a_model_make_one_front(
    result: dict[str, Any], write: Write, tmp_path: Path
) -> None:
    small = copy.deepcopy(result)
    small["name"] = "small"
    small["models"]["snn"]["accuracy"] = 0.7
    small["models"]["snn"]["energy"][FP32]["dynamic_pj"] = 1.0e6
    records = []
    for name, content in (("small", small), ("tiny", result)):
        records.append(load_run(write(content).rename(tmp_path / name)))
    found = describe_front([[record] for record in records], FP32, accuracy=0.8)
    assert [p["source"] for p in found["models"]["snn"]["points"]] == [
        "small: whole window",
        "tiny: whole window",
    ]
    assert found["at_accuracy"]["snn"]["energy_pj"] == pytest.approx(1.5e6)


def test_models_without_a_price_stay_out(result: dict[str, Any], write: Write) -> None:
    found = describe_front([[load_run(write(result))]], LOIHI)
    assert "dense" not in found["models"]
    assert "dominance" not in found


def test_folds_are_pooled_point_by_point(
    result: dict[str, Any], write: Write, tmp_path: Path
) -> None:
    folds = []
    for name, last in (("a", 4.0), ("b", 6.0)):
        changed = over_time(result, [1.0, 2.0, 3.0, last], [10.0, 20.0])
        folds.append(with_answers(write(changed).rename(tmp_path / name), changed))
    found = describe_front([folds], FP32, accuracy=0.9)
    assert found["at_accuracy"]["snn"]["energy_pj"] == pytest.approx(5.0)
    assert found["models"]["snn"]["points"][-1]["source"] == "tiny: after 200 ms, 2 folds"
    assert "n_draws" in found["dominance"]
