"""An operator of a user's own module: built, trained, counted like ours."""

from pathlib import Path

import pytest
import torch

from spikefuse.cost import count
from spikefuse.encoders import EncoderSpec, ModalitySpec
from spikefuse.errors import ConfigError
from spikefuse.fusion import operator_class
from spikefuse.models import FusionSNN, ModelSpec
from spikefuse.spikes import SpikeBatch

SOURCE = '''
from spikefuse.fusion import ConcatFusion

class Louder(ConcatFusion):
    """`ConcatFusion` with another default."""

    def __init__(self, n_in, n_out, *, dt_ms=1.0, lif=None, loudness=5.0):
        super().__init__(n_in, n_out, dt_ms=dt_ms, lif=lif, gain=loudness)

class NoOperator: ...
'''


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "operators_of_a_test.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return "operators_of_a_test"


def spec_of(fusion: str, **options: float) -> ModelSpec:
    parts = tuple(ModalitySpec(m, (1, 4, 1), EncoderSpec(hidden=3)) for m in ("vision", "audio"))
    return ModelSpec(parts, 2, 5.0, fusion, 4, fusion_options=options)


def test_it_is_built_by_name_with_its_options_and_counted(module: str) -> None:
    torch.manual_seed(0)
    model = FusionSNN(spec_of(f"{module}:Louder", loudness=7.0))
    assert type(model.fusion).__name__ == "Louder"
    torch.manual_seed(0)
    ours = FusionSNN(spec_of("concat", gain=7.0))
    spikes = (torch.rand(6, 2, 4) < 0.5).float()
    inputs = {m: SpikeBatch.from_dense(spikes) for m in ("vision", "audio")}
    theirs, reference = count(model, inputs), count(ours, inputs)
    assert theirs.by_path == reference.by_path


def test_an_unknown_option_is_named(module: str) -> None:
    with pytest.raises(ConfigError, match="did you mean 'loudness'"):
        spec_of(f"{module}:Louder", loudnes=1.0)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("{module}:NoOperator", "must name a subclass of FusionOperator"),
        ("{module}:Missing", "must name something in 'operators_of_a_test', got 'Missing'"),
        ("no_such_module_here:X", "must name a Python module in"),
        ("concta", "did you mean 'concat'"),
    ],
)
def test_a_wrong_name_is_one_error(module: str, name: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        operator_class(name.format(module=module))
