"""What each module of a model is to a counter: found once, when counting starts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from spikefuse.cost.contractions import Setting
from spikefuse.cost.foreign_neurons import Watch, foreign_neuron
from spikefuse.cost.layer_rules import has_rule
from spikefuse.cost.messages import ReadAs
from spikefuse.cost.neuron_rules import TELLING
from spikefuse.cost.torch_layers import Call, is_plain
from spikefuse.encoders.dropout import SpikeDropout
from spikefuse.kernels.watching import ActiveUpdates

# Modules that move or mask data without arithmetic of their own once a network is trained.
_FREE = (nn.modules.dropout._DropoutNd, nn.Flatten, nn.Identity, nn.ReLU, SpikeDropout)
SYNAPSES = (nn.Linear, nn.modules.conv._ConvNd)


@dataclass(slots=True)
class Role:
    """A module as a counter sees it.

    Parameters
    ----------
    name : str
    path : str
        The name, or the type's where there is none.
    modality : str
        Who pays for it.
    read_as : "auto", "whole", "events" or "frames"
    spiking : bool
        Whether it works per spike: see `Setting`.
    ruled : bool
        Whether it is counted as a whole.
    covered : bool
        Whether its operations are counted by its rule, or not at all.
    leaf : bool
        Whether it has no children.
    tells : bool
        Whether its kernel tells the active updates of its neurons.
    merges : bool
        Whether currents that meet in it are sums that its synapses make.
    plain : bool
        Whether it is a layer of torch that can be counted from its input, see `torch_layers`.
    watch : function, optional
        Makes the watch of neurons of another library.
    called : bool
        Whether it has a forward pass: lists and dictionaries of modules have none.
    """

    name: str
    path: str
    modality: str
    read_as: ReadAs
    spiking: bool
    ruled: bool
    covered: bool
    leaf: bool
    tells: bool
    merges: bool
    plain: bool
    watch: Callable[..., Watch] | None
    called: bool

    def setting(self, batch: int) -> Setting:
        """How a call of so many samples is read."""
        return Setting(self.read_as, self.spiking, batch, self.modality)


def roles_of(model: nn.Module, read_as: ReadAs | Mapping[str, ReadAs]) -> dict[nn.Module, Role]:
    """The role of every module of a model."""
    names = {module: name for name, module in model.named_modules()}
    modalities = tuple(getattr(model, "modalities", ()))
    watches = {m: foreign_neuron(m) for m in names}
    ruled = {m for m in names if has_rule(m)}
    # A layer with a rule of its own may be dense; layers that work on spikes are time-major.
    spiking = any((m in ruled and merges(m)) or watches[m] is not None for m in names)
    roles: dict[nn.Module, Role] = {}
    for module, name in names.items():
        declared = _declared(name, read_as)
        auto = declared == "auto" and spiking
        parts = name.split(".")
        roles[module] = Role(
            name,
            name or type(module).__name__,
            next((part for part in parts if part in modalities), "shared"),
            # Whole numbers inside a spiking network are events that share a step.
            "whole" if auto else declared,
            declared == "events" or auto,
            module in ruled,
            # Reparametrised weights are made before a network runs.
            module in ruled or isinstance(module, _FREE) or "parametrizations" in parts,
            next(module.children(), None) is None,
            module in ruled and isinstance(module, TELLING),
            merges(module),
            is_plain(module) and "parametrizations" not in parts,
            watches[module],
            type(module).forward is not nn.Module.forward,
        )
    return roles


def merges(module: nn.Module) -> bool:
    """Whether currents that meet in a module of ours are sums that its synapses make."""
    return getattr(module, "batch_dim", 0) == 1


def _declared(name: str, read_as: ReadAs | Mapping[str, ReadAs]) -> ReadAs:
    """How a module is declared to read its inputs."""
    if isinstance(read_as, str):
        return read_as
    parts = name.split(".")
    for n in range(len(parts), 0, -1):
        if ".".join(parts[:n]) in read_as:
            return read_as[".".join(parts[:n])]
    return read_as.get("", "auto")


@dataclass(slots=True)
class Frame:
    """A module that is running."""

    module: nn.Module
    role: Role
    batch: int
    covered: bool
    watch: Watch | None = None
    made: set[int] | None = None  # storages that operations of a module without children made
    unseen: AbstractContextManager[Any] | None = None
    call: Call | None = None  # of a plain layer that is counted from its input
    updates: ActiveUpdates | None = None

    @property
    def setting(self) -> Setting:
        """How the call is read."""
        return self.role.setting(self.batch)

    def hide(self) -> None:
        """Leave its operations their full speed: nothing in them is to be seen."""
        self.covered = True
        self.unseen = torch._C._DisableTorchDispatch()
        self.unseen.__enter__()  # type: ignore[no-untyped-call]

    def show(self) -> None:
        """Let its operations be seen again, and listen to its kernels no more."""
        if self.updates is not None:
            self.updates.__exit__()
        if self.unseen is not None:
            self.unseen.__exit__(None, None, None)
            self.unseen = None
