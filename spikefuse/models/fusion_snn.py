"""FusionSNN: spiking encoders, a fusion operator and a leaky readout, on one clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from spikefuse.encoders import SpikingEncoder
from spikefuse.fusion import ConcatFusion, LateFusion, side_by_side
from spikefuse.models.spec import ModelSpec
from spikefuse.spikes import SpikeBatch


@dataclass(frozen=True)
class FusionState:
    """Membranes of every layer: what a stream must carry from one chunk to the next."""

    encoders: dict[str, tuple[Tensor, ...]]
    fusion: dict[str, Tensor]


@dataclass(frozen=True)
class FusionOutput:
    """What a forward pass yields.

    Parameters
    ----------
    scores : Tensor[T, B, n_classes]
        Readout membranes.
    hidden : Tensor[T, B, n]
        Spikes of the fused hidden layer (of the encoders, side by side, with late fusion).
    encoded : mapping of modality to Tensor[T, B, n]
    state : FusionState
    """

    scores: Tensor
    hidden: Tensor
    encoded: dict[str, Tensor]
    state: FusionState


@dataclass(frozen=True)
class FusionEvents:
    """What inference yields: a `FusionOutput` whose spikes are events.

    Parameters
    ----------
    scores : Tensor[T, B, n_classes]
        Readout membranes.
    hidden : SpikeBatch of shape (T, B, n)
        Of the fused hidden layer (of the encoders, side by side, with late fusion).
    encoded : mapping of modality to SpikeBatch of shape (T, B, n)
    state : FusionState
    """

    scores: Tensor
    hidden: SpikeBatch
    encoded: dict[str, SpikeBatch]
    state: FusionState


class FusionSNN(nn.Module):
    """A spiking model of one or more modalities, built from a frozen spec.

    Parameters
    ----------
    spec : ModelSpec
    """

    batch_dim = 1

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.spec = spec
        self.modalities = tuple(m.name for m in spec.modalities)
        self.encoders = nn.ModuleDict(
            {m.name: SpikingEncoder(m, spec.lif, spec.dt_ms) for m in spec.modalities}
        )
        n_in = {m.name: m.encoder.hidden for m in spec.modalities}
        self.fusion: nn.Module
        if spec.fusion == "late":
            self.fusion = LateFusion(n_in, spec.n_classes, spec.readout_tau_ms, spec.dt_ms)
        else:
            self.fusion = ConcatFusion(
                n_in,
                spec.fusion_hidden,
                spec.n_classes,
                spec.lif,
                spec.readout_tau_ms,
                spec.dt_ms,
            )

    def forward(
        self, inputs: Mapping[str, SpikeBatch | Tensor], state: FusionState | None = None
    ) -> FusionOutput:
        """Input spikes ``{modality: (T, B, N)}``, events or dense, to scores, spikes and state.

        Raises
        ------
        ValueError
            If a modality of the spec is missing from ``inputs``.
        """
        self._check(inputs)
        encoded: dict[str, Tensor] = {}
        encoder_state: dict[str, tuple[Tensor, ...]] = {}
        for name in self.modalities:
            before = None if state is None else state.encoders[name]
            encoded[name], encoder_state[name] = self.encoders[name](inputs[name], before)
        fusion_before = None if state is None else state.fusion
        if isinstance(self.fusion, LateFusion):
            scores, after = self.fusion(encoded, fusion_before)
            hidden = torch.cat(list(encoded.values()), dim=2)
        else:
            scores, hidden, after = self.fusion(encoded, fusion_before)
        return FusionOutput(scores, hidden, encoded, FusionState(encoder_state, after))

    @torch.no_grad()
    def infer(
        self, inputs: Mapping[str, SpikeBatch], state: FusionState | None = None
    ) -> FusionEvents:
        """`forward` in evaluation, on events from the first layer to the readout.

        Linear layers run fused with the neurons behind them, no dense spikes are handed on and
        nothing is kept for a gradient. Dropout is off whatever the module's mode. Spikes are those
        of `forward` but for membranes within rounding of threshold, where a dense product there
        adds up in another order.

        Parameters
        ----------
        inputs : mapping of modality to SpikeBatch of shape (T, B, N)
        state : FusionState, optional
            From `forward` or `infer`.

        Raises
        ------
        ValueError
            If a modality of the spec is missing from ``inputs`` or is no SpikeBatch.
        """
        self._check(inputs)
        encoded: dict[str, SpikeBatch] = {}
        encoder_state: dict[str, tuple[Tensor, ...]] = {}
        for name in self.modalities:
            if not isinstance(inputs[name], SpikeBatch):
                kind = type(inputs[name]).__name__
                raise ValueError(f"inputs[{name!r}] must be a SpikeBatch, got {kind}")
            before = None if state is None else state.encoders[name]
            infer: Any = self.encoders[name].infer
            encoded[name], encoder_state[name] = infer(inputs[name], before)
        fusion_before = None if state is None else state.fusion
        if isinstance(self.fusion, LateFusion):
            scores, after = self.fusion.infer(encoded, fusion_before)
            hidden = side_by_side(list(encoded.values()))
        else:
            fusion: Any = self.fusion
            scores, hidden, after = fusion.infer(encoded, fusion_before)
        return FusionEvents(scores, hidden, encoded, FusionState(encoder_state, after))

    def _check(self, inputs: Mapping[str, SpikeBatch | Tensor]) -> None:
        """Every modality of the spec is there."""
        if any(name not in inputs for name in self.modalities):
            raise ValueError(
                f"inputs must hold {list(self.modalities)}, got {sorted(inputs)}; an absent "
                "modality is an empty stream"
            )


def running_mean(scores: Tensor) -> Tensor:
    """Mean of the scores from the start up to each step, ``[T, B, C]``: the evidence so far."""
    steps = torch.arange(1, len(scores) + 1, dtype=scores.dtype)
    return scores.cumsum(0) / steps[:, None, None]
