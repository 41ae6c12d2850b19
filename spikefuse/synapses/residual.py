"""SpikeAdd: where a residual branch meets the identity path."""

from __future__ import annotations

from typing import TypeVar

from torch import Tensor, nn

from spikefuse.kernels.pooling import RULES, Rule, spike_join
from spikefuse.spikes import SpikeBatch

Spikes = TypeVar("Spikes", SpikeBatch, Tensor)


class SpikeAdd(nn.Module):
    """Bring the spikes of two branches together by a rule that is named: see `spike_join`.

    Parameters
    ----------
    rule : "add", "or", "and" or "iand"
        With "add" two spikes at once are one event of 2, which the next layer counts as two.

    Raises
    ------
    ValueError
        If there is no such rule.
    """

    batch_dim = 1

    def __init__(self, rule: Rule = "add") -> None:
        super().__init__()
        if rule not in RULES:
            raise ValueError(f"rule must be one of {list(RULES)}, got {rule!r}")
        self.rule: Rule = rule

    def forward(self, branch: Spikes, identity: Spikes) -> Spikes:
        """Two times ``[T, B, N]`` to ``[T, B, N]`` of the same kind."""
        return spike_join(branch, identity, self.rule)
