"""The tutorials run as they are printed, at small size, in a folder of their own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TUTORIALS = Path(__file__).resolve().parents[2] / "docs" / "tutorials"
SAID = {
    "first_fusion": ["both: ", "loihi1_davies2018: ", "picture: "],
    "your_own": ["refused: ", "my_chip: ", "updates of neurons"],
    "own_operator": ["chunks equal the whole", "as counted by hand", "report: "],
    "energy_claim": ["the claim: ", "+ the sensors' own power", "yan2024_22nm: "],
}


def test_every_tutorial_is_run_and_listed() -> None:
    scripts = {path.stem for path in TUTORIALS.glob("*.py")} - {"surround"}
    assert scripts == set(SAID)
    page = (TUTORIALS / "README.md").read_text()
    assert all(f"({name}.py)" in page for name in scripts)


@pytest.mark.slow
@pytest.mark.parametrize("name", SAID)
def test_a_tutorial_runs(name: str, tmp_path: Path) -> None:
    environment = os.environ | {"SPIKEFUSE_SMALL": "1", "MPLBACKEND": "Agg"}
    done = subprocess.run(
        [sys.executable, str(TUTORIALS / f"{name}.py"), str(tmp_path / "out")],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    for words in SAID[name]:
        assert words in done.stdout, words
