"""DelayedLinear: equal to shifted copies, in chunks as in one piece, counted by event."""

import pytest
import torch

from spikefuse.cost import count
from spikefuse.encoders import EncoderSpec, ModalitySpec, SpikingEncoder
from spikefuse.neurons import LIFParams
from spikefuse.spikes import SpikeBatch
from spikefuse.synapses import DelayedLinear


def make(delays: tuple[int, ...] = (0, 3, 5)) -> tuple[DelayedLinear, torch.Tensor]:
    torch.manual_seed(0)
    return DelayedLinear(6, 4, delays), (torch.rand(12, 2, 6) < 0.3).float()


def by_hand(layer: DelayedLinear, spikes: torch.Tensor) -> torch.Tensor:
    """Current of every step from the definition, one step and one delay at a time."""
    weights = torch.split(layer.synapses.weight, layer.n_out, dim=1)
    out = torch.zeros(len(spikes), spikes.shape[1], layer.n_out)
    for t in range(len(spikes)):
        for delay, weight in zip(layer.delays_steps, weights, strict=True):
            if t >= delay:
                out[t] += spikes[t - delay] @ weight
    return out


@pytest.mark.parametrize("delays", [(0,), (2,), (0, 3, 5), (5, 1)])
def test_equals_the_definition(delays: tuple[int, ...]) -> None:
    layer, spikes = make(delays)
    torch.testing.assert_close(layer(spikes)[0], by_hand(layer, spikes))


@pytest.mark.parametrize("cuts", [(1,) * 12, (5, 7), (2, 2, 8), (12,)])
def test_chunks_give_the_same_currents_as_the_whole(cuts: tuple[int, ...]) -> None:
    layer, spikes = make()
    pending, parts = None, []
    for chunk in torch.split(spikes, list(cuts)):
        current, pending = layer(chunk, pending)
        parts.append(current)
    whole, left = layer(spikes)
    torch.testing.assert_close(torch.cat(parts), whole)
    assert pending is not None
    torch.testing.assert_close(pending, left)


def test_events_give_the_same_as_the_dense_tensor() -> None:
    layer, spikes = make()
    torch.testing.assert_close(layer(SpikeBatch.from_dense(spikes))[0], layer(spikes)[0])


def test_gradients_match_the_definition() -> None:
    layer, spikes = make()
    spikes.requires_grad_()
    wanted = torch.autograd.grad(
        by_hand(layer, spikes).square().sum(), [spikes, *layer.parameters()]
    )
    got = torch.autograd.grad(layer(spikes)[0].square().sum(), [spikes, *layer.parameters()])
    for a, b in zip(got, wanted, strict=True):
        torch.testing.assert_close(a, b)


def test_one_event_costs_every_delay_and_output_once() -> None:
    layer, spikes = make()
    assert count(layer, spikes).totals["effective_acs"] == int(spikes.sum()) * 3 * 4


@pytest.mark.parametrize("delays", [(), (-1,), (2, 2)])
def test_bad_delays_are_refused(delays: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="delays_steps must be one or more distinct"):
        DelayedLinear(3, 2, delays)


def test_an_encoder_with_delays_is_causal_and_can_be_cut_into_chunks() -> None:
    torch.manual_seed(1)
    spec = ModalitySpec("audio", (16, 1, 1), EncoderSpec(hidden=8, delays_ms=(0.0, 20.0, 40.0)))
    encoder = SpikingEncoder(spec, LIFParams(), dt_ms=10.0).eval()
    spikes = (torch.rand(15, 3, 16) < 0.3).float()
    whole, _ = encoder(spikes)
    first, state = encoder(spikes[:6])
    rest, _ = encoder(spikes[6:], state)
    assert torch.equal(torch.cat([first, rest]), whole)
    changed = spikes.clone()
    changed[6:] = 1 - changed[6:]
    assert torch.equal(encoder(changed)[0][:6], whole[:6])


def test_delays_must_be_whole_steps() -> None:
    with pytest.raises(ValueError, match=r"whole steps of dt_ms=20, got 30 ms"):
        EncoderSpec(delays_ms=(0.0, 30.0)).delays_steps(20.0)
