"""The wheel: its top-level names, its data files, its command; built without a network."""

import configparser
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]
PACKAGES = ["analysis", "experiments", "sensors", "spikefuse"]
DATA_SUFFIXES = {".toml", ".j2", ".js", ".css", ".cu", ".cuh", ".typed"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of a copy of the sources, so that no old build folder leaks into it."""
    source = tmp_path_factory.mktemp("source")
    for folder in [*PACKAGES, "tests"]:
        shutil.copytree(
            CHECKOUT / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__")
        )
    for name in ["pyproject.toml", "README.md", "LICENSE"]:
        shutil.copy(CHECKOUT / name, source)
    # Without isolation nothing is downloaded: the environment's setuptools builds.
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", "out", "."]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = (source / "out").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def members(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def project() -> dict:
    return tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_top_level_names(members: set[str]) -> None:
    top = {name.partition("/")[0] for name in members}
    assert top == {*PACKAGES, f"spikefuse-{project()['version']}.dist-info"}


def test_every_source_and_data_file_is_inside(members: set[str]) -> None:
    expected = {
        path.relative_to(CHECKOUT).as_posix()
        for package in PACKAGES
        for path in (CHECKOUT / package).rglob("*")
        if path.suffix in {".py", *DATA_SUFFIXES} or path.name == "py.typed"
    }
    assert {f"{package}/py.typed" for package in PACKAGES} <= expected
    assert sorted(expected - members) == []


def test_hardware_profiles_and_recipes_are_data_files(members: set[str]) -> None:
    assert any(n.startswith("spikefuse/cost/hardware/") and n.endswith(".toml") for n in members)
    assert any(n.startswith("experiments/recipes/") and n.endswith(".toml") for n in members)
    for suffix in (".html.j2", ".css", ".js"):
        assert any(n.startswith("analysis/report/") and n.endswith(suffix) for n in members)


def test_cuda_sources_and_headers_are_data_files(members: set[str]) -> None:
    folder = CHECKOUT / "spikefuse" / "kernels" / "gpu"
    shipped = {path.name for suffix in ("cu", "cuh") for path in folder.glob(f"*.{suffix}")}
    assert {"products.cu", "common.cuh"} <= shipped
    assert {f"spikefuse/kernels/gpu/{name}" for name in shipped} <= members


def test_no_tests_and_no_caches_inside(members: set[str]) -> None:
    stray = [n for n in members if "tests" in n or "conftest" in n or "__pycache__" in n]
    assert stray == []


def test_console_script(wheel: Path, members: set[str]) -> None:
    (entry,) = (name for name in members if name.endswith("entry_points.txt"))
    parser = configparser.ConfigParser()
    with zipfile.ZipFile(wheel) as archive:
        parser.read_string(archive.read(entry).decode())
    assert dict(parser["console_scripts"]) == {"spikefuse": "experiments.cli:main"}


def test_the_wheel_alone_can_be_imported(wheel: Path, tmp_path: Path) -> None:
    code = (
        "import spikefuse, sensors, experiments, analysis\n"
        "print(spikefuse.__version__, *(m.__file__ for m in (spikefuse, sensors, experiments, "
        "analysis)), sep='\\n')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(wheel)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    version, *files = done.stdout.split("\n")[:5]
    assert version == project()["version"]
    assert all(name.startswith(str(wheel)) for name in files)


def test_versions_agree() -> None:
    citation = (CHECKOUT / "CITATION.cff").read_text(encoding="utf-8")
    changelog = (CHECKOUT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"\nversion: {project()['version']}\n" in citation
    assert f"\n## {project()['version']}" in changelog
