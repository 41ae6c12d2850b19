"""``spikefuse fits`` on a finished run."""

import json
from pathlib import Path

import pytest

from experiments.commands.fits import fits_of
from spikefuse.cost.stored import stored_counts
from spikefuse.errors import ConfigError
from spikefuse.opcounts import OpCounts, PathCounts


@pytest.fixture
def run(tmp_path: Path) -> Path:
    paths = {
        "synapses": PathCounts(effective_acs=1, weight_words=200_000),
        "neurons": PathCounts(neuron_updates_active=300, state_reads=300, state_words=300),
    }
    counts = {"exact": stored_counts(OpCounts(paths, 1))}
    model = {"counts": counts, "energy": {"loihi1_davies2018": {}}}
    keys = ("name", "seeds", "data", "comparison", "ratios", "environment")
    result = {key: {} for key in keys} | {"schema": 1, "models": {"snn": model, "old": {}}}
    result["models"]["old"] = {"counts": {}, "energy": {}}
    (tmp_path / "result.json").write_text(json.dumps(result))
    return tmp_path


def test_weights_are_as_wide_as_the_chip_has_them(run: Path) -> None:
    (fit,) = fits_of(run, [], ["snn"], None)["snn"]
    assert fit.cores == {"neurons": 2}  # 200,000 bytes of 131,072 each
    (narrow,) = fits_of(run, [], ["snn"], 4)["snn"]
    assert narrow.cores == {"neurons": 1}
    (odin,) = fits_of(run, ["odin_affine"], ["snn"], None)["snn"]
    assert odin.fits is False
    assert odin.cores == {"neurons": 4}  # 100,000 bytes at its 4 bits, 32,768 each


def test_a_model_that_is_not_there_or_not_counted_is_named(run: Path) -> None:
    with pytest.raises(ConfigError, match=r"--model must be of \['snn', 'old'\], got 'dense'"):
        fits_of(run, [], ["dense"], None)
    with pytest.raises(ConfigError, match="RUN must hold the counts of old"):
        fits_of(run, [], ["old"], None)
