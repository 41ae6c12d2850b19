"""Gated recurrent units over frames: a dense model that keeps time in its state."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from spikefuse.baselines.arithmetic import GRUGates
from spikefuse.baselines.operator import TokenOperator, Tokens, checked_width


class GRULayer(nn.Module):
    r"""Gated recurrent units, of two linear layers and `GRUGates`, so that each is counted.

    Parameters
    ----------
    n_in, width : int

    References
    ----------
    Cho et al., "Learning phrase representations using RNN encoder-decoder", EMNLP 2014; the reset
    gate stands behind the recurrent product, as in ``torch.nn.GRU``.
    """

    def __init__(self, n_in: int, width: int) -> None:
        super().__init__()
        self.width = width
        self.driven = nn.Linear(n_in, 3 * width)
        self.recurrent = nn.Linear(width, 3 * width)
        self.gates = GRUGates()

    def forward(self, frames: Tensor, h: Tensor | None = None) -> Tensor:
        """Frames ``[B, F, n_in]`` and state ``[B, width]`` to states ``[F + 1, B, width]``.

        The first of them is the state given (zeros by default), the last goes on from here.
        """
        n_batch, n_frames, _ = frames.shape
        states = [frames.new_zeros(n_batch, self.width) if h is None else h]
        driven = self.driven(frames.transpose(0, 1).flatten(0, 1))
        for current in driven.reshape(n_frames, n_batch, -1).unbind(0) if n_frames else ():
            states.append(self.gates(current, self.recurrent(states[-1]), states[-1]))
        return torch.stack(states)


class GRUFusion(TokenOperator):
    r"""A recurrent layer per modality at its own frame rate; the latest states are joined.

    .. math:: h^m_f = \text{GRU}^m(x^m_f, h^m_{f-1}), \quad
              s_t = \text{ReLU}(W [h^1_{f_1(t)}, \dots, h^M_{f_M(t)}] + b)

    with :math:`f_m(t)` the last frame that is complete at t. A frame costs the same whenever it
    comes, and an answer can be had after any.

    Parameters
    ----------
    n_in, n_out, dropout
        As of `DenseOperator`.
    width : int
        Units of each modality's recurrent layer; ``n_out`` by default.
    """

    def __init__(
        self, n_in: Mapping[str, int], n_out: int, *, dropout: float = 0.0, width: int | None = None
    ) -> None:
        super().__init__(n_in, n_out, dropout=dropout)
        self.width = width = checked_width(width, n_out)
        self.layers = nn.ModuleDict({name: GRULayer(n, width) for name, n in self.n_in.items()})
        self.join = nn.Linear(width * len(self.n_in), n_out)
        self.activation = nn.ReLU()

    def state_words(self, n_frames: Mapping[str, int]) -> int:
        """The recurrent states."""
        return self.width * len(self.modalities)

    def forward(self, tokens: Tokens) -> Tensor:
        """Features of frames to fused features at each wanted time, ``[K, B, n_out]``."""
        latest = [
            layer(tokens.features[name])[tokens.n_seen(name)] for name, layer in self.layers.items()
        ]
        joined = torch.cat(latest, dim=2)
        fused: Tensor = self.dropout(self.activation(self.join(joined.flatten(0, 1))))
        return fused.reshape(*joined.shape[:2], -1)
