"""``python -m experiments.pictures.scenes FOLDER``: one picture of each timed scene."""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

_FIGURE_SEED = 606
_CLASSES = {
    "s1": ("apart", "in sync"),
    "s1_order": ("sound first", "vision first"),
    "s2": ("object 0 sounds", "object 1 sounds", "object 2 sounds"),
    "s3": ("against each other", "together"),
    "s4": ("left", "right"),
    "s5": ("shifted", "in sync"),
    "s6": ("at another time", "at the impact"),
    "xor": ("cues agree", "cues differ"),
}
_OFFSETS = ("s1", "s1_order", "s5", "s6")  # a condition is an offset in ms


def draw_scene(name: str, folder: Path, index: int = 0) -> Path:
    """Draw one sample of a scene; the PNG alone is kept."""
    from analysis.figures.scene import ScenePicture
    from analysis.figures.scene import draw_scene as draw_sample
    from sensors.scenes.catalogue import scene_by_name

    scene = scene_by_name(name)
    sample = scene.draw(_FIGURE_SEED, index)
    film, film_us, sensed = scene.shown(sample)
    condition = f", {sample.condition:g} ms" if name in _OFFSETS else ""
    picture = ScenePicture(
        f"{name}: {_CLASSES[name][sample.label]}{condition}",
        sample.stream,
        sensed,
        sample.truth.cause,
        {modality: source.time_us for modality, source in sample.truth.sources.items()},
        film,
        film_us,
    )
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        made = draw_sample(picture, Path(scratch), f"scene_{name}")[0]
        return Path(shutil.copy(made, folder / made.name))


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw every timed scene into a folder."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.pictures.scenes", description=__doc__
    )
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args(arguments).folder
    for name in _CLASSES:
        print(draw_scene(name, folder))


if __name__ == "__main__":
    main()
