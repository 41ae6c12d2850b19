"""Dense latents: a fixed set of queries reads any number of modalities."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from spikefuse.baselines.arithmetic import LatentRead
from spikefuse.baselines.attention import on_rows, time_waves
from spikefuse.baselines.operator import TokenOperator, Tokens, checked_width


class LatentAttention(TokenOperator):
    r"""Learned queries attend to the frames of all modalities that are complete.

    .. math:: h^m_i = P^m x^m_i + \text{time} + e^m, \quad
              l_t = \text{softmax}_{i: t_i \le t}\Big(\frac{q \cdot K h_i}{\sqrt d}\Big) V h_i,
              \quad s_t = \text{ReLU}(W l_t + b)

    One more modality brings one projection and nothing else.

    Parameters
    ----------
    n_in, n_out, dropout
        As of `DenseOperator`.
    n_latents : int
    width : int
        Of tokens and latents; ``n_out``, or the next multiple of ``n_heads``, by default.
    n_heads : int
        A divisor of ``width``.

    References
    ----------
    Jaegle et al., "Perceiver: general perception with iterative attention", ICML 2021
    (arXiv:2103.03206): its cross-attention, once.
    """

    def __init__(
        self,
        n_in: Mapping[str, int],
        n_out: int,
        *,
        dropout: float = 0.0,
        n_latents: int = 8,
        width: int | None = None,
        n_heads: int = 4,
    ) -> None:
        super().__init__(n_in, n_out, dropout=dropout)
        width = checked_width(width, n_out, n_heads)
        if n_latents < 1:
            raise ValueError(f"n_latents must be at least 1, got {n_latents}")
        self.width, self.n_latents, self.n_heads = width, n_latents, n_heads
        self.project = nn.ModuleDict({name: nn.Linear(n, width) for name, n in self.n_in.items()})
        self.origin = nn.Parameter(0.02 * torch.randn(len(self.n_in), width))
        self.queries = nn.Parameter(torch.randn(n_latents, width))
        self.key, self.value = nn.Linear(width, width), nn.Linear(width, width)
        self.read = LatentRead(n_heads)
        self.join = nn.Linear(n_latents * width, n_out)
        self.activation = nn.ReLU()

    def state_words(self, n_frames: Mapping[str, int]) -> int:
        """Weighted sums of values and their weights."""
        return self.n_latents * (self.width + 2 * self.n_heads)

    def forward(self, tokens: Tokens) -> Tensor:
        """Features of frames to fused features at each wanted time, ``[K, B, n_out]``."""
        parts: list[Tensor] = []
        for m, name in enumerate(self.modalities):
            projected = on_rows(self.project[name], tokens.features[name])
            parts.append(projected + time_waves(tokens.ends_ms[name], self.width) + self.origin[m])
        h = torch.cat(parts, dim=1)
        key, value = on_rows(self.key, h), on_rows(self.value, h)
        complete = [
            [seen for name in self.modalities for seen in tokens.complete(name, at)]
            for at in tokens.at_ms
        ]
        seen = torch.tensor(complete, dtype=torch.bool)
        latents = self.read(self.queries, key, value, seen)
        joined = self.join(latents.flatten(0, 1).flatten(1))
        fused: Tensor = self.dropout(self.activation(joined))
        return fused.reshape(*latents.shape[:2], -1)
