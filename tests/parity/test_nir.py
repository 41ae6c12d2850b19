"""NIR files run by Norse and snnTorch, and files that they wrote run here."""

import contextlib
import io
import warnings
from pathlib import Path

import nir
import norse.torch as norse
import numpy as np
import pytest
import snntorch as snn
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from snntorch.export_nir import export_to_nir
from torch import nn

from spikefuse.interop.nir import from_nir, load_nir, save_nir, to_nir
from spikefuse.interop.nir.cases import CASES, Case, run_case
from spikefuse.interop.nir.parity import Parity, random_input, trace
from spikefuse.interop.nir.peers import check_peers
from spikefuse.interop.nir.profiles import LossyExportError
from spikefuse.neurons import LIF, CubaLIF, CubaLIFParams, LIFParams, LIReadout
from spikefuse.synapses import EventLinear

CHAINS = [case for case in CASES if case.name not in ("delays", "recurrence")][:7]
BY_NAME = {case.name: case for case in CASES}


def by_peer(case: Case, profile: str) -> dict[str, Parity]:
    outcome = run_case(case, profile)
    assert not outcome.refusal
    return {parity.peer: parity for parity in outcome.parities}


@pytest.mark.parametrize("case", CHAINS, ids=lambda case: case.name)
def test_a_portable_file_runs_alike_everywhere(case: Case) -> None:
    for peer, found in by_peer(case, "portable").items():
        assert found.verdict == "equal", peer
        assert found.n_ties == 0
        assert sum(layer.n_spikes for layer in found.layers.values()) > 100
        assert all(layer.deviation <= layer.bound for layer in found.layers.values())


@pytest.mark.parametrize("case", CHAINS, ids=lambda case: case.name)
def test_a_file_for_snntorch_runs_alike_there(case: Case) -> None:
    found = by_peer(case, "snntorch")
    assert found["the model itself"].verdict == found["snntorch"].verdict == "equal"


@pytest.mark.parametrize("case", CASES[:-1], ids=lambda case: case.name)
def test_a_native_file_holds_all_that_has_no_loss(case: Case) -> None:
    assert by_peer(case, "native")["the model itself"].verdict == "equal"


def test_norse_runs_recurrence_of_a_native_file() -> None:
    assert by_peer(BY_NAME["recurrence"], "native")["norse"].verdict == "equal"


def test_a_difference_is_seen() -> None:
    # Norse drops r of a LIF node: the profile of snnTorch is not for it.
    assert by_peer(CASES[0], "snntorch")["norse"].verdict == "DIFFERENT"


def test_what_a_library_cannot_run_is_said() -> None:
    found = by_peer(BY_NAME["leaky readout"], "native")
    assert "left out" in found["norse"].verdict
    assert "LI" in found["snntorch"].verdict
    assert not found["norse"].equal


@settings(max_examples=8)
@given(
    seed=st.integers(0, 10_000),
    tau_ms=st.floats(2.0, 200.0),
    spread=st.sampled_from([1.0, 1.5, 4.0]),
    threshold=st.floats(0.1, 5.0),
    synaptic=st.booleans(),
    profile=st.sampled_from(["portable", "snntorch"]),
)
def test_any_parameters_run_alike(
    seed: int, tau_ms: float, spread: float, threshold: float, synaptic: bool, profile: str
) -> None:
    torch.manual_seed(seed)
    common = {"tau_mem_ms": tau_ms, "tau_spread": spread, "threshold": threshold, "reset": "zero"}
    neurons: nn.Module = LIF(9, LIFParams(**common), 1.0)
    if synaptic:
        neurons = CubaLIF(9, CubaLIFParams(tau_syn_ms=tau_ms / 3, **common), 1.0)
    readout = LIReadout(3, tau_ms, 1.0)
    net = nn.Sequential(EventLinear(7, 9, 3.0 * threshold), neurons, EventLinear(9, 3), readout)
    graph = to_nir(net, profile, in_shape=(7,))
    back = from_nir(graph)
    found = {p.peer: p for p in check_peers(graph, back, random_input(back, 40, 1, 0.3), 1e-4)}
    assert found["snntorch"].equal, found["snntorch"]
    if profile == "portable":
        assert found["norse"].equal, found["norse"]


# Files that others wrote.


