"""Markdown tables of what the scenes' self-tests and sensors measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sensors.scenes.grid import GridScene
from sensors.scenes.self_test import Verdict

_LATENCY_SEED, _N_LATENCY = 505, 100
_WAKE_SEED, _N_WAKE = 9101, 1000
_WAKE_THRESHOLDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2)


def observer_table(verdicts: Sequence[Verdict]) -> str:
    """Ideal and additive accuracy by scene and condition (bare spikes, so once a scene)."""
    lines = [
        "| scene | condition | samples | ideal [95 %] | ideal d' | additive |",
        "|---|---|---|---|---|---|",
    ]
    seen: set[str] = set()
    for verdict in verdicts:
        if verdict.scene in seen:
            continue
        seen.add(verdict.scene)
        for found in verdict.observers:
            condition = f"{found.condition:g}" if len(verdict.observers) > 1 else ""
            lines.append(
                f"| {verdict.scene} | {condition} | {found.n} | {found.ideal:.3f} "
                f"[{found.ideal_low:.3f}, {found.ideal_high:.3f}] | {found.ideal_d_prime:.2f} "
                f"| {found.additive:.3f} |"
            )
    return "\n".join(lines)


def probe_table(verdicts: Sequence[Verdict]) -> str:
    """Every probe of every verdict, a star where it was outside the interval at first."""
    lines = [
        "| scene | level | what | features | classifier | accuracy | 99 % of guessing | again |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for verdict in verdicts:
        for p in verdict.probes:
            again = (
                "" if p.again is None else f"{p.again:.4f} [{p.again_low:.4f}, {p.again_high:.4f}]"
            )
            lines.append(
                f"| {verdict.scene} | {verdict.level} | {p.what} | {p.features} | {p.classifier} "
                f"| {p.accuracy:.3f}{'' if p.inside else ' *'} | [{p.low:.3f}, {p.high:.3f}] "
                f"| {again} |"
            )
    return "\n".join(lines)


def latency_table(scenes: Sequence[GridScene[Any]]) -> str:
    """First sensor event after each stimulus, over samples of a seed of their own.

    Scenes with a film and a sound of their own (S4 to S6) have no stimulus per bare spike.
    """
    lines = [
        "| scene | modality | sensor events a sample | stimuli answered | "
        "latency 5 / 50 / 95 % (ms) |",
        "|---|---|---|---|---|",
    ]
    for scene in scenes:
        if type(scene).render is not GridScene.render:
            continue
        samples = [scene.draw(_LATENCY_SEED, index) for index in range(_N_LATENCY)]
        rendered = [scene.render_with_truth(sample) for sample in samples]
        for name in scene.modalities:
            late = np.concatenate([one.latency_us(name) for one in rendered]) / 1000
            asked = sum(len(one.stimulus_us[name]) for one in rendered)
            events = np.mean([len(one.stream[name]) for one in rendered])
            low, middle, high = np.percentile(late, [5, 50, 95])
            lines.append(
                f"| {scene.name} | {name} | {events:.0f} | {len(late) / asked:.3f} "
                f"| {low:.2f} / {middle:.2f} / {high:.2f} |"
            )
    return "\n".join(lines)


def wake_table() -> str:
    """Share of time asleep and of sounds missed where vision wakes hearing (S6)."""
    from sensors.scenes.wake_up import causal, default_scene, without_vision

    scene = default_scene()
    curve = causal(scene, _WAKE_THRESHOLDS, _WAKE_SEED, _N_WAKE)
    on = (1 - curve.asleep) * scene.duration_ms / scene.params.span_ms
    blind = without_vision(scene, list(on))
    lines = ["| threshold | asleep | missed | missed, blind |", "|---|---|---|---|"]
    for row in zip(_WAKE_THRESHOLDS, curve.asleep, curve.missed, blind.missed, strict=True):
        lines.append("| {:g} | {:.3f} | {:.3f} | {:.3f} |".format(*row))
    return "\n".join(lines)
