"""Uncertainty gate: a modality's currents weigh as much as its spikes are sure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from spikefuse.fusion.dispersion import Dispersion
from spikefuse.fusion.operator import FusionOperator, Spikes, State
from spikefuse.neurons import LIF, LIFParams
from spikefuse.opcounts import PathCounts
from spikefuse.spikes import SpikeBatch
from spikefuse.synapses import EventLinear


class RowGain(nn.Module):
    """Multiply the current ``[T, B, N]`` of every step and sample by a gain ``[T, B]``."""

    batch_dim = 1

    def forward(self, current: Tensor, gain: Tensor) -> Tensor:
        """``current * gain``."""
        return current * gain[..., None]

    def count_paths(
        self, args: tuple[Any, ...], output: Tensor, modality: str
    ) -> dict[str, PathCounts]:
        """A multiplication per neuron in the steps in which a current arrives."""
        current: Tensor = args[0]
        rows = int(current.ne(0).any(2).sum())
        macs = rows * current.shape[2]
        return {"": PathCounts(effective_macs=macs, dense_macs=current.numel(), modality=modality)}


class UncertaintyGateFusion(FusionOperator):
    r"""Currents weighted by the inverse variance of each modality's spikes.

    .. math:: g^m_t = M \frac{\pi^m_t}{\sum_k \pi^k_t}, \quad x_t = \sum_m g^m_t \, S^m_t W^m,
              \quad s_t = \text{LIF}(x)_t

    with the precision :math:`\pi^m` of `Dispersion`, from spikes up to t. Gains add up to the
    number of modalities M. For cues in place codes the weights are those of the best linear
    combination, :math:`1 / \sigma^2`; a noisy or silent modality falls to the precision of its
    whole address range, and the others gain what it loses.

    Parameters
    ----------
    n_in, n_out, dt_ms, lif
        As of `FusionOperator`.
    gain : float
        As of `ConcatFusion`.
    tau_ms : float
        Memory of the statistic.
    prior_weight : float
        Spikes that the prior is worth.
    learn_coordinates : bool
        Train where each address stands. Without training, or where modalities encode one variable
        over one range, the weights are the 1 / variance rule; after it they are what helps.
    above_noise : bool
        Whether random spikes lose all weight, however many they are (see `Dispersion`).

    References
    ----------
    Ernst and Banks, "Humans integrate visual and haptic information in a statistically optimal
    fashion", Nature 415, 2002 (the rule).
    """

    def __init__(
        self,
        n_in: Mapping[str, int],
        n_out: int,
        *,
        dt_ms: float = 1.0,
        lif: LIFParams | None = None,
        gain: float = 3.0,
        tau_ms: float = 200.0,
        prior_weight: float = 1.0,
        learn_coordinates: bool = True,
        above_noise: bool = False,
    ) -> None:
        super().__init__(n_in, n_out, dt_ms=dt_ms, lif=lif)
        share = gain / len(n_in) ** 0.5
        self.fusion_synapses = nn.ModuleDict(
            {name: EventLinear(n, n_out, gain=share) for name, n in self.n_in.items()}
        )
        self.dispersion = nn.ModuleDict(
            {
                name: Dispersion(n, tau_ms, dt_ms, prior_weight, learn_coordinates, above_noise)
                for name, n in self.n_in.items()
            }
        )
        self.gains = nn.ModuleDict({name: RowGain() for name in self.n_in})
        self.hidden = LIF(n_out, self.lif, dt_ms)

    def weights(
        self, spikes: Spikes, state: State | None = None
    ) -> tuple[dict[str, Tensor], State]:
        """Share of each modality after every step, ``{name: [T, B]}`` (they add up to 1)."""
        self.check(spikes)
        after: State = {}
        precision: dict[str, Tensor] = {}
        for name, dispersion in self.dispersion.items():
            before = None if state is None else state[f"moments.{name}"]
            precision[name], after[f"moments.{name}"] = dispersion(spikes[name], before)
        total = torch.stack(list(precision.values())).sum(0)
        return {name: part / total for name, part in precision.items()}, after

    @torch.no_grad()
    def influence(self, spikes: Spikes, state: State | None = None) -> dict[str, Tensor]:
        r"""Share of each modality in all weighted spikes of a run, ``{name: [B]}``, sum 1.

        .. math:: w^m = \frac{\sum_t g^m_t E^m_t}{\sum_k \sum_t g^k_t E^k_t}

        with :math:`E^m_t` spikes in step t. A sum of weighted spikes places the cue at the mean
        place of each modality's spikes, weighted by this: n spikes of deviation w each make an
        estimate of deviation :math:`\sigma = w / \sqrt n`, and :math:`n / w^2 = 1 / \sigma^2`. Of
        a run without spikes all shares are equal.
        """
        shares, _ = self.weights(spikes, state)
        sums: dict[str, Tensor] = {}
        for name, share in shares.items():
            given = spikes[name]
            dense = given.to_dense() if isinstance(given, SpikeBatch) else given
            sums[name] = (share * dense.sum(2)).sum(0)
        total = torch.stack(list(sums.values())).sum(0)
        return {
            name: torch.where(total > 0, part / total.clamp(min=1e-12), 1.0 / len(sums))
            for name, part in sums.items()
        }

    def forward(self, spikes: Spikes, state: State | None = None) -> tuple[Tensor, State]:
        """Spikes ``{name: (T, B, n)}`` to fused spikes ``[T, B, n_out]`` and state."""
        shares, after = self.weights(spikes, state)
        currents = [
            self.gains[name](synapse(spikes[name]), len(shares) * shares[name])
            for name, synapse in self.fusion_synapses.items()
        ]
        before = None if state is None else state["hidden"]
        fused, v = self.hidden(sum(currents[1:], currents[0]), before)
        return fused, after | {"hidden": v}
