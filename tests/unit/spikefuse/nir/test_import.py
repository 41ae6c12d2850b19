"""Graphs of others as networks of ours, against sums written out."""

import itertools
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
import torch
from torch import nn

from spikefuse.cost import count
from spikefuse.errors import ConfigError, DataError
from spikefuse.interop.nir import NirNetwork, Node, from_nir, load_nir, save_nir
from spikefuse.interop.nir.parity import trace
from spikefuse.neurons import LIF, LIFParams
from spikefuse.synapses import EventLinear

DT_S = 1e-3
LOSSY: dict[str, Any] = {"in_shape": (5,), "allow_lossy": True}


def affine(n_in: int, n_out: int, seed: int = 0, bias: bool = False) -> Any:
    rng = np.random.default_rng(seed)
    return nir.Affine(rng.normal(size=(n_out, n_in)) * 3, rng.normal(size=n_out) * 0.1 * bias)


def lif(n: int, **changed: Any) -> Any:
    given: dict[str, Any] = {
        "tau": np.linspace(0.005, 0.03, n),
        "r": np.linspace(0.5, 2.0, n),
        "v_leak": np.zeros(n),
        "v_reset": np.zeros(n),
        "v_threshold": np.linspace(0.1, 0.5, n),
    }
    return nir.LIF(**given | changed)


def graph(nodes: dict[str, Any], edges: list[tuple[str, str]]) -> Any:
    return nir.NIRGraph(nodes, edges, type_check=False)


def chain(*nodes: Any, n_in: int = 5, n_out: int = 4) -> Any:
    named = {"input": nir.Input(np.array([n_in]))}
    named |= {f"node_{i}": node for i, node in enumerate(nodes)}
    named["output"] = nir.Output(np.array([n_out]))
    names = list(named)
    return graph(named, list(itertools.pairwise(names)))


def spikes_in(n: int, n_steps: int = 60, seed: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(n_steps, 1, n, generator=generator) < 0.3).float()


