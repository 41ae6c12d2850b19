"""DenseFusion: the frame-based twin of a FusionSNN, built from the same spec."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from spikefuse.baselines.encoders import frame_encoder, held_dropout, window_encoder
from spikefuse.baselines.frames import blank_after, frame_ends_ms, n_frames_in
from spikefuse.baselines.memory import largest_working_set
from spikefuse.baselines.operator import DenseOperator, Tokens
from spikefuse.baselines.twins import DENSE_OPERATORS, build_dense
from spikefuse.errors import ConfigError
from spikefuse.models.spec import ModelSpec


class DenseFusion(nn.Module):
    """The same topology with ReLU units on frames: the honest opponent.

    Every layer of the spiking model has one here of the same kind and width. Time, which the
    spiking model keeps in its membranes, is laid out as input channels of the first layer, so the
    twin sees the whole window at once; or, with an operator that reads one frame after the other
    (``gru``, ``attention``, ``latent``), the encoders see a frame and the operator keeps time.

    Parameters
    ----------
    spec : ModelSpec
    frame_ms : mapping of modality to the length of its frames
    window_ms : float
        How much of the sample it waits for.
    fusion : str
        Name of the dense operator, one of `DENSE_OPERATORS`; `DENSE_TWINS` names that of a spiking
        one.
    options : mapping of str, optional
        Options of the operator.

    Raises
    ------
    ConfigError
        If the operator or an option is unknown.
    """

    batch_dim = 0

    def __init__(
        self,
        spec: ModelSpec,
        frame_ms: Mapping[str, float],
        window_ms: float,
        fusion: str = "concat",
        options: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if fusion not in DENSE_OPERATORS:
            raise ConfigError(
                f"fusion must be one of {list(DENSE_OPERATORS)}, got {fusion!r}; DENSE_TWINS names "
                "the twin of a spiking operator"
            )
        operator = DENSE_OPERATORS[fusion]
        self.spec, self.window_ms, self.frame_ms = spec, window_ms, dict(frame_ms)
        self.fusion_name, self.reads = fusion, operator.reads
        self.modalities = tuple(m.name for m in spec.modalities)
        self.encoders = nn.ModuleDict()
        n_in = {m.name: m.encoder.hidden for m in spec.modalities}
        for part in spec.modalities:
            if self.reads == "features":
                self.encoders[part.name] = window_encoder(part, frame_ms[part.name], window_ms)
            elif self.reads == "tokens":
                self.encoders[part.name] = frame_encoder(part)
            else:
                n_in[part.name] = part.n_inputs * n_frames_in(frame_ms[part.name], window_ms)
        given = dict(options or {})
        if not operator.gives_scores:
            given.setdefault("dropout", max(m.encoder.dropout for m in spec.modalities))
        n_out = spec.n_classes if operator.gives_scores else spec.fusion_hidden
        self.fusion: DenseOperator = build_dense(fusion, n_in, n_out, **given)
        self.readout = None if operator.gives_scores else nn.Linear(n_out, spec.n_classes)

    @property
    def n_frames(self) -> dict[str, int]:
        """Frames of each modality in the window."""
        return {name: n_frames_in(self.frame_ms[name], self.window_ms) for name in self.modalities}

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Frames ``{modality: [B, F * P, H, W]}`` to class scores ``[B, n_classes]``."""
        if self.reads == "tokens":
            return self._after_frames(inputs, [self.window_ms])[0]
        if self.reads == "inputs":
            features = {name: inputs[name].flatten(1) for name in self.modalities}
        else:
            features = {name: encoder(inputs[name]) for name, encoder in self.encoders.items()}
        return self._answer(self.fusion(features))

    def anytime(self, inputs: Mapping[str, Tensor], times_ms: Sequence[float]) -> Tensor:
        """Class scores after each time, from the frames that are complete then.

        A model that reads the whole window is run again on what there is (a growing window, the
        rest still empty); one that reads frame after frame runs once.

        Parameters
        ----------
        inputs : mapping of modality to Tensor[B, F * P, H, W]
        times_ms : sequence of float
            Increasing.

        Returns
        -------
        Tensor[K, B, n_classes]
        """
        if self.reads == "tokens":
            return self._after_frames(inputs, times_ms)
        return torch.stack(
            [self(blank_after(inputs, self.frame_ms, t, self.window_ms)) for t in times_ms]
        )

    def state_bytes(self, word_bytes: int = 4) -> int:
        """Memory that one stream keeps from frame to frame: the frames themselves, or the state."""
        if self.reads == "tokens":
            return word_bytes * self.fusion.state_words(self.n_frames)
        return word_bytes * sum(m.n_inputs * self.n_frames[m.name] for m in self.spec.modalities)

    def activation_bytes(self, inputs: Mapping[str, Tensor], word_bytes: int = 4) -> int:
        """Input and output of the layer that needs most, for one sample (one frame at a time)."""
        return word_bytes * largest_working_set(self, inputs)

    def _after_frames(self, inputs: Mapping[str, Tensor], times_ms: Sequence[float]) -> Tensor:
        """Scores ``[K, B, C]`` of an operator that reads tokens; later frames are not encoded."""
        features: dict[str, Tensor] = {}
        ends: dict[str, list[float]] = {}
        for part in self.spec.modalities:
            name, (width, height, polarities) = part.name, part.sensor_size
            frames = inputs[name].reshape(len(inputs[name]), -1, polarities, height, width)
            every = frame_ends_ms(self.frame_ms[name], self.window_ms)
            ends[name] = [end for end in every if end <= max(times_ms) + 1e-6]
            n_batch, n_seen = len(frames), len(ends[name])
            encoded = self.encoders[name](frames[:, :n_seen].flatten(0, 1))
            encoded = encoded.reshape(n_batch, n_seen, part.encoder.hidden)
            dropout = part.encoder.dropout
            features[name] = held_dropout(encoded, dropout) if self.training else encoded
        tokens = Tokens(features, ends, times_ms)
        fused = self.fusion(tokens)
        return self._answer(fused.flatten(0, 1)).reshape(*fused.shape[:2], -1)

    def _answer(self, fused: Tensor) -> Tensor:
        """Class scores of fused features ``[rows, n]``."""
        if self.readout is None:
            return fused
        scores: Tensor = self.readout(fused)
        return scores


class Anytime(nn.Module):
    """A dense model that answers after each of some times, as one module to be counted.

    Parameters
    ----------
    model : module with ``anytime(inputs, times_ms)``
    times_ms : sequence of float
    """

    batch_dim = 0

    def __init__(self, model: nn.Module, times_ms: Sequence[float]) -> None:
        super().__init__()
        self.model, self.times_ms = model, tuple(times_ms)
        self.modalities = getattr(model, "modalities", ())

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Frames to class scores after each time, ``[B, K, n_classes]``."""
        model: Any = self.model
        scores: Tensor = model.anytime(inputs, self.times_ms)
        return scores.transpose(0, 1)
