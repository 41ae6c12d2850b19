"""The rules of the house that a machine can check: sizes, imports, paths."""

import ast
import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]
PACKAGES = ["analysis", "experiments", "sensors", "spikefuse"]
NUMBA_FOLDERS = ("spikefuse/kernels/cpu/", "sensors/_numba/")
CUPY_FOLDERS = ("spikefuse/kernels/gpu/",)
# Commands about GPUs; nothing else imports them but inside a function.
GPU_COMMANDS = ("experiments/gpu/",)
# Absolute ones only: neither a folder of that name in a relative path nor one in a URL.
MACHINE_PATH = re.compile(r"(?<![\w.}>])/(?:work|root|home)/[\w.]")
TEXT_SUFFIXES = {".py", ".toml", ".md", ".cff", ".j2", ".cu", ".cuh", ".txt", ".yml", ""}


def imports(source: str) -> Iterator[tuple[str, bool]]:
    """Absolute module names that ``source`` imports, and whether inside a function."""

    def walk(node: ast.AST, inside: bool) -> Iterator[tuple[str, bool]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                yield from ((alias.name, inside) for alias in child.names)
            elif isinstance(child, ast.ImportFrom) and child.module and not child.level:
                yield child.module, inside
                yield from ((f"{child.module}.{alias.name}", inside) for alias in child.names)
            is_function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from walk(child, inside or is_function)

    return walk(ast.parse(source), False)


def modules() -> Iterator[tuple[str, str]]:
    """Path in the checkout and text of every module of the four packages."""
    for package in PACKAGES:
        for path in sorted((CHECKOUT / package).rglob("*.py")):
            yield path.relative_to(CHECKOUT).as_posix(), path.read_text(encoding="utf-8")


def importers(library: str) -> dict[str, bool]:
    """Paths that import ``library``; True where every such import is inside a function."""
    found: dict[str, bool] = {}
    for path, source in modules():
        places = [lazy for name, lazy in imports(source) if name.partition(".")[0] == library]
        if places:
            found[path] = all(places)
    return found


def project_files() -> Iterator[Path]:
    """Text files of the project: no build product, no cache, no virtual environment."""
    for folder, names, files in os.walk(CHECKOUT):
        here = Path(folder)
        names[:] = [
            name
            for name in names
            if (not name.startswith(".") or name == ".ci")
            and name not in {"__pycache__", "build", "dist", "runs"}
            and not name.endswith(".egg-info")
            and not (here / name / "pyvenv.cfg").exists()
        ]
        yield from (here / name for name in files if Path(name).suffix in TEXT_SUFFIXES)


def test_the_import_scan_finds_every_form() -> None:
    source = (
        "import a.b\nfrom c import d\nfrom . import e\ndef f():\n    import g\n    from h import i"
    )
    assert set(imports(source)) == {
        ("a.b", False),
        ("c", False),
        ("c.d", False),
        ("g", True),
        ("h", True),
        ("h.i", True),
    }


def test_no_module_is_too_long() -> None:
    script = CHECKOUT / ".ci" / "check_sizes.py"
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("name", "n_lines", "status"),
    [
        ("spikefuse/a.py", 400, 0),
        ("spikefuse/a.py", 401, 1),
        ("analysis/page.html.j2", 401, 1),
        ("tests/test_a.py", 500, 0),
        ("tests/test_a.py", 501, 1),
    ],
)
def test_the_size_check_counts(tmp_path: Path, name: str, n_lines: int, status: int) -> None:
    for folder in [*PACKAGES, "tests"]:
        (tmp_path / folder).mkdir()
    (tmp_path / name).write_text("x = 1\n" * n_lines, encoding="utf-8")
    command = [sys.executable, CHECKOUT / ".ci" / "check_sizes.py", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == status
    assert (name in done.stdout) == bool(status)


def test_tonic_is_imported_by_one_module_inside_a_function() -> None:
    assert importers("tonic") == {"sensors/tonic_source.py": True}


def test_numba_stays_in_its_folders() -> None:
    assert [path for path in importers("numba") if not path.startswith(NUMBA_FOLDERS)] == []


def test_cupy_stays_in_its_folder() -> None:
    assert [path for path in importers("cupy") if not path.startswith(CUPY_FOLDERS)] == []


@pytest.mark.parametrize("folder", [*NUMBA_FOLDERS, *CUPY_FOLDERS])
def test_accelerated_modules_are_imported_inside_functions_only(folder: str) -> None:
    dotted = folder.strip("/").replace("/", ".")
    eager = [
        path
        for path, source in modules()
        if not path.startswith((folder, *GPU_COMMANDS))
        for name, lazy in imports(source)
        if not lazy and (name == dotted or name.startswith(dotted + "."))
    ]
    assert eager == []


@pytest.mark.parametrize("library", ["torchvision", "torchaudio", "pandas", "sinabs"])
def test_libraries_that_stay_out(library: str) -> None:
    assert importers(library) == {}


@pytest.mark.parametrize("library", ["matplotlib", "sklearn", "snntorch", "norse", "scipy"])
def test_heavy_libraries_are_imported_inside_functions(library: str) -> None:
    assert [path for path, lazy in importers(library).items() if not lazy] == []


@pytest.mark.parametrize(
    ("text", "is_path"),
    [
        ("see {}work/x", True),
        ("'{}root/.cache'", True),
        ("\n{}home/a", True),
        ("https://a.org{}home/b", False),
        ("data{}root/x", False),
    ],
)
def test_the_path_pattern(text: str, is_path: bool) -> None:
    assert bool(MACHINE_PATH.search(text.format("/"))) == is_path


def test_no_machine_path_in_any_file() -> None:
    files = list(project_files())
    assert {"pyproject.toml", "run", "test_structure.py", "events.py"} <= {f.name for f in files}
    found = [
        f"{path.relative_to(CHECKOUT)}: {match.group()}"
        for path in files
        for match in [MACHINE_PATH.search(path.read_text(encoding="utf-8"))]
        if match
    ]
    assert found == []


def test_import_contracts_hold() -> None:
    script = Path(sysconfig.get_path("scripts")) / "lint-imports"
    done = subprocess.run(
        [script, "--no-cache"], cwd=CHECKOUT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout
