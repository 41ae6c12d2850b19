"""Planted coincidence windows: is their half-width found, and is twice that rejected?"""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from spikefuse.fusion.windows import CoincidenceWindow
from spikefuse.kernels.fan import Fan


@dataclass(frozen=True)
class WindowProtocol:
    """How a planted window is made and learned; steps are milliseconds.

    Parameters
    ----------
    half_width : int
        Planted: with label 1 every B lies within it of its A, with label 0 anywhere.
    n_inits, n_train, n_batch, n_steps : int
        As of `experiments.studies.delay.DelayProtocol`.
    n_pairs : int
        Pairs in each train.
    distractor_hz : float
        Other spikes in either train.
    start : (float, float)
        Initial half-widths are log-uniform in this range.
    edge : (float, float)
        Softness of the window's edges at the start and at the end.
    saturating : bool
        Gate of the windows.
    n_test : int
        Trains per initialisation for the area under the curve.
    """

    half_width: int = 8
    n_inits: int = 10
    n_train: int = 400
    n_batch: int = 128
    n_steps: int = 500
    n_pairs: int = 6
    distractor_hz: float = 10.0
    start: tuple[float, float] = (2.0, 120.0)
    edge: tuple[float, float] = (10.0, 0.5)
    saturating: bool = False
    n_test: int = 2000


def planted_windows(
    p: WindowProtocol, n_batch: int, generator: torch.Generator, far: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Trains A and B ``[T, batch, n_inits]`` and labels ``[batch, n_inits]``.

    With label 0 the offsets are anywhere, or exactly twice the half-width if ``far``.
    """
    shape = (n_batch, p.n_inits)
    label = (torch.rand(shape, generator=generator) < 0.5).float()
    pairs = (p.n_pairs, *shape)
    at = torch.randint(0, p.n_steps, pairs, generator=generator)
    near = torch.round((2 * torch.rand(pairs, generator=generator) - 1) * p.half_width).long()
    sign = torch.where(torch.rand(pairs, generator=generator) < 0.5, -1, 1)
    anywhere = torch.randint(0, p.n_steps, pairs, generator=generator)
    offset = torch.where(label > 0, near, 2 * p.half_width * sign if far else anywhere)
    noise = (torch.rand(2, p.n_steps, *shape, generator=generator) < p.distractor_hz / 1000).float()
    a = noise[0].scatter(0, at, 1.0)
    b = noise[1].scatter(0, (at + offset) % p.n_steps, 1.0)
    return a, b, label


class PairCounter(torch.nn.Module):
    """Counts pairs in both directions with one learned half-width per initialisation."""

    def __init__(self, p: WindowProtocol) -> None:
        super().__init__()
        n = p.n_inits
        self.forwards, self.backwards = (_window(p, same_step) for same_step in (True, False))
        self.backwards.log_width = self.forwards.log_width
        self.gain = torch.nn.Parameter(torch.full((n,), 0.5))
        self.offset = torch.nn.Parameter(torch.full((n,), -1.0))

    @property
    def log_width(self) -> torch.nn.Parameter:
        """The half-width that both directions share."""
        return self.forwards.log_width

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Trains ``[T, B, N]`` to the number of pairs ``[B, N]``."""
        opened_by_a: Tensor = self.forwards(a, b)[0]
        opened_by_b: Tensor = self.backwards(b, a)[0]
        return opened_by_a.sum(0) + opened_by_b.sum(0)


def _window(p: WindowProtocol, same_step: bool) -> CoincidenceWindow:
    """One direction: nothing but the half-width is learned."""
    n = p.n_inits
    window = CoincidenceWindow(
        n,
        n,
        n,
        1.0,
        window="box",
        delay_max_ms=0.0,
        width_ms=p.start,
        width_max_ms=max(128.0, p.start[1]),
        edge_ms=p.edge,
        same_step=same_step,
        saturating=p.saturating,
        fan=Fan.one_to_one(n),
    )
    with torch.no_grad():
        window.opening.fill_(1.0)
        window.counting.copy_(torch.eye(n))
    for parameter in window.parameters():
        parameter.requires_grad_(parameter is window.log_width)
    return window


def learn_windows(p: WindowProtocol, seed: int) -> dict[str, Any]:
    """Train all initialisations; half-widths, and areas under the curve against twice the width."""
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    net = PairCounter(p)
    started = net.log_width.detach().exp()
    optimiser = torch.optim.Adam(
        [
            {"params": [net.log_width], "lr": 0.03},
            {"params": [net.gain, net.offset], "lr": 0.05},
        ],
        betas=(0.9, 0.99),
    )
    before = time.process_time()
    for step in range(p.n_train):
        net.train()
        for window in (net.forwards, net.backwards):
            window.set_anneal(step / p.n_train)
        a, b, label = planted_windows(p, p.n_batch, generator, far=False)
        score = net.gain * net(a, b) + net.offset
        loss = F.binary_cross_entropy_with_logits(score, label, reduction="none").mean(0).sum()
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
    seconds = time.process_time() - before
    found = net.log_width.detach().exp()
    net.eval()
    with torch.no_grad():
        a, b, label = planted_windows(p, p.n_test, generator, far=True)
        ours = net(a, b)
        net.log_width.fill_(math.log(p.half_width + 0.5))
        ideal = net(a, b)
    near = (found > p.half_width / 1.5) & (found < p.half_width * 1.5)
    return {
        "protocol": asdict(p),
        "seed": seed,
        "within_1_5x": int(near.sum()),
        "n_inits": p.n_inits,
        "initial_ms": [round(float(h), 1) for h in started],
        "found_ms": [round(float(h), 2) for h in found],
        "auc": [area(ours[:, i], label[:, i]) for i in range(p.n_inits)],
        "auc_planted": [area(ideal[:, i], label[:, i]) for i in range(p.n_inits)],
        "cpu_s": seconds,
    }


def area(score: Tensor, label: Tensor) -> float:
    """Area under the receiver operating characteristic, ties counting half."""
    positive, negative = score[label > 0], score[label == 0]
    values, where = torch.unique(score, return_inverse=True)
    above = torch.bincount(where[label > 0], minlength=len(values)).double()
    below = torch.bincount(where[label == 0], minlength=len(values)).double()
    lower = below.cumsum(0) - below
    wins = (above * (lower + below / 2)).sum()
    return float(wins / (len(positive) * len(negative)))
