"""Counts of recurrent neurons and of what stands between layers, against walks over every spike."""

import pytest
import torch
from torch import Tensor, nn

from spikefuse.cost import count
from spikefuse.encoders import ConvSpec, EncoderSpec, ModalitySpec
from spikefuse.models import FusionSNN, ModelSpec
from spikefuse.neurons import ALIF, LIF, ALIFParams, CubaLIF, CubaLIFParams, LIFParams
from spikefuse.opcounts import OpCounts, PathCounts
from spikefuse.spikes import SpikeBatch
from spikefuse.synapses import (
    ConstantCurrent,
    EventConv2d,
    EventLinear,
    SpikeAdd,
    SpikeBatchNorm,
    SpikeDelay,
    SpikePool,
    SpikeTrace,
)

N_STEPS, N_BATCH, N = 7, 3, 5


def layer_of(kind: str, recurrent: bool) -> LIF | CubaLIF | ALIF:
    """A layer whose neurons fire often and rest sometimes."""
    torch.manual_seed(2)
    layer: LIF | CubaLIF | ALIF
    if kind == "LIF":
        layer = LIF(N, LIFParams(reset="zero"), 5.0, recurrent=recurrent, recurrent_gain=2.0)
    elif kind == "CubaLIF":
        layer = CubaLIF(N, CubaLIFParams(), 5.0, recurrent=recurrent, recurrent_gain=2.0)
    else:
        layer = ALIF(N, ALIFParams(), 5.0, recurrent=recurrent, recurrent_gain=2.0)
    if layer.recurrent_weight is not None:
        with torch.no_grad():  # pruned weights do no work
            layer.recurrent_weight[torch.rand(N, N) < 0.3] = 0
    return layer


def currents() -> Tensor:
    """Currents with silent samples and silent steps."""
    generator = torch.Generator().manual_seed(5)
    x = torch.rand(N_STEPS, N_BATCH, N, generator=generator) * 2.5
    x[torch.rand(x.shape, generator=generator) < 0.6] = 0
    x[:, 1] = 0
    x[:3] = 0
    return x


def walk_neurons(layer: LIF | CubaLIF | ALIF, x: Tensor) -> dict[str, int]:
    """The same counts from one step at a time, one neuron at a time."""
    found = {"active": 0, "acs": 0, "routed": 0}
    weight = None if layer.recurrent_weight is None else layer.recurrent_weight.detach()
    state = None
    for t in range(len(x)):
        for b in range(x.shape[1]):
            for n in range(x.shape[2]):
                live = bool(x[t, b, n] != 0)
                if state is not None:
                    membrane = state if isinstance(state, Tensor) else state.v
                    live = live or bool(membrane[b, n] != 0)
                    if isinstance(layer, CubaLIF):
                        live = live or bool(state.i[b, n] != 0)
                    if isinstance(layer, ALIF):
                        live = live or bool(state.a[b, n] != 0)
                    if weight is not None:
                        heard = [float(weight[j, n]) for j in range(N) if state.s[b, j] == 1]
                        live = live or sum(heard) != 0
                        found["acs"] += sum(w != 0 for w in heard)
                found["active"] += live
        if state is not None and weight is not None:
            found["routed"] += int(state.s.sum())
        with torch.no_grad():
            _, state = layer(x[t : t + 1], state)
    return found


@pytest.mark.parametrize("recurrent", [False, True])
@pytest.mark.parametrize("kind", ["LIF", "CubaLIF", "ALIF"])
def test_neurons_equal_a_walk_over_steps(kind: str, recurrent: bool) -> None:
    layer, x = layer_of(kind, recurrent), currents()
    paths = count(layer, x).by_path
    walked = walk_neurons(layer, x)
    own = paths[kind]
    cells = N_STEPS * N_BATCH * N
    assert 0 < own.neuron_updates_active == walked["active"] < cells
    assert own.neuron_updates_idle == cells - walked["active"]
    words = 1 if kind == "LIF" else 2
    assert own.state_reads == own.state_writes == words * cells
    assert own.state_words == words * N
    assert own.bytes_moved == 4 * 2 * words * cells
    if not recurrent:
        assert set(paths) == {kind}
        return
    back = paths[f"{kind}.recurrent"]
    assert back.effective_acs == walked["acs"] > 0
    assert back.spikes_routed == walked["routed"] > 0
    assert back.weight_reads == walked["routed"] * N
    assert back.dense_macs == N * N * N_STEPS * N_BATCH
    assert (back.weight_words, back.kind) == (N * N, "event")
    assert back.bytes_moved == 4 * (back.weight_reads + back.spikes_routed)


