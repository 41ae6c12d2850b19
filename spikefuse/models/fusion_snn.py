"""FusionSNN: spiking encoders, a fusion operator and a leaky readout, on one clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn

from spikefuse.encoders import SpikingEncoder, infer_encoder, infer_readout
from spikefuse.encoders.protocol import check_encoder, freeze, is_frozen
from spikefuse.fusion import build, option_names, side_by_side
from spikefuse.fusion.energy_gate import EnergyGateFusion
from spikefuse.models.gated_encoders import GatedEncoders
from spikefuse.models.spec import ModelSpec
from spikefuse.neurons import LIReadout
from spikefuse.spikes import SpikeBatch
from spikefuse.synapses import EventLinear


@dataclass(frozen=True)
class FusionState:
    """Membranes of every layer: what a stream must carry from one chunk to the next.

    An encoder's state is of its own kind; None where a gate has kept it from running so far.
    """

    encoders: dict[str, Any]
    fusion: dict[str, Tensor]
    readout: Tensor | None = None


@dataclass(frozen=True)
class FusionOutput:
    """What a forward pass yields.

    Parameters
    ----------
    scores : Tensor[T, B, n_classes]
        Readout membranes, or the scores of an operator that has its own.
    hidden : Tensor[T, B, n]
        Spikes of the fused hidden layer (of the encoders, side by side, with late fusion).
    encoded : mapping of modality to Tensor[T, B, n]
        What went to the operator; with an energy gate, what it let through. Empty where an operator
        reads the input spikes themselves.
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
        As of `FusionOutput`.
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

    Encoders, then a fusion operator, then a leaky readout of the fused spikes; an operator that
    yields scores has no readout behind it, one that reads input spikes no encoders before it.
    Behind an energy gate an encoder does not run while its gate is shut (see `GatedEncoders`).

    Parameters
    ----------
    spec : ModelSpec
    encoders : mapping of modality to module, optional
        Instead of what the spec would build: any `Encoder`, such as one that was trained before, or
        a network of another library (`spikefuse.interop.encoders`). Frozen ones (`freeze`) stay in
        evaluation mode when the model trains.

    Raises
    ------
    ValueError
        If an encoder is for no modality of the spec or none at all, or the operator has no use for
        encoders.
    """

    batch_dim = 1

    def __init__(self, spec: ModelSpec, encoders: Mapping[str, nn.Module] | None = None) -> None:
        super().__init__()
        self.spec = spec
        self.modalities = tuple(m.name for m in spec.modalities)
        self.encoders = nn.ModuleDict(_encoders(spec, encoders or {}))
        sizes: dict[str, Any] = {name: e.n_out for name, e in self.encoders.items()}
        n_in = sizes or {m.name: m.n_inputs for m in spec.modalities}
        given = {"dt_ms": spec.dt_ms, "lif": spec.lif, "readout_tau_ms": spec.readout_tau_ms}
        options = {k: v for k, v in given.items() if k in option_names(spec.fusion)}
        n_out = spec.fusion_hidden if spec.operator.spiking else spec.n_classes
        self.fusion = build(spec.fusion, n_in, n_out, **options | dict(spec.fusion_options))
        self.readout_synapse: EventLinear | None = None
        self.readout: LIReadout | None = None
        if spec.operator.spiking:
            self.readout_synapse = EventLinear(n_out, spec.n_classes)
            self.readout = LIReadout(spec.n_classes, spec.readout_tau_ms, spec.dt_ms)

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
        encoded, encoder_state, fused, after = self._fuse(inputs, state)
        if self.readout_synapse is None or self.readout is None:
            hidden = torch.cat(list(encoded.values()), dim=2)
            return FusionOutput(fused, hidden, encoded, FusionState(encoder_state, after))
        last = None if state is None else state.readout
        scores, last = self.readout(self.readout_synapse(fused), last)
        return FusionOutput(scores, fused, encoded, FusionState(encoder_state, after, last))

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
        for name in self.modalities:
            if not isinstance(inputs[name], SpikeBatch):
                kind = type(inputs[name]).__name__
                raise ValueError(f"inputs[{name!r}] must be a SpikeBatch, got {kind}")
        encoded, encoder_state, fused, after = self._infer_fused(inputs, state)
        if isinstance(fused, Tensor):
            hidden = side_by_side(list(encoded.values()))
            return FusionEvents(fused, hidden, encoded, FusionState(encoder_state, after))
        if self.readout_synapse is None or self.readout is None:
            raise ValueError(f"fusion must yield scores, got spikes of {self.spec.fusion!r}")
        last = None if state is None else state.readout
        scores, last = infer_readout(fused, self.readout_synapse, self.readout, last)
        return FusionEvents(scores, fused, encoded, FusionState(encoder_state, after, last))

    def train(self, mode: bool = True) -> Self:
        """Training or evaluation mode, but for frozen encoders, which stay in evaluation."""
        super().train(mode)
        for encoder in self.encoders.values():
            if is_frozen(encoder):
                encoder.eval()
        return self

    def _fuse(
        self, inputs: Mapping[str, SpikeBatch | Tensor], state: FusionState | None
    ) -> tuple[dict[str, Tensor], dict[str, Any], Tensor, dict[str, Tensor]]:
        """Encoded spikes, states of the encoders, fused spikes, state of the operator."""
        before = None if state is None else state.encoders
        fusion_before = None if state is None else state.fusion
        gate = self._gate_before_encoders()
        if gate is not None:
            gated = GatedEncoders(dict(self.encoders.items()), inputs, before, events=False)
            fused, _, after = gate.fuse_windows(gated.read, *_size(inputs), fusion_before)
            return gated.encoded(), gated.state, fused, after
        encoded: dict[str, Tensor] = {}
        encoder_state: dict[str, Any] = {}
        for name, encoder in self.encoders.items():
            past = None if before is None else before[name]
            encoded[name], encoder_state[name] = encoder(inputs[name], past)
        fused, after = self.fusion(encoded or inputs, fusion_before)
        return encoded, encoder_state, fused, after

    def _infer_fused(
        self, inputs: Mapping[str, SpikeBatch], state: FusionState | None
    ) -> tuple[dict[str, SpikeBatch], dict[str, Any], SpikeBatch | Tensor, dict[str, Tensor]]:
        """As `_fuse`, on events."""
        before = None if state is None else state.encoders
        fusion_before = None if state is None else state.fusion
        gate = self._gate_before_encoders()
        if gate is not None:
            gated = GatedEncoders(dict(self.encoders.items()), inputs, before, events=True)
            events, _, after = gate.infer_windows(gated.read, *_size(inputs), fusion_before)
            return gated.encoded(), gated.state, events, after
        encoded: dict[str, SpikeBatch] = {}
        encoder_state: dict[str, Any] = {}
        for name, encoder in self.encoders.items():
            past = None if before is None else before[name]
            encoded[name], encoder_state[name] = infer_encoder(encoder, inputs[name], past)
        fused, after = self.fusion.infer(encoded or inputs, fusion_before)
        return encoded, encoder_state, fused, after

    def _gate_before_encoders(self) -> EnergyGateFusion | None:
        """The operator, if its gates say whether encoders run."""
        if isinstance(self.fusion, EnergyGateFusion) and len(self.encoders) > 0:
            return self.fusion
        return None

    def _check(self, inputs: Mapping[str, SpikeBatch | Tensor]) -> None:
        """Every modality of the spec is there."""
        if any(name not in inputs for name in self.modalities):
            raise ValueError(
                f"inputs must hold {list(self.modalities)}, got {sorted(inputs)}; an absent "
                "modality is an empty stream"
            )


def _encoders(spec: ModelSpec, given: Mapping[str, nn.Module]) -> dict[str, nn.Module]:
    """Encoder of each modality, as given or as the spec says; none before such as read inputs."""
    names = [m.name for m in spec.modalities]
    if any(name not in names for name in given):
        raise ValueError(f"encoders must be of {names}, got {sorted(given)}")
    if spec.operator.reads_inputs:
        if given:
            raise ValueError(
                f"encoders must be none with fusion {spec.fusion!r}, which reads the input spikes, "
                f"got {sorted(given)}"
            )
        return {}
    encoders: dict[str, nn.Module] = {}
    for part in spec.modalities:
        encoder = given.get(part.name)
        if encoder is None:
            encoder = SpikingEncoder(part, spec.lif, spec.dt_ms)
        check_encoder(part.name, encoder)
        encoders[part.name] = freeze(encoder) if part.encoder.frozen else encoder
    return encoders


def _size(inputs: Mapping[str, SpikeBatch | Tensor]) -> tuple[int, int]:
    """Steps and samples."""
    n_steps, n_batch, _ = next(iter(inputs.values())).shape
    return n_steps, n_batch


def running_mean(scores: Tensor, n_valid: Tensor | None = None) -> Tensor:
    """Mean of the scores from the start up to each step, ``[T, B, C]``: the evidence so far.

    Parameters
    ----------
    scores : Tensor[T, B, C]
    n_valid : int Tensor[B], optional
        Steps of each sample before its padding begins, at least 1: later ones add nothing, and the
        evidence stays as it was.
    """
    steps = torch.arange(1, len(scores) + 1, dtype=scores.dtype, device=scores.device)
    if n_valid is None:
        return scores.cumsum(0) / steps[:, None, None]
    if n_valid.shape != scores.shape[1:2] or bool((n_valid < 1).any()):
        raise ValueError(
            f"n_valid must be one number >= 1 for each of {scores.shape[1]} samples, got "
            f"{n_valid.tolist()}"
        )
    seen = torch.minimum(steps[:, None], n_valid.to(scores.dtype))
    # Chosen, not multiplied: what padding holds may not even be a number.
    counted = torch.where((steps[:, None] <= n_valid)[..., None], scores, 0.0)
    return counted.cumsum(0) / seen[..., None]
