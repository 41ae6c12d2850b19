"""The fusion model in plain snnTorch: the same layers and weights, one step after the other."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from spikefuse.encoders import SpikingEncoder
from spikefuse.fusion import ConcatFusion
from spikefuse.interop.snntorch import to_snntorch
from spikefuse.models import FusionSNN
from spikefuse.neurons import LIF
from spikefuse.synapses import DelayedLinear, EventConv2d, EventLinear


class StepConv(nn.Module):
    """Convolution of one step."""

    def __init__(self, layer: EventConv2d) -> None:
        super().__init__()
        self.in_shape, self.stride = layer.in_shape, layer.stride
        self.weight = nn.Parameter(layer.weight.detach().clone())

    def forward(self, spikes: Tensor) -> Tensor:
        """Spikes ``[B, C * H * W]`` to currents ``[B, n_out]``."""
        maps = functional.conv2d(spikes.view(-1, *self.in_shape), self.weight, stride=self.stride)
        return maps.flatten(1)


class StepLinear(nn.Module):
    """All-to-all synapses of one step, with delay lines where the layer has them."""

    def __init__(self, layer: nn.Module | None) -> None:
        super().__init__()
        if not isinstance(layer, EventLinear | DelayedLinear):
            raise ValueError(f"layer must be all to all, got {type(layer).__name__}")
        synapses = layer.synapses if isinstance(layer, DelayedLinear) else layer
        self.delays = layer.delays_steps if isinstance(layer, DelayedLinear) else (0,)
        weight = synapses.weight.detach()
        self.linear = nn.Linear(weight.shape[0], weight.shape[1], bias=False)
        with torch.no_grad():
            self.linear.weight.copy_(weight.t())
        self.past: deque[tuple[Tensor, ...]] = deque(maxlen=max(self.delays) + 1)

    def forward(self, spikes: Tensor) -> Tensor:
        """Spikes ``[B, n_in]`` to currents ``[B, n_out]``."""
        wide = self.linear(spikes)
        if self.delays == (0,):
            current: Tensor = wide
            return current
        self.past.appendleft(wide.chunk(len(self.delays), dim=1))
        arriving = [self.past[d][k] for k, d in enumerate(self.delays) if d < len(self.past)]
        return torch.stack(arriving).sum(0)


class SnnTorchFusion(nn.Module):
    """The twin of a concatenation-fusion model.

    Parameters
    ----------
    model : FusionSNN
        Without dropout; its weights are copied.

    Raises
    ------
    ValueError
        If the model fuses late.
    """

    def __init__(self, model: FusionSNN) -> None:
        super().__init__()
        fusion = model.fusion
        if not isinstance(fusion, ConcatFusion) or model.readout is None:
            raise ValueError(f"model must fuse by concatenation, got {model.spec.fusion}")
        self.encoders = nn.ModuleDict(
            {name: _Chain(encoder) for name, encoder in model.encoders.items()}
        )
        self.joining = nn.ModuleDict(
            {name: StepLinear(layer) for name, layer in fusion.fusion_synapses.items()}
        )
        self.hidden = to_snntorch(fusion.hidden)
        self.readout_synapse = StepLinear(model.readout_synapse)
        self.log_gain = nn.Parameter(model.readout.log_gain.detach().clone())
        self.beta_logit = nn.Parameter(model.readout.beta_logit.detach().clone())

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Dense spikes ``{modality: [T, B, N]}`` to scores ``[T, B, n_classes]``."""
        n_batch = next(iter(inputs.values())).shape[1]
        for chain in self.encoders.values():
            if isinstance(chain, _Chain):
                chain.begin(n_batch)
        membrane, score, scores = None, torch.zeros(()), []
        gain, beta = self.log_gain.exp(), torch.sigmoid(self.beta_logit)
        for steps in zip(*(x.unbind(0) for x in inputs.values()), strict=True):
            currents = [
                self.joining[name](self.encoders[name](step))
                for name, step in zip(inputs, steps, strict=True)
            ]
            current = torch.stack(currents).sum(0)
            membrane = torch.zeros_like(current) if membrane is None else membrane
            fused, membrane = self.hidden(current, membrane)
            score = beta * score + (1.0 - beta) * gain * self.readout_synapse(fused)
            scores.append(score)
        return torch.stack(scores)


class _Chain(nn.Module):
    """The layers of one encoder."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        if not isinstance(encoder, SpikingEncoder):
            raise ValueError(f"encoder must be a SpikingEncoder, got {type(encoder).__name__}")
        self.synapses, self.neurons = nn.ModuleList(), nn.ModuleList()
        self.sizes: list[int] = []
        for synapse, neuron in zip(encoder.synapses, encoder.neurons, strict=True):
            step = StepConv(synapse) if isinstance(synapse, EventConv2d) else StepLinear(synapse)
            self.synapses.append(step)
            if not isinstance(neuron, LIF):
                raise ValueError(f"neurons must be LIF, got {type(neuron).__name__}")
            self.neurons.append(to_snntorch(neuron))
            self.sizes.append(neuron.beta().numel())
        self.membranes: list[Tensor] = []

    def begin(self, n_batch: int) -> None:
        """A new batch: membranes at rest, nothing under way."""
        self.membranes = [torch.zeros(n_batch, size) for size in self.sizes]
        for synapse in self.synapses:
            if isinstance(synapse, StepLinear):
                synapse.past.clear()

    def forward(self, spikes: Tensor) -> Tensor:
        """Spikes of one step, ``[B, n_in]``, to hidden spikes ``[B, hidden]``."""
        for layer, (synapse, neuron) in enumerate(zip(self.synapses, self.neurons, strict=True)):
            spikes, self.membranes[layer] = neuron(synapse(spikes), self.membranes[layer])
        return spikes
