"""The README's Python example runs as written, and its commands name what exists."""

import re
import subprocess
import sys
from pathlib import Path

from experiments.config import recipe_names

README = (Path(__file__).parents[1] / "README.md").read_text()


def test_the_python_example_runs_as_written(tmp_path: Path) -> None:
    code = README.split("```python\n")[1].split("```")[0]
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stderr
    accumulates, energy_pj = map(float, done.stdout.split())
    assert energy_pj > 23.6 * accumulates > 0


def test_the_named_recipes_and_files_exist() -> None:
    for recipe in re.findall(r"--config (\w+)", README):
        assert recipe in recipe_names()
    for target in re.findall(r"\]\(([\w./]+)\)", README):
        assert (Path(__file__).parents[1] / target).exists(), target
