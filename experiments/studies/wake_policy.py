"""The wake-up policy on S6: how long hearing sleeps, what it misses, what it costs.

``python -m experiments.studies.wake_policy --document docs/streaming_sources.md``
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from sensors.cochlea_gammatone import GammatoneCochlea, GammatoneParams
from sensors.scenes.wake_up import causal, default_scene
from spikefuse._types import FloatArray
from spikefuse.cost import energy
from spikefuse.cost.duty import duty_curve
from spikefuse.cost.profile import load_sensor
from spikefuse.events import EVENT_DTYPE
from spikefuse.opcounts import OpCounts
from spikefuse.pages import markdown_table, write_tables
from spikefuse.runtime.policies import WakeUp

WINDOW_MS, HOLD_MS = 20.0, 120.0
# Rings that are watched, and how many of their events in a window wake.
RINGS = {"all six": (0, 5), "three outer": (3, 5), "two outer": (4, 5), "outermost": (5, 5)}
THRESHOLDS = {
    "all six": (1, 2, 3),
    "three outer": (1, 2, 3),
    "two outer": (1, 2),
    "outermost": (1,),
}
MICROPHONE = "mems_mic_mp34dt05"
PRICED_BY = "horowitz_45nm_int8"
_STEP_US = 1000


def missed_and_asleep(rings: str, n_wake: int, seed: int, n: int) -> tuple[float, float]:
    """Share of impact sounds in hearing's sleep, and share of time asleep, over n samples."""
    scene = default_scene()
    drawn = scene.generate(scene.uniforms(seed, range(n), scene.n_uniforms))
    vision, contact = drawn.trains()["vision"], drawn.latent["contact"]
    missed, asleep = np.zeros(n), np.zeros(n)
    for i in range(n):
        gate = WakeUp("vision", "audio", n_wake, WINDOW_MS, HOLD_MS, RINGS[rings])
        steps, ring = np.nonzero(vision[i])
        seen = np.zeros(len(steps), EVENT_DTYPE)
        seen["t"], seen["x"] = steps * _STEP_US, ring
        sound = np.zeros(1, EVENT_DTYPE)
        sound["t"] = (contact[i] + scene.params.first_ms) * _STEP_US
        end_us = scene.duration_ms * _STEP_US
        gate.admit("vision", seen, end_us)
        missed[i] = 1 - len(gate.admit("audio", sound, end_us))
        asleep[i] = 1 - gate.awake_share("audio")
    return float(missed.mean()), float(asleep.mean())


def hearing_mw(awake: float) -> tuple[float, float]:
    """Mean power of microphone and cochlea when they are on for a share of the time, and always."""
    ear = GammatoneCochlea(GammatoneParams(n_channels=64, f_max_hz=3500.0))
    counts = OpCounts({"frontend.audio.cochlea": ear.frontend_counts(8000, 8000.0)}, 1)
    spent = energy(counts, PRICED_BY).dynamic_pj
    if spent is None:
        raise ValueError(f"{PRICED_BY} must price a cochlea, got no price")
    power = load_sensor(MICROPHONE).power_mw
    part, whole = duty_curve(spent, 1.0, [awake, 1.0], static_mw=power, gated=True)
    return part.total_mw, whole.total_mw


def table(seed: int, n: int) -> str:
    """A row for each threshold, and what the ideal observer misses at the same sleep."""
    scene = default_scene()
    ideal = causal(scene, np.linspace(0, 1, 41).tolist(), seed, n)
    rows = []
    for rings, n_wake in [(rings, n) for rings, found in THRESHOLDS.items() for n in found]:
        missed, asleep = missed_and_asleep(rings, n_wake, seed, n)
        part, whole = hearing_mw(1 - asleep)
        rows.append(
            [
                rings,
                str(n_wake),
                f"{100 * asleep:.1f} %",
                f"{100 * missed:.1f} %",
                f"{100 * _at(ideal.asleep, ideal.missed, asleep):.1f} %",
                f"{part:.3f}",
                f"{100 * part / whole:.0f} %",
            ]
        )
    header = [
        "rings watched",
        f"events in {WINDOW_MS:g} ms that wake",
        "hearing asleep",
        "impacts missed",
        "missed by the ideal observer at that sleep",
        "hearing, mW (modelled)",
        "of always on",
    ]
    return markdown_table(header, rows)


def _at(asleep: FloatArray, missed: FloatArray, share: float) -> float:
    order = np.argsort(asleep)
    return float(np.interp(share, asleep[order], missed[order]))


def main(
    document: Annotated[Path | None, typer.Option("--document")] = None,
    samples: Annotated[int, typer.Option("--samples", min=1)] = 1000,
    seed: Annotated[int, typer.Option("--seed")] = 0,
) -> None:
    """Write the table."""
    text = table(seed, samples)
    print(text)
    if document is not None:
        write_tables(document, {"wake policy": text})


if __name__ == "__main__":
    typer.run(main)
