"""The quantised twin of a spiking network: what T steps of non-leaky neurons can say, said once."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from spikefuse.encoders.spec import ModalitySpec
from spikefuse.models.fusion_snn import FusionSNN
from spikefuse.models.spec import ModelSpec
from spikefuse.opcounts import PathCounts
from spikefuse.spikes import SpikeBatch

_MOST_BITS = 8


def bits_for(n_steps: int) -> int:
    """Bits that tell 0 to ``n_steps`` spikes apart, ``ceil(log2(T + 1))``."""
    if n_steps < 1:
        raise ValueError(f"n_steps must be at least 1, got {n_steps}")
    return math.ceil(math.log2(n_steps + 1))


def reasons_against(spec: ModelSpec, n_steps: int) -> tuple[str, ...]:
    """Why spike counts of this model are not the activations of its quantised twin; none if so.

    Even with none of them it takes `counts_agree` for the counts of a run to be the twin's.
    """
    lif = spec.lif
    found: list[str] = []
    if math.isfinite(lif.tau_mem_ms) or lif.learn_tau:
        found.append("membranes leak (LIF): a spike's weight depends on when it comes")
    if lif.reset != "subtract":
        found.append("a reset to zero forgets what is above threshold")
    if bits_for(n_steps) > _MOST_BITS:
        found.append(f"{bits_for(n_steps)} bits for {n_steps} steps are more than {_MOST_BITS}")
    if any(part.encoder.delays_ms != (0.0,) for part in spec.modalities):
        found.append("delays push spikes past the last step")
    if any(part.encoder.recurrent for part in spec.modalities):
        found.append("recurrent neurons drive each other one step later")
    if spec.fusion != "concat":
        found.append(f"operator {spec.fusion!r} is no plain concatenation")
    return tuple(found)


def counts_agree(counts: Tensor, membranes: Tensor, threshold: float, n_steps: int) -> Tensor:
    r"""Where a neuron's spike count must be its twin's activation, bool of their shape.

    A non-leaky neuron with reset by subtraction conserves charge,
    :math:`v_T = v_0 + \sum_t x_t - \theta n`. So n is the number that the total alone gives exactly
    if :math:`0 < v_T \le \theta`, or if n is at an end of its range and v outside on that side.
    Elsewhere the order of arrival has mattered: inhibition came after the spike, or too much came
    at once (unevenness).

    Parameters
    ----------
    counts, membranes : Tensor
        Spikes of each neuron, and its membrane after the last step.
    threshold : float
    n_steps : int
    """
    not_below = (membranes > 0) | (counts == 0)
    not_above = (membranes <= threshold) | (counts == n_steps)
    return not_below & not_above


class SpikeCount(nn.Module):
    r"""Activation of :math:`b = \lceil \log_2 (T + 1) \rceil` bits, in spikes.

    .. math:: n = \text{clip}\big(\lceil (x + v_0) / \theta \rceil - 1, 0, T\big)

    with x the sum of all steps' currents: the count of a neuron that fires *above* its threshold.
    The gradient is that of the clipped straight line.

    Parameters
    ----------
    n_steps : int
    threshold : float
    start : float
        The membrane before the first step.
    """

    def __init__(self, n_steps: int, threshold: float, start: float = 0.0) -> None:
        super().__init__()
        self.n_steps, self.threshold, self.start = n_steps, threshold, start

    def forward(self, total: Tensor) -> Tensor:
        """Total currents to whole numbers from 0 to ``n_steps``."""
        line = ((total + self.start) / self.threshold).clamp(0, self.n_steps)
        exact = (((total + self.start) / self.threshold).ceil() - 1).clamp(0, self.n_steps)
        # Added to 0, not to the line, so that whole numbers stay whole.
        return exact + (line - line.detach())

    def count_paths(
        self, args: tuple[Any, ...], output: Tensor, modality: str
    ) -> dict[str, PathCounts]:
        """A comparison with thresholds: free, as a ReLU is."""
        return {}


class QNNTwin(nn.Module):
    """Topology of a spiking model with `SpikeCount` activations, on bin-summed input.

    Trained by itself it is the opponent of equal capacity; with `with_weights_of` it has a spiking
    model's weights. Either way modalities are concatenated.

    Parameters
    ----------
    spec : ModelSpec
    n_steps : int
        Steps T of the spiking model.

    Attributes
    ----------
    bits : int
    not_equivalent : tuple of str
        See `reasons_against`; empty where the twin is equivalent.

    References
    ----------
    Yan, Bai and Wong, "Reconsidering the energy efficiency of spiking neural networks",
    arXiv:2409.08290, 2024.
    """

    batch_dim = 0

    def __init__(self, spec: ModelSpec, n_steps: int) -> None:
        super().__init__()
        self.spec, self.n_steps, self.bits = spec, n_steps, bits_for(n_steps)
        self.not_equivalent = reasons_against(spec, n_steps)
        self.modalities = tuple(m.name for m in spec.modalities)
        theta = spec.lif.threshold
        self.encoders = nn.ModuleDict(
            {m.name: _encoder(m, n_steps, theta) for m in spec.modalities}
        )
        self.join = nn.ModuleDict(
            {
                m.name: nn.Linear(m.encoder.hidden, spec.fusion_hidden, bias=False)
                for m in spec.modalities
            }
        )
        self.hidden = SpikeCount(n_steps, theta)
        self.dropout = nn.Dropout(max(m.encoder.dropout for m in spec.modalities))
        self.readout = nn.Linear(spec.fusion_hidden, spec.n_classes, bias=False)

    @property
    def equivalent(self) -> bool:
        """Whether nothing in the spec speaks against it."""
        return not self.not_equivalent

    def sums(self, spikes: Mapping[str, SpikeBatch | Tensor]) -> dict[str, Tensor]:
        """Spikes ``{modality: (T, B, N)}`` summed over all steps, ``[B, P, H, W]``."""
        summed: dict[str, Tensor] = {}
        for part in self.spec.modalities:
            given = spikes[part.name]
            dense = given.to_dense() if isinstance(given, SpikeBatch) else given
            width, height, polarities = part.sensor_size
            summed[part.name] = dense.sum(0).reshape(-1, polarities, height, width)
        return summed

    def fused(self, sums: Mapping[str, Tensor]) -> Tensor:
        """Activations of the fused population, ``[B, n]``."""
        currents = [self.join[name](encoder(sums[name])) for name, encoder in self.encoders.items()]
        counts: Tensor = self.hidden(sum(currents[1:], currents[0]))
        return counts

    def forward(self, sums: Mapping[str, Tensor]) -> Tensor:
        """Bin sums ``{modality: [B, P, H, W]}`` to class scores ``[B, n_classes]``."""
        scores: Tensor = self.readout(self.dropout(self.fused(sums)) / self.n_steps)
        return scores

    @torch.no_grad()
    def with_weights_of(self, model: FusionSNN) -> QNNTwin:
        """Take over a spiking model's weights (its readout's without gain), and return the twin.

        Raises
        ------
        ValueError
            If the model does not fuse by concatenation.
        """
        if model.spec.fusion != "concat":
            raise ValueError(f"model must fuse by concatenation, got {model.spec.fusion!r}")
        for name, encoder in self.encoders.items():
            layers = [m for m in encoder.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
            synapses = model.encoders.get_submodule(name).get_submodule("synapses").children()
            for layer, synapse in zip(layers, synapses, strict=True):
                _copy(layer, synapse)
            _copy(self.join[name], model.fusion.get_submodule(f"fusion_synapses.{name}"))
        _copy(self.readout, model.get_submodule("readout_synapse"))
        return self


def _encoder(spec: ModalitySpec, n_steps: int, threshold: float) -> nn.Sequential:
    """The spec's layers without bias, a `SpikeCount` behind each."""
    width, height, channels = spec.sensor_size
    layers: list[nn.Module] = []
    for conv in spec.encoder.convs:
        convolution = nn.Conv2d(channels, conv.channels, conv.kernel, conv.stride, bias=False)
        layers += [convolution, SpikeCount(n_steps, threshold)]
        channels = conv.channels
        height = (height - conv.kernel[0]) // conv.stride[0] + 1
        width = (width - conv.kernel[1]) // conv.stride[1] + 1
    linear = nn.Linear(channels * height * width, spec.encoder.hidden, bias=False)
    dropout = nn.Dropout(spec.encoder.dropout)
    layers += [nn.Flatten(), dropout, linear, SpikeCount(n_steps, threshold), dropout]
    return nn.Sequential(*layers)


def _copy(layer: nn.Module, synapse: nn.Module) -> None:
    """Weights of synapses, which are input-major where they are linear."""
    given, weight = synapse.get_parameter("weight"), layer.get_parameter("weight")
    weight.copy_(given.T if given.ndim == 2 else given)
