"""README, "Your own recordings": the printed commands on a folder in the layouts that it names."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from stand_ins import write_nmnist, write_wavs

README = (Path(__file__).resolve().parents[2] / "README.md").read_text()
SMALL = (
    "model.vision.convs=[]",
    "model.audio.convs=[]",
    "model.vision.hidden=8",
    "model.audio.hidden=8",
    "model.fusion_hidden=8",
    "train.epochs=2",
    "train.dense_epochs=2",
)


def printed_commands() -> list[list[str]]:
    """Command lines of the section, one list of words each."""
    section = README.split("## Your own recordings\n")[1].split("\n## ")[0]
    blocks = re.findall(r"```\n(.*?)```", section, flags=re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [shlex.split(line) for line in lines if line.startswith("spikefuse ")]


def run(words: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "experiments", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600)


def test_the_section_says_how_to_train_compare_and_sweep() -> None:
    assert [words[1] for words in printed_commands()] == ["train", "compare", "sweep", "compare"]


@pytest.mark.slow
def test_train_and_compare_run_as_printed_in_an_empty_folder(tmp_path: Path) -> None:
    write_nmnist(tmp_path / "DATA", n_train=10)
    write_wavs(tmp_path / "DATA")
    train, compare, *_ = printed_commands()
    small = [word for setting in SMALL for word in ("--set", setting)]
    done = run([*train[1:], *small], tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SNN fusion" in done.stdout
    assert (tmp_path / "RUN" / "report.html").stat().st_size > 50_000
    done = run(compare[1:], tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    out = json.loads((tmp_path / "out.json").read_text())
    assert out


def test_a_folder_without_recordings_is_one_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "DATA").mkdir()
    done = run(printed_commands()[0][1:], tmp_path)
    assert done.returncode == 1
    assert "NMNIST" in done.stderr
    assert "Traceback" not in done.stderr
