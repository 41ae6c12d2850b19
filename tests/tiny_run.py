"""The embedded default at the size of a test."""

from experiments.config import Config, load_config
from experiments.loading.data import PairedData
from experiments.training.learners import Learner, build_learner

TINY = (
    "data.digits.n_train=40",
    "data.digits.n_validation=20",
    "data.digits.n_test=20",
    "model.vision.convs=[]",
    "model.vision.hidden=10",
    "model.audio.hidden=10",
    "model.fusion_hidden=10",
    "data.dt_ms=40.0",
    "train.threads=1",
)


def tiny(*more: str) -> Config:
    """The recipe ``demo`` made small, with further overrides."""
    return load_config("demo", [*TINY, *more])


def learner_of(config: Config, data: PairedData, name: str = "snn") -> Learner:
    """An untrained model, seed 0."""
    return build_learner(name, config, data.sensor_sizes, 0, len(data.classes))
