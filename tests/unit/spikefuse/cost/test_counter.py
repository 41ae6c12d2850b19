"""Counting while a network trains or runs step by step, and in networks of both kinds."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from spikefuse.cost import count
from spikefuse.cost.counter import Counter
from spikefuse.encoders import ConvSpec, EncoderSpec, ModalitySpec
from spikefuse.models import FusionSNN, ModelSpec
from spikefuse.neurons import LIF, LIFParams
from spikefuse.opcounts import OpCounts
from spikefuse.synapses import EventConv2d, EventLinear


def spikes(*shape: int, density: float = 0.3, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(*shape, generator=generator) < density).float()


def test_a_training_step_counts_its_forward_pass_only() -> None:
    torch.manual_seed(0)
    net, x = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)), torch.randn(5, 4)
    plain = count(net, x)
    optimiser = torch.optim.Adam(net.parameters())
    with Counter(net) as counter:
        loss = nn.functional.cross_entropy(net(x), torch.zeros(5, dtype=torch.long))
        loss.backward()
        optimiser.step()
    assert counter.counts(5).totals == plain.totals
    assert all(p.grad is not None for p in net.parameters())


def test_results_and_hooks_are_left_alone() -> None:
    net, x = nn.Sequential(nn.Linear(4, 8), nn.LSTM(8, 3), nn.Identity()), torch.randn(5, 4)
    before = net[:1](x)
    mkldnn = torch._C._get_mkldnn_enabled()
    with torch.no_grad(), Counter(net):
        during = net[0](x)
        net[1](during)
    assert torch.equal(before, during)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())
    assert torch._C._get_mkldnn_enabled() == mkldnn
    with pytest.raises(RuntimeError, match="shapes"), torch.no_grad(), Counter(net):
        net[0](torch.ones(1, 3))
    assert not any(m._forward_hooks for m in net.modules())


def test_inference_mode_counts_the_same() -> None:
    net = nn.Sequential(nn.Conv1d(2, 3, 3), nn.Flatten(), nn.Linear(12, 2, bias=False))
    x = torch.randn(2, 2, 6)
    with torch.inference_mode(), Counter(net) as counter:
        net(x)
    assert counter.counts(2).totals == count(net, x).totals


class Both(nn.Module):
    """Frames into synapses of torch, spikes of ours after them."""

    def __init__(self) -> None:
        super().__init__()
        self.look = nn.Linear(6, 5, bias=False)
        self.fire = LIF(5, LIFParams(tau_mem_ms=5.0), 1.0)
        self.read = nn.Linear(5, 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        fired, _ = self.fire(self.look(x))
        return self.read(fired)


def test_a_layer_is_declared_to_read_frames() -> None:
    torch.manual_seed(1)
    net = Both()
    x = torch.rand(4, 3, 6) * 8
    x[:, 0] = 0
    whole = count(net, x, 1)
    assert whole.by_path["look"].kind == "dense"
    assert whole.by_path["read"].kind == "event"
    fired = int(net.fire(net.look(x))[0].sum())
    assert whole.by_path["read"].effective_acs == 2 * fired > 0
    ones = (x > 4).float()
    declared = count(net, ones, 1, read_as={"look": "frames"}).by_path
    assert declared["look"].effective_macs == int(ones.sum()) * 5
    assert declared["read"].kind == "event"


def test_silent_parts_of_an_analog_layer_join_its_frames() -> None:
    net, x = Both(), torch.rand(4, 2, 6)
    x[:, 0] = 0
    parts = OpCounts.concat([count(net, x[:, :1], 1), count(net, x[:, 1:], 1)])
    assert parts.by_path["look"].kind == "dense"
    assert parts.totals["effective_macs"] == count(net, x, 1).totals["effective_macs"]


def test_work_on_parameters_alone_is_done_once() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(3, 4))
            self.register_buffer("state", torch.zeros(1, 4))

        def forward(self, x: Tensor) -> Tensor:
            self.state.mul_(0.5).add_(x)
            return self.state @ torch.exp(self.weight).T

    net = Scaled()
    with torch.no_grad(), Counter(net) as counter:
        net(torch.ones(1, 4))
        net(torch.ones(1, 4))
    paths = counter.counts(1).by_path
    assert paths["Scaled:matmul"].effective_macs == 12
    assert paths["Scaled:matmul"].effective_acs == 12  # the first state is of ones
    # Twice four sums; the state is scaled once it is one: by a constant, four ones.
    assert paths["Scaled:elementwise"].effective_acs == 8 + 4


def walk(layer: EventConv2d | EventLinear, x: Tensor) -> tuple[int, int]:
    """Effective accumulates and all weights read, spike by spike through the layer's own maths."""
    used, every = (
        (layer.weight.detach() != 0).float(),
        torch.ones_like(layer.weight),
    )
    found = []
    for weight in (used, every):
        total = 0.0
        for row in x.flatten(0, 1):
            if isinstance(layer, EventLinear):
                total += float((row[:, None] * weight).sum())
            else:
                maps = row.reshape(1, *layer.in_shape)
                total += float(
                    nn.functional.conv2d(
                        maps, weight, stride=layer.stride, padding=layer.padding
                    ).sum()
                )
        found.append(round(total))
    return found[0], found[1]


