"""DenseOperator: what every dense way of bringing modalities together has in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

# Ends of frames are sums of decimal fractions.
_SLACK_MS = 1e-6

Reads = Literal["inputs", "features", "tokens"]


@dataclass(frozen=True)
class Tokens:
    """Features of the frames of every modality, in order of time.

    Parameters
    ----------
    features : mapping of modality to Tensor[B, F, n]
    ends_ms : mapping of modality to F numbers
        When each frame is complete.
    at_ms : K numbers
        When answers are wanted; frames that end later are not read for them.
    """

    features: Mapping[str, Tensor]
    ends_ms: Mapping[str, Sequence[float]]
    at_ms: Sequence[float]

    def n_seen(self, name: str) -> list[int]:
        """Complete frames of a modality at each answer."""
        return [int(sum(self.complete(name, at))) for at in self.at_ms]

    def complete(self, name: str, time_ms: float) -> list[bool]:
        """Which frames of a modality are complete at a time."""
        return [end <= time_ms + _SLACK_MS for end in self.ends_ms[name]]


class DenseOperator(nn.Module, ABC):
    """Features of one or more modalities to the features of one fused population.

    Parameters
    ----------
    n_in : mapping of modality to its number of features
    n_out : int
        Units of the fused population, or classes where the output is scores.
    dropout : float
        Of the fused units, in training.

    Raises
    ------
    ValueError
        If there is no modality or a size is below 1.
    """

    batch_dim = 0
    # True where the output is class scores, so that no readout follows.
    gives_scores = False
    # What it is given: flattened frames, encoders' features of the whole window, or of each frame.
    reads: Reads = "features"

    def __init__(self, n_in: Mapping[str, int], n_out: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        if not n_in or min(n_in.values()) < 1:
            raise ValueError(
                f"n_in must give one or more modalities at least one feature each, got {dict(n_in)}"
            )
        if n_out < 1:
            raise ValueError(f"n_out must be at least 1, got {n_out}")
        self.n_in, self.n_out = dict(n_in), n_out
        self.modalities = tuple(n_in)
        self.dropout = nn.Dropout(dropout)

    def state_words(self, n_frames: Mapping[str, int]) -> int:
        """Words it keeps from one frame to the next; none for one that reads the whole window."""
        return 0


class WindowOperator(DenseOperator):
    """An operator that reads features of the whole window."""

    @abstractmethod
    def forward(self, features: Mapping[str, Tensor]) -> Tensor:
        """Features ``{modality: [B, n]}`` to fused features (or scores) ``[B, n_out]``."""


class TokenOperator(DenseOperator):
    """An operator that reads features of one frame after the other, and never of a later one."""

    reads: Reads = "tokens"

    @abstractmethod
    def forward(self, tokens: Tokens) -> Tensor:
        """Features of frames to fused features at each wanted time, ``[K, B, n_out]``."""


def checked_width(width: int | None, n_out: int, n_heads: int = 1) -> int:
    """A width that heads can share; by default that of the fused population or just above.

    Raises
    ------
    ValueError
        If heads cannot share it.
    """
    if n_heads < 1:
        raise ValueError(f"n_heads must be at least 1, got {n_heads}")
    if width is None:
        return n_heads * -(-n_out // n_heads)
    if width < 1 or width % n_heads:
        raise ValueError(f"width must be a positive multiple of n_heads={n_heads}, got {width}")
    return width
