"""One page with every figure, from recordings and finished runs: ``spikefuse gallery OUT``."""

from __future__ import annotations

import io
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from experiments.files import write_bytes, write_text
from experiments.pictures.captions import RECORDINGS, RUNS
from spikefuse.errors import ConfigError

# A first run shows all it has; of a further one these are its own, whatever was shown before.
_OF_EVERY_RUN = ("raster", "delays")
_WIDTH_PX = 800


@dataclass(frozen=True)
class Shown:
    """A picture of the page.

    Parameters
    ----------
    name : str
        Of the figure, as in the captions.
    file : str
        Its path below the page's folder.
    origin : str
        Where it comes from.
    """

    name: str
    file: str
    origin: str


def write_gallery(out: Path, runs: Sequence[Path], root: Path | None = None) -> Path:
    """Write ``out/gallery.md`` and small PNGs in ``out/gallery``.

    Parameters
    ----------
    out : Path
    runs : sequence of Path
        Finished run directories. The configuration of each is kept beside the pictures.
    root : Path, optional
        Folder with ``NMNIST`` and ``FSDD``: pictures of recordings; none of them without it.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    ConfigError
        If there is nothing to show, two runs have one name, or a folder is no finished run.
    """
    if not runs and root is None:
        raise ConfigError("RUN or --root must be given, got neither: there is nothing to show")
    titles = [_title(path) for path in runs]
    twice = [title for i, title in enumerate(titles) if title in titles[:i]]
    if twice:
        raise ConfigError(f"RUN must be runs of different names, got two of {twice[0]!r}")
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        recorded = [] if root is None else _of_recordings(root, scratch, out)
        by_run = _of_runs(runs, scratch, out)
    page = out / "gallery.md"
    text = _page(recorded, by_run, runs, root, out.resolve().name)
    if page.is_file():
        for old in _pictures(page.read_text(encoding="utf-8")) - _pictures(text):
            (out / old).unlink(missing_ok=True)
    write_text(page, text)
    return page


def _pictures(page: str) -> set[str]:
    """Pictures that a gallery page shows, below its folder."""
    return set(re.findall(r"\]\((gallery/[\w.-]+\.png)\)", page))


def _title(run: Path) -> str:
    """Name of a finished run."""
    from analysis.records import load_run

    return str(load_run(run).result["name"])


def _of_recordings(root: Path, scratch: Path, out: Path) -> list[Shown]:
    """Pictures of real recordings; each says whose they are."""
    from analysis.figures import draw_cochleagram, draw_event_frames
    from experiments.pictures.sensors import (
        FSDD_SOURCE,
        NMNIST_SOURCE,
        draw_gallery,
        recorded_digit,
        word,
    )
    from sensors.cochlea import Cochlea

    index, spoken = 8, "7_jackson_0.wav"
    written = draw_gallery(root, scratch, index, spoken)
    _, stream = recorded_digit(root, index)
    written += draw_event_frames(
        stream,
        scratch,
        title=f"Number {index} of N-MNIST's train part. {NMNIST_SOURCE}",
    )
    wave, rate_hz = word(root, spoken)
    cochlea = Cochlea()
    drive = cochlea.drive(wave, rate_hz)
    every = rate_hz // 1000  # a value per millisecond is what can be seen
    whole = drive[:, : drive.shape[1] // every * every]
    written += draw_cochleagram(
        whole.reshape(len(drive), -1, every).mean(2),
        rate_hz / every,
        scratch,
        centre_hz=np.asarray(cochlea.center_frequencies_hz, np.float64),
        title=f"{spoken}. {FSDD_SOURCE}",
    )
    sources = f"{NMNIST_SOURCE}; {FSDD_SOURCE}"
    drawn = {path.stem: path for path in written if path.suffix == ".png"}
    return [_kept(drawn[name], name, name, sources, out) for name in RECORDINGS if name in drawn]


def _of_runs(runs: Sequence[Path], scratch: Path, out: Path) -> dict[str, list[Shown]]:
    """Pictures of each run, by its name; what an earlier one has shown is left out."""
    from analysis.figures import draw_spikes, draw_stress, make_figures
    from analysis.figures.raster import panels_of
    from analysis.records import load_run
    from analysis.stress_tables import read_stress

    shown: dict[str, list[Shown]] = {}
    before: set[str] = set()
    for path in runs:
        run = load_run(path)
        title = str(run.result["name"])
        folder = scratch / title
        written = make_figures(path, folder)
        if run.raster is not None:
            *_, fused = panels_of(run.raster)
            length, step = float(run.raster["duration_ms"]), float(run.raster["dt_ms"])
            written += draw_spikes(fused, length, folder, "spikes", step)
        stress = read_stress(path)
        if stress is not None:
            written += draw_stress(stress, folder)
        drawn = {p.stem: p for p in written if p.suffix == ".png"}
        names = [n for n in RUNS if n in drawn and (n not in before or n in _OF_EVERY_RUN)]
        shown[title] = [_kept(drawn[n], n, f"{title}_{n}", title, out) for n in names]
        before |= set(names)
        if (path / "config.toml").is_file():
            write_bytes(out / "gallery" / f"{title}.toml", (path / "config.toml").read_bytes())
    return shown


def _kept(source: Path, name: str, file: str, origin: str, out: Path) -> Shown:
    """A picture of the page's width, in few colours."""
    from PIL import Image

    with Image.open(source) as image:
        small = image.convert("RGB")
        if small.width > _WIDTH_PX:
            height = round(small.height * _WIDTH_PX / small.width)
            small = small.resize((_WIDTH_PX, height), Image.Resampling.LANCZOS)
        buffer = io.BytesIO()
        small.quantize(96, dither=Image.Dither.NONE).save(buffer, format="PNG", optimize=True)
    write_bytes(out / "gallery" / f"{file}.png", buffer.getvalue())
    return Shown(name, f"gallery/{file}.png", origin)


def _page(
    recorded: Sequence[Shown],
    by_run: dict[str, list[Shown]],
    runs: Sequence[Path],
    root: Path | None,
    folder: str,
) -> str:
    """The page's text."""
    names = " ".join(path.name for path in runs)
    command = " ".join(f"spikefuse gallery {folder} {names}".split())
    lines = [
        "# Gallery",
        "",
        "Every kind of figure, from real recordings and finished runs. In a run directory each is",
        "PNG, SVG and PDF with its data as CSV beside it (`figures/`); from Python all are",
        "`analysis.figures.draw_*`. This page is written by",
        "",
        f"    {command}{'' if root is None else ' --root DATA'}",
        "",
    ]
    if recorded:
        lines += ["## Recordings", "", f"{recorded[0].origin}.", ""]
        lines += _entries(recorded, RECORDINGS)
    for title, shown in by_run.items():
        lines += [f"## Run `{title}`", ""]
        lines += [
            f"Trained again by `spikefuse train --config {folder}/gallery/{title}.toml`.",
            "",
        ]
        lines += _entries(shown, RUNS)
    return "\n".join(lines)


def _entries(shown: Sequence[Shown], captions: dict[str, str]) -> list[str]:
    """Pictures with what they show."""
    lines: list[str] = []
    for entry in shown:
        lines += [f"### `{entry.name}`", "", captions[entry.name], ""]
        lines += [f"![{captions[entry.name]}]({entry.file})", ""]
    return lines
