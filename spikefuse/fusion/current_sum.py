"""Current summation: modalities meet in one membrane, each through learnable gains."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from spikefuse.encoders import infer_lif
from spikefuse.fusion.concat import ConcatFusion
from spikefuse.fusion.operator import InferOutput, State
from spikefuse.kernels.products import event_matmul
from spikefuse.neurons import FixedLIF, LIFParams
from spikefuse.spikes import SpikeBatch
from spikefuse.synapses import EventLinear


class GainedLinear(EventLinear):
    """`EventLinear` whose postsynaptic neurons scale its current by a positive gain each.

    The gain is folded into the weights, so events cost what they cost without it.

    Parameters
    ----------
    n_in, n_out, gain
        As of `EventLinear`; the learnable gains start at 1.
    """

    def __init__(self, n_in: int, n_out: int, gain: float = 1.0) -> None:
        super().__init__(n_in, n_out, gain)
        self.log_gain = nn.Parameter(torch.zeros(n_out))

    def folded(self) -> Tensor:
        """Weight with the gains in it, ``[n_in, n_out]``."""
        return self.weight * self.log_gain.exp()

    def forward(
        self,
        spikes: Tensor | SpikeBatch,
        events: SpikeBatch | None = None,
        active: SpikeBatch | None = None,
    ) -> Tensor:
        """As of `EventLinear`."""
        return event_matmul(spikes, self.folded(), events=events, active=active)


class CurrentSumFusion(ConcatFusion):
    r"""Currents of all modalities summed in one membrane, with a gain per modality and neuron.

    .. math:: x_t = \sum_m g^m \odot (S^m_t W^m), \quad s_t = \text{LIF}(x)_t, \quad g^m > 0

    It can compute what `ConcatFusion` can and no more: gains only let training change the balance
    of modalities in one step instead of weight by weight, and can be read afterwards (`balance`).

    Parameters
    ----------
    n_in, n_out, dt_ms, lif, gain
        As of `ConcatFusion`.

    References
    ----------
    Summation of two modalities' currents into a shared membrane is the "CMCI" baseline of
    arXiv:2502.12488.
    """

    def __init__(
        self,
        n_in: Mapping[str, int],
        n_out: int,
        *,
        dt_ms: float = 1.0,
        lif: LIFParams | None = None,
        gain: float = 3.0,
    ) -> None:
        super().__init__(n_in, n_out, dt_ms=dt_ms, lif=lif, gain=gain)
        share = self._share(gain)
        self.fusion_synapses = nn.ModuleDict(
            {name: GainedLinear(n, n_out, gain=share[name]) for name, n in self.n_in.items()}
        )

    def _folded(self) -> list[Tensor]:
        """Weights of all modalities with their gains."""
        layers = self.fusion_synapses.values()
        return [layer.folded() for layer in layers if isinstance(layer, GainedLinear)]

    @torch.no_grad()
    def balance(self) -> dict[str, float]:
        """Root mean square of each modality's effective weights: how hard a spike drives."""
        sizes = (float(weight.square().mean().sqrt()) for weight in self._folded())
        return dict(zip(self.modalities, sizes, strict=True))

    @torch.no_grad()
    def infer(self, events: Mapping[str, SpikeBatch], state: State | None = None) -> InferOutput:
        """`forward` on events, synapses and neurons fused."""
        if isinstance(self.hidden, FixedLIF):
            return super().infer(events, state)
        self.check(events)
        fused, v = infer_lif(
            [events[name] for name in self.modalities],
            list(self.fusion_synapses.values()),
            self.hidden,
            None if state is None else state["hidden"],
            self._folded(),
        )
        return fused, {"hidden": v}
