"""Reliability: does the uncertainty gate weigh the cues of scene S4 by ``1 / sigma^2``?

``python -m experiments.studies.reliability --json FILE`` passes samples of S4 with planted standard
deviations through the gate as it is initialised and sets its weights against the rule; with
``--document FILE`` it also puts the tables between the marks in that page.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sensors.scenes.azimuth import AzimuthParams, AzimuthScene
from spikefuse.atomic import write_bytes
from spikefuse.fusion import build
from spikefuse.fusion.uncertainty_gate import UncertaintyGateFusion
from spikefuse.pages import markdown_table, write_tables

# A small prior: the scarce modality of S4 has four spikes, and the default holds those back.
GATES: dict[str, dict[str, Any]] = {
    "default": {},
    "above noise": {"above_noise": True, "prior_weight": 0.25},
}
MARK = "reliability"
MARK_NOISE = "reliability noise"
Deviations = tuple[float, float]


@dataclass(frozen=True)
class ReliabilityProtocol:
    """What is shown to the gate.

    Parameters
    ----------
    deviations_deg : tuple of (float, float)
        Standard deviations of vision and of sound; the first three are the scene's own.
    n_samples : int
        Of each condition.
    background_hz : tuple of float
        Rates of random clicks that are added to the sound's addresses, all together, at
        ``background_at_deg``.
    background_at_deg : (float, float)
    tau_ms : float
        Memory of the gate.
    seed : int
    """

    deviations_deg: tuple[Deviations, ...] = (
        (4.0, 8.0),
        (5.66, 5.66),
        (8.0, 4.0),
        (4.0, 4.0),
        (4.0, 5.66),
        (4.0, 11.3),
        (4.0, 16.0),
    )
    n_samples: int = 1000
    background_hz: tuple[float, ...] = (0.0, 5.0, 10.0, 20.0, 40.0, 80.0, 200.0)
    background_at_deg: Deviations = (5.66, 5.66)
    tau_ms: float = 1000.0
    seed: int = 0


@dataclass(frozen=True)
class Weighed:
    """Mean weight of vision over the samples of one condition, from one kind of gate.

    Parameters
    ----------
    kind : str
        Of `GATES`.
    vision_sd_deg, audio_sd_deg : float
    background_hz : float
        Added to the sound.
    rule : float
        ``1 / sigma_v^2`` over the sum, from the truth of every sample.
    gate : float
        Share of vision in the gate's weighted spikes.
    standard_error : float
        Of ``gate``.
    per_spike : float
        Share of vision in the gains of one spike each, at the end.
    """

    kind: str
    vision_sd_deg: float
    audio_sd_deg: float
    background_hz: float
    rule: float
    gate: float
    standard_error: float
    per_spike: float

    @property
    def error(self) -> float:
        """Largest relative departure from the rule, of vision's weight or of the sound's."""
        off = abs(self.gate - self.rule)
        return off / min(self.rule, 1 - self.rule)


def weigh(
    p: ReliabilityProtocol,
    deviations: Deviations,
    kind: str = "above noise",
    background_hz: float = 0.0,
) -> Weighed:
    """The gate's weights on samples of one condition."""
    scene = AzimuthScene(AzimuthParams(reliabilities_deg=(deviations,)))
    drawn = scene.generate(scene.uniforms(p.seed, range(p.n_samples), scene.n_uniforms))
    spikes = {
        name: torch.from_numpy(train).transpose(0, 1).float()
        for name, train in drawn.trains().items()
    }
    if background_hz:
        spikes["audio"] = _with_background(spikes["audio"], background_hz, p.seed)
    gate = build("uncertainty_gate", scene.modalities, 1, tau_ms=p.tau_ms, **GATES[kind])
    assert isinstance(gate, UncertaintyGateFusion)
    with torch.no_grad():
        shares, _ = gate.weights(spikes)
    weight = gate.influence(spikes)["vision"]
    rules = [scene.values(drawn, row)["vision_weight"] for row in range(p.n_samples)]
    return Weighed(
        kind,
        *deviations,
        background_hz,
        float(np.mean(rules)),
        float(weight.mean()),
        float(weight.std() / p.n_samples**0.5),
        float(shares["vision"][-1].mean()),
    )


def _with_background(spikes: Tensor, rate_hz: float, seed: int) -> Tensor:
    """Random events at any address, in steps of 1 ms."""
    generator = torch.Generator().manual_seed(seed)
    chance = rate_hz * 1e-3 / spikes.shape[2]
    return torch.maximum(spikes, (torch.rand(spikes.shape, generator=generator) < chance).float())


def study(p: ReliabilityProtocol) -> tuple[list[Weighed], list[Weighed]]:
    """Every condition and every rate of background events, with both kinds of gate in turn."""
    rows = [weigh(p, deviations, kind) for deviations in p.deviations_deg for kind in GATES]
    noisy = [
        weigh(p, p.background_at_deg, kind, rate) for rate in p.background_hz for kind in GATES
    ]
    return rows, noisy


def tables(rows: Sequence[Weighed], noisy: Sequence[Weighed]) -> dict[str, str]:
    """The study as Markdown, by mark."""

    def weight(r: Weighed, value: float) -> str:
        return f"{value:.3f} ± {1.96 * r.standard_error:.3f}"

    def paired(found: Sequence[Weighed]) -> list[tuple[Weighed, Weighed]]:
        return list(zip(found[::2], found[1::2], strict=True))

    by_condition = markdown_table(
        ["deviations, deg", "rule", "gate", "departure", "gate, above noise", "departure"],
        [
            [
                f"{a.vision_sd_deg:g}, {a.audio_sd_deg:g}",
                f"{a.rule:.3f}",
                weight(a, a.gate),
                f"{100 * a.error:.1f} %",
                weight(b, b.gate),
                f"{100 * b.error:.1f} %",
            ]
            for a, b in paired(rows)
        ],
    )
    header = ["random clicks, Hz", "weight of sound", "gain of a click"]
    by_noise = markdown_table(
        [*header, "weight, above noise", "gain, above noise"],
        [
            [
                f"{a.background_hz:g}",
                weight(a, 1 - a.gate),
                f"{1 - a.per_spike:.3f}",
                weight(b, 1 - b.gate),
                f"{1 - b.per_spike:.3f}",
            ]
            for a, b in paired(noisy)
        ],
    )
    return {MARK: by_condition, MARK_NOISE: by_noise}


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line: see the module."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.studies.reliability", description=__doc__
    )
    parser.add_argument("--json", type=Path, help="file for all results")
    parser.add_argument("--document", type=Path, help="page whose tables are replaced")
    parser.add_argument("--samples", type=int, default=1000, help="samples of each condition")
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)
    protocol = ReliabilityProtocol(n_samples=chosen.samples)
    rows, noisy = study(protocol)
    found = tables(rows, noisy)
    print("\n\n".join(found.values()))
    if chosen.json is not None:
        body = {
            "protocol": asdict(protocol),
            "conditions": [asdict(r) for r in rows],
            "background": [asdict(r) for r in noisy],
        }
        write_bytes(chosen.json, (json.dumps(body, indent=1) + "\n").encode())
    if chosen.document is not None:
        write_tables(chosen.document, found)


if __name__ == "__main__":
    main()
