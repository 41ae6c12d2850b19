"""The dense twin that a configuration asks for."""

import pytest

from experiments.config import load_config
from experiments.training.learners import build_learner
from spikefuse.baselines import DenseFusion
from spikefuse.errors import ConfigError

SIZES = {"vision": (8, 8, 2), "audio": (9, 1, 1)}


@pytest.mark.parametrize(
    ("settings", "operator"),
    [
        (["model.fusion=concat"], "concat"),
        (["model.fusion=energy_gate"], "gated"),
        (["model.fusion=qk_attention", "model.dense_fusion=gru"], "gru"),
    ],
)
def test_the_twin_follows_the_operator_unless_one_is_named(
    settings: list[str], operator: str
) -> None:
    model = build_learner("dense", load_config(None, settings), SIZES, 0).model
    assert isinstance(model, DenseFusion)
    assert model.fusion_name == operator


def test_options_and_wrong_names() -> None:
    config = load_config(None, ["model.dense_fusion=gru", "model.dense_options={width = 7}"])
    model = build_learner("dense", config, SIZES, 0).model
    assert model.fusion.width == 7
    with pytest.raises(ConfigError, match="must be one of"):
        build_learner("dense", load_config(None, ["model.dense_fusion=grus"]), SIZES, 0)
