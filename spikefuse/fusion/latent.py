"""Latent fusion: a fixed set of spiking latents reads any number of modalities."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from spikefuse.encoders import infer_lif
from spikefuse.fusion.operator import FusionOperator, InferOutput, Spikes, State
from spikefuse.kernels.compaction import compact
from spikefuse.neurons import LIF, LIFParams, RecurrentState
from spikefuse.spikes import SpikeBatch
from spikefuse.synapses import EventLinear


class LatentFusion(FusionOperator):
    r"""Recurrent spiking latents that every modality drives through synapses of its own.

    .. math:: z_t = \text{LIF}\Big(\sum_m S^m_t W^m + z_{t-1} R\Big), \quad
              s_t = \text{LIF}(z_t V)

    The latents' size and all that follows are the same whatever the number of modalities: one more
    brings one more weight and nothing else. The recurrence is what bare concatenation lacks: the
    latents can hold what one modality said until another one speaks.

    Parameters
    ----------
    n_in, n_out, dt_ms, lif
        As of `FusionOperator`.
    n_latents : int
    gain : float
        As of `ConcatFusion`, for both layers.
    recurrent_gain : float
        Standard deviation of the recurrent weights times ``sqrt(n_latents)``.

    References
    ----------
    The fixed latent array is that of Jaegle et al., "Perceiver: general perception with iterative
    attention", ICML 2021, with recurrent spikes in place of attention.
    """

    def __init__(
        self,
        n_in: Mapping[str, int],
        n_out: int,
        *,
        dt_ms: float = 1.0,
        lif: LIFParams | None = None,
        n_latents: int = 64,
        gain: float = 3.0,
        recurrent_gain: float = 0.5,
    ) -> None:
        super().__init__(n_in, n_out, dt_ms=dt_ms, lif=lif)
        if n_latents < 1:
            raise ValueError(f"n_latents must be at least 1, got {n_latents}")
        share = gain / len(n_in) ** 0.5
        self.reads = nn.ModuleDict(
            {name: EventLinear(n, n_latents, gain=share) for name, n in self.n_in.items()}
        )
        self.latents = LIF(
            n_latents, self.lif, dt_ms, recurrent=True, recurrent_gain=recurrent_gain
        )
        self.synapse = EventLinear(n_latents, n_out, gain=gain)
        self.hidden = LIF(n_out, self.lif, dt_ms)

    def forward(self, spikes: Spikes, state: State | None = None) -> tuple[Tensor, State]:
        """Spikes ``{name: (T, B, n)}`` to fused spikes ``[T, B, n_out]`` and state."""
        z, after = self._latents(spikes, state)
        fused, v = self.hidden(self.synapse(z), None if state is None else state["hidden"])
        return fused, after | {"hidden": v}

    @torch.no_grad()
    def infer(self, events: Mapping[str, SpikeBatch], state: State | None = None) -> InferOutput:
        """`forward` on events; synapses and neurons behind the latents run fused."""
        z, after = self._latents(events, state)
        before = None if state is None else state["hidden"]
        fused, v = infer_lif([compact(z)], [self.synapse], self.hidden, before)
        return fused, after | {"hidden": v}

    def _latents(self, spikes: Spikes, state: State | None) -> tuple[Tensor, State]:
        """Spikes of the latents, and their membranes and last spikes."""
        self.check(spikes)
        currents = [synapse(spikes[name]) for name, synapse in self.reads.items()]
        before = None
        if state is not None:
            before = RecurrentState(state["latents"], state["latent_spikes"])
        z, last = self.latents(sum(currents[1:], currents[0]), before)
        return z, {"latents": last.v, "latent_spikes": last.s}