def run_snntorch(net: nn.Sequential, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Spikes and membranes of its one neuron layer, ``[T, N]``."""
    spikes, membranes = [], []
    net[1].reset_mem()  # the export has run it on a sample
    for step in x:
        spikes.append(net(step))
        membranes.append(net[1].mem)
    return torch.stack(spikes).detach(), torch.stack(membranes).detach()


@pytest.mark.parametrize("synaptic", [False, True])
def test_a_file_of_snntorch_runs_here_as_there(synaptic: bool, tmp_path: Path) -> None:
    torch.manual_seed(3)
    beta = torch.linspace(0.7, 0.95, 6)
    options = {
        "threshold": torch.ones(6),
        "reset_mechanism": "zero",
        "reset_delay": False,
        "init_hidden": True,
    }
    neurons = snn.Leaky(beta, **options)
    if synaptic:
        neurons = snn.Synaptic(beta - 0.3, beta, **options)
    net = nn.Sequential(nn.Linear(5, 6), neurons)
    with contextlib.redirect_stdout(io.StringIO()):
        nir.write(tmp_path / "net.nir", export_to_nir(net, torch.zeros(5)))
    x = (torch.rand(80, 5) < 0.3).float()
    spikes, membranes = run_snntorch(net, x)
    ours = trace(back := load_nir(tmp_path / "net.nir", dt_ms=0.1), {"input": x[:, None]})
    (name,) = ours.spikes
    assert spikes.sum() > 20
    assert torch.equal(ours.spikes[name][:, 0], spikes)
    torch.testing.assert_close(ours.membranes[name][:, 0], membranes, atol=1e-5, rtol=1e-5)
    assert back.nodes[next(iter(back.nodes))].layer.weight.shape == (5, 6)


def test_a_file_of_norse_runs_here_as_there(tmp_path: Path) -> None:
    torch.manual_seed(4)
    p = norse.LIFBoxParameters(
        tau_mem_inv=torch.full((6,), 100.0), v_leak=torch.zeros(6), v_th=torch.ones(6)
    )
    net = norse.SequentialState(nn.Linear(5, 6, bias=False), norse.LIFBoxCell(p, dt=1e-3))
    net[0].weight.data *= 20
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph = norse.to_nir(net, torch.zeros(5), dt=1.0)
        wrong = norse.to_nir(net, torch.zeros(5))
    nir.write(tmp_path / "net.nir", graph)
    x = (torch.rand(80, 5) < 0.3).float()
    spikes, state = [], None
    for step in x:
        s, state = net(step, state)
        spikes.append(s)
    back = load_nir(tmp_path / "net.nir", dt_ms=1.0)
    (source,) = back.inputs
    ours = trace(back, {source: x[:, None]})
    (name,) = ours.spikes
    assert torch.stack(spikes).sum() > 20
    assert torch.equal(ours.spikes[name][:, 0], torch.stack(spikes).detach())
    # With its default it writes tau * dt.
    with pytest.raises(ValueError, match="--tau-scale"):
        from_nir(wrong, dt_ms=1.0)
    scaled = trace(from_nir(wrong, dt_ms=1.0, tau_scale=1000.0), {source: x[:, None]})
    assert torch.equal(scaled.spikes[name], ours.spikes[name])


# Refusals.

REFUSED = [
    ("delays", "portable", LossyExportError, "Norse drops them, snnTorch refuses them"),
    ("delays", "snntorch", LossyExportError, "Norse drops them, snnTorch refuses them"),
    ("recurrence", "portable", ValueError, "snnTorch does not run its loop"),
    ("recurrence", "snntorch", ValueError, "snnTorch does not run its loop"),
    ("reset by subtraction", "portable", LossyExportError, "set to v_reset"),
    ("reset by subtraction", "snntorch", LossyExportError, "set to v_reset"),
    ("reset by subtraction", "native", LossyExportError, "set to v_reset"),
]


@pytest.mark.parametrize(("name", "profile", "kind", "reason"), REFUSED)
def test_a_refused_export_names_its_reason(
    name: str, profile: str, kind: type[Exception], reason: str
) -> None:
    case = BY_NAME[name]
    with pytest.raises(kind, match=reason):
        to_nir(case.make(), profile, in_shape=case.in_shape)


def test_no_other_case_is_refused() -> None:
    refused = {
        (case.name, profile)
        for case in CASES
        for profile in ("portable", "snntorch", "native")
        if run_case(case, profile).refusal
    }
    assert refused == {(name, profile) for name, profile, *_ in REFUSED}


def test_a_lossy_file_keeps_for_us_what_others_lose(tmp_path: Path) -> None:
    case = BY_NAME["reset by subtraction"]
    model = case.make()
    save_nir(tmp_path / "net.nir", model, in_shape=(20,), allow_lossy=True)
    assert "subtraction" in nir.read(tmp_path / "net.nir").metadata["lost"]
    back = load_nir(tmp_path / "net.nir")
    x = (torch.rand(50, 2, 20) < 0.3).float()
    first = model[1](model[0](x))[0]
    assert torch.equal(back.run(x)[0]["lif_1"], first)
    assert first.sum() > 0
    graph = to_nir(model, in_shape=(20,), allow_lossy=True)
    found = check_peers(graph, back, {"input": x}, 1e-4)
    assert [p.verdict for p in found] == ["DIFFERENT", "DIFFERENT"]
    assert np.all(graph.nodes["lif_1"].v_reset == 0)
