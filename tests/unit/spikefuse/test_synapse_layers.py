"""The small layers: what they compute, what they refuse, and that folding changes nothing."""

import math

import pytest
import torch
from torch import nn

from spikefuse.kernels import registry
from spikefuse.kernels.compaction import compact
from spikefuse.synapses import EventConv2d, EventLinear
from spikefuse.synapses.delay import SpikeDelay
from spikefuse.synapses.norm import SpikeBatchNorm
from spikefuse.synapses.pooling import SpikePool
from spikefuse.synapses.residual import SpikeAdd
from spikefuse.synapses.trace import SpikeTrace


def spikes_of(*shape: int, density: float = 0.2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    return (torch.rand(shape, generator=generator) < density).float()


def trained(norm: SpikeBatchNorm, current: torch.Tensor) -> SpikeBatchNorm:
    """Running statistics and parameters away from where they start."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in norm.parameters():
            parameter.add_(torch.rand(parameter.shape, generator=generator))
        for _ in range(5):
            norm(current)
    return norm.eval()


def test_a_conv_layer_gives_the_same_for_spikes_and_events() -> None:
    layer = EventConv2d((2, 34, 34), 8, (5, 5), (2, 2))
    dense = spikes_of(20, 4, 2312, density=0.01)
    maps = dense.view(80, 2, 34, 34)
    expected = nn.functional.conv2d(maps, layer.weight, stride=2).reshape(20, 4, -1)
    for given in (dense, compact(dense)):
        torch.testing.assert_close(layer(given), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(layer(dense, compact(dense)), expected, rtol=1e-5, atol=1e-5)


def test_a_conv_layer_runs_the_event_kernel_by_itself(monkeypatch) -> None:
    fetched = []
    original = registry.kernel
    monkeypatch.setattr(
        registry, "kernel", lambda *names: fetched.append(names[:3:2]) or original(*names)
    )
    layer = EventConv2d((2, 34, 34), 8, (5, 5), (2, 2))
    layer(spikes_of(20, 4, 2312, density=0.01)).sum().backward()
    names = [name for op, name in fetched if op == "event_conv2d"]
    assert names == ["conv_forward", "conv_dweight"]


def test_batch_norm_equals_torch_on_the_channels() -> None:
    current = torch.randn(6, 4, 15)
    ours, theirs = SpikeBatchNorm(3, share=5), nn.BatchNorm1d(3)
    maps = current.view(24, 3, 5)
    for training in (True, False):
        ours.train(training)
        theirs.train(training)
        torch.testing.assert_close(ours(current), theirs(maps).view(6, 4, 15))
    torch.testing.assert_close(ours.mean, theirs.running_mean)
    torch.testing.assert_close(ours.power, theirs.running_var)


@pytest.mark.parametrize("centred", [True, False])
def test_normalised_currents_have_unit_power(centred: bool) -> None:
    current = 5 * torch.randn(50, 8, 12) + 2
    out = SpikeBatchNorm(4, share=3, centred=centred)(current).view(400, 4, 3)
    assert out.square().mean((0, 2)).tolist() == pytest.approx([1.0] * 4, abs=1e-3)
    assert bool((out.mean((0, 2)).abs() < 1e-5).all()) == centred


def test_silence_stays_silence_without_centring() -> None:
    norm = trained(SpikeBatchNorm(4, centred=False), torch.randn(10, 3, 4))
    assert not norm(torch.zeros(2, 3, 4)).any()
    assert not norm.fold(EventLinear(5, 4))[0](torch.zeros(2, 3, 5)).any()


@pytest.mark.parametrize("centred", [True, False])
def test_gradients_of_the_normalisation(centred: bool) -> None:
    generator = torch.Generator().manual_seed(4)
    norm = SpikeBatchNorm(2, share=2, centred=centred).double()
    current = torch.randn(3, 2, 4, dtype=torch.float64, generator=generator)
    assert torch.autograd.gradcheck(norm, current.clone().requires_grad_())
    weights = torch.randn(3, 2, 4, dtype=torch.float64, generator=generator)
    out = norm(current)
    (out * weights).sum().backward()
    per_channel = (weights.view(6, 2, 2).sum((0, 2)), (out * weights).view(6, 2, 2).sum((0, 2)))
    # At gain 1 and shift 0 the normalised current is the output itself.
    torch.testing.assert_close(norm.scale.grad, per_channel[1].detach())
    if centred:
        torch.testing.assert_close(norm.shift.grad, per_channel[0])


@pytest.mark.parametrize("centred", [True, False])
@pytest.mark.parametrize("kind", ["linear", "linear of maps", "conv"])
def test_folded_synapses_do_the_same(centred: bool, kind: str) -> None:
    x = spikes_of(12, 3, 72)
    layer = EventConv2d((2, 6, 6), 5, (3, 3), (2, 2)) if kind == "conv" else EventLinear(72, 20)
    share = {"linear": 1, "linear of maps": 4, "conv": 4}[kind]
    norm = SpikeBatchNorm(20 // share, share, centred=centred)
    norm = trained(norm, layer(x).detach() + 0.5)
    before = layer.weight.detach().clone()
    folded, constant = norm.fold(layer)
    assert torch.equal(layer.weight, before)
    assert not torch.equal(folded.weight, before)
    assert (constant is None) is not centred
    out = folded(x) if constant is None else constant(folded(x))
    torch.testing.assert_close(out, norm(layer(x)), rtol=1e-4, atol=1e-4)


def test_pooling_layer() -> None:
    layer = SpikePool((2, 7, 6), (2, 3), mode="max")
    assert (layer.out_shape, layer.n_out) == ((2, 3, 2), 12)
    dense = spikes_of(4, 3, 84)
    expected = nn.functional.max_pool2d(dense.view(12, 2, 7, 6), (2, 3)).reshape(4, 3, 12)
    assert torch.equal(layer(dense), expected)
    assert torch.equal(layer(compact(dense)).to_dense(), expected)


@pytest.mark.parametrize("as_events", [False, True])
def test_residual_layer_with_a_silent_branch_is_the_identity(as_events: bool) -> None:
    x, silence = spikes_of(4, 3, 20), torch.zeros(4, 3, 20)
    for rule in ("add", "or", "iand"):
        given = (compact(silence), compact(x)) if as_events else (silence, x)
        out = SpikeAdd(rule)(*given)
        assert torch.equal(out.to_dense() if as_events else out, x)


@pytest.mark.parametrize("as_events", [False, True])
def test_delay_layer_carries_its_state(as_events: bool) -> None:
    layer = SpikeDelay([2, 0], [3, 4])
    x = spikes_of(9, 2, 7)
    whole, _ = layer(x)
    assert torch.equal(whole[2:, :, :3], x[:-2, :, :3])
    assert torch.equal(whole[:, :, 3:], x[:, :, 3:])
    state, pieces = None, []
    for piece in x.split(4):
        out, state = layer(compact(piece) if as_events else piece, state)
        pieces.append(out.to_dense() if as_events else out)
    assert torch.equal(torch.cat(pieces), whole)


def test_trace_layer_decays_with_its_time_constant() -> None:
    layer = SpikeTrace(tau_ms=20.0, dt_ms=2.0)
    x = torch.zeros(11, 1, 1)
    x[0] = 1.0
    trace, state = layer(x)
    assert trace[10].item() == pytest.approx(math.exp(-1.0), rel=1e-5)
    later, _ = layer(torch.zeros(10, 1, 1), state)
    assert later[9].item() == pytest.approx(math.exp(-2.0), rel=1e-5)


def test_refusals() -> None:
    with pytest.raises(ValueError, match=r"n_channels and share must be at least 1, got 0, 1"):
        SpikeBatchNorm(0)
    with pytest.raises(ValueError, match=r"current must be \[T, B, 6\], got shape \(1, 1, 5\)"):
        SpikeBatchNorm(2, 3)(torch.zeros(1, 1, 5))
    with pytest.raises(ValueError, match=r"layer must have 6 outputs, got 5"):
        SpikeBatchNorm(2, 3).fold(EventLinear(4, 5))
    with pytest.raises(ValueError, match=r"layer must have 2 maps of 3 positions, got 2 of 4"):
        SpikeBatchNorm(2, 3).fold(EventConv2d((1, 4, 4), 2, (3, 3), (1, 1)))
    with pytest.raises(ValueError, match=r"kernel must fit the input \(1, 4, 4\), got \(5, 1\)"):
        SpikePool((1, 4, 4), (5, 1))
    with pytest.raises(ValueError, match=r"mode must be 'sum' or 'max', got 'mean'"):
        SpikePool((1, 4, 4), (2, 2), mode="mean")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"rule must be one of .*got 'xor'"):
        SpikeAdd("xor")  # type: ignore[arg-type]
    with pytest.raises(
        ValueError, match=r"steps must be at least one delay of 0 or more, got \[\]"
    ):
        SpikeDelay([])
    with pytest.raises(ValueError, match=r"sizes must be 2 group sizes, got \[3\]"):
        SpikeDelay([1, 2], [3])
    with pytest.raises(ValueError, match=r"tau_ms must be positive and finite, got 0"):
        SpikeTrace(0, 1.0)
