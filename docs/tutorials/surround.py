"""The operator of the tutorial ``own_operator.py``: what was just heard or seen holds back."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from spikefuse.fusion import FusionOperator
from spikefuse.fusion.operator import Spikes, State
from spikefuse.kernels.products import event_matmul
from spikefuse.neurons import LIF, LIFParams
from spikefuse.spikes import SpikeBatch
from spikefuse.synapses import EventLinear


class Inhibition(EventLinear):
    """`EventLinear` whose every weight is negative: ``-softplus(weight)``."""

    def forward(
        self,
        spikes: Tensor | SpikeBatch,
        events: SpikeBatch | None = None,
        active: SpikeBatch | None = None,
    ) -> Tensor:
        """As of `EventLinear`."""
        return event_matmul(spikes, -softplus(self.weight), events=events, active=active)


class SurroundFusion(FusionOperator):
    r"""Every modality drives at once and inhibits one step later.

    .. math:: x_t = \sum_m S^m_t W^m - S^m_{t-1}\,\mathrm{softplus}(U^m), \quad
              s_t = \text{LIF}(x)_t

    Parameters
    ----------
    n_in, n_out, dt_ms, lif
        As of `FusionOperator`.
    level : float
        Initial value of U; -4 starts with next to no inhibition.
    """

    def __init__(
        self,
        n_in: Mapping[str, int],
        n_out: int,
        *,
        dt_ms: float = 1.0,
        lif: LIFParams | None = None,
        level: float = -4.0,
    ) -> None:
        super().__init__(n_in, n_out, dt_ms=dt_ms, lif=lif)
        gain = 3.0 / len(self.n_in) ** 0.5
        self.drive = nn.ModuleDict({m: EventLinear(n, n_out, gain) for m, n in self.n_in.items()})
        self.hold = nn.ModuleDict({m: Inhibition(n, n_out) for m, n in self.n_in.items()})
        for layer in self.hold.values():
            nn.init.constant_(layer.weight, level)
        self.hidden = LIF(n_out, self.lif, dt_ms)

    def forward(self, spikes: Spikes, state: State | None = None) -> tuple[Tensor, State]:
        """Spikes ``{name: (T, B, n)}`` to fused spikes ``[T, B, n_out]``, membrane, last spikes."""
        self.check(spikes)
        currents, after = [], {}
        for name in self.modalities:
            now = spikes[name]
            now = now.to_dense() if isinstance(now, SpikeBatch) else now
            last = torch.zeros_like(now[0]) if state is None else state[f"last.{name}"]
            before = torch.cat([last[None], now[:-1]])
            currents += [self.drive[name](now), self.hold[name](before)]
            after[f"last.{name}"] = now[-1]
        v = None if state is None else state["hidden"]
        fused, after["hidden"] = self.hidden(torch.stack(currents).sum(0), v)
        return fused, after
