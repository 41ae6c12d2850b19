"""What an import pulls in, seen in `sys.modules` of a fresh interpreter."""

import subprocess
import sys

import pytest

HEAVY = ["numba", "cupy", "tonic", "matplotlib", "sklearn", "snntorch", "norse", "torch"]


def loaded_after(code: str) -> set[str]:
    """Top-level names in `sys.modules` after ``code`` ran in a new interpreter."""
    script = f"{code}\nimport sys\nprint('LOADED', *{{m.partition('.')[0] for m in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].removeprefix("LOADED ").split())


def loaded_by_command(*arguments: str) -> set[str]:
    """The same after the command line ran with ``arguments``, which must exit with 0."""
    return loaded_after(
        "import runpy, sys\n"
        f"sys.argv = ['spikefuse', *{list(arguments)!r}]\n"
        "try:\n"
        "    runpy.run_module('experiments', run_name='__main__', alter_sys=False)\n"
        "except SystemExit as stop:\n"
        "    assert not stop.code, f'exit code must be 0, got {stop.code}'"
    )


def test_the_probe_sees_an_import() -> None:
    assert "torch" in loaded_after("import torch")
    assert "torch" not in loaded_after("import json")


@pytest.mark.parametrize("package", ["spikefuse", "sensors", "experiments", "analysis"])
def test_importing_a_package_loads_nothing_heavy(package: str) -> None:
    loaded = loaded_after(f"import {package}")
    assert package in loaded
    assert sorted(loaded.intersection(HEAVY)) == []


def test_the_core_needs_torch_and_numpy_only() -> None:
    names = "EventStream, MultiStream, OpCounts, SpikeBatch, bin_events"
    loaded = loaded_after(f"from spikefuse import {names}")
    assert {"torch", "numpy"} <= loaded
    assert sorted(loaded.intersection(HEAVY)) == ["torch"]


def test_importing_the_command_line_loads_no_torch() -> None:
    loaded = loaded_after("import experiments.cli\nassert callable(experiments.cli.main)")
    assert sorted(loaded.intersection(HEAVY)) == []


def test_help_loads_no_torch() -> None:
    assert sorted(loaded_by_command("--help").intersection(HEAVY)) == []


@pytest.mark.parametrize("command", ["demo", "train", "evaluate", "compare", "report"])
def test_help_of_a_command_loads_no_torch(command: str) -> None:
    assert sorted(loaded_by_command(command, "--help").intersection(HEAVY)) == []


@pytest.mark.parametrize(
    ("given", "held"),
    [({}, "1000"), ({"OMP_WAIT_POLICY": "ACTIVE"}, None), ({"GOMP_SPINCOUNT": "5"}, "5")],
)
def test_idle_threads_of_a_command_sleep_unless_the_user_says_otherwise(
    given: dict[str, str], held: str | None
) -> None:
    loaded_after(
        "import os, sys\n"
        "for name in ('OMP_WAIT_POLICY', 'GOMP_SPINCOUNT'):\n    os.environ.pop(name, None)\n"
        f"os.environ.update({given!r})\n"
        "from experiments import cli\n"
        "assert 'torch' not in sys.modules, 'its threads read the variable once'\n"
        "sys.argv = ['spikefuse', '--help']\n"
        "try:\n    cli.main()\nexcept SystemExit:\n    pass\n"
        f"assert os.environ.get('GOMP_SPINCOUNT') == {held!r}"
    )
