"""Arithmetic of dense fusion that is no torch layer, each piece with its own count.

A sigmoid, tanh, exponential, logarithm or division is counted as one multiply-accumulate: a table
look-up with interpolation. Comparisons (of a ReLU, of the maximum in a softmax) are free.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from spikefuse.opcounts import PathCounts

Counted = dict[str, PathCounts]


def _path(macs: int, acs: int, read: int, written: int, n_rows: int, modality: str) -> Counted:
    """The counts of activations that meet each other: no weight is read."""
    return {
        "": PathCounts(
            effective_acs=acs,
            effective_macs=macs,
            dense_macs=macs + acs,
            state_reads=read,
            state_writes=written,
            state_words=(read + written) // max(n_rows, 1),
            kind="dense",
            modality=modality,
        )
    }


class Add(nn.Module):
    """``a + b``; one accumulate per non-zero value of ``a``."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """The sum of two tensors of one shape."""
        return a + b

    def count_paths(self, args: tuple[Any, ...], output: Tensor, modality: str) -> Counted:
        """See the class."""
        acs = int(args[0].count_nonzero())
        return _path(0, acs, 2 * output.numel(), output.numel(), len(output), modality)


class Scores(nn.Module):
    r"""A sum of log-likelihoods, :math:`\sum_m \log\text{softmax}(z^m / T_m)`."""

    def forward(self, evidence: Sequence[Tensor], temperature: Tensor) -> Tensor:
        """Evidence ``[B, C]`` of each modality and temperatures ``[M]`` to scores ``[B, C]``."""
        votes = [torch.log_softmax(z / temperature[i], dim=-1) for i, z in enumerate(evidence)]
        return sum(votes[1:], votes[0])

    def count_paths(self, args: tuple[Any, ...], output: Tensor, modality: str) -> Counted:
        """Per vote: C scalings, C exponentials, a logarithm; 2 C sums, and C to add the vote."""
        n_votes, (n_rows, n_classes) = len(args[0]), output.shape
        votes = n_votes * n_rows
        macs, acs = votes * (2 * n_classes + 1), votes * 3 * n_classes
        read = votes * n_classes
        return _path(macs, acs, read, output.numel(), n_rows, modality)


class Gating(nn.Module):
    r""":math:`\sum_m z^m \tanh h^m` with gates :math:`z = \text{softmax}_m(a^m)` of each unit."""

    def forward(self, hidden: Tensor, logits: Tensor) -> Tensor:
        """Both ``[M, B, N]`` to ``[B, N]``."""
        gated: Tensor = (torch.softmax(logits, dim=0) * torch.tanh(hidden)).sum(0)
        return gated

    def count_paths(self, args: tuple[Any, ...], output: Tensor, modality: str) -> Counted:
        """Per unit: M tanh, M exponentials, M products, a division; M sums for the divisor."""
        n_gates, units = len(args[0]), output.numel()
        macs, acs = (3 * n_gates + 1) * units, n_gates * units
        return _path(macs, acs, 2 * n_gates * units, units, len(output), modality)


class GRUGates(nn.Module):
    r"""The state of gated recurrent units after a step.

    .. math:: r = \sigma(a_r + c_r), \; z = \sigma(a_z + c_z), \; n = \tanh(a_n + r c_n), \;
              h' = n + z (h - n)

    with a and c the input's and the state's products, side by side as in ``torch.nn.GRUCell``.
    """

    def forward(self, driven: Tensor, recurrent: Tensor, h: Tensor) -> Tensor:
        """Products ``[B, 3 N]`` each and the state ``[B, N]`` to the next state."""
        a_r, a_z, a_n = driven.chunk(3, 1)
        c_r, c_z, c_n = recurrent.chunk(3, 1)
        new = torch.tanh(a_n + torch.sigmoid(a_r + c_r) * c_n)
        return new + torch.sigmoid(a_z + c_z) * (h - new)

    def count_paths(self, args: tuple[Any, ...], output: Tensor, modality: str) -> Counted:
        """Per unit: 3 activations and 2 products with their sums; 3 sums more."""
        units = output.numel()
        return _path(5 * units, 3 * units, 7 * units, units, len(output), modality)


class Attend(nn.Module):
    r"""Scaled dot-product attention over the keys that each query may see.

    .. math:: o_i = \sum_{j \in A_i} \frac{e^{q_i k_j / \sqrt d}}{\sum_{l \in A_i}
              e^{q_i k_l / \sqrt d}} v_j

    per head, and 0 where a query may see no key.
    """

    def __init__(self, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads

    def forward(self, query: Tensor, key: Tensor, value: Tensor, allowed: Tensor) -> Tensor:
        """Queries ``[B, Q, D]``, keys, values ``[B, K, D]``, bool ``[Q, K]`` to ``[B, Q, D]``."""
        n_batch, n_queries, width = query.shape
        q, k, v = (
            x.reshape(n_batch, x.shape[1], self.n_heads, width // self.n_heads).transpose(1, 2)
            for x in (query, key, value)
        )
        logits = q @ k.transpose(2, 3) * (width // self.n_heads) ** -0.5
        weight = masked_softmax(logits, allowed)
        return (weight @ v).transpose(1, 2).reshape(n_batch, n_queries, width)

    def count_paths(self, args: tuple[Any, ...], output: Tensor, modality: str) -> Counted:
        """Per pair: 2 D products and an exponential per head; per query: divisions by the sum."""
        allowed = args[3]
        n_batch, _, width = output.shape
        pairs, seeing = int(allowed.sum()), int(allowed.any(1).sum())
        macs = n_batch * (pairs * (2 * width + self.n_heads) + seeing * (self.n_heads + width))
        read = sum(x.numel() for x in args[:3])
        acs = n_batch * pairs * self.n_heads
        return _path(macs, acs, read, output.numel(), n_batch, modality)


class LatentRead(nn.Module):
    r"""What fixed queries have read of all tokens up to each of some times.

    The query never changes, so a token's products are made once, when it comes; an answer needs the
    sums so far, :math:`\sum_j e^{q k_j / \sqrt d} v_j / \sum_j e^{q k_j / \sqrt d}`.
    """

    def __init__(self, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads

    def forward(self, query: Tensor, key: Tensor, value: Tensor, seen: Tensor) -> Tensor:
        """Queries ``[L, D]``, tokens ``[B, F, D]``, bool ``[K, F]`` to ``[K, B, L, D]``."""
        n_batch, n_tokens, width = key.shape
        depth = width // self.n_heads
        q = query.reshape(-1, self.n_heads, depth).transpose(0, 1)  # [h, L, d]
        k, v = (
            x.reshape(n_batch, n_tokens, self.n_heads, depth).transpose(1, 2) for x in (key, value)
        )
        logits = q @ k.transpose(2, 3) * depth**-0.5  # [B, h, L, F]
        weight = masked_softmax(logits, seen[:, None, None, None])
        return (weight @ v).transpose(2, 3).reshape(len(seen), n_batch, -1, width)

    def count_paths(self, args: tuple[Any, ...], output: Tensor, modality: str) -> Counted:
        """Per token: 2 D products and an exponential per head and latent; divisions per answer."""
        n_answers, n_batch, n_latents, width = output.shape
        tokens = int(args[3].any(0).sum())
        once = tokens * n_latents * (2 * width + self.n_heads)
        macs = n_batch * (once + n_answers * n_latents * (self.n_heads + width))
        acs = n_batch * tokens * n_latents * self.n_heads
        read = sum(x.numel() for x in args[1:3])
        return _path(macs, acs, read, output.numel(), n_batch, modality)


def masked_softmax(logits: Tensor, allowed: Tensor) -> Tensor:
    """Softmax over the last dimension among what is allowed; all 0 where nothing is."""
    if not logits.shape[-1]:
        return logits + torch.zeros(allowed.shape, dtype=logits.dtype)
    masked = logits.masked_fill(~allowed, -torch.inf)
    top = masked.detach().amax(-1, keepdim=True).clamp(min=torch.finfo(logits.dtype).min)
    power = torch.exp(masked - top)
    return power / power.sum(-1, keepdim=True).clamp(min=torch.finfo(logits.dtype).tiny)
