"""Configuration: recipes, overrides, round trip, errors that name the nearest key."""

from pathlib import Path

import pytest

from experiments.config import Config, load_config, recipe_names, to_toml
from experiments.run import claim_folder
from spikefuse.errors import ConfigError


@pytest.mark.parametrize("recipe", recipe_names())
def test_recipes_load_and_round_trip(recipe: str, tmp_path: Path) -> None:
    config = load_config(recipe)
    path = tmp_path / "config.toml"
    path.write_text(to_toml(config))
    assert load_config(str(path)) == config


def test_defaults_and_overrides() -> None:
    assert load_config(None) == Config()
    config = load_config(
        "demo",
        [
            "seeds=[3, 4]",
            "models=snn,dense",
            "train.learning_rate=0.5",
            "train.epochs=2",
            "train.batch_size=7",
            "data.root=some/where",
            "data.test_root=else",
            "model.lif.reset=zero",
            "model.lif.detach_reset=true",
            "model.vision.convs=[{channels=4, kernel=[3,3], stride=[1,1]}]",
        ],
    )
    assert config.seeds == (3, 4)
    assert config.models == ("snn", "dense")
    assert (config.train.learning_rate, config.train.epochs, config.train.batch_size) == (0.5, 2, 7)
    assert (config.data.root, config.data.test_root) == ("some/where", "else")
    assert config.model.lif.reset == "zero"
    assert config.model.lif.detach_reset
    assert config.model.vision.convs[0].channels == 4
    assert load_config(None, ["seeds=5"]).seeds == (5,)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.epoch=3", "unknown config key 'train.epoch'; nearest valid key: 'train.epochs'"),
        ("learning_rate=3", "nearest valid key: 'train.learning_rate'"),
        ("data.digits.snr=3", "nearest valid key: 'data.digits.snr_db'"),
        ("train.epochs=many", "train.epochs is wrong"),
        ("train.epochs=0", "train.epochs must be positive, got 0"),
        ("train=3", "train must be a table, got 3"),
        ("models=snm", "with vision, audio, got 'snm'"),
        ("seeds=[1, 1]", "seeds must be distinct"),
        ("data.fold=5", "data.fold must be 0 to 4, got 5"),
        ("cost.windows_ms=[900]", "cost.windows_ms must lie in"),
        ("epochs", "--set must be key=value, got 'epochs'"),
    ],
)
def test_wrong_keys_and_values(override: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config("demo", [override])
    assert message in str(caught.value)


def test_unknown_recipes_and_broken_files(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nearest recipe: nmnist_fsdd"):
        load_config("nmnist_fsd")
    path = tmp_path / "bad.toml"
    path.write_text("a = = 3")
    with pytest.raises(ConfigError, match="must be TOML"):
        load_config(str(path))


def test_a_run_begun_before_a_key_was_added_is_gone_on_with(tmp_path: Path) -> None:
    config = load_config("demo", ["seeds=[3]"])
    claim_folder(tmp_path / "run", config)
    saved = tmp_path / "run" / "config.toml"
    older = [line for line in saved.read_text().splitlines() if not line.startswith("cutoff_hz")]
    saved.write_text("\n".join(older))
    claim_folder(tmp_path / "run", config)
    with pytest.raises(ConfigError, match=r"another config\.toml"):
        claim_folder(tmp_path / "run", load_config("demo", ["seeds=[4]"]))
