"""The frozen description from which the spiking model and its dense twin are both built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from spikefuse.encoders.spec import ModalitySpec
from spikefuse.fusion import FusionOperator, check_options, operator_class
from spikefuse.neurons.lif import LIFParams


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
    fusion : str
        Name of the operator, one of `spikefuse.fusion.OPERATORS`, or ``MODULE:CLASS`` for your own.
    fusion_hidden : int
        Neurons of the fused population.
    lif : LIFParams
    readout_tau_ms : float
    fusion_options : mapping of str
        Options of the operator beside step, neurons and readout, which it has from here.

    Raises
    ------
    ValueError
        If modalities repeat, or the operator or an option is unknown (a `ConfigError`).
    """

    modalities: tuple[ModalitySpec, ...]
    n_classes: int
    dt_ms: float
    fusion: str = "concat"
    fusion_hidden: int = 128
    lif: LIFParams = field(default_factory=LIFParams)
    readout_tau_ms: float = 100.0
    fusion_options: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        names = [m.name for m in self.modalities]
        if not names or len(set(names)) != len(names):
            raise ValueError(f"modalities must be one or more of distinct names, got {names}")
        check_options(self.fusion, self.fusion_options)

    @property
    def operator(self) -> type[FusionOperator]:
        """Class of the fusion operator."""
        return operator_class(self.fusion)
