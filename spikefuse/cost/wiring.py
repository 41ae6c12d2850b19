"""Who drives whom in a network of any library: found from what flows while it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakIdKeyDictionary

from spikefuse.cost.constancy import tensors_in
from spikefuse.cost.foreign_neurons import foreign_neuron
from spikefuse.cost.layer_rules import NEURONS
from spikefuse.cost.roles import SYNAPSES
from spikefuse.opcounts import OpCounts, PathCounts
from spikefuse.synapses import EventConv2d, EventLinear


@dataclass(frozen=True)
class Wiring:
    """What reaches the modules of a network.

    Parameters
    ----------
    modalities : mapping of module name to frozenset of str
        Inputs that it depends on.
    drives : mapping of module name to frozenset of str
        Of neurons and layers of weights: those right before them, none between.
    neurons : frozenset of str
        Those that ran.
    """

    modalities: Mapping[str, frozenset[str]]
    drives: Mapping[str, frozenset[str]]
    neurons: frozenset[str]

    def sorted(self, counts: OpCounts) -> OpCounts:
        """The same counts, every layer of neurons behind the synapses that drive it.

        `spikefuse.cost.chip.populations_of` reads them in this order. A path pays for the modality
        that it depends on, or is shared between several.
        """
        module = {path: self._module_of(path) for path in counts.by_path}
        order: dict[str, None] = {}
        for path, name in module.items():
            if name in self.neurons and path not in order:
                before = self._synapses_of(name)
                order |= dict.fromkeys(p for p in module if module[p] in before)
                order |= dict.fromkeys(p for p in module if module[p] == name)
        order |= dict.fromkeys(module)
        found = {path: self._paid(counts.by_path[path], module[path]) for path in order}
        return replace(counts, by_path=found)

    def _paid(self, path: PathCounts, module: str | None) -> PathCounts:
        """The path, paid for by its modality."""
        of = self.modalities.get(module, frozenset()) if module is not None else frozenset()
        if path.kind == "frontend" or len(of) != 1:
            return path
        return replace(path, modality=next(iter(of)))

    def _synapses_of(self, neuron: str) -> set[str]:
        """Layers of weights between a layer of neurons and those before it."""
        found: set[str] = set()
        waiting = set(self.drives.get(neuron, frozenset()))
        while waiting:
            name = waiting.pop()
            if name in self.neurons or name in found:
                continue
            found.add(name)
            waiting |= self.drives.get(name, frozenset())
        return found

    def _module_of(self, path: str) -> str | None:
        """Module that a path belongs to; "" for the network itself."""
        name = path.partition(" (")[0].partition(":")[0]
        parts = name.split(".")
        for n in range(len(parts), 0, -1):
            if ".".join(parts[:n]) in self.modalities:
                return ".".join(parts[:n])
        return "" if "" in self.modalities else None


@dataclass(frozen=True)
class _Signal:
    """What a tensor was made from: modalities, and the layers of weights or neurons before it."""

    modalities: frozenset[str] = frozenset()
    nodes: frozenset[str] = frozenset()

    def joined(self, other: _Signal) -> _Signal:
        return _Signal(self.modalities | other.modalities, self.nodes | other.nodes)


def wiring_of(net: nn.Module, inputs: Mapping[str, Tensor], run: Callable[[], object]) -> Wiring:
    """Follow what flows through a network while it runs once.

    Parameters
    ----------
    net : nn.Module
        Calls of its modules are followed, and operations of torch between them. What goes through
        other libraries than torch is lost, and its modality unknown.
    inputs : mapping of modality to Tensor
    run : callable
        Calls the network on these tensors, views of them, or what is made from them.
    """
    names = {module: name for name, module in net.named_modules()}
    neurons = {m for m in names if isinstance(m, NEURONS) or foreign_neuron(m) is not None}
    nodes = neurons | {m for m in names if isinstance(m, (*SYNAPSES, EventLinear, EventConv2d))}
    signals: Any = WeakIdKeyDictionary()
    for name, x in inputs.items():
        signals[x] = _Signal(frozenset({name}))
    modalities: dict[str, frozenset[str]] = dict.fromkeys(names.values(), frozenset())
    drives: dict[str, frozenset[str]] = {}

    def read(values: object) -> _Signal:
        found = _Signal()
        for x in tensors_in(values):
            found = found.joined(signals.get(x, _Signal()))
        return found

    def after(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        name, seen = names[module], read((args, kwargs))
        modalities[name] |= seen.modalities
        if module not in nodes:
            return
        drives[name] = drives.get(name, frozenset()) | (seen.nodes - {name})
        for x in tensors_in(output):
            signals[x] = _Signal(modalities[name], frozenset({name}))

    class Following(TorchDispatchMode):  # type: ignore[no-untyped-call]
        """Hands the signals of what goes into an operation to what comes out."""

        def __torch_dispatch__(
            self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
        ) -> Any:
            del types
            out = func(*args, **(kwargs or {}))
            seen = read((args, kwargs))
            if seen.modalities or seen.nodes:
                for x in tensors_in(out):
                    signals[x] = signals.get(x, _Signal()).joined(seen)
            return out

    with ExitStack() as stack, torch.no_grad():
        for module in names:
            stack.callback(module.register_forward_hook(after, with_kwargs=True).remove)
        stack.enter_context(Following())  # type: ignore[no-untyped-call]
        run()
    return Wiring(modalities, drives, frozenset(n for m in neurons if (n := names[m]) in drives))
