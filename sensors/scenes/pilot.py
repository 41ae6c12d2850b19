"""The pilot that set the difficulty of the scenes: what was tried, and the ideal observer on it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

from sensors.scenes.comodulation import ComodulationParams, ComodulationScene
from sensors.scenes.grid import GridScene
from sensors.scenes.observers import accuracy
from sensors.scenes.onset import OnsetParams, OnsetScene, Task
from sensors.scenes.which import WhichParams, WhichScene
from sensors.scenes.xor import Code, CueParams, CueScene

PILOT_SEED = 9001  # no other use: neither training nor tests draw from it
N_PILOT = 4000


def candidates() -> Iterator[tuple[str, GridScene[Any]]]:
    """What was tried, in order, by name of what was varied."""
    for task in get_args(Task):
        for p_evoke, noise_hz in ((0.75, 4.0), (0.6, 4.0), (0.6, 8.0), (0.6, 6.0), (0.5, 4.0)):
            scene = OnsetScene(OnsetParams(task=task, p_evoke=p_evoke, noise_hz=noise_hz))
            yield f"p_evoke {p_evoke}, noise {noise_hz:g} Hz", scene
    for inserted_hz, p_drop, jitter_ms in (
        (6.0, 0.2, 3.0),
        (10.0, 0.2, 3.0),
        (10.0, 0.3, 3.0),
        (10.0, 0.3, 4.0),
        (10.0, 0.4, 4.0),
    ):
        which = WhichParams(inserted_hz=inserted_hz, p_drop=p_drop, jitter_ms=jitter_ms)
        name = f"inserted {inserted_hz:g} Hz, drop {p_drop}, jitter {jitter_ms:g} ms"
        yield name, WhichScene(which)
    for coupling in (0.045, 0.055, 0.065):
        yield (
            f"coupling {coupling}",
            ComodulationScene(ComodulationParams(coupling=coupling)),
        )
    for code in get_args(Code):
        yield f"code {code}", CueScene(CueParams(code=code))


def pilot_table(n: int = N_PILOT, seed: int = PILOT_SEED) -> str:
    """Markdown table of every candidate; a star marks the parameters that were chosen.

    Each scene is drawn ``n`` times, or half of that for each of its conditions.
    """
    lines = ["| scene | parameters | ideal accuracy (condition) |", "|---|---|---|"]
    for name, scene in candidates():
        batch = scene.batch(seed, range(n * max(len(scene.conditions) // 2, 1)))
        scores, labels = batch.ideal.numpy(), batch.labels.numpy()
        conditions = batch.conditions.numpy()
        cells = []
        for condition in scene.conditions:
            mine = conditions == condition
            where = f" ({condition:g} ms)" if len(scene.conditions) > 1 else ""
            cells.append(f"{accuracy(scores[mine], labels[mine]):.3f}{where}")
        chosen = " *" if _is_default(scene) else ""
        lines.append(f"| {scene.name} | {name}{chosen} | {', '.join(cells)} |")
    return "\n".join(lines)


def _is_default(scene: GridScene[Any]) -> bool:
    """Whether the parameters are the scene's own but for the task or code."""
    p = scene.params
    if isinstance(p, OnsetParams):
        return p == OnsetParams(task=p.task)
    if isinstance(p, CueParams):
        return p == CueParams(code=p.code)
    return bool(p == type(p)())
