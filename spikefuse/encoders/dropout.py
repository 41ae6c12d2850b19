"""SpikeDropout: whole-sequence dropout of neurons."""

from __future__ import annotations

from torch import Tensor, nn


class SpikeDropout(nn.Module):
    """Silence a random set of neurons for a whole sequence while training.

    One mask per sample, shared by all its steps: a mask redrawn each step would average out over
    time and regularise nothing. Survivors are scaled by ``1 / (1 - p)``.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError(f"dropout must lie in [0, 1), got {p}")
        self.p = p

    def forward(self, spikes: Tensor) -> Tensor:
        """``[T, B, N]`` to the same shape."""
        if not self.training or self.p == 0:
            return spikes
        keep = (spikes.new_empty(spikes.shape[1:]).uniform_() >= self.p).to(spikes.dtype)
        return spikes * (keep / (1 - self.p))
