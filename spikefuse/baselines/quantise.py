"""Symmetric integer arithmetic for dense models, after training or in training."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from spikefuse.opcounts import PathCounts

_LARGEST_SUM = 2**31 - 1


def integers(x: Tensor, scale: Tensor, bits: int) -> Tensor:
    r""":math:`\text{clip}(\text{round}(x / s), -q, q)` with :math:`q = 2^{b-1} - 1`.

    Rounding is to nearest, ties to even. The gradient passes straight through where nothing
    saturates (Bengio et al., arXiv:1308.3432).
    """
    largest = 2 ** (bits - 1) - 1
    scaled = (x / scale).clamp(-largest, largest)
    return scaled + (scaled.round() - scaled).detach()


def scale_for(largest: Tensor, bits: int) -> Tensor:
    """The step at which ``largest`` in absolute value is the largest integer (1 for zeros)."""
    step = largest / (2 ** (bits - 1) - 1)
    return torch.where(step > 0, step, torch.ones_like(step))


class _Quantised(nn.Module, ABC):
    """What quantised layers share; their weight stays a trained float parameter."""

    weight: Any
    bias: Any
    input_scale: Tensor
    bits: int

    def set_up(self, layer: nn.Module, largest_input: Tensor, bits: int) -> None:
        """Take over a layer's weights and fix the scale of its input."""
        self.load_state_dict(layer.state_dict())
        self.bits = bits
        self.register_buffer("input_scale", scale_for(largest_input.double(), bits))
        largest = (2 ** (bits - 1) - 1) ** 2 * self.weight[0].numel()
        if largest > _LARGEST_SUM:
            raise ValueError(
                f"sums of {bits} bit products must fit 32 bits, got {self.weight[0].numel()} inputs"
            )

    def weight_scale(self) -> Tensor:
        """Step of the weights of each output, float64 ``[n_out]``."""
        return scale_for(self.weight.detach().double().flatten(1).abs().amax(1), self.bits)

    def integer_parts(self) -> tuple[Tensor, Tensor]:
        """Weights as whole numbers in float64, and the bias in units of both scales."""
        scale = self.weight_scale()
        shape = (-1, *[1] * (self.weight.ndim - 1))
        weight = integers(self.weight.double(), scale.view(shape), self.bits)
        if self.bias is None:
            return weight, torch.zeros_like(scale)
        bias = self.bias.double() / (scale * self.input_scale)
        return weight, bias + (bias.round() - bias).detach()

    @abstractmethod
    def multiply(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """The layer's product and sum."""

    def forward(self, x: Tensor) -> Tensor:
        """Whole numbers multiplied and summed, exact in float64, then scaled once."""
        weight, bias = self.integer_parts()
        total = self.multiply(integers(x.double(), self.input_scale, self.bits), weight, bias)
        scale = (self.weight_scale() * self.input_scale).view(-1, *[1] * (total.ndim - 2))
        return (total * scale).to(x.dtype)

    def count_paths(
        self, args: tuple[Any, ...], output: Tensor, modality: str
    ) -> dict[str, PathCounts]:
        """As of the layer itself, with inputs and weights that are rounded to 0 left out.

        The scaling of a result is part of writing it.
        """
        x = args[0].detach()
        weight = self.integer_parts()[0].detach()
        used = integers(x.double(), self.input_scale, self.bits).ne(0).double()
        effective = int(self.multiply(used, weight.ne(0).double()).sum().round())
        dense = int(self.multiply(torch.ones_like(used), torch.ones_like(weight)).sum().round())
        path = PathCounts(
            effective_macs=effective,
            dense_macs=dense,
            weight_reads=dense,
            state_reads=x.numel(),
            state_writes=output.numel(),
            weight_words=weight.numel(),
            state_words=(x.numel() + output.numel()) // max(len(x), 1),
            kind="dense",
            modality=modality,
        )
        return {"": path}


class QuantLinear(_Quantised, nn.Linear):
    """A linear layer of whole numbers; see `quantised`."""

    @classmethod
    def of(cls, layer: nn.Linear, largest_input: Tensor, bits: int) -> QuantLinear:
        """The same layer, quantised."""
        made = cls(layer.in_features, layer.out_features, layer.bias is not None)
        made.set_up(layer, largest_input, bits)
        return made

    def multiply(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """As of ``nn.Linear``."""
        return functional.linear(x, weight, bias)


class QuantConv2d(_Quantised, nn.Conv2d):
    """A convolution of whole numbers; see `quantised`."""

    @classmethod
    def of(cls, layer: nn.Conv2d, largest_input: Tensor, bits: int) -> QuantConv2d:
        """The same layer, quantised."""
        made = cls(
            layer.in_channels,
            layer.out_channels,
            cast(tuple[int, int], layer.kernel_size),
            cast(tuple[int, int], layer.stride),
            cast(tuple[int, int], layer.padding),
            cast(tuple[int, int], layer.dilation),
            layer.groups,
            layer.bias is not None,
        )
        made.set_up(layer, largest_input, bits)
        return made

    def multiply(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """As of ``nn.Conv2d``."""
        return functional.conv2d(
            x, weight, bias, self.stride, self.padding, self.dilation, self.groups
        )


def quantised(model: nn.Module, calibration: Iterable[Any], bits: int = 8) -> nn.Module:
    r"""A copy of a dense model whose linear and convolutional layers compute in whole numbers.

    .. math:: y = s_x s_w \Big(\sum \text{round}(x / s_x) \, \text{round}(w / s_w)
              + \text{round}(b / (s_x s_w))\Big)

    with one step :math:`s_w` per output, from its largest weight, and one :math:`s_x` per layer,
    from the largest input seen in calibration; what exceeds it saturates. The sum is exact, as in
    32 bit integers. Gates, softmax and the like stay in float. Weights remain trained float
    parameters behind the rounding, so training the copy is quantisation-aware training.

    Parameters
    ----------
    model : nn.Module
        Left as it is.
    calibration : iterable of inputs of the model
        From the training part.
    bits : int
        2 to 8.

    Raises
    ------
    ValueError
        If bits are out of range, there is no calibration input, or a layer saw none.

    References
    ----------
    Jacob et al., "Quantization and training of neural networks for efficient
    integer-arithmetic-only inference", CVPR 2018, arXiv:1712.05877 (there with zero points).
    """
    if not 2 <= bits <= 8:
        raise ValueError(f"bits must be 2 to 8, got {bits}")
    copied = copy.deepcopy(model)
    layers: dict[str, nn.Module] = {
        n: m for n, m in copied.named_modules() if isinstance(m, nn.Linear | nn.Conv2d)
    }
    largest = _largest_inputs(copied, layers, calibration)
    unseen = [name for name in layers if name not in largest]
    if unseen:
        raise ValueError(f"calibration must reach every layer, got no input for {unseen}")
    for name, layer in layers.items():
        made: nn.Module
        if isinstance(layer, nn.Linear):
            made = QuantLinear.of(layer, largest[name], bits)
        else:
            made = QuantConv2d.of(cast(nn.Conv2d, layer), largest[name], bits)
        if not name:  # the model is a single layer
            return made.train(model.training)
        parent, _, own = name.rpartition(".")
        setattr(copied.get_submodule(parent), own, made)
    return copied.train(model.training)


def _largest_inputs(
    model: nn.Module, layers: dict[str, nn.Module], calibration: Iterable[Any]
) -> dict[str, Tensor]:
    """Largest absolute input of each layer, in evaluation mode."""
    found: dict[str, Tensor] = {}

    def note(name: str, x: Tensor) -> None:
        largest = largest_of(x)
        found[name] = torch.maximum(found[name], largest) if name in found else largest

    watch_inputs(model, layers, calibration, note)
    return found


def largest_of(x: Tensor) -> Tensor:
    """Largest absolute value, a scalar; 0 of nothing."""
    return x.abs().amax() if x.numel() else x.new_zeros(())


@torch.no_grad()
def watch_inputs(
    model: nn.Module,
    layers: Mapping[str, nn.Module],
    calibration: Iterable[Any],
    note: Callable[[str, Tensor], None],
) -> None:
    """Run a model in evaluation mode and tell ``note`` each layer's name and first input.

    Parameters
    ----------
    model : nn.Module
    layers : mapping of name to module of it
    calibration : iterable
        Inputs to run it on.
    note : callable
    """

    def before(name: str) -> Any:
        return lambda _, args: note(name, args[0])

    handles = [layer.register_forward_pre_hook(before(name)) for name, layer in layers.items()]
    model.eval()
    try:
        for inputs in calibration:
            model(inputs)
    finally:
        for handle in handles:
            handle.remove()
