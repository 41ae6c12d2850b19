"""spikefuse compare on hand-made runs: options, groups, what is written and what is refused."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from unit.analysis.conftest import make_result, write_run

from analysis.pooled import runs_by_recipe
from analysis.records import load_run
from experiments.config import load_config, to_toml
from experiments.evaluation.compare import compare_runs
from spikefuse.cost.stored import stored_counts
from spikefuse.errors import ConfigError
from spikefuse.opcounts import OpCounts, PathCounts

FP32, INT8 = "horowitz_45nm_fp32", "horowitz_45nm_int8"
NEURONS = PathCounts(
    neuron_updates_active=40,
    neuron_updates_idle=160,
    spikes_fired=50,
    state_reads=200,
    state_writes=200,
    state_words=20,
)
COUNTS = {
    "snn": {
        "encoders.vision.synapses.0": PathCounts(effective_acs=3000, spikes_routed=30),
        "encoders.vision.neurons.0": NEURONS,
    },
    "dense": {"encoders.vision.0": PathCounts(effective_macs=9000, kind="dense")},
}


@pytest.fixture
def console() -> Console:
    return Console(record=True, width=200)


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Path]:
    """Writes a run: its name, seeds, accuracy of the SNN, and overrides of the configuration."""

    def make(name: str, n_seeds: int = 5, snn: float = 0.9, *overrides: str) -> Path:
        result = copy.deepcopy(make_result(n_seeds))
        result["name"] = name
        result["models"]["snn"]["accuracy"] = snn
        for model in result["models"]:
            paths = COUNTS["dense" if model == "dense" else "snn"]
            result["models"][model]["counts"]["exact"] = stored_counts(OpCounts(paths, 1))
        folder = write_run(tmp_path / name, result)
        config = load_config("demo", [f"name={name}", *overrides])
        (folder / "config.toml").write_text(to_toml(config))
        return folder

    return make


def test_one_run_has_findings_verdicts_and_fronts(run: Any, console: Console) -> None:
    found = compare_runs([run("a")], console)
    assert len(found["findings"]) == len(found["verdicts"]) == 3
    assert set(found["fronts"]) == {FP32, "loihi1_davies2018"}
    assert json.loads(json.dumps(found))["models"]["snn"]["accuracy"] == 0.9
    text = console.export_text()
    assert "median [5 to 95 %] of draws of the constants" in text
    assert "neither front dominates the other" in text


def test_fewer_seeds_give_the_table_without_a_verdict(run: Any, console: Console) -> None:
    found = compare_runs([run("a", 1)], console)
    assert found["verdicts"] == []
    assert len(found["findings"]) == 3
    assert "No verdict: it needs 5 seeds, this run has 1" in console.export_text()


def test_another_profile_is_priced_from_stored_counts(run: Any, console: Console) -> None:
    found = compare_runs([run("a")], console, profiles=[INT8], reuse="none")
    assert list(found["models"]["snn"]["energy"]) == [INT8]
    (finding,) = found["findings"]
    assert (finding["profile"], finding["reuse"]) == (INT8, "none")
    # 9000 MACs of 0.3 pJ against 3000 adds of 0.1 pJ and 200 updates: 3.1 + 0.2 pJ, 2 words each.
    words = 2 * 200 * 10 * 32 / 64
    snn_pj = 3000 * 0.1 + 200 * 3.3 + words
    assert finding["totals"]["dynamic"]["nominal"] == pytest.approx(9000 * 0.3 / snn_pj)


def test_another_profile_takes_the_counts_of_its_precision(run: Any, console: Console) -> None:
    folder = run("a")
    result = json.loads((folder / "result.json").read_text())
    for name, model in result["models"].items():
        stored = copy.deepcopy(model["counts"]["exact"])
        for path in stored["paths"].values():
            for field in ("effective_acs", "effective_macs", "weight_reads"):
                path[field] = 2 * path.get(field, 0)
        model["counts"]["exact_at"] = {"int8": stored}
        model["accuracy_by_precision"] = {"int8": {"accuracy": 0.5 if name == "snn" else 0.6}}
    (folder / "result.json").write_text(json.dumps(result))
    snn = compare_runs([folder], console, profiles=[INT8])["models"]["snn"]["energy"][INT8]
    words = 2 * 200 * 10 * 32 / 64
    assert snn["dynamic_pj"] == pytest.approx(6000 * 0.1 + 200 * 3.3 + words)
    assert (snn["precision"], snn["accuracy"]) == ("int8", 0.5)
    assert not any("float model" in line for line in snn["assumptions"])


def test_a_run_without_counts_cannot_be_priced_anew(run: Any, console: Console) -> None:
    folder = run("a")
    result = json.loads((folder / "result.json").read_text())
    for model in result["models"].values():
        model["counts"].pop("exact", None)
    (folder / "result.json").write_text(json.dumps(result))
    with pytest.raises(ConfigError, match="--profile must be one of the run's, got"):
        compare_runs([folder], console, profiles=[INT8])


def test_an_accuracy_may_be_asked_for(run: Any, console: Console) -> None:
    found = compare_runs([run("a")], console, profiles=[FP32], at_accuracy=0.91)
    assert found["fronts"][FP32]["at_accuracy"]["snn"]["energy_pj"] is None
    assert "not reached" in console.export_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [({"reuse": "some"}, "--reuse must be one of"), ({"at_accuracy": 1.5}, "--at-accuracy must")],
)
def test_options_are_checked(
    run: Any, console: Console, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        compare_runs([run("a")], console, **options)


def test_folds_are_one_recipe_and_sizes_are_not(run: Any) -> None:
    paths = [
        run("fold-0"),
        run("fold-1", 5, 0.9, "data.fold=1", "data.test_speaker=b"),
        run("small", 5, 0.9, "model.fusion_hidden=12"),
    ]
    groups = runs_by_recipe([load_run(path) for path in paths])
    assert [[r.path.name for r in group] for group in groups] == [["fold-0", "fold-1"], ["small"]]


def test_folds_are_pooled_with_a_verdict_of_their_own(run: Any, console: Console) -> None:
    found = compare_runs([run("a"), run("b", 5, 0.85, "data.fold=1")], console)
    assert found["pooled"]["n_samples"] == 80
    finding = found["findings"][0]
    assert finding["accuracy"]["snn"] == pytest.approx(0.875)
    assert finding["difference"] == pytest.approx(0.875 - 0.925)
    assert finding["totals"]["dynamic"]["median"] is not None
    assert [v["profile"] for v in found["verdicts"]] == [f["profile"] for f in found["findings"]]


def test_sizes_give_one_front(run: Any, console: Console) -> None:
    small = run("small", 5, 0.7, "model.fusion_hidden=12")
    result = json.loads((small / "result.json").read_text())
    result["models"]["snn"]["energy"][FP32]["dynamic_pj"] = 1.0e6
    (small / "result.json").write_text(json.dumps(result))
    found = compare_runs([small, run("large")], console)
    assert [len(group["findings"]) for group in found["groups"]] == [3, 3]
    sources = [p["source"] for p in found["fronts"][FP32]["models"]["snn"]["points"]]
    assert sources == ["small: whole window", "large: whole window"]
