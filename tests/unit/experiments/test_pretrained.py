"""Encoders that another run trained: found, checked, put in, and kept as they are."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from experiments.config import Config, load_config, to_toml
from experiments.training.learners import build_learner
from spikefuse.errors import ConfigError
from spikefuse.models import FusionSNN

SIZES = {"vision": (6, 6, 2), "audio": (9, 1, 1)}
SMALL = ("model.vision.hidden=7", "model.audio.hidden=5", "model.fusion_hidden=6")


def config_of(*overrides: str) -> Config:
    return load_config(None, [*SMALL, *overrides])


def model_of(name: str, config: Config, seed: int = 0) -> FusionSNN:
    model = build_learner(name, config, SIZES, seed).model
    assert isinstance(model, FusionSNN)
    return model


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run directory with unimodal vision of seeds 0 and 1, and a fused model of seed 0."""
    (tmp_path / "config.toml").write_text(to_toml(config_of()))
    for name, seed in (("snn_vision", 0), ("snn_vision", 1), ("snn", 0)):
        folder = tmp_path / "checkpoints" / f"{name}-seed{seed}"
        folder.mkdir(parents=True)
        torch.manual_seed(100 + seed + len(name))
        model = FusionSNN(model_of(name, config_of()).spec)
        save_file(model.state_dict(), folder / "best-0003.safetensors")
    return tmp_path


def stored(run: Path, name: str, modality: str) -> torch.Tensor:
    weights = load_file(run / "checkpoints" / name / "best-0003.safetensors")
    return weights[f"encoders.{modality}.synapses.0.weight"]


def first(model: FusionSNN, modality: str) -> torch.Tensor:
    return model.state_dict()[f"encoders.{modality}.synapses.0.weight"]


def test_the_unimodal_model_of_the_seed_is_taken_then_the_fused_one(run: Path) -> None:
    config = config_of(f"model.vision.pretrained={run}", f"model.audio.pretrained={run}")
    for seed in (0, 1):
        vision = model_of("snn_vision", config, seed)
        assert torch.equal(first(vision, "vision"), stored(run, f"snn_vision-seed{seed}", "vision"))
    fused = model_of("snn", config)
    assert torch.equal(first(fused, "vision"), stored(run, "snn_vision-seed0", "vision"))
    assert torch.equal(first(fused, "audio"), stored(run, "snn-seed0", "audio"))
    fresh = model_of("snn", config_of())
    key = "fusion.fusion_synapses.vision.weight"
    assert torch.equal(fused.state_dict()[key], fresh.state_dict()[key])
    assert not torch.equal(first(fused, "vision"), first(fresh, "vision"))


def test_a_checkpoint_folder_serves_every_seed(run: Path) -> None:
    folder = run / "checkpoints" / "snn_vision-seed1"
    model = model_of("snn", config_of(f"model.vision.pretrained={folder}"), seed=5)
    assert torch.equal(first(model, "vision"), stored(run, "snn_vision-seed1", "vision"))


def test_a_frozen_encoder_is_not_trained(run: Path) -> None:
    config = config_of(f"model.vision.pretrained={run}", "model.vision.frozen=true")
    learner = build_learner("snn", config, SIZES, 0)
    model = learner.model.train()
    before = {k: v.clone() for k, v in model.encoders.state_dict().items()}
    optimiser = torch.optim.AdamW(model.parameters(), 0.1, weight_decay=0.1)
    x = {m: (torch.rand(8, 2, n) < 0.4).float() for m, n in (("vision", 72), ("audio", 9))}
    model(x).scores.square().sum().backward()
    optimiser.step()
    for key, value in model.encoders.state_dict().items():
        assert torch.equal(value, before[key]) == key.startswith("vision"), key
    assert not model.encoders["vision"].training
    assert model.encoders["audio"].training


def test_what_does_not_fit_is_refused_by_its_key(run: Path) -> None:
    def build(*overrides: str, seed: int = 0) -> None:
        model_of("snn", config_of(*overrides), seed)

    named = f"model.vision.pretrained={run}"
    with pytest.raises(ConfigError, match=r"model\.vision\.pretrained must be a run directory"):
        build(f"model.vision.pretrained={run / 'nowhere'}")
    with pytest.raises(ConfigError, match="checkpoints/snn_audio-seed1 or snn-seed1"):
        build(f"model.audio.pretrained={run}", seed=1)
    with pytest.raises(ConfigError, match=r"a run with data\.dt_ms=5, got 10"):
        build(named, "data.dt_ms=5")
    with pytest.raises(ConfigError, match=r"the same model\.lif"):
        build(named, "model.lif.tau_mem_ms=7")
    with pytest.raises(ConfigError, match=r"with the same encoder of vision, .*synapses"):
        build(named, "model.vision.hidden=8")
    with pytest.raises(ConfigError, match="a run with an encoder of audio, got"):
        build(f"model.audio.pretrained={run / 'checkpoints' / 'snn_vision-seed0'}")


def test_the_keys_survive_the_run_directory() -> None:
    config = config_of("model.audio.pretrained=elsewhere", "model.audio.frozen=true")
    assert config.model.audio.frozen
    assert config.model.audio.pretrained == "elsewhere"
    assert 'pretrained = "elsewhere"' in to_toml(config)