@given(st.integers(0, 10_000), st.sampled_from(["linear", "conv"]))
def test_counts_of_the_fast_kernels_equal_a_walk_over_spikes(seed: int, kind: str) -> None:
    torch.manual_seed(seed)
    layer: EventLinear | EventConv2d = EventLinear(24, 3)
    if kind == "conv":
        layer = EventConv2d((2, 3, 4), 2, (2, 3), (1, 2), (1, 1))
    with torch.no_grad():
        layer.weight[torch.rand_like(layer.weight) < 0.4] = 0
    x = spikes(4, 2, 24, seed=seed) * torch.randint(1, 4, (4, 2, 24))
    path = count(layer, x).by_path[type(layer).__name__]
    assert (path.effective_acs, path.weight_reads) == walk(layer, x)
    assert path.spikes_routed == int(x.sum())
    negative = count(layer, -x).by_path[type(layer).__name__]
    assert negative.signed_acs == negative.effective_acs == path.effective_acs
    assert negative.effective_macs == 0


@settings(max_examples=20)
@given(st.integers(0, 10_000), st.integers(1, 4))
def test_a_fusion_network_adds_up_over_batches_and_ignores_their_order(seed: int, n: int) -> None:
    torch.manual_seed(seed)
    vision = ModalitySpec("vision", (4, 4, 2), EncoderSpec((ConvSpec(2, (3, 3), (1, 1)),), 4))
    audio = ModalitySpec("audio", (5, 1, 1), EncoderSpec((), 4))
    net = FusionSNN(ModelSpec((vision, audio), 3, 5.0, fusion_hidden=4))
    inputs = {"vision": spikes(5, 5, 32, seed=seed), "audio": spikes(5, 5, 5, seed=seed + 1)}
    whole = count(net, inputs)
    parts = [
        count(net, {k: v[:, part] for k, v in inputs.items()})
        for part in (slice(0, n), slice(n, 5))
    ]
    assert OpCounts.concat(parts).totals == whole.totals
    order = torch.randperm(5)
    assert count(net, {k: v[:, order] for k, v in inputs.items()}).totals == whole.totals


@given(st.integers(0, 10_000), st.integers(1, 6))
def test_steps_add_up_when_the_state_goes_on(seed: int, at: int) -> None:
    torch.manual_seed(seed)
    layer = LIF(4, LIFParams(tau_mem_ms=8.0), 1.0)
    x = torch.rand(7, 2, 4) * (torch.rand(7, 2, 4) < 0.4) * 2
    with torch.no_grad():
        _, state = layer(x[:at])
    parts = count(layer, x[:at]) + count(layer, (x[at:], state), batch_dim=1)
    assert parts.totals == count(layer, x).totals


@pytest.mark.parametrize("read_as", ["auto", "frames", "events"])
def test_layers_counted_by_their_input_count_as_their_operations_do(
    read_as: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    layers = [nn.Conv2d(2, 4, 3, 2, padding=1, groups=2), nn.ReLU(), nn.Flatten(), nn.Linear(16, 5)]
    net = nn.Sequential(*layers)
    with torch.no_grad():
        for layer in (layers[0], layers[3]):
            layer.weight[0] = 0
    drawn = torch.rand(3, 2, 4, 4, generator=torch.Generator().manual_seed(1))
    for x in (drawn * (drawn > 0.5), (drawn > 0.6).float(), -2 * (drawn > 0.6).float()):
        with monkeypatch.context() as patch:
            patch.setattr("spikefuse.cost.roles.is_plain", lambda _: False)
            operations = count(net, x, read_as=read_as)
        with monkeypatch.context() as patch:
            patch.setattr("spikefuse.cost.counter.DispatchRules.count", None)  # must not be called
            assert count(net, x, read_as=read_as) == operations
    assert operations.by_path["0"].effective_macs or operations.by_path["0"].effective_acs


def test_a_weight_written_behind_torch_is_read_again_at_the_next_run() -> None:
    net = nn.Sequential(nn.Linear(3, 2))
    with Counter(net) as counter, torch.no_grad():
        net(torch.full((1, 3), 0.5))
        net[0].weight.data[0] = 0
        net(torch.full((1, 3), 0.5))
    assert counter.counts(2).totals["effective_macs"] == 6 + 3
