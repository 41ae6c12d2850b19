"""How long a gate let each modality through: what every gate counts, and a snapshot keeps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from spikefuse.runtime.snapshot import State


class Admitted:
    """Time let through, of the time that went by, for each modality; the base of gates."""

    def __init__(self) -> None:
        self._seen_us: dict[str, int] = {}
        self._open_us: dict[str, float] = {}

    def awake_share(self, modality: str) -> float:
        """See `Gate`."""
        seen_us = self._seen_us.get(modality, 0)
        return self._open_us[modality] / seen_us if seen_us else 1.0

    def state(self) -> State:
        """As of `Part`."""
        return {}, {"seen_us": dict(self._seen_us), "open_us": dict(self._open_us)}

    def load_state(self, tensors: Mapping[str, Tensor], plain: Mapping[str, Any]) -> None:
        """As of `Part`."""
        self._seen_us, self._open_us = dict(plain["seen_us"]), dict(plain["open_us"])

    def _since(self, modality: str) -> int:
        """Where the modality's time has come to."""
        return self._seen_us.get(modality, 0)

    def _let_through(self, modality: str, open_us: float, now_us: int) -> None:
        """Count a stretch that ends now."""
        self._open_us[modality] = self._open_us.get(modality, 0.0) + open_us
        self._seen_us[modality] = max(now_us, self._since(modality))
