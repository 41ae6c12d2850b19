"""Networks of any library with weights, and inputs that are no spikes, of few bits."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from spikefuse.baselines.quantise import integers, largest_of, scale_for, watch_inputs
from spikefuse.opcounts import PathCounts

_LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
# Weights of recurrent neurons of Norse, one row for each neuron.
_NORSE = ("input_weights", "recurrent_weights")


class Rounding(nn.Module):
    r"""Values to the nearest of :math:`2^b - 1` steps, :math:`s \, \text{round}(x / s)`; clipped.

    Parameters
    ----------
    scale : Tensor
        The step s, a scalar.
    bits : int
    """

    def __init__(self, scale: Tensor, bits: int) -> None:
        super().__init__()
        self.bits = bits
        self.register_buffer("scale", scale)

    def forward(self, x: Tensor) -> Tensor:
        """Values of the same shape."""
        scale: Any = self.scale
        near: Tensor = integers(x.double(), scale, self.bits) * scale
        return near.to(x.dtype)

    def count_paths(
        self, args: tuple[Any, ...], output: Tensor, modality: str
    ) -> dict[str, PathCounts]:
        """Nothing: scaling and rounding are part of writing a value."""
        return {}


@dataclass
class _Seen:
    """What a layer was given in calibration."""

    largest: Tensor
    whole: bool


def rounded(
    model: nn.Module, calibration: Iterable[Any], bits: int = 8, *, spiking: bool = False
) -> nn.Module:
    r"""A copy of a model whose layers have weights of few bits, one step per output channel.

    .. math:: w \to s_w \, \text{round}(w / s_w), \quad s_w = \max |w| / (2^{b - 1} - 1)

    Inputs of a layer are rounded alike, with the largest one of calibration as the largest step;
    biases to whole numbers of both steps. In a spiking model whole numbers are spikes, which are
    added as they are. Values stay floats, so layers keep their counting rules. What a layer
    computes is the sum of whole numbers of `quantised` but for the rounding of float32.

    Everything else stays in float: membranes (24 bits of a float32 are those of its significand),
    time constants, thresholds, and normalisation, which folds into the channels of the layer before
    it without changing what they are rounded to.

    Parameters
    ----------
    model : nn.Module
        Left as it is.
    calibration : iterable of inputs of the model
        From the training part.
    bits : int
        2 to 8.
    spiking : bool
        Whether whole numbers are spikes.

    Raises
    ------
    ValueError
        If bits are out of range, a layer saw no input of its own, or the model has weights that
        belong to no linear or convolutional layer and to no recurrent neurons of Norse.

    References
    ----------
    As of `spikefuse.baselines.quantise.quantised`.
    """
    if not 2 <= bits <= 8:
        raise ValueError(f"bits must be 2 to 8, got {bits}")
    copied = copy.deepcopy(model)
    layers = {n: m for n, m in copied.named_modules() if type(m) in _LAYERS}
    rows = [m.weight for m in layers.values()]
    for module in copied.modules():
        if type(module).__module__.startswith("norse."):
            rows += [p for n, p in module.named_parameters(recurse=False) if n in _NORSE]
    known = {id(weight) for weight in rows}
    strange = [n for n, p in copied.named_parameters() if p.ndim > 1 and id(p) not in known]
    if strange:
        owner = copied.get_submodule(strange[0].rpartition(".")[0])
        raise ValueError(f"{strange[0]} of {type(owner).__name__} has no rule to be rounded")
    seen = _seen(copied, layers, calibration, 2 ** (bits - 1) - 1)
    unseen = [name for name in layers if name not in seen]
    if unseen:
        raise ValueError(f"calibration must reach every layer, got no input for {unseen}")
    with torch.no_grad():
        steps = {id(weight): _round_rows(weight, bits) for weight in rows}
        for name, layer in layers.items():
            given = seen[name]
            as_spikes = spiking and given.whole
            step = scale_for(given.largest.double(), bits)
            if layer.bias is not None:
                unit = steps[id(layer.weight)] * (1.0 if as_spikes else step)
                layer.bias.copy_((layer.bias.double() / unit).round() * unit)
            if not as_spikes:
                _replace(copied, name, nn.Sequential(Rounding(step, bits), layer))
    return copied.train(model.training)


def _round_rows(weight: Tensor, bits: int) -> Tensor:
    """Round each output's weights ``[n_out, ...]`` in place; their steps, float64 ``[n_out]``."""
    scale = scale_for(weight.double().flatten(1).abs().amax(1), bits)
    by_row = scale.view(-1, *[1] * (weight.ndim - 1))
    weight.copy_(integers(weight.double(), by_row, bits) * by_row)
    return scale


def _replace(model: nn.Module, name: str, made: nn.Module) -> None:
    """Put a module in the place of another."""
    parent, _, own = name.rpartition(".")
    setattr(model.get_submodule(parent), own, made)


def _seen(
    model: nn.Module, layers: dict[str, Any], calibration: Iterable[Any], most: int
) -> dict[str, _Seen]:
    """Largest absolute input of each layer, and whether all are whole numbers up to ``most``."""
    found: dict[str, _Seen] = {}

    def note(name: str, x: Tensor) -> None:
        largest = largest_of(x)
        whole = bool((x == x.round()).all()) and float(largest) <= most
        last = found.get(name, _Seen(largest, True))
        found[name] = _Seen(torch.maximum(last.largest, largest), last.whole and whole)

    watch_inputs(model, layers, calibration, note)
    return found
