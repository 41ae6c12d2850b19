"""Figures and tables of scenes S4 to S6: ``python -m experiments.sensory_scenes DOCS``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

SEED, N = 9101, 3000  # no training and no test draws from this seed


def observers_table() -> str:
    """Ideal and additive observers for each scene and condition, Markdown."""
    from sensors.scenes.azimuth import AzimuthScene
    from sensors.scenes.impact import ImpactParams, ImpactScene
    from sensors.scenes.mouth import MouthParams, MouthScene
    from sensors.scenes.observers import accuracy, accuracy_interval

    scenes: list[Any] = [
        AzimuthScene(),
        MouthScene(),
        MouthScene(MouthParams(task="digits")),
        ImpactScene(),
        ImpactScene(ImpactParams(task="presence")),
    ]
    lines = ["| scene | condition | n | ideal (95 %) | additive |", "|---|---|---|---|---|"]
    for scene in scenes:
        batch = scene.batch(SEED, range(N))
        labels, conditions = batch.labels.numpy(), batch.conditions.numpy()
        for condition in scene.conditions:
            mine = conditions == np.float32(condition)
            ideal = accuracy(batch.ideal.numpy()[mine], labels[mine])
            additive = accuracy(batch.additive.numpy()[mine], labels[mine])
            low, high = accuracy_interval(ideal, int(mine.sum()))
            lines.append(
                f"| {scene.name} | {condition:g} | {mine.sum()} | {ideal:.3f} "
                f"({low:.3f} to {high:.3f}) | {additive:.3f} |"
            )
    return "\n".join(lines)


def wake_table(n: int = 1000) -> str:
    """Share of time asleep and of sounds missed, Markdown."""
    from sensors.scenes.wake_up import causal, default_scene, without_vision

    scene = default_scene()
    thresholds = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2)
    curve = causal(scene, thresholds, SEED, n)
    on = (1 - curve.asleep) * scene.duration_ms / scene.params.span_ms
    blind = without_vision(scene, list(on))
    lines = ["| threshold | asleep | missed | missed, blind |", "|---|---|---|---|"]
    for row in zip(thresholds, curve.asleep, curve.missed, blind.missed, strict=True):
        lines.append("| {:g} | {:.3f} | {:.3f} | {:.3f} |".format(*row))
    return "\n".join(lines)


def draw_all(folder: Path) -> None:
    """One figure for each of S4, S5 and S6."""
    from analysis.sensory_figure import draw_sensory_scene
    from sensors.scenes.azimuth import AzimuthScene
    from sensors.scenes.impact import ImpactScene
    from sensors.scenes.mouth import MouthScene

    scenes: list[Any] = [AzimuthScene(), MouthScene(), ImpactScene()]
    for scene in scenes:
        sample = scene.draw(SEED, 0)
        film, times_us = scene.film(sample)
        sources = {name: s.time_us for name, s in sample.truth.sources.items()}
        title = f"{scene.name}: class {sample.label}, dashed: source times"
        felt = scene.render(sample)
        made = draw_sensory_scene(
            film, times_us, sample.stream, felt, sources, title, folder, f"scene_{scene.name}"
        )
        for extra in made[1:]:
            extra.unlink()


def main(docs: Path) -> None:
    """Write the figures, and the tables to standard output."""
    draw_all(docs / "figures")
    print(observers_table(), wake_table(), sep="\n\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
