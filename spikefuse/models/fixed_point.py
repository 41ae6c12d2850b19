"""Spiking models in whole numbers: after training, and in training."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.func import functional_call

from spikefuse.encoders.protocol import is_frozen
from spikefuse.errors import ConfigError
from spikefuse.kernels.fixed import WHOLE_BELOW
from spikefuse.models.fusion_snn import FusionEvents, FusionOutput, FusionSNN, FusionState
from spikefuse.models.populations import Drive, Population, populations
from spikefuse.neurons import LIF, FixedFormat, FixedLIF, FixedReadout
from spikefuse.spikes import SpikeBatch
from spikefuse.synapses.cross import CrossSynapses


def fixed_point(model: FusionSNN | AwareSNN, form: FixedFormat | None = None) -> FusionSNN:
    r"""A copy of a trained model that computes in whole numbers, from the events to the readout.

    Weights onto neuron n are :math:`\text{round}(w / u_n)`, to nearest, ties to even, with one unit

    .. math:: u_n = \max\Big(\frac{\max |w_n|}{2^{W - 1} - 1},
              \frac{h \, \theta}{2^{S - 1} - 1}\Big)

    for W bits of weight, S bits of state and h thresholds of headroom: what the state cannot hold,
    the weights give up. A membrane counts in :math:`u_n / 2^f`, with the largest
    :math:`f \le F` for which h thresholds fit, and its threshold is :math:`\text{round}(2^f
    \theta / u_n)`, at least 1. The sum of weights over the events of a step is exact, the decay a
    whole number of :math:`2^{-D}`; `spikefuse.kernels.fixed.fixed_lif_scan` has the step itself.
    Channels of a convolution share a unit. A readout has one unit for all classes, with its gain
    and :math:`1 - \beta` in the weights, and holds ``readout_range`` of its largest weight.
    Scores are whole numbers times that unit, so temperatures stay as they are fitted.

    Parameters
    ----------
    model : FusionSNN or AwareSNN
        Left as it is.
    form : FixedFormat, optional
        Of an `AwareSNN` its own by default.

    Returns
    -------
    FusionSNN
        Of `FixedLIF` and `FixedReadout`, with weights that are whole; for inference and counting.

    Raises
    ------
    ConfigError
        If an encoder, the fusion operator or a neuron has no whole-number twin (CubaLIF, ALIF,
        gates, windows, traces); it is named. If a sum of weights would not be exact in float32.
    """
    if isinstance(model, AwareSNN):
        return fixed_point(model.model, model.form if form is None else form)
    network = _structure(model, FixedFormat() if form is None else form)
    with torch.no_grad():
        known = network.state_dict()
        tensors = {k: v for k, v in _tensors(model, network).items() if k in known}
        network.load_state_dict(tensors, strict=False)
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    return network.eval()


class AwareSNN(nn.Module):
    """A model whose float parameters are trained behind the rounding of `fixed_point`.

    Every forward pass gives exactly what the whole numbers of the present weights give; gradients
    pass the rounding of weights and decays straight through, and that of membranes as in
    `FixedLIF` (Bengio et al., arXiv:1308.3432). Dropout works as in the model itself.

    Parameters
    ----------
    model : FusionSNN
        Its parameters are those that train; it is not copied.
    form : FixedFormat, optional

    Raises
    ------
    ConfigError
        As of `fixed_point`.
    """

    batch_dim = 1

    def __init__(self, model: FusionSNN, form: FixedFormat | None = None) -> None:
        super().__init__()
        self.model, self.form = model, FixedFormat() if form is None else form
        # In a tuple: its parameters are stand-ins, not this module's own.
        self._held = (_structure(model, self.form),)
        self._ready: tuple[tuple[int, ...], FusionSNN] | None = None

    @property
    def spec(self) -> Any:
        """Of the model."""
        return self.model.spec

    @property
    def modalities(self) -> tuple[str, ...]:
        """Of the model."""
        return self.model.modalities

    def forward(
        self, inputs: Mapping[str, SpikeBatch | Tensor], state: FusionState | None = None
    ) -> FusionOutput:
        """As of `FusionSNN`."""
        network = self._held[0]
        out: FusionOutput = functional_call(
            network, _tensors(self.model, network), (inputs, state), strict=False
        )
        return out

    def infer(
        self, inputs: Mapping[str, SpikeBatch], state: FusionState | None = None
    ) -> FusionEvents:
        """As of the `FusionSNN` that `fixed_point` makes of the present weights."""
        return self.deployed().infer(inputs, state)

    def deployed(self) -> FusionSNN:
        """`fixed_point` of the present weights; made again when one was written."""
        held = (*self.model.parameters(), *self.model.buffers())
        version = tuple(tensor._version for tensor in held)
        if self._ready is None or self._ready[0] != version:
            self._ready = (version, fixed_point(self))
        return self._ready[1]

    def train(self, mode: bool = True) -> Self:
        """As of `FusionSNN`; frozen encoders stay in evaluation."""
        super().train(mode)
        self._held[0].train(mode)
        for name, encoder in self.model.encoders.items():
            if is_frozen(encoder):
                self._held[0].encoders[name].eval()
        return self


def _structure(model: FusionSNN, form: FixedFormat) -> FusionSNN:
    """A copy with neurons in whole numbers, whose values are still to be filled in."""
    found = populations(model)
    network = copy.deepcopy(model)
    for population in found:
        made: nn.Module
        neurons = population.neurons
        if isinstance(neurons, LIF):
            n, back = len(neurons.beta_logit), neurons.recurrent_weight
            made = FixedLIF(n, neurons.params, form, neurons.share, back)
        else:
            made = FixedReadout(len(neurons.beta_logit), form)
        parent, _, own = population.name.rpartition(".")
        setattr(network.get_submodule(parent), own, made)
        for drive in population.drives:
            synapse = network.get_submodule(drive.name)
            if isinstance(synapse, CrossSynapses):
                synapse.gate = None  # it is in the weights
    return network


def _tensors(model: FusionSNN, network: FusionSNN) -> dict[str, Tensor]:
    """Every tensor of the network in whole numbers, differentiable in those of the model."""
    found = dict(model.named_parameters()) | dict(model.named_buffers())
    for population in populations(model):
        fixed = network.get_submodule(population.name)
        if not isinstance(fixed, FixedLIF | FixedReadout):
            raise ConfigError(f"{population.name} must be in whole numbers, got {type(fixed)}")
        found |= _of_population(population, fixed)
    return found


def _of_population(population: Population, fixed: FixedLIF | FixedReadout) -> dict[str, Tensor]:
    """Units, thresholds, decays and whole weights of one population."""
    form, name, neurons = fixed.form, population.name, population.neurons
    beta = torch.sigmoid(neurons.beta_logit)
    n = len(beta)
    gain = beta.new_ones(n) if isinstance(neurons, LIF) else neurons.log_gain.exp() * (1 - beta)
    largest = torch.stack([d.largest(n) for d in population.drives]).amax(0)
    recurrent = neurons.recurrent_weight if isinstance(neurons, LIF) else None
    if recurrent is not None:
        largest = torch.maximum(largest, recurrent.detach().double().abs().amax(0))
    if isinstance(neurons, LIF):
        full = torch.full_like(largest, form.headroom * neurons.params.threshold)
    else:
        largest = (largest * gain.detach().double()).amax().expand(n)
        full = form.readout_range * largest.clamp(min=1e-30)
    step = torch.maximum(largest / form.largest_weight, full / form.largest_state)
    shift = (step * (form.largest_state / full)).log2().floor().clamp(0, form.fraction_bits)
    steps = 2.0**form.decay_bits
    tensors = {
        f"{name}.step": step,
        f"{name}.shift": shift.to(torch.int64),
        f"{name}.decay": _rounded(beta.double() * steps).div(steps).to(beta.dtype),
    }
    if isinstance(neurons, LIF):
        threshold = (neurons.params.threshold / step * 2**shift).round().clamp(min=1)
        tensors[f"{name}.threshold"] = threshold.to(torch.int64)
    for drive in population.drives:
        whole = _whole(drive, gain, step, form)
        _check_exact(drive, whole)
        tensors[f"{drive.name}.weight"] = whole
        if f"{drive.name}.log_gain" in _parameter_names(drive):
            tensors[f"{drive.name}.log_gain"] = torch.zeros_like(
                drive.module.get_parameter("log_gain")
            )
    if recurrent is not None:
        tensors[f"{name}.recurrent_weight"] = _clipped(recurrent.double() / step, form)
    return tensors


def _whole(drive: Drive, gain: Tensor, step: Tensor, form: FixedFormat) -> Tensor:
    """Weights in units of their neurons."""
    return _clipped(drive.weight().double() * drive.per_weight(gain / step), form)


def _clipped(scaled: Tensor, form: FixedFormat) -> Tensor:
    """To the nearest whole number; rounding errors of the unit must not make one too large."""
    return _rounded(scaled).clamp(-form.largest_weight, form.largest_weight).float()


def _rounded(x: Tensor) -> Tensor:
    """Nearest whole number, ties to even, with a gradient of 1."""
    return x.detach().round() + (x - x.detach())


def _parameter_names(drive: Drive) -> list[str]:
    return [f"{drive.name}.{own}" for own, _ in drive.module.named_parameters(recurse=False)]


def _check_exact(drive: Drive, whole: Tensor) -> None:
    """Sums of these weights stay whole in float32, whatever the order of addition."""
    size = whole.detach().abs()
    if isinstance(drive.module, CrossSynapses):
        most = float(size.sum())  # of all neurons: more than enough
    else:
        most = float(size.sum(0).amax() if size.ndim == 2 else size.flatten(1).sum(1).amax())
    if most >= WHOLE_BELOW:
        raise ConfigError(f"weights of {drive.name} must sum to less than 2**24, got {most:g}")
