"""The README's Python example runs as written."""

import subprocess
import sys
from pathlib import Path

README = (Path(__file__).parents[1] / "README.md").read_text()


def test_the_python_example_runs_as_written(tmp_path: Path) -> None:
    code = README.split("```python\n")[1].split("```")[0]
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stderr
    accumulates, energy_pj = map(float, done.stdout.split())
    assert energy_pj > 23.6 * accumulates > 0
