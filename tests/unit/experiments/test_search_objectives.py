"""What a search judges by: the figures of a run, had it tested on its validation pairs."""

import re
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
import tiny_run

from experiments.config import load_config
from experiments.evaluation.evaluate import describe_energy, evaluate
from experiments.loading.data import PairedData, load_data
from experiments.sweeps.objectives import describe_validation
from experiments.sweeps.space import Choice, parse_space, settings_of
from experiments.training.checkpoints import CheckpointFolder
from experiments.training.loop import train_model

PAGE = Path(__file__).parents[3] / "docs" / "sweeps.md"
PROFILES = ("horowitz_45nm_fp32", "horowitz_45nm_int8")
CONFIG = tiny_run.tiny("train.epochs=2", "models=snn", f"cost.profiles={','.join(PROFILES)}")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> PairedData:
    return load_data(CONFIG.data, cache_dir=tmp_path_factory.mktemp("cache"))


@pytest.mark.parametrize("profile", PROFILES)
def test_they_are_those_of_a_test_on_the_validation_pairs(
    data: PairedData, tmp_path: Path, profile: str
) -> None:
    learner = tiny_run.learner_of(CONFIG, data)
    kept = CheckpointFolder(tmp_path / "checkpoints" / "snn-seed0")
    train_model(learner, data, CONFIG, 0, kept, lambda _: None)
    kept.load_best(learner.model)
    untested = replace(
        data,
        splits={k: v for k, v in data.splits.items() if k != "test"},
        fixed_pairs={k: v for k, v in data.fixed_pairs.items() if k != "test"},
    )
    found = describe_validation(tmp_path, CONFIG, untested, "snn", profile)

    exchanged = replace(
        data,
        splits=data.splits | {"test": data.splits["validation"]},
        fixed_pairs=data.fixed_pairs | {"test": data.fixed_pairs["validation"]},
    )
    tested = evaluate(learner, exchanged, CONFIG)
    energy = describe_energy(learner, tested, CONFIG)[profile]
    assert found["energy_pj"] == pytest.approx(energy["dynamic_pj"], rel=1e-12)
    if profile == PROFILES[0]:
        assert found["accuracy"] == tested.accuracy
        best = kept.load_progress()
        assert found["accuracy"] == best.history[best.best_epoch - 1]["val_accuracy"]
    else:
        answers = tested.by_precision["int8"].predictions
        assert answers is not None
        assert found["accuracy"] == float((answers == tested.labels).mean())
    assert tested.times_ms[0] <= found["latency_ms"] <= tested.times_ms[-1]
    assert found["split"] == "validation"


def test_the_space_on_the_page_fits_the_demo() -> None:
    (text,) = re.findall(r"```toml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    space = parse_space(tomllib.loads(text))
    assert space.axes["model.fusion_hidden"].whole
    for key, axis in space.axes.items():
        for end in axis.texts if isinstance(axis, Choice) else (axis.low, axis.high):
            load_config("demo", settings_of({key: end}))
