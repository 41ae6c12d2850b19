"""Linear layers and convolutions of torch, counted from what goes in: no operation is watched."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from spikefuse.cost.contractions import (
    Convolution,
    Driven,
    Fans,
    Setting,
    convolution_fans,
    synapses,
)
from spikefuse.cost.messages import messages_in, on_host
from spikefuse.cost.placement import Traffic
from spikefuse.kernels.tally import count_some, drive, sift
from spikefuse.opcounts import PathCounts

_KNOWN = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
_TENSORS = (Tensor, nn.Parameter)
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def is_plain(module: nn.Module) -> bool:
    """Whether calls of a module do one product with its weight and nothing else.

    Layers derived from torch's, changed from outside, or padded by more than zeros may do more.
    """
    if type(module) not in _KNOWN or "forward" in module.__dict__:
        return False
    if any(getattr(module, hooks) for hooks in _HOOKS) or next(module.children(), None) is not None:
        return False
    if isinstance(module, nn.modules.conv._ConvNd):
        return module.padding_mode == "zeros" and not isinstance(module.padding, str)
    return True


def input_of(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor | None:
    """The input of a call of a plain layer, if it can be counted from that."""
    if kwargs or len(args) != 1 or type(args[0]) not in _TENSORS:
        return None
    x: Tensor = args[0]
    weight = module._parameters.get("weight")
    if type(weight) is not nn.Parameter or weight.layout != torch.strided:
        return None
    n_dims = x.ndim if isinstance(module, nn.Linear) else weight.ndim
    if x.layout != torch.strided or x.ndim != n_dims or x.ndim == 0 or x.numel() == 0:
        return None
    return None if torch._C._is_any_autocast_enabled() else x


@dataclass(slots=True)
class _Kept:
    """Fan-outs of a layer, flat, while its weight stays the same."""

    run: int
    version: int
    place: int
    shape: torch.Size
    fans: Fans


@dataclass(frozen=True, slots=True)
class Call:
    """A call that was read, and its messages if they are routed."""

    driven: Driven
    n_every: int
    n_in: int
    rows: int
    weight: Tensor
    traffic: Traffic | None

    def path(self, n_out: int, setting: Setting) -> PathCounts:
        """What it did, once its output is known."""
        sizes = self.n_in, n_out, self.weight.numel()
        return synapses(self.driven, self.n_every, sizes, self.rows, setting)


class TorchLayers:
    """Reads calls of plain layers; fan-outs are found once for every run of the model."""

    def __init__(self) -> None:
        self.run = 0
        self._kept: dict[nn.Module, _Kept] = {}

    def read(self, module: nn.Module, x: Tensor, setting: Setting, routed: bool) -> Call:
        """What a call on x will do; before it runs, for then x is near and its layer finds it so.

        ``routed`` asks for the messages too.
        """
        weight: Any = module.weight
        if isinstance(module, nn.Linear):
            x = x.detach().reshape(-1, x.shape[-1])
        rows, shape = len(x), x.shape[1:]
        fans = self._fans(module, weight, shape)
        backend = on_host(x)
        driven = drive(x.reshape(rows, -1), setting.read_as, fans.used, fans.every, backend=backend)
        traffic = None
        if routed:
            sent = messages_in(x, (0,), setting.read_as).all
            linear = isinstance(module, nn.Linear)
            traffic = (
                Traffic(sent, weight.detach().t())
                if linear
                else Traffic(sent, weight, _options(module))
            )
        return Call(Driven(*driven), fans.n_every, x.numel(), rows, weight, traffic)

    def _fans(self, module: nn.Module, weight: Tensor, shape: torch.Size) -> Fans:
        """Fan-outs of the inputs, found again if the weight may have changed."""
        version = -1 if weight.is_inference() else int(weight._version)
        place = weight.data_ptr()
        known = self._kept.get(module)
        if (
            known is not None
            and (known.run, known.version, known.place) == (self.run, version, place)
            and known.shape == shape
            and version >= 0
        ):
            return known.fans
        if isinstance(module, nn.Linear):
            fans = _linear_fans(weight.detach())
        else:
            used, every, n_every = convolution_fans(_options(module), shape, weight)
            fans = Fans(used.reshape(-1), every.reshape(-1), n_every)
        self._kept[module] = _Kept(self.run, version, place, shape, fans)
        return fans


def _linear_fans(weight: Tensor) -> Fans:
    """Fan-out of the inputs of ``weight [n_out, n_in]``: the non-zeros of its columns."""
    every = _rows_of(*weight.shape)
    if count_some(weight, backend=on_host(weight)) == weight.numel():
        return Fans(every, every, weight.numel())
    return Fans(sift(weight, "frames", backend=on_host(weight))[1], every, weight.numel())


@lru_cache(maxsize=256)
def _rows_of(n_out: int, n_in: int) -> Tensor:
    """The same fan-out for every input."""
    return torch.full((n_in,), float(n_out), dtype=torch.float64)


def _options(conv: Any) -> Convolution:
    """As torch hands them to the operation."""
    n = len(conv.kernel_size)
    return Convolution(conv.stride, conv.padding, conv.dilation, False, (0,) * n, conv.groups)
