"""SilentDecay: what the membranes of a skipped layer are once it runs again."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from spikefuse.opcounts import PathCounts


class SilentDecay(nn.Module):
    r"""Membranes after steps without input, in one update instead of one a step.

    .. math:: v_{t + n} = \beta^n v_t

    A membrane that a reset by subtraction left above threshold would have fired in those steps;
    here it only decays.
    """

    def forward(self, v: Tensor, beta: Tensor, n_steps: int) -> Tensor:
        """Membranes ``[B, N]`` and decays ``[N]`` to membranes ``n_steps`` later."""
        return v * beta**n_steps

    def count_paths(
        self, args: tuple[Any, ...], output: Any, modality: str
    ) -> dict[str, PathCounts]:
        """One update of a neuron, active if its membrane is not at rest."""
        v: Tensor = args[0]
        active = int((v != 0).sum())
        path = PathCounts(
            neuron_updates_active=active,
            neuron_updates_idle=v.numel() - active,
            state_reads=v.numel(),
            state_writes=v.numel(),
            state_words=v.shape[1],
            modality=modality,
        )
        return {"": path}
