"""A whole training step on the emulated backend: the CPU backend's loss and gradients."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from spikefuse.encoders import ConvSpec, EncoderSpec, ModalitySpec
from spikefuse.kernels import compact, use_backend
from spikefuse.kernels.gpu import launch
from spikefuse.models import FusionSNN, ModelSpec, running_mean
from spikefuse.neurons.lif import LIFParams
from spikefuse.spikes import SpikeBatch

from .rungs import shared_emulator

CONV = EncoderSpec((ConvSpec(3, (3, 3), (2, 2)),), 12)
PLAIN = EncoderSpec((), 14, 0.0)
VARIANTS: dict[str, tuple[EncoderSpec, EncoderSpec, str, LIFParams]] = {
    "linear": (PLAIN, PLAIN, "concat", LIFParams()),
    "convolutions, triangle": (
        CONV,
        PLAIN,
        "concat",
        LIFParams(surrogate="triangle", reset="zero", detach_reset=True),
    ),
    "recurrent, delayed": (
        EncoderSpec((ConvSpec(2, (2, 2), (2, 2)),), 12, 0.0, recurrent=True),
        EncoderSpec((), 14, 0.0, (0.0, 10.0, 30.0)),
        "current_sum",
        LIFParams(surrogate="arctan"),
    ),
    "gated": (PLAIN, PLAIN, "uncertainty_gate", LIFParams()),
    "cross-modal synapses": (PLAIN, PLAIN, "cross_synapse", LIFParams()),
    "coincidence": (PLAIN, PLAIN, "coincidence", LIFParams()),
}


def model_of(variant: str) -> FusionSNN:
    """A tiny fusion model, always with the same weights."""
    vision, audio, fusion, lif = VARIANTS[variant]
    torch.manual_seed(2)
    parts = (ModalitySpec("vision", (8, 8, 2), vision), ModalitySpec("audio", (9, 1, 1), audio))
    return FusionSNN(ModelSpec(parts, 5, 10.0, fusion, 11, lif)).train()


def inputs_of(as_events: bool) -> dict[str, SpikeBatch | Tensor]:
    """Spikes of 18 steps: more than one stored state each 16."""
    random = torch.Generator().manual_seed(4)
    dense = {
        name: (torch.rand(18, 2, n, generator=random) < 0.25).float()
        for name, n in (("vision", 128), ("audio", 9))
    }
    return {name: compact(x) if as_events else x for name, x in dense.items()}


def step(variant: str, backend: str, as_events: bool) -> tuple[float, dict[str, Tensor], Any]:
    """Loss and gradients of a training step, and its spikes."""
    model, labels = model_of(variant), torch.tensor([1, 3])
    inputs = inputs_of(as_events)
    torch.manual_seed(7)  # of dropout
    with use_backend(backend):
        out = model(inputs)
        loss = nn.functional.cross_entropy(running_mean(out.scores)[-1], labels)
        loss.backward()
    gradients = {
        name: parameter.grad
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }
    return loss.item(), gradients, out.hidden.detach()


@pytest.mark.parametrize("as_events", [True, False])
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_training_step_is_that_of_the_cpu(variant: str, as_events: bool) -> None:
    want_loss, want, want_spikes = step(variant, "numba", as_events)
    emulator = shared_emulator("in order")
    before = sum(emulator.n_launches.values())
    with launch.using(emulator):
        loss, gradients, spikes = step(variant, "cuda", as_events)
    assert sum(emulator.n_launches.values()) - before >= 15  # the kernels did run
    assert torch.equal(spikes, want_spikes)
    assert 0 < float(spikes.mean()) < 1
    assert loss == pytest.approx(want_loss, rel=1e-5)
    assert gradients.keys() == want.keys()
    for name, gradient in want.items():
        scale = float(gradient.abs().max())
        assert scale > 0
        torch.testing.assert_close(gradients[name], gradient, rtol=0, atol=1e-5 * scale)


def test_steps_learn_on_the_emulated_backend() -> None:
    model, inputs = model_of("linear"), inputs_of(as_events=True)
    optimiser = torch.optim.Adam(model.parameters(), lr=0.02)
    losses = []
    with launch.using(shared_emulator("in order")), use_backend("cuda"):
        for _ in range(5):
            optimiser.zero_grad()
            scores = running_mean(model(inputs).scores)[-1]
            loss = nn.functional.cross_entropy(scores, torch.tensor([1, 3]))
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
    assert losses[-1] < losses[0]