def euler(node: Any, current: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Spikes and membranes of a LIF or IF node, by its equation in float64."""
    leak = 0.0 if isinstance(node, nir.IF) else 1.0 / node.tau
    drive = node.r * (1.0 if isinstance(node, nir.IF) else 1.0 / node.tau)
    v = np.zeros(current.shape[1])
    spikes, membranes = [], []
    for x in current:
        v = v + DT_S * (drive * x - leak * v)
        s = v > node.v_threshold
        v = np.where(s, 0.0, v)
        spikes.append(s)
        membranes.append(v)
    return np.stack(spikes).astype(float), np.stack(membranes)


def test_neurons_follow_the_equation_with_all_parameters_apart() -> None:
    synapses, neurons = affine(5, 4, bias=True), lif(4)
    network = from_nir(chain(synapses, neurons), dt_ms=1.0)
    x = spikes_in(5)
    current = x[:, 0].double().numpy() @ synapses.weight.T + synapses.bias
    spikes, membranes = euler(neurons, current)
    ours = trace(network, {"input": x})
    assert spikes.sum() > 10
    assert np.array_equal(ours.spikes["node_1"][:, 0].detach().numpy(), spikes)
    assert np.abs(ours.membranes["node_1"][:, 0].numpy() - membranes).max() < 1e-5


def test_neurons_without_leak_integrate() -> None:
    synapses = affine(5, 4)
    neurons = nir.IF(r=np.full(4, 400.0), v_threshold=np.ones(4), v_reset=np.zeros(4))
    network = from_nir(chain(synapses, neurons), dt_ms=1.0)
    x = spikes_in(5)
    spikes, _ = euler(neurons, x[:, 0].double().numpy() @ synapses.weight.T)
    assert spikes.sum() > 5
    assert np.array_equal(network(x)[0][:, 0].detach().numpy(), spikes)


def test_a_time_constant_of_one_step_forgets_all() -> None:
    synapses, neurons = affine(5, 4), lif(4, tau=np.array([DT_S, 0.01, DT_S, 0.02]))
    with pytest.warns(UserWarning, match="below two steps"):
        network = from_nir(chain(synapses, neurons), dt_ms=1.0)
    x = spikes_in(5)
    spikes, membranes = euler(neurons, x[:, 0].double().numpy() @ synapses.weight.T)
    ours = trace(network, {"input": x})
    assert spikes[:, 0].sum() > 5
    assert np.array_equal(ours.spikes["node_1"][:, 0].detach().numpy(), spikes)
    assert np.abs(ours.membranes["node_1"][:, 0].numpy() - membranes).max() < 1e-5


@pytest.mark.parametrize("name", ["training", "forward", "_modules"])
def test_nodes_may_have_any_name(name: str) -> None:
    nodes = {"i": nir.Input(np.array([5])), name: lif(5), "o": nir.Output(np.array([5]))}
    network = from_nir(graph(nodes, [("i", name), (name, "o")]), dt_ms=1.0)
    assert network(spikes_in(5))[0].shape == (60, 1, 5)


def test_neurons_driven_by_spikes_directly_scale_them() -> None:
    neurons = lif(5, r=np.full(5, 40.0))
    network = from_nir(chain(neurons, n_out=5), dt_ms=1.0)
    x = spikes_in(5)
    spikes, _ = euler(neurons, x[:, 0].double().numpy())
    assert spikes.sum() > 5
    assert np.array_equal(network(x)[0][:, 0].detach().numpy(), spikes)


def test_branches_delays_and_several_inputs_are_summed() -> None:
    a, b, neurons = affine(5, 4, 1), affine(3, 4, 2), lif(4)
    nodes = {
        "left": nir.Input(np.array([5])),
        "right": nir.Input(np.array([3])),
        "late": nir.Delay(np.array([0.0, 2e-3, 2e-3])),
        "a": a,
        "b": b,
        "cells": neurons,
        "first": nir.Output(np.array([4])),
        "second": nir.Output(np.array([4])),
    }
    edges = [("left", "a"), ("right", "late"), ("late", "b"), ("a", "cells"), ("b", "cells")]
    network = from_nir(graph(nodes, [*edges, ("cells", "first"), ("a", "second")]), dt_ms=1.0)
    left, right = spikes_in(5), spikes_in(3, seed=2)
    late = right.clone()
    late[:, :, 1:] = 0
    late[2:, :, 1:] = right[:-2, :, 1:]
    one, two = (left[:, 0].double().numpy(), late[:, 0].double().numpy())
    spikes, _ = euler(neurons, one @ a.weight.T + two @ b.weight.T)
    out, _ = network({"left": left, "right": right})
    assert spikes.sum() > 20
    assert np.array_equal(out[:, 0, :4].detach().numpy(), spikes)
    # The other output is the matrix without the neurons' gain: it has another layer for that.
    np.testing.assert_allclose(out[:, 0, 4:].detach().numpy(), one @ a.weight.T, atol=1e-5)


def test_groups_dilation_and_padding_are_those_of_torch() -> None:
    conv = nn.Conv2d(4, 6, 3, stride=2, padding=1, dilation=2, groups=2)
    node = nir.Conv2d((9, 8), conv.weight.detach().numpy(), 2, 1, 2, 2, conv.bias.detach().numpy())
    x = (torch.rand(5, 2, 4, 9, 8) < 0.3).float()
    theirs = conv(x.flatten(0, 1))
    named = {
        "input": nir.Input(np.array([4, 9, 8])),
        "conv": node,
        "output": nir.Output(np.array(theirs.shape[1:])),
    }
    network = from_nir(graph(named, [("input", "conv"), ("conv", "output")]), dt_ms=1.0)
    ours, _ = network(x.flatten(2))
    torch.testing.assert_close(ours, theirs.reshape(5, 2, -1), atol=1e-5, rtol=1e-5)


def test_chunks_give_what_the_whole_gives() -> None:
    network = from_nir(chain(affine(5, 4), lif(4)), dt_ms=1.0)
    x = spikes_in(5)
    whole, _ = network(x)
    first, state = network(x[:17])
    second, _ = network(x[17:], state)
    assert torch.equal(whole, torch.cat([first, second]))


def test_an_imported_network_is_counted() -> None:
    network = from_nir(chain(affine(5, 4), lif(4)), dt_ms=1.0)
    x = spikes_in(5)
    counts = count(network, x).totals
    assert counts["effective_acs"] == int(x.sum()) * 4
    assert counts["neuron_updates_active"] + counts["neuron_updates_idle"] == 60 * 4


BAD = [
    (chain(affine(5, 4), lif(4, v_leak=np.full(4, 0.1))), "v_leak must be 0"),
    (chain(affine(5, 4), lif(4, v_reset=np.full(4, 0.1))), "v_reset must be 0"),
    (chain(affine(5, 4), lif(4, v_threshold=np.zeros(4))), "v_threshold must be positive"),
    (chain(affine(5, 4), lif(4, tau=np.full(4, 1e-5))), "--tau-scale"),
    (chain(affine(5, 4), lif(4, tau=np.full(4, np.nan))), "must be finite"),
    (chain(nir.Linear(np.full((4, 5), np.nan)), lif(4)), "weight must be finite"),
    (chain(nir.Affine(np.ones((4, 5)), np.full(4, np.inf)), lif(4)), "bias must be finite"),
    (chain(affine(5, 4), lif(3)), "must be a number or of shape"),
    (chain(affine(6, 4), lif(4)), "must be given 6 addresses"),
    (chain(nir.Affine(np.ones((2, 4, 5)), np.zeros(4)), lif(4)), "matching sizes"),
    (chain(nir.Threshold(np.ones(5)), n_out=5), "got Threshold of 'node_0'"),
    (chain(nir.Delay(np.full(5, 1.5e-3)), n_out=5), "whole steps of 1 ms"),
    (chain(nir.Delay(np.full(5, -1e-3)), n_out=5), "whole steps of 1 ms"),
    (graph({"input": nir.Input(np.array([5]))}, []), "inputs and outputs"),
    (graph({"input": nir.Input(np.array([5]))}, [("input", "gone")]), "between nodes"),
    (
        graph(
            {"input": nir.Input(np.array([4])), "a": affine(4, 4), "b": affine(4, 4)},
            [("input", "a"), ("a", "b"), ("b", "a")],
        ),
        "without cycles",
    ),
]


@pytest.mark.parametrize(("bad", "reason"), BAD, ids=[reason for _, reason in BAD])
def test_what_has_no_twin_is_refused_by_name(bad: Any, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        from_nir(bad, dt_ms=1.0)


def test_a_foreign_file_needs_its_step() -> None:
    with pytest.raises(DataError, match="--dt-ms"):
        from_nir(chain(affine(5, 4), lif(4)))
    with pytest.raises(DataError, match="dt_ms must be positive"):
        from_nir(chain(affine(5, 4), lif(4)), dt_ms=0.0)


def test_short_time_constants_are_warned_of() -> None:
    with pytest.warns(UserWarning, match="below two steps"):
        from_nir(chain(affine(5, 4), lif(4, tau=np.full(4, 1.5e-3))), dt_ms=1.0)


def test_damaged_files_are_one_clear_error(tmp_path: Path) -> None:
    whole = tmp_path / "whole.nir"
    net = nn.Sequential(EventLinear(5, 4), LIF(4, LIFParams(reset="zero"), 1.0))
    save_nir(whole, net, in_shape=(5,))
    content = whole.read_bytes()
    cases = {
        "empty": b"",
        "text": b"not a network",
        "short": content[: len(content) // 2],
        "torn": content[:600] + bytes(300) + content[900:],
    }
    for name, damaged in cases.items():
        path = tmp_path / f"{name}.nir"
        path.write_bytes(damaged)
        with pytest.raises(DataError) as caught:
            load_nir(path)
        assert "\n" not in str(caught.value), name
    with pytest.raises(DataError, match="no such file"):
        load_nir(tmp_path / "gone.nir")


def test_without_the_library_the_way_to_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "nir", None)
    with pytest.raises(ConfigError, match=r"spikefuse\[nir\]"):
        load_nir(Path("any.nir"))


def test_nodes_in_a_wrong_order_are_refused() -> None:
    layer = EventLinear(5, 4)
    with pytest.raises(ValueError, match="come after their sources"):
        NirNetwork({"input": (5,)}, [Node("a", layer, ("b",), (4,))], ["a"], 1.0)
    with pytest.raises(ValueError, match="outputs must be"):
        NirNetwork({"input": (5,)}, [Node("a", layer, ("input",), (4,))], ["b"], 1.0)


def test_any_damage_is_refused_in_one_line_or_reads_as_a_network(tmp_path: Path) -> None:
    path = tmp_path / "net.nir"
    save_nir(path, nn.Sequential(EventLinear(5, 4), LIF(4, LIFParams(), 1.0)), **LOSSY)
    content, rng = path.read_bytes(), np.random.default_rng(0)
    refusals: list[str] = []
    for _ in range(60):
        damaged = bytearray(content)
        for place in rng.integers(len(content), size=5):
            damaged[place] = rng.integers(256)
        path.write_bytes(bytes(damaged))
        try:
            load_nir(path)
        except DataError as error:
            refusals.append(str(error))
    assert len(refusals) > 10
    assert not any("\n" in refusal for refusal in refusals)