@pytest.mark.parametrize("kind", ["LIF", "CubaLIF", "ALIF"])
def test_recurrent_counts_of_two_chunks_add_up(kind: str) -> None:
    layer, x = layer_of(kind, recurrent=True), currents()
    with torch.no_grad():
        _, state = layer(x[:4])
    parts = count(layer, x[:4]) + count(layer, (x[4:], state), batch_dim=1)
    assert parts.totals == count(layer, x).totals


def test_a_silent_recurrent_layer_only_idles() -> None:
    totals = count(layer_of("LIF", True), torch.zeros(4, 2, N)).totals
    assert totals["neuron_updates_idle"] == 4 * 2 * N
    assert totals["effective_acs"] == totals["neuron_updates_active"] == 0


def whole_spikes(n: int, density: float = 0.3) -> Tensor:
    generator = torch.Generator().manual_seed(7)
    fired = (torch.rand(N_STEPS, N_BATCH, n, generator=generator) < density).float()
    return fired * torch.randint(1, 4, fired.shape, generator=generator)


@pytest.mark.parametrize("mode", ["sum", "max"])
@pytest.mark.parametrize("stride", [(1, 1), (2, 3)])
def test_pooling_counts_every_window_that_a_spike_falls_into(
    mode: str, stride: tuple[int, int]
) -> None:
    layer = SpikePool((2, 5, 6), (2, 3), stride, mode)  # type: ignore[arg-type]
    spikes = whole_spikes(60)
    rows, columns = layer.out_shape[1:]
    walked = 0
    for t, b, cell in spikes.nonzero().tolist():
        y, x = cell % 30 // 6, cell % 6
        windows = [
            (i, j)
            for i in range(rows)
            for j in range(columns)
            if 0 <= y - i * stride[0] < 2 and 0 <= x - j * stride[1] < 3
        ]
        walked += len(windows) * int(spikes[t, b, cell])
    path = count(layer, spikes).by_path["SpikePool"]
    assert path.effective_acs == walked > 0
    assert path.spikes_routed == int(spikes.sum())
    assert path.dense_macs == N_STEPS * N_BATCH * 2 * rows * columns * 6
    assert path.weight_reads == path.weight_words == 0


def test_joining_counts_the_spikes_of_both_branches() -> None:
    left, right = whole_spikes(4), whole_spikes(4, 0.1)
    path = count(SpikeAdd(), (left, right)).by_path["SpikeAdd"]
    assert path.effective_acs == path.spikes_routed == int(left.sum() + right.sum())
    assert path.dense_macs == 2 * left.numel()


def test_a_delay_stores_what_waits_and_reads_what_leaves() -> None:
    layer = SpikeDelay((0, 2, 20), (2, 3, 1))
    spikes = whole_spikes(6)
    path = count(layer, spikes).by_path["SpikeDelay"]
    cells = (spikes != 0).nonzero().tolist()
    delays = [0, 0, 2, 2, 2, 20]
    assert path.state_writes == sum(delays[n] > 0 for _, _, n in cells) > 0
    leaves = [n for t, _, n in cells if delays[n] > 0 and t + delays[n] < N_STEPS]
    assert path.state_reads == len(leaves) > 0
    assert path.state_words == sum(delays)
    assert path.spikes_routed == int(spikes.sum())
    assert path.effective_acs == path.effective_macs == 0


def test_one_delay_for_all_needs_memory_for_each() -> None:
    path = count(SpikeDelay((3,)), whole_spikes(6)).by_path["SpikeDelay"]
    assert path.state_words == 3 * 6


def test_a_trace_is_a_state_per_address_and_an_accumulate_per_spike() -> None:
    layer, spikes = SpikeTrace(20.0, 5.0), whole_spikes(6, 0.1)
    paths = count(layer, spikes).by_path
    walked = 0
    for b in range(N_BATCH):
        for n in range(6):
            times = spikes[:, b, n].nonzero()[:, 0].tolist()
            walked += N_STEPS - times[0] if times else 0  # a trace never quite ends
    own = paths["SpikeTrace"]
    assert own.neuron_updates_active == walked > 0
    assert own.neuron_updates_active + own.neuron_updates_idle == spikes.numel()
    assert own.state_words == 6
    assert paths["SpikeTrace.input"].effective_acs == int(spikes.sum())
    assert paths["SpikeTrace.input"].spikes_routed == int(spikes.sum())


