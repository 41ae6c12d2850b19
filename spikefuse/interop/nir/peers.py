"""Other programs that read NIR, run on the input that ours run on."""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from spikefuse.interop.nir.graph import NEURONS, NirNetwork
from spikefuse.interop.nir.parity import Parity, Trace, compare, trace
from spikefuse.models import FusionSNN
from spikefuse.neurons import LIReadout

SNNTORCH_DT_S = 1e-4  # built in
PEERS = ("norse", "snntorch")


def check_peers(
    graph: Any, network: NirNetwork, inputs: Mapping[str, Tensor], dt_s: float
) -> list[Parity]:
    """Norse and snnTorch beside our kernels on a graph.

    Parameters
    ----------
    graph : nir.NIRGraph
    network : NirNetwork
        The graph in our layers.
    inputs : mapping of input to Tensor[T, B, N]
        Spikes of 0 and 1.
    dt_s : float
        Step that the graph's time constants are for.
    """
    ours = trace(network, inputs)
    return [_check(peer, graph, network, inputs, ours, dt_s) for peer in PEERS]


def check_model(model: FusionSNN, network: NirNetwork, inputs: Mapping[str, Tensor]) -> Parity:
    """The model that was written beside what was read back: fused spikes and scores."""
    given = dict(inputs)
    if network.joined:
        (x,) = inputs.values()
        parts = torch.split(x, list(network.joined.values()), dim=2)
        given = dict(zip(network.joined, parts, strict=True))
    was_training = model.training
    model.eval()
    with torch.no_grad():
        out = model(given)
    model.train(was_training)
    found = Trace({"fusion_lif": out.hidden}, {"readout": out.scores})
    return compare(network, trace(network, inputs), found, "the model itself")


def _check(
    peer: str,
    graph: Any,
    network: NirNetwork,
    inputs: Mapping[str, Tensor],
    ours: Trace,
    dt_s: float,
) -> Parity:
    """One program; whatever it raises is its refusal."""
    if find_spec(peer) is None:
        return Parity(peer, refusal=f"{peer} is not installed")
    if peer == "snntorch" and abs(dt_s - SNNTORCH_DT_S) > 1e-12:
        return Parity(peer, refusal=f"it reads steps of 0.1 ms only, got {dt_s * 1e3:g} ms")
    if len(inputs) > 1:
        return Parity(peer, refusal="it takes one input")
    (x,) = inputs.values()
    (shape,) = network.inputs.values()
    run = _norse if peer == "norse" else _snntorch
    try:
        with _quiet(), torch.no_grad():
            theirs = run(copy.deepcopy(graph), network, x.reshape(*x.shape[:2], *shape), dt_s)
            return compare(network, ours, theirs, peer)
    except Exception as error:  # what another library raises on a graph is its own affair
        said = (str(error).splitlines() or [""])[0]
        return Parity(peer, refusal=f"{type(error).__name__}: {said}"[:160])


def _norse(graph: Any, network: NirNetwork, x: Tensor, dt_s: float) -> Trace:
    import norse.torch as norse

    def membrane(module: nn.Module, out: Any) -> tuple[Tensor, Tensor]:
        state = out[1]
        return out[0], state.v if hasattr(state, "v") else state[1].v

    def fresh() -> tuple[nn.Module, Callable[[Tensor, Any], Any]]:
        net = norse.from_nir(graph, dt=dt_s)
        return net, lambda step, state: net(step, state)[1]

    return _recorded(fresh, network, x, membrane)


def _snntorch(graph: Any, network: NirNetwork, x: Tensor, dt_s: float) -> Trace:
    from snntorch.import_nir import import_from_nir

    def membrane(module: Any, out: Any) -> tuple[Tensor, Tensor]:
        spikes = out[0] if isinstance(out, tuple) else out
        if not hasattr(module, "mem"):
            raise ValueError("it makes a loop of its recurrence that is none of its neurons")
        # It may scale the threshold instead of the weights: in units of the file's.
        written = module.written_threshold
        unit = written / torch.as_tensor(module.threshold).double()
        return spikes, (module.mem.double() * unit).float()

    def fresh() -> tuple[nn.Module, Callable[[Tensor, Any], Any]]:
        net = import_from_nir(copy.deepcopy(graph))
        for name, node in graph.nodes.items():
            if hasattr(node, "v_threshold"):
                module = net.get_submodule(name.replace(".", "_"))
                module.written_threshold = torch.as_tensor(node.v_threshold)
        return net, lambda step, state: net(step, state)[1]

    return _recorded(fresh, network, x, membrane)


def _recorded(
    fresh: Callable[[], tuple[nn.Module, Callable[[Tensor, Any], Any]]],
    network: NirNetwork,
    x: Tensor,
    membrane: Callable[[Any, Any], tuple[Tensor, Tensor]],
) -> Trace:
    """A library's network on one sample at a time: their Flatten takes the batch along."""
    names = [name for name, node in network.nodes.items() if isinstance(node.layer, NEURONS)]
    samples: list[dict[str, tuple[Tensor, Tensor]]] = []
    for sample in x.unbind(1):
        net, step_of = fresh()
        held: dict[str, list[tuple[Tensor, Tensor]]] = {name: [] for name in names}

        def keep(module: Any, args: Any, out: Any, name: str = "", held: Any = held) -> None:
            s, v = membrane(module, out)
            held[name].append((s.detach().flatten().clone(), v.detach().flatten().clone()))

        for name in names:
            _module(net, name).register_forward_hook(_named(keep, name))
        state = None
        for step in sample.unbind(0):
            state = step_of(step, state)
        samples.append(
            {
                name: (torch.stack([s for s, _ in seen]), torch.stack([v for _, v in seen]))
                for name, seen in held.items()
            }
        )
    spikes = {name: torch.stack([found[name][0] for found in samples], 1) for name in names}
    membranes = {name: torch.stack([found[name][1] for found in samples], 1) for name in names}
    for name in names:
        if isinstance(network.nodes[name].layer, LIReadout):
            del spikes[name]
    return Trace(spikes, membranes)


def _named(keep: Callable[..., None], name: str) -> Callable[[Any, Any, Any], None]:
    return lambda module, args, out: keep(module, args, out, name)


def _module(net: nn.Module, name: str) -> nn.Module:
    """The module of a node.

    Raises
    ------
    ValueError
        If the library has left it out.
    """
    found: nn.Module | None = dict(net.named_modules()).get(name)
    if found is None:
        raise ValueError(f"it left out {name!r}")
    return found


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what libraries print while they read."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = logging.root.manager.disable
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(before)
