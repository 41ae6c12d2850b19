"""The resolution study's nets: small, one hidden layer each, answering at every step of a clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from experiments.studies.resolution.tasks import Samples
from experiments.studies.timing.nets import NEURONS
from spikefuse.baselines.arithmetic import GRUGates
from spikefuse.fusion import build
from spikefuse.spikes import SpikeBatch
from spikefuse.synapses.annealing import AnnealedDelays

KERNEL = 3  # frames that a unit of the convolution sees
# Sums of frames' features are divided by so many frames, folded into the read-out after training.
_SUM_SCALE = 8.0

# Options of spiking operators, from docs/timing.md.
_OPTIONS: dict[str, dict[str, Any]] = {
    "concat": {},
    "coincidence": {"gain": 0.3, "pair_gain": 3.0, "delay_max_ms": 8.0},
    "cross_synapse": {
        "start_ms": 16.0,
        "groups": "target",
        "density": 1.0,
        "sigma_ms": [6.0, 0.5],
    },
}
_RATES = {"cnn": 0.01, "gru": 0.01, "concat": 0.02, "coincidence": 0.03, "cross_synapse": 0.03}


@dataclass(frozen=True)
class Candidate:
    """One net that may be chosen.

    Parameters
    ----------
    kind : str
        ``"cnn"``, ``"gru"``, or the name of a spiking operator.
    width : int
        Units of its hidden layer.
    step_ms : int
        Its clock: the length of a frame, or of a step.
    """

    kind: str
    width: int
    step_ms: int

    @property
    def spiking(self) -> bool:
        """Whether it reads events."""
        return self.kind not in ("cnn", "gru")

    @property
    def rate(self) -> float:
        """Peak learning rate."""
        return _RATES[self.kind]

    def key(self) -> dict[str, Any]:
        """What tells it from other candidates."""
        return asdict(self)


def candidates(resolution_ms: int) -> dict[str, list[Candidate]]:
    """All that a family may choose from at a required resolution, by family.

    Frames are as long as the resolution, a half or a quarter of it, from 64 ms on an eighth as
    well; a GRU's the same but for the shortest. Spiking nets have steps of
    1 ms, and of 4 ms and a quarter of the resolution where that is longer.
    """
    bins = [b for b in (resolution_ms, resolution_ms // 2, resolution_ms // 4) if b >= 1]
    if resolution_ms >= 64:
        bins.append(resolution_ms // 8)
    snn = [
        Candidate("concat", 8, 1),
        Candidate("concat", 32, 1),
        Candidate("cross_synapse", 16, 1),
        Candidate("coincidence", 8, 1),
    ]
    for step in sorted({4, resolution_ms // 4} if resolution_ms >= 16 else ()):
        snn += [Candidate("concat", 8, step), Candidate("coincidence", 8, step)]
    return {
        "snn": snn,
        "cnn": [Candidate("cnn", width, b) for b in bins for width in (4, 16)],
        "gru": [Candidate("gru", width, b) for b in bins[:-1] for width in (8, 16)],
    }


class StepNet(nn.Module):
    """Features of every step, summed up to any step, and a linear read-out of the sum.

    Parameters
    ----------
    candidate : Candidate
    n_in : mapping of modality to its number of addresses
    n_classes : int
    """

    def __init__(self, candidate: Candidate, n_in: Mapping[str, int], n_classes: int) -> None:
        super().__init__()
        self.candidate, self.modalities = candidate, tuple(n_in)
        self.batch_dim = 1
        n, width, kind = sum(n_in.values()), candidate.width, candidate.kind
        self.scale = 1.0 if candidate.spiking else 1 / _SUM_SCALE
        if kind == "cnn":
            self.conv = nn.Conv1d(n, width, KERNEL)
        elif kind == "gru":
            self.driven, self.recurrent = nn.Linear(n, 3 * width), nn.Linear(width, 3 * width)
            self.gates = GRUGates()
        else:
            options = dict(_OPTIONS[kind])
            if kind == "coincidence":
                options["units"] = width
            self.fusion = build(
                kind, n_in, width, dt_ms=float(candidate.step_ms), lif=NEURONS, **options
            )
        self.readout = nn.Linear(width, n_classes)
        nn.init.normal_(self.readout.weight, std=0.1)
        nn.init.zeros_(self.readout.bias)

    def read(self, samples: Samples, at: slice) -> Mapping[str, SpikeBatch | Tensor]:
        """What it reads of some samples: events, or counts of frames, ``[F, B, N]``."""
        step = self.candidate.step_ms
        return samples.events(at, step) if self.candidate.spiking else samples.binned(at, step)

    def features(self, inputs: Mapping[str, Any]) -> Tensor:
        """Features of each step, ``[F, B, width]``; those of a step see no later one."""
        if self.candidate.spiking:
            fused: Tensor = self.fusion(inputs)[0]
            return fused
        frames = torch.cat([inputs[name] for name in self.modalities], 2)
        if self.candidate.kind == "cnn":
            columns = functional.pad(frames.permute(1, 2, 0), (KERNEL - 1, 0))
            return torch.relu(self.conv(columns)).permute(2, 0, 1)
        h = frames.new_zeros(frames.shape[1], self.candidate.width)
        states = []
        for driven in self.driven(frames.flatten(0, 1)).view(*frames.shape[:2], -1).unbind(0):
            h = self.gates(driven, self.recurrent(h), h)
            states.append(h)
        return torch.stack(states)

    def scores(self, so_far: Tensor) -> Tensor:
        """Class scores of summed features ``[..., width]``."""
        found: Tensor = self.readout(so_far * self.scale)
        return found

    def forward(self, inputs: Mapping[str, Any]) -> Tensor:
        """The answer after the last step, ``[B, C]``."""
        return self.scores(self.features(inputs).sum(0))

    def set_anneal(self, fraction: float) -> None:
        """Tell learned delays and windows how far training is, 0 to 1."""
        for layer in self.modules():
            if isinstance(layer, AnnealedDelays):
                layer.set_anneal(fraction)


def steps_seen(time_ms: Tensor, step_ms: int, n_steps: int) -> Tensor:
    """Steps that are complete at each time, at least none and at most all."""
    return (time_ms / step_ms + 1e-6).floor().long().clamp(0, n_steps)


def sums_until(features: Tensor) -> Tensor:
    """Features summed up to before every step, and to the end, ``[F + 1, B, width]``."""
    return torch.cat([torch.zeros_like(features[:1]), features.cumsum(0)])


def read_at(net: StepNet, sums: Tensor, time_ms: Tensor) -> Tensor:
    """The answer of each sample at a time of its own, ``[B, C]``, from steps complete then.

    Parameters
    ----------
    net : StepNet
    sums : Tensor
        From `sums_until`.
    time_ms : float Tensor[B]
    """
    seen = steps_seen(time_ms, net.candidate.step_ms, len(sums) - 1)
    return net.scores(sums[seen, torch.arange(sums.shape[1])])
