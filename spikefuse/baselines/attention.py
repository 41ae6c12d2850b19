"""Dense attention between modalities: every frame asks the past frames of the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from spikefuse.baselines.arithmetic import Add, Attend
from spikefuse.baselines.operator import TokenOperator, Tokens, checked_width

_LONGEST_MS = 1e4  # period of the slowest of the waves that tell a frame's time


class CrossAttention(TokenOperator):
    r"""Cross-modal attention over frames, causal in the time at which frames are complete.

    .. math:: a^m_i = h^m_i + \sum_{k \ne m} O^{km} \,\text{softmax}_{j: t_j \le t_i}
              \Big(\frac{Q^{km} h^m_i \cdot K^{km} h^k_j}{\sqrt d}\Big) V^{km} h^k_j, \quad
              s_t = \text{ReLU}(W [\text{mean}_{i: t_i \le t} a^m_i]_m + b)

    with :math:`h = P x + \text{time}`. Being causal, a frame's products are made once and answers
    after every frame cost those of the new frames. With one modality it attends to itself.

    Parameters
    ----------
    n_in, n_out, dropout
        As of `DenseOperator`.
    width : int
        Of tokens, queries, keys and values; ``n_out``, or the next multiple of ``n_heads``, by
        default.
    n_heads : int
        A divisor of ``width``.

    References
    ----------
    Tsai et al., "Multimodal transformer for unaligned multimodal language sequences", ACL 2019,
    arXiv:1906.00295 (one block of it, without its position-wise layers).
    """

    def __init__(
        self,
        n_in: Mapping[str, int],
        n_out: int,
        *,
        dropout: float = 0.0,
        width: int | None = None,
        n_heads: int = 4,
    ) -> None:
        super().__init__(n_in, n_out, dropout=dropout)
        self.width = width = checked_width(width, n_out, n_heads)
        names = self.modalities
        self.project = nn.ModuleDict({name: nn.Linear(n, width) for name, n in self.n_in.items()})
        self.pairs = [(k, m) for m in names for k in names if k != m or len(names) == 1]
        # The source pays for its path to the others: its name comes first.
        self.cross = nn.ModuleDict(
            {
                k: nn.ModuleDict(
                    {f"to_{m}": Crossing(width, n_heads) for j, m in self.pairs if j == k}
                )
                for k in names
            }
        )
        self.join = nn.Linear(width * len(names), n_out)
        self.activation = nn.ReLU()

    def state_words(self, n_frames: Mapping[str, int]) -> int:
        """Keys and values of all frames so far, and the sums whose means are joined."""
        kept = sum(2 * self.width * n_frames[k] for k, _ in self.pairs)
        return kept + self.width * len(self.modalities)

    def forward(self, tokens: Tokens) -> Tensor:
        """Features of frames to fused features at each wanted time, ``[K, B, n_out]``."""
        ends = tokens.ends_ms
        h = {
            name: on_rows(layer, tokens.features[name]) + time_waves(ends[name], self.width)
            for name, layer in self.project.items()
        }
        attended = dict(h)
        for k, m in self.pairs:
            allowed = torch.tensor([tokens.complete(k, end) for end in ends[m]], dtype=torch.bool)
            allowed = allowed.reshape(len(ends[m]), len(ends[k]))
            crossing = self.cross.get_submodule(f"{k}.to_{m}")
            attended[m] = crossing(attended[m], h[m], h[k], allowed)
        means = [running_means(attended[m], tokens.n_seen(m)) for m in self.modalities]
        joined = torch.cat(means, dim=2)
        fused: Tensor = self.dropout(self.activation(self.join(joined.flatten(0, 1))))
        return fused.reshape(*joined.shape[:2], -1)


class Crossing(nn.Module):
    """What the frames of one modality take from those of another, added to what they had.

    Parameters
    ----------
    width, n_heads : int
    """

    def __init__(self, width: int, n_heads: int) -> None:
        super().__init__()
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.attend = Attend(n_heads)
        self.add = Add()

    def forward(self, so_far: Tensor, asking: Tensor, asked: Tensor, allowed: Tensor) -> Tensor:
        """Frames ``[B, Q, n]`` twice, of the other modality ``[B, K, n]``, and bool ``[Q, K]``."""
        query = on_rows(self.query, asking)
        key, value = on_rows(self.key, asked), on_rows(self.value, asked)
        read = on_rows(self.out, self.attend(query, key, value, allowed))
        added: Tensor = self.add(read, so_far)
        return added


def on_rows(layer: nn.Module, x: Tensor) -> Tensor:
    """A linear layer on ``[B, F, n]``, a row per frame."""
    y: Tensor = layer(x.flatten(0, 1))
    return y.reshape(*x.shape[:2], y.shape[1])


def time_waves(ends_ms: Sequence[float], width: int) -> Tensor:
    """Sines and cosines of a frame's time, ``[F, width]``, so that order can be told.

    A table: it is not arithmetic of the model, so it is made outside of torch.
    """
    n = (width + 1) // 2
    phase = np.asarray(ends_ms)[:, None] / (2 * np.pi * _LONGEST_MS ** (np.arange(n) / n))
    waves = np.concatenate([np.sin(phase), np.cos(phase)], axis=1)[:, :width]
    return torch.from_numpy(waves.astype(np.float32))


def running_means(x: Tensor, n_seen: list[int]) -> Tensor:
    """Mean of the first n frames of ``[B, F, n]`` for each n, ``[K, B, n]`` (0 of none)."""
    sums = torch.cat([x.new_zeros(len(x), 1, x.shape[2]), x.cumsum(1)], dim=1)[:, n_seen]
    return (sums / torch.tensor([max(n, 1) for n in n_seen])[:, None]).transpose(0, 1)
