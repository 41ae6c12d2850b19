"""The timed scenes by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sensors.scenes.azimuth import AzimuthScene
from sensors.scenes.comodulation import ComodulationScene
from sensors.scenes.grid import GridScene
from sensors.scenes.impact import ImpactParams, ImpactScene
from sensors.scenes.mouth import MouthParams, MouthScene
from sensors.scenes.onset import OnsetParams, OnsetScene
from sensors.scenes.which import WhichScene
from sensors.scenes.xor import CueParams, CueScene

SCENES: dict[str, Callable[[], GridScene[Any]]] = {
    "s1": OnsetScene,
    "s1_order": lambda: OnsetScene(OnsetParams(task="order")),
    "s2": WhichScene,
    "s3": ComodulationScene,
    "s4": AzimuthScene,
    "s5": MouthScene,
    "s5_digits": lambda: MouthScene(MouthParams(task="digits")),
    "s6": ImpactScene,
    "s6_presence": lambda: ImpactScene(ImpactParams(task="presence")),
    "xor": CueScene,
    "xor_rate": lambda: CueScene(CueParams(code="rate")),
    "redundant": lambda: CueScene(CueParams(rule="redundant")),
    "incongruent": lambda: CueScene(CueParams(rule="incongruent")),
}


def scene_by_name(name: str) -> GridScene[Any]:
    """The scene of that name with its own parameters.

    Raises
    ------
    ValueError
        If there is none.
    """
    if name not in SCENES:
        raise ValueError(f"name must be one of {sorted(SCENES)}, got {name!r}")
    return SCENES[name]()
