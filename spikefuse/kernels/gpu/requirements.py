"""What CUDA kernels need: a driver, a GPU, torch with CUDA, and CuPy with NVRTC to match it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec

_OLDEST = 75  # compute capability 7.5: the first that the kernels are compiled for


@dataclass(frozen=True)
class Machine:
    """What is installed, in CUDA's own version numbers (13000 is 13.0); 0 where it is absent.

    Attributes
    ----------
    torch : int
        CUDA that torch was built with.
    cupy : int
        CUDA that CuPy was built with.
    driver : int
        Newest CUDA that the driver knows.
    nvrtc : int
        The run-time compiler.
    capability : int
        Compute capability of the first GPU that torch sees, ten times (80 is 8.0).
    broken : str
        Why CuPy is installed but does not import.
    """

    torch: int = 0
    cupy: int = 0
    driver: int = 0
    nvrtc: int = 0
    capability: int = 0
    broken: str = ""


@cache
def missing() -> str | None:
    """Why the CUDA kernels cannot run here, with what to type; None if they can."""
    return what_misses(read_machine())


def what_misses(machine: Machine) -> str | None:
    """The first thing that a machine lacks."""
    major = machine.torch // 1000
    if not major:
        return (
            "torch is built without CUDA: pip install torch "
            "--index-url https://download.pytorch.org/whl/cu130"
        )
    install = f"pip install 'spikefuse[cuda{major}]'"
    if machine.broken:
        return f"cupy does not import ({machine.broken}): {install}"
    if not machine.cupy:
        return f"cupy is not installed: {install}"
    if machine.cupy // 1000 != major:
        other = machine.cupy // 1000
        return (
            f"cupy is built for CUDA {other}, torch for CUDA {major}: "
            f"pip uninstall cupy-cuda{other}x && {install}"
        )
    if not machine.driver:
        return f"no NVIDIA driver is loaded: install one that knows CUDA {major}"
    if machine.driver // 1000 < major:
        return (
            f"the NVIDIA driver is too old: it knows CUDA {_dotted(machine.driver)}, torch needs "
            f"{_dotted(machine.torch)}; update the driver, or install torch for CUDA "
            f"{machine.driver // 1000}"
        )
    if not machine.nvrtc:
        return f"NVRTC is not installed: pip install 'cuda-toolkit[nvrtc,cudart]=={major}.*'"
    if not machine.capability:
        return "torch sees no CUDA device: check nvidia-smi and CUDA_VISIBLE_DEVICES"
    if machine.capability < _OLDEST:
        return (
            f"the GPU is too old: compute capability {machine.capability / 10}, the kernels need "
            f"{_OLDEST / 10}"
        )
    return None


def read_machine() -> Machine:
    """What is installed here; nothing is imported that a machine without CUDA would not use."""
    import torch

    version = torch.version.cuda
    if version is None:
        return Machine()
    major, _, minor = version.partition(".")
    built = 1000 * int(major) + 10 * int(minor)
    if not find_spec("cupy"):
        return Machine(built)
    try:
        import cupy
    except Exception as error:  # whatever a broken installation raises
        return Machine(built, broken=f"{type(error).__name__}: {error}".splitlines()[0])
    capability = 0
    if torch.cuda.is_available():
        capability = int("".join(str(part) for part in torch.cuda.get_device_capability()))
    return Machine(
        built,
        cupy=int(cupy.cuda.runtime.runtimeGetVersion()),
        driver=int(cupy.cuda.runtime.driverGetVersion()),
        nvrtc=_nvrtc(),
        capability=capability,
    )


def _nvrtc() -> int:
    """Version of the run-time compiler that CuPy finds, or 0."""
    from cupy.cuda import nvrtc

    try:
        major, minor = nvrtc.getVersion()
    except Exception:  # CuPy's own error where the library is absent
        return 0
    return 1000 * int(major) + 10 * int(minor)


def _dotted(version: int) -> str:
    """13000 as 13.0."""
    return f"{version // 1000}.{version % 1000 // 10}"
