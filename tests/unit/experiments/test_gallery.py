"""Pictures of the sensors: drawn from recordings in the published layout, refused without them."""

import csv
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
import stand_ins

from analysis.figures.sensors import _two_colours
from experiments.pictures.captions import RECORDINGS
from experiments.pictures.gallery import write_gallery
from experiments.pictures.sensors import draw_gallery
from spikefuse.errors import ConfigError, DataError
from spikefuse.events import EVENT_DTYPE, EventStream

NAMES = ("digit_events", "word_cochleas", "corruptions")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recordings")
    stand_ins.write_nmnist(folder, n_train=2, n_test=1)
    pictures = np.zeros((12, 28, 28), np.uint8)
    pictures[:, 6:22, 10:14] = 255
    np.savez(folder / "NMNIST" / "mnist_frames.npz", train_images=pictures)
    wavs = folder / "FSDD" / "recordings"
    wavs.mkdir(parents=True)
    tone = 0.3 * np.sin(2 * np.pi * 500 * np.arange(2400) / 8000)
    soundfile.write(wavs / "7_jackson_0.wav", tone, 8000)
    return folder


def test_three_figures_with_their_data(root: Path, tmp_path: Path) -> None:
    written = draw_gallery(root, tmp_path)
    kinds = ("png", "svg", "pdf", "csv")
    assert {p.name for p in written} == {f"{n}.{s}" for n in NAMES for s in kinds}
    with (tmp_path / "digit_events.csv").open() as file:
        rows = list(csv.DictReader(file))
    recorded = [r["recording_p"] for r in rows if r["recording_p"]]
    raw = np.fromfile(next(root.glob("NMNIST/Train/*/00008.bin")), np.uint8).reshape(-1, 5)
    assert [p == "True" for p in recorded] == [not bit >> 7 for bit in raw[:, 2]]
    assert len([r for r in rows if r["our pixel model_t"]]) > 100
    text = (tmp_path / "digit_events.svg").read_text()
    assert "Orchard et al. 2015, CC BY-SA 4.0" in text
    assert "CC BY-SA 4.0" in (tmp_path / "word_cochleas.svg").read_text()


def test_a_frame_shows_on_in_red_off_in_blue_and_both_dark() -> None:
    events = np.zeros(13, EVENT_DTYPE)
    events["t"] = [0, *[140_000] * 12]
    events["x"] = [3, 0, 0, 0, 1, 1, 1, 2, 2, 2, 2, 2, 2]
    events["p"] = [1, 1, 1, 1, 0, 0, 0, 1, 1, 1, 0, 0, 0]
    red, blue, both, outside = _two_colours(EventStream(events, (4, 1, 2), 300_000, "vision"))[0]
    assert red[0] > red[2]
    assert blue[2] > blue[0]
    assert both.sum() < min(red.sum(), blue.sum())
    assert outside.tolist() == [1.0, 1.0, 1.0]  # at 0 ms: not in the frame's time


def test_what_is_missing_is_named(root: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--root must hold NMNIST/mnist_frames.npz and"):
        draw_gallery(tmp_path, tmp_path / "out")
    with pytest.raises(ConfigError, match=r"FSDD/recordings/1_theo_9.wav"):
        draw_gallery(root, tmp_path / "out", spoken="1_theo_9.wav")
    with pytest.raises(DataError, match="train_images up to number 19"):
        draw_gallery(root, tmp_path / "out", index=19)


def test_a_page_of_recordings_links_what_it_wrote(root: Path, tmp_path: Path) -> None:
    page = write_gallery(tmp_path, [], root).read_text()
    links = re.findall(r"\]\((gallery/[^)]+)\)", page)
    assert [Path(link).stem for link in links] == list(RECORDINGS)
    assert all((tmp_path / link).read_bytes().startswith(b"\x89PNG") for link in links)
    assert page.count("CC BY-SA 4.0") == 2
    with pytest.raises(ConfigError, match="RUN or --root must be given, got neither"):
        write_gallery(tmp_path, [])


def test_the_gallery_in_the_docs_is_small_and_whole() -> None:
    docs = Path(__file__).resolve().parents[3] / "docs"
    links = re.findall(r"\]\((gallery/[^)]+)\)", (docs / "gallery.md").read_text())
    pictures = sorted((docs / "gallery").glob("*.png"))
    assert sorted(docs / link for link in links) == pictures
    assert sum(path.stat().st_size for path in pictures) <= 1_500_000


@pytest.mark.realdata
def test_real_recordings_fill_the_page(data_root: Path, tmp_path: Path) -> None:
    page = write_gallery(tmp_path, [], data_root).read_text()
    assert all(f"(gallery/{name}.png)" in page for name in RECORDINGS)
    # Much is drawn: a blank picture of this size is a few kB.
    assert min(path.stat().st_size for path in (tmp_path / "gallery").glob("*.png")) > 10_000
