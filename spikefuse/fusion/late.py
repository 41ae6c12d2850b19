"""Late fusion: every modality votes with its own log-likelihoods and they are added."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from spikefuse.encoders import infer_readout
from spikefuse.fusion.operator import FusionOperator, InferOutput, Spikes, State
from spikefuse.fusion.temperature import check_temperature
from spikefuse.neurons import LIReadout
from spikefuse.spikes import SpikeBatch
from spikefuse.synapses import EventLinear


class LateFusion(FusionOperator):
    r"""Log-opinion pool of modalities, each with a leaky readout and a temperature of its own.

    .. math:: \text{score}_t = \sum_m \log \text{softmax}(z^m_t / T_m), \quad
              z^m = \text{LI}(S^m W^m)

    With modalities independent given the class, and classes equally likely, a sum of calibrated
    log-likelihoods is the Bayes-optimal combination. Temperatures start at 1 and are not trained
    with the weights: fit them on validation data with `fit_temperature`, then `set_temperature`.
    A silent modality votes for no class.

    Parameters
    ----------
    n_in, dt_ms
        As of `FusionOperator`.
    n_out : int
        Number of classes: the output is scores ``[T, B, n_out]``, and no readout follows.
    readout_tau_ms : float
        Initial time constant of the readouts.

    References
    ----------
    Genest and Zidek, "Combining probability distributions: a critique and an annotated
    bibliography", Statistical Science 1(1), 1986. Guo et al., "On calibration of modern neural
    networks", ICML 2017 (temperature scaling).
    """

    spiking = False

    def __init__(
        self,
        n_in: Mapping[str, int],
        n_out: int,
        *,
        dt_ms: float = 1.0,
        readout_tau_ms: float = 100.0,
    ) -> None:
        super().__init__(n_in, n_out, dt_ms=dt_ms)
        self.readout_synapses = nn.ModuleDict(
            {name: EventLinear(n, n_out) for name, n in self.n_in.items()}
        )
        self.readouts = nn.ModuleDict(
            {name: LIReadout(n_out, readout_tau_ms, dt_ms) for name in self.n_in}
        )
        self.log_temperature: Tensor
        self.register_buffer("log_temperature", torch.zeros(len(self.n_in)))

    def set_temperature(self, temperature: Mapping[str, float]) -> None:
        """Divide the evidence of each named modality by its temperature from now on.

        Raises
        ------
        ValueError
            If a name is unknown or a temperature is not positive.
        """
        check_temperature(temperature, self.modalities)
        for name, value in temperature.items():
            self.log_temperature[self.modalities.index(name)] = torch.tensor(value).log()

    def evidence(
        self, spikes: Spikes, state: State | None = None
    ) -> tuple[dict[str, Tensor], State]:
        """Readout traces ``{name: [T, B, n_out]}`` before temperature and softmax, and state."""
        self.check(spikes)
        after: State = {}
        traces: dict[str, Tensor] = {}
        for name, synapse in self.readout_synapses.items():
            before = None if state is None else state[name]
            traces[name], after[name] = self.readouts[name](synapse(spikes[name]), before)
        return traces, after

    def forward(self, spikes: Spikes, state: State | None = None) -> tuple[Tensor, State]:
        """Spikes ``{name: (T, B, n)}`` to scores ``[T, B, n_out]`` and the readouts' membranes."""
        traces, after = self.evidence(spikes, state)
        return self.pooled(traces), after

    @torch.no_grad()
    def infer(self, events: Mapping[str, SpikeBatch], state: State | None = None) -> InferOutput:
        """`forward` on events, synapses and readouts fused; the output is scores all the same."""
        self.check(events)
        after: State = {}
        traces: dict[str, Tensor] = {}
        for name, synapse in self.readout_synapses.items():
            before = None if state is None else state[name]
            readout = self.readouts[name]
            traces[name], after[name] = infer_readout(events[name], synapse, readout, before)
        return self.pooled(traces), after

    def pooled(self, traces: Mapping[str, Tensor]) -> Tensor:
        """The sum of log-likelihoods of per-modality evidence ``[..., n_out]``."""
        cooler = (-self.log_temperature).exp()
        votes = [
            torch.log_softmax(traces[name] * cooler[i], dim=-1)
            for i, name in enumerate(self.modalities)
        ]
        return sum(votes[1:], votes[0])
