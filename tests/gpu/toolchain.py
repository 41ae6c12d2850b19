"""Where NVIDIA's compilers are on this machine: the system's, or those that pip installs."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import subprocess
import sysconfig
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from spikefuse.kernels.gpu import sources

ARCHITECTURES = (75, 80, 86, 89, 90, 100, 120)
_INSTALL = "pip install 'cuda-toolkit[nvcc,nvrtc,cudart,cccl]==13.*'"


def _roots() -> list[Path]:
    """Folders of toolkits: named by the environment, installed by pip, or the system's."""
    named = [os.environ[name] for name in ("CUDA_HOME", "CUDA_PATH") if name in os.environ]
    packages = Path(sysconfig.get_paths()["purelib"]) / "nvidia"
    installed = sorted([*packages.glob("cu*"), *packages.glob("cuda_*")], reverse=True)
    return [Path(root) for root in (*named, *installed, "/usr/local/cuda", "/opt/cuda")]


@cache
def nvcc() -> Path | None:
    """The compiler, or None."""
    for root in _roots():
        if (root / "bin" / "nvcc").exists():
            return root / "bin" / "nvcc"
    found = shutil.which("nvcc")
    return Path(found) if found else None


@cache
def nvrtc() -> ctypes.CDLL | None:
    """The run-time compiler, or None."""
    for root in _roots():
        for folder in ("lib", "lib64"):
            for path in sorted((root / folder).glob("libnvrtc.so.*")):
                # It looks for its own builtins by name only: they are found if they are loaded.
                for builtins in sorted((root / folder).glob("libnvrtc-builtins.so.*")):
                    ctypes.CDLL(str(builtins), mode=ctypes.RTLD_GLOBAL)
                return ctypes.CDLL(str(path))
    return None


def why_no_nvcc() -> str:
    return "" if nvcc() else f"nvcc is not installed: {_INSTALL}"


def why_no_nvrtc() -> str:
    return "" if nvrtc() else f"NVRTC is not installed: {_INSTALL}"


def nvrtc_cubin(family: str, architecture: int) -> bytes:
    """A family compiled as the launch layer does.

    Raises
    ------
    ValueError
        If NVRTC gives an error or a warning.
    """
    library = nvrtc()
    assert library is not None
    text = (sources.FOLDER / f"{family}.cu").read_bytes()
    options = [*sources.FLAGS, f"-arch=sm_{architecture}", f"-I{sources.FOLDER}"]
    raw = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
    program = ctypes.c_void_p()
    name = f"{family}.cu".encode()
    library.nvrtcCreateProgram(ctypes.byref(program), text, name, 0, None, None)
    try:
        status = library.nvrtcCompileProgram(program, len(options), raw)
        log = _text(library, "Program Log", program)
        if status or log.strip():
            raise ValueError(f"{family} must compile for sm_{architecture}, got {log}")
        return _bytes(library, "CUBIN", program)
    finally:
        library.nvrtcDestroyProgram(ctypes.byref(program))


def _bytes(library: ctypes.CDLL, what: str, program: ctypes.c_void_p) -> bytes:
    """One result of a program."""
    stem = what.replace(" ", "")
    size = ctypes.c_size_t()
    getattr(library, f"nvrtcGet{stem}Size")(program, ctypes.byref(size))
    buffer = ctypes.create_string_buffer(size.value)
    getattr(library, f"nvrtcGet{stem}")(program, buffer)
    return buffer.raw


def _text(library: ctypes.CDLL, what: str, program: ctypes.c_void_p) -> str:
    return _bytes(library, what, program).rstrip(b"\0").decode()


@dataclass(frozen=True)
class Usage:
    """What a kernel takes on an architecture."""

    kernel: str
    architecture: int
    registers: int
    stack_bytes: int
    spilled_bytes: int
    shared_bytes: int


_USAGE = re.compile(
    r"Compiling entry function '(\w+)' for 'sm_(\d+)\w?'.*?"
    r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads.*?"
    r"Used (\d+) registers([^\n]*)",
    re.DOTALL,
)


def nvcc_usage(family: str, architectures: tuple[int, ...], folder: Path) -> list[Usage]:
    """A family compiled by nvcc, every warning an error; results go to ``folder``.

    Raises
    ------
    ValueError
        If nvcc gives an error or a warning.
    """
    targets = [f"-gencode=arch=compute_{a},code=sm_{a}" for a in architectures]
    strict = ["-Werror", "all-warnings", "-Xptxas", "-v,-warn-spills,-warn-lmem-usage"]
    out = ["-fatbin", "-o", str(folder / f"{family}.fatbin"), str(sources.FOLDER / f"{family}.cu")]
    command = [str(nvcc()), *sources.FLAGS, *targets, *strict, *out]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ValueError(f"{family} must compile without a warning, got {done.stderr}")
    found = []
    for kernel, sm, stack, stores, loads, registers, rest in _USAGE.findall(done.stderr):
        shared = re.search(r"(\d+) bytes smem", rest)
        spilled = int(stores) + int(loads)
        n_shared = int(shared[1]) if shared else 0
        found.append(Usage(kernel, int(sm), int(registers), int(stack), spilled, n_shared))
    return found
