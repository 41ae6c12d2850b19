"""DelayedLinear: all-to-all synapses along axons of several fixed conduction delays."""

from __future__ import annotations

from torch import Tensor, nn

from spikefuse.kernels.fused_delay import arrivals_ref
from spikefuse.spikes import SpikeBatch
from spikefuse.synapses.linear import EventLinear


class DelayedLinear(nn.Module):
    """Synapses that hear every input several times: ``out[t] = sum_k spikes[t - d_k] @ weight_k``.

    One event drives the weights of all delays at once and its currents arrive at later steps, so
    the cost is one event times ``n_delays * n_out`` and no spike is copied. Several delays let a
    layer without recurrence compare the present with the past; on real speech of unseen speakers
    delays of 0 to 180 ms were worth ten points of accuracy.

    Parameters
    ----------
    n_in, n_out : int
    delays_steps : tuple of int
        Conduction delays in steps, distinct and >= 0.
    gain : float
        Standard deviation of the initial weights is ``gain / sqrt(n_in * n_delays)``.

    Raises
    ------
    ValueError
        If the delays are empty, negative or repeated.

    Notes
    -----
    Axonal delay lines on a clock, as in Göltz et al., "DelGrad: exact event-based gradients for
    training delays and weights on spiking neuromorphic hardware", Nature Communications 16, 2025,
    whose delays are learned; these are fixed.
    """

    batch_dim = 1

    def __init__(
        self, n_in: int, n_out: int, delays_steps: tuple[int, ...], gain: float = 1.0
    ) -> None:
        super().__init__()
        if not delays_steps or min(delays_steps) < 0 or len(set(delays_steps)) < len(delays_steps):
            raise ValueError(
                f"delays_steps must be one or more distinct steps >= 0, got {delays_steps}"
            )
        self.n_out, self.delays_steps = n_out, tuple(delays_steps)
        n_delays = len(delays_steps)
        self.synapses = EventLinear(n_in, n_delays * n_out, gain / n_delays**0.5)

    @property
    def longest(self) -> int:
        """Steps after an event until its last current has arrived."""
        return max(self.delays_steps)

    def forward(
        self,
        spikes: Tensor | SpikeBatch,
        pending: Tensor | None = None,
        events: SpikeBatch | None = None,
        active: SpikeBatch | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Spikes ``[T, B, n_in]`` to currents ``[T, B, n_out]`` and those still under way.

        Parameters
        ----------
        spikes : Tensor or SpikeBatch, (T, B, n_in)
        pending : Tensor[longest, B, n_out], optional
            Currents of the chunk before that arrive during this one; none by default.
        events, active : SpikeBatch, optional
            As in `EventLinear`.

        Returns
        -------
        current : Tensor[T, B, n_out]
        pending : Tensor[longest, B, n_out]
            Currents that arrive after this chunk.
        """
        wide = self.synapses(spikes, events, active)
        return arrivals_ref(wide, self.delays_steps, pending)
