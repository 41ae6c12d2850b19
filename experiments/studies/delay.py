"""Planted delays and windows: does training find what was put into the spike trains?

``python -m experiments.studies.delay --json FILE`` trains the real layers (one neuron per
initialisation) on trains with a known delay or window and writes what they found; with
``--document FILE`` it also puts the tables between the marks in that page.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from experiments.studies.window import WindowProtocol, learn_windows
from spikefuse.atomic import write_bytes
from spikefuse.kernels.fan import Fan
from spikefuse.kernels.neurons import lif_scan
from spikefuse.pages import write_tables
from spikefuse.surrogate import Surrogate
from spikefuse.synapses.annealing import DELAY_UNIT_MS
from spikefuse.synapses.cross import CrossSynapses

Mode = Literal["learned", "frozen", "none"]
DELAYS_MS = (5, 20, 40, 60)
TOLERANCE_MS = 2.0


@dataclass(frozen=True)
class DelayProtocol:
    """How planted delays are made and learned; steps are milliseconds.

    Parameters
    ----------
    delays : tuple of int
        Planted delays of B behind A.
    n_inits : int
        Initialisations (neurons) of each delay, each with trains of its own.
    n_train, n_batch, n_steps : int
        Updates, trains per update and initialisation, and their length.
    delay_max : float
        Initial delays are uniform in [0, delay_max].
    signal_hz, distractor_hz, jitter : float
        Rate of pairs, of other spikes in either train, and standard deviation of the pairs.
    tau, slope : float
        Membrane time constant and surrogate slope of the neuron.
    sigma : (float, float)
        Width of the delay's Gaussian at the start and at the end.
    warm : int
        Updates before the delays move, while rates settle.
    n_test : int
        Trains per initialisation for the accuracy.
    detach_reset : bool
        As in `lif_scan`: whether the reset is a constant in the backward pass.
    """

    delays: tuple[int, ...] = DELAYS_MS
    n_inits: int = 10
    n_train: int = 400
    n_batch: int = 128
    n_steps: int = 400
    delay_max: float = 80.0
    signal_hz: float = 20.0
    distractor_hz: float = 20.0
    jitter: float = 2.0
    tau: float = 5.0
    slope: float = 1.5
    sigma: tuple[float, float] = (50.0, 0.5)
    warm: int = 20
    n_test: int = 400
    detach_reset: bool = True


def planted_pairs(
    p: DelayProtocol, n_batch: int, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Trains A and B ``[T, batch, delay * init]`` and labels ``[batch, delay * init]``.

    With label 1, B repeats A's signal after the planted delay; with label 0 it repeats, after the
    same delay, a train that A does not show. Time is circular.
    """
    n = len(p.delays) * p.n_inits
    shape = (p.n_steps, n_batch, n)

    def train(rate_hz: float) -> Tensor:
        return (torch.rand(shape, generator=generator) < rate_hz / 1000).float()

    signal, hidden = train(p.signal_hz), train(p.signal_hz)
    label = (torch.rand(shape[1:], generator=generator) < 0.5).float()
    at = torch.where(label > 0, signal, hidden).nonzero()
    delay = torch.tensor(p.delays).repeat_interleave(p.n_inits)[at[:, 2]]
    jitter = torch.round(p.jitter * torch.randn(len(at), generator=generator)).long()
    follower = torch.zeros(shape)
    follower[(at[:, 0] + delay + jitter) % p.n_steps, at[:, 1], at[:, 2]] = 1
    a = torch.maximum(signal, train(p.distractor_hz))
    b = torch.maximum(follower, train(p.distractor_hz))
    return a, b, label


