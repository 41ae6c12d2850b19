"""Early fusion: the sensors' spikes, side by side, straight into one spiking layer."""

from __future__ import annotations

from spikefuse.fusion.concat import ConcatFusion


class EarlyFusion(ConcatFusion):
    r"""Concatenated input, without encoders before it.

    The equation is that of `ConcatFusion`. What differs is where it stands (a model gives it the
    input spikes themselves) and how it starts: one weight over the concatenation, of standard
    deviation ``gain / sqrt(sum_m n_in[m])``, so that a modality counts by its number of addresses.

    Parameters
    ----------
    n_in, n_out, dt_ms, lif
        As of `FusionOperator`.
    gain : float

    References
    ----------
    Bjorndahl et al., arXiv:2409.00552 (early, middle and late concatenation in spiking networks).
    """

    reads_inputs = True

    def _share(self, gain: float) -> dict[str, float]:
        total = sum(self.n_in.values())
        return {name: gain * (n / total) ** 0.5 for name, n in self.n_in.items()}
