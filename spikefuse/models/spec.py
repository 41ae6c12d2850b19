"""The frozen description from which the spiking model and its dense twin are both built."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from spikefuse.encoders.spec import ModalitySpec
from spikefuse.neurons.lif import LIFParams

Fusion = Literal["concat", "late"]


@dataclass(frozen=True)
class ModelSpec:
    """What a fusion model consists of; the dense twin is built from the same spec.

    Parameters
    ----------
    modalities : tuple of ModalitySpec
        One gives a unimodal model, two or more a fusion model.
    n_classes : int
    dt_ms : float
        Step of the spiking model.
    fusion : "concat" or "late"
        A shared hidden layer over concatenated features, or a sum of per-modality scores.
    fusion_hidden : int
        Size of the shared hidden layer.
    lif : LIFParams
    readout_tau_ms : float
    """

    modalities: tuple[ModalitySpec, ...]
    n_classes: int
    dt_ms: float
    fusion: Fusion = "concat"
    fusion_hidden: int = 128
    lif: LIFParams = field(default_factory=LIFParams)
    readout_tau_ms: float = 100.0

    def __post_init__(self) -> None:
        names = [m.name for m in self.modalities]
        if not names or len(set(names)) != len(names):
            raise ValueError(f"modalities must be one or more of distinct names, got {names}")
        if self.fusion not in ("concat", "late"):
            raise ValueError(f"fusion must be 'concat' or 'late', got {self.fusion!r}")
