"""Engine: what runs a model's steps for a stream; its state goes in and out as named tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from torch import Tensor

from spikefuse._types import StructuredArray
from spikefuse.opcounts import OpCounts


class Engine(Protocol):
    """Runs steps that are complete.

    Attributes
    ----------
    takes_open : bool
        Whether it wants events of the open step as they come.
    """

    takes_open: bool

    def run(self, first: int, until: int, events: Mapping[str, StructuredArray]) -> Tensor:
        """Close the steps ``first`` to ``until - 1``; scores ``[until - first, C]``.

        ``t`` of the events is their step; those of ``until`` come only where `takes_open`.
        """
        ...

    def reset(self, step: int) -> None:
        """Rest before ``step``."""
        ...

    def counts(self) -> OpCounts | None:
        """Operations so far, of one sample; None where nobody counts."""
        ...

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """What a snapshot must hold: tensors, and plain values."""
        ...

    def load_state(self, tensors: Mapping[str, Tensor], plain: Mapping[str, Any]) -> None:
        """Go on from there."""
        ...
