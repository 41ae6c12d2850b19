"""Builds a family of kernels for the emulator: the `.cu` text that ships, by g++, with a sanitizer.

Results are kept in a folder of the user's temporary directory, named after a hash of everything
that went in; parallel test processes may build the same one.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from spikefuse.kernels.gpu import sources

HERE = Path(__file__).parent
_SHARED = [HERE / name for name in ("launch.h", "scheduler.cpp", "runner.cpp")]
SANITIZERS = {
    "undefined": ["-fsanitize=undefined", "-fno-sanitize-recover=undefined"],
    "address": [
        "-fsanitize=address,undefined",
        "-fsanitize-sections=emu_shared",  # red zones between arrays of static shared memory
        "-fno-sanitize-recover=all",
        "-DEMU_ADDRESS",
    ],
    "thread": ["-fsanitize=thread", "-DEMU_THREAD"],
}
# No contraction: the kernels are compiled for GPUs with -fmad=false. No strict aliasing: CUDA reads
# arrays through vector types.
FLAGS = ["-std=c++17", "-O1", "-g1", "-ffp-contract=off", "-fno-math-errno", "-fno-strict-aliasing"]
WARNINGS = ["-Wall", "-Wextra", "-Wno-unknown-pragmas", "-Wno-attributes"]


class BuildError(Exception):
    """The compiler refused a kernel."""


@cache
def why_not() -> str | None:
    """Why nothing can be built here, or None."""
    if platform.system() != "Linux":
        return f"the emulator needs Linux, got {platform.system()}"
    compiler = shutil.which("g++")
    if compiler is None:
        return "the emulator needs g++, which is not installed"
    version = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=False)
    if "Free Software Foundation" not in version.stdout:
        return f"the emulator needs GNU g++, got {version.stdout.splitlines()[0]}"
    return None


def build(family: str, sanitizer: str, folder: Path = sources.FOLDER) -> Path:
    """The runner of a family's kernels, built if it is not there.

    Raises
    ------
    BuildError
        If the compiler gives an error or a warning.
    """
    ours = [folder / f"{family}.cu", *sorted(folder.glob("*.cuh")), HERE / "cuda_on_cpu.h"]
    runner = _cached(f"{family}-{sanitizer}", [*ours, *_SHARED])
    if not runner.exists():
        with tempfile.TemporaryDirectory(dir=_cache()) as scratch:
            module = Path(scratch) / "module.cpp"
            module.write_text(_module(family, folder), encoding="utf-8")
            kernels, linked = Path(scratch) / "module.o", Path(scratch) / "runner"
            sanitize = SANITIZERS[sanitizer]
            force = ["-include", str(HERE / "cuda_on_cpu.h")]
            # A seeded fault may leave a name unused.
            strict = ["-Werror"] if folder == sources.FOLDER else []
            flags = [*FLAGS, *WARNINGS, *strict, *sanitize, *force]
            _run([*flags, "-c", str(module), "-o", str(kernels)])
            objects = [str(kernels), *map(str, _shared_objects(sanitizer))]
            _run([*sanitize, *objects, "-o", str(linked)])
            os.replace(linked, runner)
    return runner


def _shared_objects(sanitizer: str) -> list[Path]:
    """The runner with the sanitizer and the scheduler without, which serve all families."""
    objects = []
    for name, flags in (("runner", SANITIZERS[sanitizer]), ("scheduler", _plain(sanitizer))):
        kept = _cached(f"{name}-{sanitizer}.o", _SHARED)
        if not kept.exists():
            with tempfile.TemporaryDirectory(dir=_cache()) as scratch:
                made = Path(scratch) / "made.o"
                _run([*FLAGS, *flags, "-c", str(HERE / f"{name}.cpp"), "-o", str(made)])
                os.replace(made, kept)
        objects.append(kept)
    return objects


def _plain(sanitizer: str) -> list[str]:
    """The flags of a sanitizer but those that instrument."""
    return [flag for flag in SANITIZERS[sanitizer] if not flag.startswith("-fsanitize")]


def _module(family: str, folder: Path) -> str:
    """The kernels, and a function that finds them by name."""
    entries = "".join(
        f'  if (!strcmp(name, "{name}")) return [](const EmuLaunch* how, void** arguments) '
        f"{{ return emu::launch(&{name}, how, arguments); }};\n"
        for name in sources.kernels(family, folder)
    )
    return (
        f'#include "{folder / family}.cu"\n'
        f"EmuKernel emu_kernel(const char* name) {{\n{entries}  return nullptr;\n}}\n"
    )


def _cached(name: str, parts: list[Path]) -> Path:
    """Where the result of these files is kept."""
    text = "".join(path.read_text(encoding="utf-8") for path in parts)
    key = hashlib.sha256(repr((text, SANITIZERS, FLAGS, WARNINGS)).encode()).hexdigest()
    return _cache() / f"{key[:16]}-{name}"


def _run(arguments: list[str]) -> None:
    """g++ with these arguments."""
    done = subprocess.run(["g++", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise BuildError(done.stderr)


@cache
def _cache() -> Path:
    """Where built runners are kept; nobody else may write there."""
    folder = Path(tempfile.gettempdir()) / f"spikefuse-emulator-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise BuildError(f"{folder} must belong to this user")
    return folder
