"""The gallery of finished runs."""

import re
from pathlib import Path

import pytest

from experiments.pictures.captions import RUNS
from experiments.pictures.gallery import write_gallery
from spikefuse.errors import ConfigError


@pytest.mark.slow
def test_a_second_run_shows_what_is_its_own(drawn_run: Path, write, result, tmp_path: Path) -> None:
    result["name"] = "other"
    other = write(result)
    (other / "config.toml").write_text('name = "other"\n')
    page = write_gallery(tmp_path, [drawn_run, other]).read_text()
    links = re.findall(r"\]\((gallery/[^)]+)\)", page)
    first = [link for link in links if not link.startswith("gallery/other")]
    assert len(first) > 10
    assert {Path(link).stem.partition("_")[2] for link in first} <= set(RUNS)
    assert [link for link in links if link not in first] == ["gallery/other_raster.png"]
    assert (tmp_path / "gallery" / "other.toml").is_file()
    assert f"spikefuse gallery {tmp_path.name} " in page
    assert f"spikefuse train --config {tmp_path.name}/gallery/other.toml" in page
    # A later page takes away what only this one showed, and nothing else.
    (tmp_path / "gallery" / "mine.png").write_bytes(b"")
    write_gallery(tmp_path, [other])
    left = {path.name for path in (tmp_path / "gallery").glob("*.png")}
    assert "mine.png" in left
    assert "other_raster.png" in left
    assert not [name for name in left if name.startswith("tiny")]


def test_two_runs_of_one_name_are_refused(drawn_run: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="runs of different names, got two of 'tiny'"):
        write_gallery(tmp_path / "page", [drawn_run, drawn_run])
    assert not (tmp_path / "page").exists()