def test_a_constant_current_flows_in_every_step() -> None:
    layer = ConstantCurrent(torch.randn(2), share=3)
    path = count(layer, torch.zeros(N_STEPS, N_BATCH, 6)).by_path["ConstantCurrent"]
    assert path.effective_acs == path.weight_reads == N_STEPS * N_BATCH * 6
    assert path.weight_words == 2


class Normalised(nn.Module):
    """Synapses and what normalises them."""

    batch_dim = 1

    def __init__(self, synapse: nn.Module, after: nn.Module | None) -> None:
        super().__init__()
        self.synapse, self.after = synapse, after

    def forward(self, spikes: Tensor | SpikeBatch) -> Tensor:
        current: Tensor = self.synapse(spikes)
        return current if self.after is None else self.after(current)


def test_a_normalisation_has_to_be_folded_first() -> None:
    linear, norm = EventLinear(6, 4), SpikeBatchNorm(4)
    spikes = whole_spikes(6)
    with pytest.raises(ValueError, match=r"layer 'after' must be folded .* got a SpikeBatchNorm"):
        count(Normalised(linear, norm), spikes)
    folded, constant = norm.fold(linear)
    counts = count(Normalised(folded, constant), spikes)
    assert counts.by_path["synapse"].effective_acs == int(spikes.sum()) * 4
    assert counts.by_path["after"].effective_acs == N_STEPS * N_BATCH * 4


LAYERS = {
    "linear": lambda: EventLinear(24, 3),
    "conv": lambda: EventConv2d((2, 3, 4), 2, (2, 2), (1, 2), (1, 0)),
    "pool": lambda: SpikePool((2, 3, 4), (2, 2)),
    "delay": lambda: SpikeDelay((1, 0), (20, 4)),
    "trace": lambda: SpikeTrace(10.0, 1.0),
}


@pytest.mark.parametrize("values", ["ones", "whole", "graded"])
@pytest.mark.parametrize("name", LAYERS)
def test_events_count_like_dense_and_are_never_made_dense(
    name: str, values: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    dense = whole_spikes(24)
    if values == "ones":
        dense = (dense != 0).float()
    elif values == "graded":
        dense = dense / 2
    layer = LAYERS[name]()
    expected = count(layer, dense)
    events = SpikeBatch.from_dense(dense)

    def refuse(*_: object) -> None:
        raise AssertionError("to_dense was called")

    monkeypatch.setattr(SpikeBatch, "to_dense", refuse)
    counts = count(layer, events)
    assert counts.by_path == expected.by_path
    if values == "graded" and name in ("linear", "conv"):
        assert counts.totals["effective_macs"] > 0


def test_two_branches_of_events_are_joined_as_events() -> None:
    left, right = whole_spikes(4), whole_spikes(4, 0.1)
    events = (SpikeBatch.from_dense(left), SpikeBatch.from_dense(right))
    assert count(SpikeAdd(), events).by_path == count(SpikeAdd(), (left, right)).by_path


def test_a_model_reads_its_events_as_events(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    encoder = EncoderSpec((ConvSpec(3, (3, 3), (2, 2)),), 6)
    model = FusionSNN(ModelSpec((ModalitySpec("vision", (8, 8, 2), encoder),), 4, 5.0))
    dense = whole_spikes(128, 0.1)
    expected = count(model, {"vision": dense})
    events = SpikeBatch.from_dense(dense)
    monkeypatch.setattr(SpikeBatch, "to_dense", None)
    counts = count(model, {"vision": events})
    assert isinstance(counts, OpCounts)
    assert counts.by_path == expected.by_path


def test_a_torch_network_is_given_dense_spikes() -> None:
    dense = whole_spikes(6)
    counts = count(nn.Linear(6, 2), SpikeBatch.from_dense(dense))
    assert counts.by_path == count(nn.Linear(6, 2), dense).by_path


def test_bytes_are_four_for_every_word_and_spike() -> None:
    path = PathCounts(weight_reads=3, state_reads=5, state_writes=7, spikes_routed=11)
    assert path.with_bytes().bytes_moved == 4 * 26
    assert path.with_bytes().weight_reads == 3
