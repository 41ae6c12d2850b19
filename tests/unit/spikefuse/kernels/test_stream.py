"""Networks that run as their events come: against the plain loop, and by hand."""

import numpy as np
import pytest
import torch
from torch import nn

from spikefuse.events import EVENT_DTYPE
from spikefuse.kernels.stream import StreamNetwork, StreamState, advance, peak_lift
from spikefuse.neurons import ALIF, LIF, ALIFParams, CubaLIF, CubaLIFParams, LIFParams, LIReadout
from spikefuse.runtime.network_builder import NetworkBuilder, unrolled
from spikefuse.synapses import EventConv2d


def events_at(steps: list[int], x: list[int]) -> np.ndarray:
    events = np.zeros(len(steps), EVENT_DTYPE)
    events["t"], events["x"], events["p"] = steps, x, True
    return events


def one_neuron(neurons: nn.Module, weight: float, delay: int = 0) -> StreamNetwork:
    builder = NetworkBuilder({"a": (1, 1, 1)})
    target = builder.add("n", neurons)
    builder.connect_dense(0, target, torch.tensor([[weight]]), delay=delay)
    return builder.network()


def decayed(neurons: nn.Module, **decays: float) -> nn.Module:
    for name, value in decays.items():
        logit = getattr(neurons, f"{name}_logit")
        nn.init.constant_(logit, float(torch.logit(torch.tensor(value, dtype=torch.float64))))
    return neurons


def spike_steps(network: StreamNetwork, steps: list[int], n_steps: int) -> list[int]:
    state = StreamState.at_rest(network)
    given = [events_at(steps, [0] * len(steps))]
    out = advance(network, state, 0, n_steps, given, record=True)
    return list(np.flatnonzero(out.spikes[:, 0]))


def test_a_reset_that_leaves_much_fires_again_without_input() -> None:
    # 3.5 -> 2.5 after the first spike; 1.25, 0.25 after the second; then half of it: no more.
    neuron = decayed(LIF(1, LIFParams(threshold=1.0, reset="subtract"), 1.0), beta=0.5)
    assert spike_steps(one_neuron(neuron, 3.5), [2], 10) == [2, 3]


def test_a_synaptic_current_lifts_the_membrane_over_threshold_after_the_event() -> None:
    # i: 0.5, 0.45, 0.405, 0.3645; v: 0.5, 0.9, 1.215 with betas of 0.9: the third step fires.
    params = CubaLIFParams(threshold=1.0, reset="zero")
    neuron = decayed(CubaLIF(1, params, 1.0), alpha=0.9, beta=0.9)
    assert spike_steps(one_neuron(neuron, 0.5), [4], 30)[0] == 6


def test_a_delayed_event_fires_when_it_arrives() -> None:
    neuron = LIF(1, LIFParams(), 1.0)
    assert spike_steps(one_neuron(neuron, 1.5, delay=7), [3], 20) == [10]


@pytest.mark.parametrize("alpha", [0.3, 0.9, 0.97])
@pytest.mark.parametrize("beta", [0.5, 0.9, 0.97])
def test_peak_lift_bounds_the_membrane_tightly(alpha: float, beta: float) -> None:
    i, v, highest = 1.0, 0.0, 0.0
    for _ in range(2000):
        i = alpha * i
        v = beta * v + i
        highest = max(highest, v)
    found = float(peak_lift(np.array([alpha], np.float32), np.array([beta], np.float32))[0])
    assert highest <= found <= highest * 1.001


def test_a_long_gap_is_decayed_as_step_by_step() -> None:
    params = CubaLIFParams(tau_mem_ms=300.0, tau_syn_ms=200.0, tau_spread=2.0, threshold=1e4)
    network = one_neuron(CubaLIF(1, params, 1.0), 1.0)
    lazy, clocked = StreamState.at_rest(network), StreamState.at_rest(network)
    given = [events_at([0, 500], [0, 0])]
    advance(network, lazy, 0, 501, given)
    advance(network, clocked, 0, 501, given, backend="reference")
    np.testing.assert_allclose(lazy.v, clocked.v, rtol=1e-4)
    np.testing.assert_allclose(lazy.i, clocked.i, rtol=1e-4)
    assert lazy.updates[0] == 2
    assert clocked.updates[0] == 501


def tangle(seed: int) -> StreamNetwork:
    """Two inputs, every kind of neuron and edge, columns that fill no whole vector."""
    torch.manual_seed(seed)
    builder = NetworkBuilder({"a": (40, 1, 1), "b": (7, 6, 2)})
    a = builder.add("a", LIF(37, LIFParams(), 1.0, recurrent=True))
    b = builder.add("b", CubaLIF(70, CubaLIFParams(tau_syn_ms=8.0), 1.0))
    c = builder.add("c", ALIF(20, ALIFParams(), 1.0))
    out = builder.add("out", LIReadout(5, 30.0, 1.0))
    builder.connect_dense(0, a, torch.randn(40, 37) * 0.4)
    conv = EventConv2d((2, 6, 7), 5, (3, 3), (1, 2), gain=2.0)
    ptr, to, weight = unrolled(conv)
    builder.connect_sparse(1, b, ptr, to, weight, torch.randint(0, 6, to.shape))
    builder.connect_dense(a, c, torch.randn(37, 13) * 0.3, at=4, delay=2)
    builder.connect_dense(b, c, torch.randn(70, 20) * 0.3)
    builder.connect_dense(c, out, torch.randn(20, 5))
    return builder.network()


@pytest.mark.parametrize("clip", [False, True])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_compiled_network_equals_the_plain_loop(seed: int, clip: bool) -> None:
    network, rng = tangle(seed), np.random.default_rng(seed)
    events = []
    for n, size in ((120, (40, 1)), (90, (7, 6))):
        part = events_at(sorted(rng.integers(0, 61, n)), [0] * n)
        part["x"], part["y"] = rng.integers(0, size[0], n), rng.integers(0, size[1], n)
        part["p"] = rng.integers(0, 2, n) if size[1] > 1 else True
        events.append(part)
    ours, plain = StreamState.at_rest(network), StreamState.at_rest(network)
    found = advance(network, ours, 0, 60, events, clip=clip, record=True)
    expected = advance(network, plain, 0, 60, events, clip=clip, record=True, backend="reference")
    assert expected.spikes.any()
    assert np.array_equal(found.spikes, expected.spikes)
    np.testing.assert_allclose(found.traces, expected.traces, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(ours.ring, plain.ring, rtol=1e-4, atol=1e-5)
    assert np.array_equal(ours.sent, plain.sent)
    assert np.array_equal(ours.fired, plain.fired)
    assert (ours.updates <= plain.updates).all()


@pytest.mark.parametrize("padding", [(0, 0), (1, 2)])
def test_an_unrolled_convolution_is_the_convolution(padding: tuple[int, int]) -> None:
    torch.manual_seed(1)
    layer = EventConv2d((2, 6, 7), 3, (3, 2), (2, 1), padding)
    ptr, to, weight = unrolled(layer)
    dense = torch.zeros(84, layer.n_out)
    source = torch.repeat_interleave(torch.arange(84), ptr.diff())
    dense[source, to.long()] = weight
    spikes = (torch.rand(4, 1, 84) < 0.3).float()
    torch.testing.assert_close(spikes @ dense, layer(spikes))
