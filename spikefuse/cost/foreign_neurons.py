"""Neurons of snnTorch, Norse and SpikingJelly: updates, active and idle, and spikes that return.

No library is imported: a module that belongs to one has imported it already.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from spikefuse.cost.contractions import Setting, weighted_product
from spikefuse.cost.messages import on_host
from spikefuse.kernels.tally import count_some
from spikefuse.opcounts import PathCounts

Paths = dict[str, PathCounts]

# Neurons of snnTorch that keep their state in these attributes, in the order of their arguments.
_SNNTORCH: dict[str, tuple[str, ...]] = {
    "Leaky": ("mem",),
    "Lapicque": ("mem",),
    "RLeaky": ("spk", "mem"),
    "Synaptic": ("syn", "mem"),
    "RSynaptic": ("spk", "syn", "mem"),
    "Alpha": ("syn_exc", "syn_inh", "mem"),
}


class Watch(Protocol):
    """Follows one call of a neuron layer."""

    def done(self, output: Any) -> Paths:
        """What the call did, by suffix of the layer's path."""
        ...

    def undo(self) -> None:
        """Leave the layer as it was."""
        ...


def foreign_neuron(layer: nn.Module) -> Callable[..., Watch] | None:
    """The watch for a layer of another library, made from ``(layer, args, kwargs, setting)``."""
    for library, watch_of in _LIBRARIES.items():
        if library in sys.modules:
            found = watch_of(layer)
            if found is not None:
                return found
    return None


class _Known(Watch):
    """Counts that are known before the call, but for the spikes it fires."""

    def __init__(self, before: Callable[..., PathCounts]) -> None:
        self.before = before

    def done(self, output: Any) -> Paths:
        spikes = output[0] if isinstance(output, tuple) else output
        return {"": self.before(fired=_n_fired(spikes))}

    def undo(self) -> None:
        pass


def _n_fired(spikes: Tensor) -> int:
    sent = spikes.detach()
    return int(sent.count_nonzero()) if sent.is_sparse else count_some(sent, backend=on_host(sent))


def _fired(path: PathCounts, spikes: Tensor) -> PathCounts:
    return replace(path, spikes_fired=path.spikes_fired + _n_fired(spikes))


def _updates(live: Tensor, n_states: int, setting: Setting) -> PathCounts:
    """Updates of the neurons, ``live [..., ]`` a cell for each neuron and step."""
    return _updates_of(live.numel(), int(live.sum()), n_states, setting)


def _updates_of(
    cells: int, active: int, n_states: int, setting: Setting, words: int = 0, fired: int = 0
) -> PathCounts:
    """So many updates, some of them active, of neurons that hold so many words."""
    return PathCounts(
        neuron_updates_active=active,
        neuron_updates_idle=cells - active,
        state_reads=n_states * cells,
        state_writes=n_states * cells,
        state_words=words,
        spikes_fired=fired,
        modality=setting.modality,
    )


def _with_capacity(path: PathCounts, words: int) -> PathCounts:
    return path.joined(PathCounts(state_words=words, modality=path.modality))


def _snntorch(layer: nn.Module) -> Callable[..., Watch] | None:
    """A step of a neuron whose state is in attributes, from its arguments or from the last step."""
    neurons = sys.modules["snntorch"]
    name = next(
        (n for n in reversed(_SNNTORCH) if isinstance(layer, getattr(neurons, n, ()))), None
    )
    return None if name is None else partial(_snntorch_watch, _SNNTORCH[name])


def _snntorch_watch(
    names: tuple[str, ...],
    layer: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    setting: Setting,
) -> Watch:
    x: Tensor = args[0] if args else kwargs["input_"]
    seen = [x.detach()]
    for position, state_name in enumerate(names, start=1):
        given = args[position] if len(args) > position else kwargs.get(state_name)
        state: Tensor = getattr(layer, state_name) if given is None else given
        if state.shape != x.shape:
            continue  # it starts from zero
        if state_name == "spk":
            state = layer.recurrent(state)
        seen.append(state.detach())
    n_states = len(names) - names.count("spk")
    words = n_states * x.numel() // max(setting.batch, 1)
    return _Known(partial(_updates_of, x.numel(), _n_live(seen), n_states, setting, words))


def _n_live(seen: list[Tensor]) -> int:
    """In how many cells one of some tensors of one shape is not zero."""
    if len(seen) > 2:
        live = seen[0] != 0
        for x in seen[1:]:
            live = live | (x != 0)
        return int(live.sum())
    n: int = count_some(*seen, backend=on_host(seen[0]) or on_host(seen[-1]))
    return n


def _norse(layer: nn.Module) -> Callable[..., Watch] | None:
    """Cells and layers that call ``activation`` at every step."""
    snn: Any = sys.modules.get("norse.torch.module.snn")
    if snn is None:
        return None
    kinds = (snn.SNNCell, snn.SNN, snn.SNNRecurrentCell, snn.SNNRecurrent)
    return _NorseWatch if isinstance(layer, kinds) else None


