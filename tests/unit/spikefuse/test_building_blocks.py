"""Networks built from the layers: convolution, pooling, residual, recurrence, with state."""

from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from spikefuse.cost import count
from spikefuse.kernels.registry import use_backend
from spikefuse.neurons import ALIF, LIF, ALIFParams, CubaLIF, CubaLIFParams, LIFParams, LIReadout
from spikefuse.spikes import SpikeBatch
from spikefuse.synapses import (
    EventConv2d,
    EventLinear,
    SpikeAdd,
    SpikeBatchNorm,
    SpikeDelay,
    SpikePool,
)

N_STEPS, N_BATCH, SHAPE = 14, 3, (2, 10, 8)
DT_MS = 5.0
KINDS = ["LIF", "CubaLIF", "ALIF"]


class State(NamedTuple):
    """Everything that a chunk hands on to the next."""

    conv: Tensor
    delay: Tensor
    recurrent: Any
    readout: Tensor


def recurrent_layer(kind: str, n: int) -> nn.Module:
    if kind == "CubaLIF":
        return CubaLIF(n, CubaLIFParams(), DT_MS, recurrent=True)
    if kind == "ALIF":
        return ALIF(n, ALIFParams(), DT_MS, recurrent=True)
    return LIF(n, LIFParams(), DT_MS, recurrent=True)


class Network(nn.Module):
    """Conv - norm - LIF - pool, two delayed branches added, recurrent layer, leaky readout."""

    batch_dim = 1

    def __init__(self, kind: str) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.conv: nn.Module = EventConv2d(SHAPE, 4, (3, 3), (1, 1), (1, 1), gain=3.0)
        self.norm: nn.Module | None = SpikeBatchNorm(4, 80, centred=False)
        self.neurons = LIF(4, LIFParams(), DT_MS, share=80)
        self.pool = SpikePool((4, 10, 8), (2, 2))
        self.delay = SpikeDelay((1, 3), (40, 40))
        self.join = SpikeAdd()
        self.linear = EventLinear(80, 12, gain=3.0)
        self.recurrent = recurrent_layer(kind, 12)
        self.out = EventLinear(12, 5)
        self.readout = LIReadout(5, 50.0, DT_MS)

    def forward(
        self, spikes: Tensor | SpikeBatch, state: State | None = None
    ) -> tuple[Tensor, State]:
        conv, delay, recurrent, readout = (None,) * 4 if state is None else state
        current = self.conv(spikes)
        if self.norm is not None:
            current = self.norm(current)
        fired, conv = self.neurons(current, conv)
        pooled = self.pool(fired)
        late, delay = self.delay(pooled, delay)
        fired, recurrent = self.recurrent(self.linear(self.join(pooled, late)), recurrent)
        scores, readout = self.readout(self.out(fired), readout)
        return scores, State(conv, delay, recurrent, readout)


def inputs() -> Tensor:
    generator = torch.Generator().manual_seed(3)
    return (torch.rand(N_STEPS, N_BATCH, 160, generator=generator) < 0.12).float()


@pytest.mark.parametrize("kind", KINDS)
def test_chunks_with_state_equal_the_whole(kind: str) -> None:
    network, x = Network(kind).eval(), inputs()
    with torch.no_grad(), use_backend("numba"):
        whole, last = network(x)
        state, parts = None, []
        for first, end in ((0, 1), (1, 2), (2, 9), (9, 14)):
            scores, state = network(x[first:end], state)
            parts.append(scores)
        assert torch.equal(torch.cat(parts), whole)
        for a, b in zip(_flat(state), _flat(last), strict=True):
            assert torch.equal(a, b)
        rested, _ = network(x[2:])
    assert not torch.allclose(rested, whole[2:])  # the state matters


def _flat(state: Any) -> list[Tensor]:
    if isinstance(state, Tensor):
        return [state]
    return [t for part in state if part is not None for t in _flat(part)]


@pytest.mark.parametrize("kind", KINDS)
def test_events_or_dense_numba_or_reference(kind: str) -> None:
    network, x = Network(kind).eval(), inputs()
    with torch.no_grad():
        fast, _ = network(SpikeBatch.from_dense(x))
        with use_backend("reference"):
            slow, _ = network(x)
    assert fast.abs().max() > 0.1
    torch.testing.assert_close(fast, slow, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_every_weight_is_trained_through_chunks(kind: str) -> None:
    network, x = Network(kind), inputs()
    first, state = network(x[:6])
    second, _ = network(x[6:], state)
    (first.square().mean() + second.square().mean()).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().max() > 0, name


def test_folded_and_counted() -> None:
    network, x = Network("LIF"), inputs()
    for _ in range(3):
        network(x)  # running statistics
    network.eval()
    with pytest.raises(ValueError, match="'norm' must be folded"):
        count(network, x)
    with torch.no_grad():
        before, _ = network(x)
    network.conv, constant = network.norm.fold(network.conv)
    network.norm = None
    assert constant is None
    with torch.no_grad():
        after, _ = network(x)
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-5)
    counts = count(network, SpikeBatch.from_dense(x))
    expected = {"conv", "neurons", "pool", "delay", "join", "linear", "recurrent", "out", "readout"}
    assert set(counts.by_path) == expected | {"recurrent.recurrent"}
    pooled = counts.by_path["pool"]
    joined = counts.by_path["join"]
    assert pooled.spikes_routed == pooled.effective_acs > 0  # every cell lies in one window
    assert counts.by_path["linear"].effective_acs == joined.effective_acs * 12
    assert counts.by_path["delay"].state_words == 40 * 1 + 40 * 3
