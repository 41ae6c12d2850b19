"""Every operator inside a whole model, by its name in the spec alone."""

import pytest
import torch
from torch import Tensor

from spikefuse.cost import count
from spikefuse.encoders import EncoderSpec, ModalitySpec
from spikefuse.fusion import OPERATORS
from spikefuse.kernels.registry import use_backend
from spikefuse.models import FusionSNN, ModelSpec, running_mean
from spikefuse.spikes import SpikeBatch

SIZES = {"vision": 50, "audio": 30, "tactile": 16}


def model_of(name: str, modalities: int = 3, **options) -> FusionSNN:
    torch.manual_seed(2)
    parts = tuple(
        ModalitySpec(m, (n, 1, 1), EncoderSpec((), 24, dropout=0.0))
        for m, n in list(SIZES.items())[:modalities]
    )
    return FusionSNN(ModelSpec(parts, 4, 5.0, name, 20, fusion_options=options)).eval()


def inputs(modalities: int = 3) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(6)
    return {
        m: (torch.rand(20, 3, n, generator=generator) < 0.2).float()
        for m, n in list(SIZES.items())[:modalities]
    }


@pytest.mark.parametrize("modalities", [2, 3])
@pytest.mark.parametrize("name", list(OPERATORS))
def test_a_modality_more_is_a_line_of_the_spec(name: str, modalities: int) -> None:
    model, x = model_of(name, modalities), inputs(modalities)
    with torch.no_grad(), use_backend("numba"):
        expected = model(x)
        found = model.infer({m: SpikeBatch.from_dense(part) for m, part in x.items()})
    assert expected.scores.shape == (20, 3, 4)
    assert torch.equal(found.hidden.to_dense(), expected.hidden)
    torch.testing.assert_close(found.scores, expected.scores, rtol=1e-4, atol=1e-5)
    if modalities == 3:
        x["tactile"] = torch.zeros_like(x["tactile"])
        with torch.no_grad():
            assert not torch.equal(model(x).scores, expected.scores)


@pytest.mark.parametrize("name", list(OPERATORS))
def test_every_parameter_is_trained(name: str) -> None:
    model = model_of(name).train()
    running_mean(model(inputs()).scores)[-1].square().sum().backward()
    still = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert still == []


@pytest.mark.parametrize("name", list(OPERATORS))
def test_chunks_with_state_equal_the_whole(name: str) -> None:
    model, x = model_of(name), inputs()
    with torch.no_grad():
        whole = model(x)
        first = model({m: part[:7] for m, part in x.items()})
        second = model({m: part[7:] for m, part in x.items()}, first.state)
    torch.testing.assert_close(torch.cat([first.scores, second.scores]), whole.scores)
    assert torch.equal(torch.cat([first.hidden, second.hidden]), whole.hidden)


@pytest.mark.parametrize("name", list(OPERATORS))
def test_a_model_counts_its_operator_by_path(name: str) -> None:
    model, x = model_of(name), inputs()
    by_path = count(model, x).by_path
    fusion = {k: p for k, p in by_path.items() if k.startswith("fusion.")}
    assert {p.modality for p in fusion.values()} >= set(SIZES)
    assert sum(p.effective_acs for p in fusion.values()) > 0


def test_options_reach_the_operator() -> None:
    assert model_of("latent", n_latents=5).fusion.latents.beta_logit.shape == (5,)
    assert not list(model_of("early").encoders.parameters())