class _NorseWatch(Watch):
    """Stands in for the layer's ``activation`` while it runs, and sees every step."""

    def __init__(
        self, layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any], setting: Setting
    ) -> None:
        del args, kwargs
        self.layer, self.setting = layer, setting
        self.paths: Paths = {}
        self.activation = layer.activation
        self.sparse = layer.activation_sparse
        layer.activation = self._step(self.activation)
        if self.sparse is not None:
            layer.activation_sparse = self._step(self.sparse)

    def _step(self, activation: Any) -> Any:
        def step(x: Tensor, state: Any, *rest: Any) -> Any:
            self._see(x.to_dense() if x.is_sparse else x, state, rest)
            return activation(x, state, *rest)

        return step

    def _see(self, x: Tensor, state: Any, rest: tuple[Any, ...]) -> None:
        """Count one step."""
        drive, x = x.detach(), x.detach()
        fields = dict(_fields(state))
        if len(rest) == 4:  # input weights, recurrent weights, parameters, dt
            wide, back = rest[0].detach(), rest[1].detach()
            z = next(v for n, v in fields.items() if n.split(".")[-1] == "z").detach()
            spikes = z.to_dense() if z.is_sparse else z
            self._add(".input", weighted_product(x, wide.t(), self.setting)[1])
            self._add(".recurrent", weighted_product(spikes, back.t(), self.setting)[1])
            drive = (x @ wide.t() != 0) | (spikes @ back.t() != 0)
        live = drive != 0
        rests = dict(_fields(self.layer.state_fallback(x)))
        n_states = 0
        for name, value in fields.items():
            if name.split(".")[-1] != "z":
                n_states += 1
                live = live | (value.detach() != rests[name].detach())
        path = _updates(live, n_states, self.setting)
        words = n_states * live.numel() // max(self.setting.batch, 1)
        self._add("", _with_capacity(path, words))

    def _add(self, suffix: str, path: PathCounts) -> None:
        self.paths[suffix] = self.paths[suffix].joined(path) if suffix in self.paths else path

    def done(self, output: Any) -> Paths:
        sent = output[0].to_dense() if output[0].is_sparse else output[0]
        # Integrators without a threshold send membranes, not spikes.
        if "" in self.paths and bool(((sent == 0) | (sent == 1)).all()):
            self.paths[""] = _fired(self.paths[""], sent)
        return self.paths

    def undo(self) -> None:
        self.layer.activation = self.activation
        self.layer.activation_sparse = self.sparse


def _fields(state: Any, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    """Tensors of a state that may hold states."""
    for name, value in state._asdict().items():
        if isinstance(value, Tensor):
            yield prefix + name, value
        elif hasattr(value, "_asdict"):
            yield from _fields(value, f"{prefix}{name}.")


def _spikingjelly(layer: nn.Module) -> Callable[..., Watch] | None:
    """Neurons with a membrane; those with more state only if they are stepped one by one."""
    base: Any = sys.modules.get("spikingjelly.activation_based.neuron.base_node")
    if base is None or not isinstance(layer, base.BaseNode | base.SimpleBaseNode):
        return None
    node: Any = layer
    one = list(node._memories) == ["v"] and hasattr(node, "store_v_seq")
    return _SpikingJellyWatch if node.step_mode == "s" or one else None


class _SpikingJellyWatch(Watch):
    """Reads the membrane before a step, or keeps those of all steps of a sequence."""

    def __init__(
        self, layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any], setting: Setting
    ) -> None:
        del kwargs
        self.layer, self.setting = layer, setting
        self.x: Tensor = args[0].detach()
        self.many = layer.step_mode == "m"
        one = self.x[0] if self.many else self.x
        self.live = torch.zeros_like(one, dtype=torch.bool)
        for name, value in layer._memories.items():
            away = value != layer._memories_rv[name]
            if isinstance(away, Tensor) and away.shape == one.shape:
                self.live |= away
            elif away is True:
                self.live |= True
        self.stored = layer.store_v_seq if self.many else None
        if self.many and not self.stored:
            layer.store_v_seq = True

    def done(self, output: Any) -> Paths:
        live = self.live | (self.x != 0) if not self.many else self._sequence()
        n_states = len(self.layer._memories)
        words = n_states * self.live.numel() // max(self.setting.batch, 1)
        path = _with_capacity(_updates(live, n_states, self.setting), words)
        return {"": _fired(path, output)}

    def _sequence(self) -> Tensor:
        """Whether each neuron is away from rest or driven, at every step."""
        before = self.layer.v_seq.detach()[:-1] != self.layer._memories_rv["v"]
        return torch.cat([self.live[None], before]) | (self.x != 0)

    def undo(self) -> None:
        if self.many and not self.stored:
            self.layer.store_v_seq = False


_LIBRARIES: Mapping[str, Callable[[nn.Module], Callable[..., Watch] | None]] = {
    "snntorch": _snntorch,
    "norse": _norse,
    "spikingjelly": _spikingjelly,
}
