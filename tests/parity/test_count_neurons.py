"""Neurons of snnTorch, Norse and SpikingJelly: every update against a walk over steps."""

from typing import Any

import norse.torch as norse
import pytest
import snntorch as snn
import torch
from torch import Tensor, nn

from spikefuse.cost import count
from spikefuse.cost.counter import Counter
from spikefuse.opcounts import OpCounts

T, B, N = 6, 3, 5


def currents(seed: int = 0) -> Tensor:
    """Currents with silent samples and steps."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(T, B, N, generator=generator) * 2
    x[torch.rand(x.shape, generator=generator) < 0.6] = 0
    x[:2, 0] = 0
    x[:, 1] = 0
    return x


def counted(layer: nn.Module, x: Tensor, call: Any, batch_dim: int = 0) -> OpCounts:
    with torch.no_grad(), Counter(layer, batch_dim=batch_dim) as counter:
        call(layer, x)
    return counter.counts(B)


SNNTORCH = {
    "Leaky": (lambda: snn.Leaky(0.9, reset_mechanism="zero"), ("mem",)),
    "Lapicque": (lambda: snn.Lapicque(beta=0.8, threshold=0.1), ("mem",)),
    "Synaptic": (lambda: snn.Synaptic(0.8, 0.9), ("syn", "mem")),
    "Alpha": (lambda: snn.Alpha(0.9, 0.8, threshold=0.1), ("syn_exc", "syn_inh", "mem")),
    "RLeaky": (lambda: snn.RLeaky(0.9, linear_features=N), ("spk", "mem")),
    "RSynaptic": (lambda: snn.RSynaptic(0.8, 0.9, linear_features=N), ("spk", "syn", "mem")),
}


@pytest.mark.parametrize("name", SNNTORCH)
def test_snntorch_neurons_equal_a_walk_over_steps(name: str) -> None:
    torch.manual_seed(2)
    make, states = SNNTORCH[name]
    layer, x = make(), currents()
    active = fired = 0
    held = [torch.zeros(B, N) for _ in states]
    with torch.no_grad():
        for step in x:
            live = step != 0
            for state_name, state in zip(states, held, strict=True):
                live |= (layer.recurrent(state) if state_name == "spk" else state) != 0
            active += int(live.sum())
            found = layer(step, *held)
            fired += int(found[0].sum())
            held = list(found[-len(states) :])

    def run(layer: nn.Module, x: Tensor) -> None:
        held = [torch.zeros(B, N) for _ in states]
        for step in x:
            held = list(layer(step, *held)[-len(states) :])

    counts = counted(layer, x, run)
    path = counts.by_path[name]
    words = len([s for s in states if s != "spk"])
    assert path.neuron_updates_active == active > 0
    assert path.neuron_updates_active + path.neuron_updates_idle == x.numel()
    assert path.spikes_fired == fired > 0
    assert path.state_words == words * N
    assert path.state_reads == path.state_writes == words * x.numel()
    if name.startswith("R"):
        back = counts.by_path["recurrent"]
        assert back.effective_acs > 0
        assert back.kind == "event"
    else:
        assert set(counts.by_path) == {name}
        assert path.neuron_updates_idle > 0


def test_a_whole_snntorch_network_with_hidden_states_only_idles_in_silence() -> None:
    net = nn.Sequential(
        nn.Linear(4, N, bias=False), snn.Leaky(0.9, init_hidden=True), nn.Linear(N, 2, bias=False)
    )
    totals = counted(net, torch.zeros(T, B, 4), lambda net, x: [net(step) for step in x]).totals
    assert totals["neuron_updates_idle"] == T * B * N
    moved = {"state_reads", "state_writes", "bytes_moved"}
    assert {name for name, n in totals.items() if n} == {
        "neuron_updates_idle",
        "dense_macs",
        *moved,
    }


def test_binned_events_are_events_in_a_spiking_network_and_frames_in_another() -> None:
    spiking = nn.Sequential(nn.Linear(3, N), snn.Leaky(0.9, init_hidden=True))
    x = torch.tensor([[2.0, 0.0, 1.0]])
    first = count(spiking, x).by_path["0"]
    assert (first.effective_acs, first.spikes_routed, first.kind) == (3 * N, 3, "event")
    plain = count(nn.Sequential(nn.Linear(3, N)), x).by_path["0"]
    assert (plain.effective_macs, plain.kind) == (2 * N, "dense")


NORSE = {
    "LIFCell": norse.LIFCell,
    "LICell": norse.LICell,
    "LIFBoxCell": norse.LIFBoxCell,
    "LIFRefracCell": norse.LIFRefracCell,
}


@pytest.mark.parametrize("name", NORSE)
def test_norse_cells_equal_a_walk_over_steps(name: str) -> None:
    layer, x = NORSE[name](), currents() * 40
    active, state = 0, None
    with torch.no_grad():
        for step in x:
            live = step != 0
            for field in tensors(state):
                live = live | (field != 0)
            active += int(live.sum())
            _, state = layer(step, state)

    def run(layer: nn.Module, x: Tensor) -> None:
        state = None
        for step in x:
            _, state = layer(step, state)

    path = counted(layer, x, run).by_path[name]
    assert path.neuron_updates_active == active > 0
    assert path.neuron_updates_active + path.neuron_updates_idle == x.numel()
    assert (path.spikes_fired > 0) == (name != "LICell")


def tensors(state: Any) -> list[Tensor]:
    if state is None:
        return []
    if isinstance(state, Tensor):
        return [state]
    return [t for value in state for t in tensors(value)]


def test_norse_sequences_count_like_their_cells_and_are_left_as_they_were() -> None:
    x = currents() * 40
    layer = norse.LIF()
    activation = layer.activation

    def steps(cell: nn.Module, x: Tensor) -> None:
        state = None
        for step in x:
            _, state = cell(step, state)

    whole = counted(layer, x, lambda layer, x: layer(x))
    cell = counted(norse.LIFCell(), x, steps)
    assert whole.totals == cell.totals
    assert layer.activation is activation


def test_norse_recurrent_synapses_are_paths_of_their_own() -> None:
    torch.manual_seed(0)
    layer = norse.LIFRecurrent(N, 4)
    x = (currents() != 0).float()
    counts = counted(layer, x, lambda layer, x: layer(x))
    with torch.no_grad():
        sent, _ = layer(x)
    assert counts.by_path["LIFRecurrent.input"].effective_acs == int(x.sum()) * 4
    back = counts.by_path["LIFRecurrent.recurrent"]
    # No neuron drives itself; the spikes of the last step arrive after the end.
    assert back.effective_acs == int(sent[:-1].sum()) * 3
    assert back.weight_reads == int(sent[:-1].sum()) * 4
    assert counts.by_path["LIFRecurrent"].spikes_fired == int(sent.sum())


def spikingjelly() -> Any:
    return pytest.importorskip(
        "spikingjelly.activation_based",
        reason="SpikingJelly is not installed: pip install 'spikefuse[bench]'",
    )


@pytest.mark.parametrize("name", ["IFNode", "LIFNode", "ParametricLIFNode"])
@pytest.mark.parametrize("mode", ["s", "m"])
def test_spikingjelly_nodes_equal_a_walk_over_steps(name: str, mode: str) -> None:
    spikingjelly()
    from spikingjelly.activation_based import functional, neuron

    layer, x = getattr(neuron, name)(), currents()
    active = fired = 0
    with torch.no_grad():
        for step in x:
            live = (step != 0) | (torch.as_tensor(layer.v) != 0)
            active += int(live.sum())
            fired += int(layer(step).sum())
    functional.reset_net(layer)
    layer.step_mode = mode

    def run(layer: nn.Module, x: Tensor) -> None:
        if mode == "m":
            layer(x)
        else:
            for step in x:
                layer(step)

    counts = counted(layer, x, run, batch_dim=int(mode == "m"))
    path = counts.by_path[name]
    assert path.neuron_updates_active == active > 0
    assert path.neuron_updates_idle == x.numel() - active > 0
    assert path.spikes_fired == fired > 0
    assert path.state_words == N
    assert not layer.store_v_seq


def test_synaptic_operations_equal_spikingjellys_on_binary_unpruned_nets() -> None:
    spikingjelly()
    from spikingjelly.activation_based import functional, layer, neuron
    from spikingjelly.activation_based.op_counter import DispatchCounterMode, SynOpCounter

    for seed in range(20):
        torch.manual_seed(seed)
        padding, stride, groups = seed % 2, 1 + seed % 3, 1 + seed % 2
        net = nn.Sequential(
            layer.Conv2d(2, 4, 3, stride, padding, groups=groups, bias=False, step_mode="m"),
            neuron.IFNode(0.2, step_mode="m"),
            layer.Conv2d(4, 2, 2, padding=1, bias=False, step_mode="m"),
            neuron.LIFNode(1.5, v_threshold=0.2, step_mode="m"),
            layer.Flatten(step_mode="m"),
            nn.LazyLinear(5, bias=False),
        )
        x = (torch.rand(4, 2, 2, 7, 8) < 0.3).float()
        with torch.no_grad():
            net(x)
            functional.reset_net(net)
            theirs = SynOpCounter()
            with DispatchCounterMode([theirs]):
                net(x)
            functional.reset_net(net)
        ours = count(net, x, batch_dim=1)
        assert ours.totals["effective_acs"] == theirs.get_total() > 0
        assert ours.totals["effective_macs"] == 0
        assert ours.uncounted == ()


def test_pruned_weights_and_subtracting_spikes_are_where_spikingjelly_differs() -> None:
    spikingjelly()
    from spikingjelly.activation_based.op_counter import DispatchCounterMode, SynOpCounter

    def theirs(net: nn.Module, x: Tensor) -> int:
        counter = SynOpCounter()
        with DispatchCounterMode([counter]), torch.no_grad():
            net(x)
        return counter.get_total()

    net = nn.Linear(4, 3, bias=False)
    with torch.no_grad():
        net.weight[:, 0] = 0
    x = torch.tensor([[1.0, 1.0, 0.0, 0.0]])
    path = count(net, x, read_as="events").by_path["Linear"]
    assert (path.effective_acs, path.weight_reads, theirs(net, x)) == (3, 6, 6)
    ternary = torch.tensor([[1.0, -1.0, 0.0, 0.0]])
    assert (count(net, ternary).totals["signed_acs"], theirs(net, ternary)) == (3, 0)
