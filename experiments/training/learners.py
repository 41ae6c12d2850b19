"""One interface over spiking and dense models, for training and evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from experiments.config import Config
from experiments.loading.batches import dense_inputs, spiking_inputs
from experiments.training.pretrained import load_encoders
from spikefuse.baselines import DENSE_TWINS, DenseFusion
from spikefuse.cost import count
from spikefuse.cost.counter import Counter
from spikefuse.encoders.spec import ModalitySpec
from spikefuse.errors import ConfigError, SpikefuseError
from spikefuse.events import MultiStream
from spikefuse.models import (
    FusionOutput,
    FusionSNN,
    ModelSpec,
    forward_in_chunks,
    running_mean,
)
from spikefuse.models.fixed_point import AwareSNN
from spikefuse.opcounts import OpCounts
from spikefuse.spikes import SpikeBatch

N_CLASSES = 10


@dataclass(frozen=True)
class TrainingScores:
    """What a step of training reads of a model.

    Parameters
    ----------
    final, early : Tensor[B, C]
        Class scores after the whole sample, and after a window.
    encoded : mapping of modality to Tensor[T, B, n]
        Spikes of the encoders; empty of a dense model, or one without encoders.
    spikes_per_neuron : float, optional
        Spikes of a neuron per sample, mean over the encoders and the fused layer; None of a dense
        model.
    """

    final: Tensor
    early: Tensor
    encoded: Mapping[str, Tensor]
    spikes_per_neuron: float | None = None


@dataclass(frozen=True)
class Learner:
    """A model with what it needs to read samples.

    Parameters
    ----------
    name : str
        Name in the run: snn, snn_late, dense, or snn_<modality>.
    model : FusionSNN or DenseFusion
    modalities : tuple of str
    dt_ms, duration_ms : float
    frame_ms : dict
        Frame length per modality (dense only).
    mask_padding : bool
        Whether the evidence of a spiking model is taken from recorded time alone.
    checkpoint_steps, tbptt_steps : int
        Chunks of a spiking model's training pass: see `forward_in_chunks`.
    """

    name: str
    model: nn.Module
    modalities: tuple[str, ...]
    dt_ms: float
    duration_ms: float
    frame_ms: dict[str, float]
    mask_padding: bool = False
    checkpoint_steps: int = 0
    tbptt_steps: int = 0

    @property
    def spiking(self) -> bool:
        """Whether the model works on events."""
        return isinstance(self.model, FusionSNN | AwareSNN)

    @property
    def kind(self) -> str:
        """What it is called beside others: "spiking" or "dense"."""
        return "spiking" if self.spiking else "dense"

    @property
    def stepped(self) -> bool:
        """Whether the model works, and answers, while events come: step by step."""
        return self.spiking

    @property
    def n_steps(self) -> int:
        """Steps of one sample."""
        return -(-round(self.duration_ms * 1e3) // round(self.dt_ms * 1e3))

    def inputs(self, samples: list[MultiStream]) -> Mapping[str, SpikeBatch | Tensor]:
        """What the model reads of ``samples``: events, or frames."""
        return self.events(samples) if self.spiking else self.frames(samples)

    def events(self, samples: list[MultiStream]) -> dict[str, SpikeBatch]:
        """What a spiking model reads: several events of an address in a step are kept."""
        return spiking_inputs(samples, self.modalities, self.dt_ms, self.n_steps)

    def frames(self, samples: list[MultiStream]) -> dict[str, Tensor]:
        """What a dense model reads: frames and cochleagrams of the whole window."""
        return dense_inputs(samples, self.modalities, self.frame_ms, self.duration_ms)

    def training_scores(
        self,
        samples: list[MultiStream],
        windows_ms: tuple[float, ...],
        rng: np.random.Generator,
        keep_encoded: bool = True,
    ) -> TrainingScores:
        """Class scores to train on: after the whole sample, and after a random window.

        One network then answers after any window; spiking and dense have the same right. Training
        on windows *instead* of the whole sample half of the time costs the audio model ten points.
        Without ``keep_encoded`` the spikes of the encoders are not handed out.
        """
        seen_ms = float(rng.choice(windows_ms)) if windows_ms else self.duration_ms
        if self.spiking:
            # States in whole numbers carry no gradient: nothing is recomputed for one.
            every = 0 if isinstance(self.model, AwareSNN) else self.checkpoint_steps
            counts = [0, 0]
            out = forward_in_chunks(
                self.model,
                self.events(samples),
                every,
                self.tbptt_steps,
                watch=lambda chunk: self._count_spikes(chunk, counts),
                keep_spikes=keep_encoded,
            )
            evidence = running_mean(out.scores, self._recorded_steps(samples))
            early = evidence[self._step_before(seen_ms)]
            encoded = out.encoded if keep_encoded else {}
            return TrainingScores(evidence[-1], early, encoded, counts[0] / max(counts[1], 1))
        frames = self.frames(samples)
        final = self.model(frames)
        return TrainingScores(final, self._dense().anytime(frames, [seen_ms])[0], {})

    def _recorded_steps(self, samples: list[MultiStream]) -> Tensor | None:
        """Steps of each sample before its padding, a part of one counted; None: all of them."""
        if not self.mask_padding:
            return None
        step_us = round(self.dt_ms * 1e3)
        last = [self.n_steps * step_us if s.recorded_us is None else s.recorded_us for s in samples]
        return torch.tensor([min(max(-(-us // step_us), 1), self.n_steps) for us in last])

    def _count_spikes(self, out: FusionOutput, counts: list[int]) -> None:
        """Add to the spikes, and set the neurons of all samples; late fusion has no own."""
        own = [out.hidden] if cast(FusionSNN, self.model).spec.operator.spiking else []
        layers = [*out.encoded.values(), *own]
        counts[0] += sum(int(torch.count_nonzero(x)) for x in layers)
        counts[1] = sum(x.shape[1] * x.shape[2] for x in layers)

    def _dense(self) -> DenseFusion:
        """The model, which is a dense one."""
        return cast(DenseFusion, self.model)

    def _step_before(self, time_ms: float) -> int:
        """The last step that is complete at a time (the first one, if none is)."""
        return min(max(int(time_ms / self.dt_ms + 1e-9), 1), self.n_steps) - 1

    def anytime_scores(self, samples: list[MultiStream], times_ms: list[float]) -> Tensor:
        """Class scores after each time, ``[len(times), B, C]``, from the events before it.

        For evaluation: a spiking model runs on its inference path, without a gradient.
        """
        if isinstance(self.model, FusionSNN | AwareSNN):
            scores = self.model.infer(self.events(samples)).scores
            evidence = running_mean(scores, self._recorded_steps(samples))
            return evidence[[self._step_before(t) for t in times_ms]]
        return self._dense().anytime(self.frames(samples), times_ms)

    def final_scores(self, output: Any, samples: list[MultiStream]) -> Tensor:
        """Class scores [B, C] after the whole sample, from what the model put out for it."""
        if not self.spiking:
            dense: Tensor = output
            return dense
        return running_mean(output.scores, self._recorded_steps(samples))[-1]

    def counted(self, samples: list[MultiStream]) -> OpCounts:
        """What the model executes for the samples, by the kernels that answer where it has them."""
        infer = isinstance(self.model, FusionSNN)
        return count(self.model, self.inputs(samples), infer=infer)

    def run_counted(self, samples: list[MultiStream]) -> tuple[Any, OpCounts]:
        """What the model puts out for the samples, and what it executes for that."""
        counter = Counter(self.model, batch_dim=1 if self.spiking else 0)
        with torch.no_grad(), counter:
            output = self.model(self.inputs(samples))
        return output, counter.counts(len(samples))

    def anytime_ms(self, windows_ms: tuple[float, ...]) -> list[float]:
        """Times at which the model can answer: every step, or every window and the end."""
        if self.spiking:
            return [self.dt_ms * (i + 1) for i in range(self.n_steps)]
        return [*[w for w in sorted(windows_ms) if w < self.duration_ms], self.duration_ms]


def build_learner(
    name: str,
    config: Config,
    sensor_sizes: dict[str, tuple[int, int, int]],
    seed: int,
    n_classes: int = N_CLASSES,
) -> Learner:
    """A freshly initialised model; the same name, configuration and seed give the same weights."""
    alone = name.removeprefix("snn_")
    modalities = (alone,) if alone in sensor_sizes else tuple(sensor_sizes)
    fusion, options = config.model.fusion, config.model.fusion_options
    if len(modalities) == 1:
        fusion, options = "concat", {}  # nothing to fuse: the plain layer
    elif name == "snn_late":
        fusion, options = "late", {}
    frame_ms = {m: config.cost.frame_of(m) for m in modalities}
    torch.manual_seed(seed)
    model: nn.Module
    try:
        spec = ModelSpec(
            tuple(ModalitySpec(m, sensor_sizes[m], config.model.encoder(m)) for m in modalities),
            n_classes,
            config.data.dt_ms,
            fusion,
            config.model.fusion_hidden,
            config.model.lif,
            config.model.readout_tau_ms,
            options,
        )
        if name == "dense":
            chosen = config.model.dense_fusion
            operator = DENSE_TWINS.get(spec.fusion, "concat") if chosen == "twin" else chosen
            model = DenseFusion(
                spec, frame_ms, config.data.duration_ms, operator, config.model.dense_options
            )
        else:
            model = FusionSNN(spec)
    except SpikefuseError:
        raise
    except ValueError as error:
        raise ConfigError(f"model of {name} cannot be built: {error}") from error
    if isinstance(model, FusionSNN):
        load_encoders(model, config, seed)
    train = config.train
    return Learner(
        name,
        model,
        modalities,
        config.data.dt_ms,
        config.data.duration_ms,
        frame_ms,
        train.mask_padding,
        train.checkpoint_steps,
        train.tbptt_steps,
    )