class PlantedNet(torch.nn.Module):
    """A block of neurons, each with one delayed synapse from its A and one direct from its B.

    The count of output spikes is the score: ``gain * count + offset``, a logistic read-out.
    """

    def __init__(self, p: DelayProtocol, mode: Mode, generator: torch.Generator) -> None:
        super().__init__()
        n = len(p.delays) * p.n_inits
        pairs = Fan.one_to_one(n)
        self.p, self.mode = p, mode
        self.delayed = CrossSynapses(
            n, n, 1.0, delay_max_ms=p.delay_max, sigma_ms=p.sigma, fan=pairs
        )
        self.direct = CrossSynapses(n, n, 1.0, delay_max_ms=0.0, sigma_ms=(0.1, 0.1), fan=pairs)
        with torch.no_grad():
            self.delayed.weight.fill_(0.8)
            self.direct.weight.fill_(0.8)
            start = torch.rand(n, generator=generator) * p.delay_max
            self.delayed.delay.copy_((start if mode != "none" else 0 * start) / DELAY_UNIT_MS)
        self.delayed.delay.requires_grad_(mode == "learned")
        self.direct.delay.requires_grad_(False)
        if mode != "learned":
            self.delayed.sigma_ms = (p.sigma[1], p.sigma[1])
        # The no-delay control may integrate over longer times instead.
        self.log_tau = torch.nn.Parameter(torch.full((n,), p.tau).log(), mode == "none")
        self.gain = torch.nn.Parameter(torch.full((n,), 0.5))
        self.offset = torch.nn.Parameter(torch.full((n,), -1.0))

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Trains ``[T, B, N]`` to scores ``[B, N]``."""
        # In one synapse layer without delay an event arrives in its own step.
        current = self.delayed(a)[0] + self.direct.eval()(b)[0]
        beta = torch.exp(-torch.exp(-self.log_tau))
        spikes, _ = lif_scan(
            current,
            beta,
            1.0,
            reset="subtract",
            surrogate=Surrogate(slope=self.p.slope),
            detach_reset=self.p.detach_reset,
        )
        return self.gain * spikes.sum(0) + self.offset


def learn_delays(p: DelayProtocol, mode: Mode, seed: int) -> dict[str, Any]:
    """Train all delays and initialisations of one mode and say what they found."""
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    net = PlantedNet(p, mode, generator)
    started = net.delayed.delays_ms()
    trained = [parameter for parameter in net.parameters() if parameter.requires_grad]
    optimiser = torch.optim.Adam(trained, lr=0.02, betas=(0.9, 0.99))
    before = time.process_time()
    for step in range(p.n_train):
        net.train()
        net.delayed.set_anneal(step / p.n_train)
        a, b, label = planted_pairs(p, p.n_batch, generator)
        loss = F.binary_cross_entropy_with_logits(net(a, b), label, reduction="none").mean(0).sum()
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        if step < p.warm:
            net.delayed.delay.grad = None
        optimiser.step()
        with torch.no_grad():
            net.delayed.delay.clamp_(0, p.delay_max / DELAY_UNIT_MS)
    seconds = time.process_time() - before
    net.eval()
    with torch.no_grad():
        a, b, label = planted_pairs(p, p.n_test, generator)
        right = ((net(a, b) > 0).float() == label).float().mean(0).view(-1, p.n_inits)
    found = net.delayed.delays_ms().round().view(-1, p.n_inits)
    started = started.view(-1, p.n_inits)
    cells = []
    for i, planted in enumerate(p.delays):
        error = found[i] - planted
        cells.append(
            {
                "mode": mode,
                "seed": seed,
                "planted_ms": planted,
                "recovered": int((error.abs() <= TOLERANCE_MS).sum()),
                "n_inits": p.n_inits,
                "error_ms": [int(e) for e in error],
                "initial_ms": [round(float(d), 1) for d in started[i]],
                "accuracy": float(right[i].mean()),
            }
        )
    return {"protocol": asdict(p), "cells": cells, "cpu_s": seconds}


def study(
    p: DelayProtocol, w: WindowProtocol, seeds: Sequence[int]
) -> dict[str, list[dict[str, Any]]]:
    """Everything: learned delays, their controls, and windows, for each data seed."""
    delays = [
        learn_delays(p, mode, seed) for mode in ("learned", "frozen", "none") for seed in seeds
    ]
    through = replace(p, detach_reset=False)
    delays += [learn_delays(through, "learned", seed) for seed in seeds]
    windows = [
        learn_windows(replace(w, saturating=saturating), seed)
        for saturating in (False, True)
        for seed in seeds
    ]
    return {"delays": delays, "windows": windows}


def tables(found: dict[str, list[dict[str, Any]]]) -> str:
    """The study as Markdown."""
    lines = [
        "| delays | data seed | planted ms: recovered of inits (accuracy) | CPU s |",
        "|---|---|---|---|",
    ]
    for run in found["delays"]:
        cells = run["cells"]
        what = cells[0]["mode"]
        if what == "learned" and not run["protocol"]["detach_reset"]:
            what = "learned, gradient through the reset"
        parts = "; ".join(
            f"{c['planted_ms']}: {c['recovered']}/{c['n_inits']} ({c['accuracy']:.3f})"
            for c in cells
        )
        lines.append(f"| {what} | {cells[0]['seed']} | {parts} | {run['cpu_s']:.0f} |")
    lines += [
        "",
        "| gate | data seed | within 1.5x | found ms (from) | AUC: mean (worst) "
        "| with the planted window | CPU s |",
        "|---|---|---|---|---|---|---|",
    ]
    for run in found["windows"]:
        gate = "saturating" if run["protocol"]["saturating"] else "linear"
        found_ms = f"{min(run['found_ms']):.1f} to {max(run['found_ms']):.1f}"
        from_ms = f"{min(run['initial_ms']):.0f} to {max(run['initial_ms']):.0f}"
        ours, best = run["auc"], run["auc_planted"]
        lines.append(
            f"| {gate} | {run['seed']} | {run['within_1_5x']}/{run['n_inits']} "
            f"| {found_ms} ({from_ms}) | {sum(ours) / len(ours):.3f} ({min(ours):.3f}) "
            f"| {sum(best) / len(best):.3f} ({min(best):.3f}) | {run['cpu_s']:.0f} |"
        )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line: see the module."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.studies.delay", description=__doc__
    )
    parser.add_argument("--json", type=Path, required=True, help="file for all results")
    parser.add_argument("--document", type=Path, help="page whose table is replaced")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1], help="data seeds")
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)
    found = study(DelayProtocol(), WindowProtocol(), chosen.seeds)
    write_bytes(chosen.json, (json.dumps(found, indent=1) + "\n").encode())
    table = tables(found)
    print(table)
    if chosen.document is not None:
        write_tables(chosen.document, {"delay study": table})


if __name__ == "__main__":
    main()
