"""Launches kernels: on a GPU through CuPy, or through whatever stands in for one.

Everything above `current` is the same code for both.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor

from spikefuse.errors import BackendError
from spikefuse.kernels.gpu import sources
from spikefuse.kernels.gpu.sources import Argument, Launcher, Size

# One for all threads: autograd runs backward passes on threads of its own.
_stand_in: Launcher | None = None


@contextmanager
def using(launcher: Launcher) -> Iterator[None]:
    """Run every kernel inside the block by ``launcher``, on tensors of the host."""
    global _stand_in
    before, _stand_in = _stand_in, launcher
    try:
        yield
    finally:
        _stand_in = before


def emulated() -> bool:
    """Whether something stands in for the GPU."""
    return _stand_in is not None


def current() -> Launcher:
    """What runs a kernel now."""
    return _cupy() if _stand_in is None else _stand_in


class CupyLauncher:
    """Launches on torch's current stream of the device that holds the tensors.

    CuPy would compile with ``-ftz=true`` whatever it is told, so NVRTC is called here and the
    finished module loaded. Memory is torch's throughout: CuPy allocates nothing.
    """

    def __call__(
        self,
        family: str,
        kernel: str,
        grid: Size,
        block: Size,
        arguments: Sequence[Argument],
        shared_bytes: int = 0,
    ) -> None:
        """Launch once, as `sources.Launcher` says.

        Raises
        ------
        ValueError
            If the arguments do not fit the kernel's signature or lie on several devices.
        BackendError
            If the kernel does not compile, or needs more shared memory than a block has.
        """
        from cupy.cuda import Device, Stream

        signature = sources.kernels(family)[kernel]
        check_block(signature, grid, block)
        given = sources.bound(signature, arguments)
        device = device_of(signature, given)
        function, most = _function(family, kernel, device)
        if shared_bytes > most:
            raise BackendError(
                f"backend 'cuda' cannot run {kernel} here: a block needs {shared_bytes} bytes of "
                f"shared memory, this GPU has {most}"
            )
        # CuPy passes a Python int at 8 bytes: an address, 0 for what is absent or empty.
        raw = tuple(0 if a is None else a.data_ptr() if isinstance(a, Tensor) else a for a in given)
        handle = torch.cuda.current_stream(device).cuda_stream
        with Device(device), Stream.from_external(_Handle(handle)):
            function(grid, block, raw, shared_mem=shared_bytes)


@dataclass(frozen=True)
class _Handle:
    """A stream of torch by the protocol that CuPy reads."""

    address: int

    def __cuda_stream__(self) -> tuple[int, int]:
        """Version of the protocol, and the stream's handle."""
        return 0, self.address


def check_block(signature: sources.Kernel, grid: Size, block: Size) -> None:
    """Refuse a launch that CUDA would refuse, with the kernel's name.

    Raises
    ------
    ValueError
        If a block holds more threads than the kernel is compiled for, or a grid is too long.
    """
    if not 0 < block[0] * block[1] * block[2] <= signature.max_threads:
        raise ValueError(
            f"block of {signature.name} must hold 1 to {signature.max_threads} threads, got {block}"
        )
    if not (0 < grid[0] < 2**31 and 0 < grid[1] < 2**16 and 0 < grid[2] < 2**16):
        raise ValueError(
            f"grid of {signature.name} must be 1 to 2**31 - 1 by 2**16 - 1 twice, got {grid}"
        )


def device_of(signature: sources.Kernel, given: Sequence[Any]) -> int:
    """The one CUDA device that holds all tensors.

    Raises
    ------
    ValueError
        If there are several, or a tensor lies elsewhere.
    """
    devices = {tensor.device for tensor in given if isinstance(tensor, Tensor)}
    if len(devices) != 1 or next(iter(devices)).type != "cuda":
        found = sorted(str(device) for device in devices)
        raise ValueError(f"tensors of {signature.name} must be on one CUDA device, got {found}")
    return next(iter(devices)).index or 0


@cache
def cubin(family: str, architecture: int) -> bytes:
    """A family's kernels, compiled for one architecture (80 is 8.0); no GPU is needed.

    Raises
    ------
    BackendError
        If NVRTC is absent, too old for the architecture, or refuses the source.
    """
    from cupy.cuda import nvrtc

    from spikefuse.kernels.gpu import requirements

    text = (sources.FOLDER / f"{family}.cu").read_text(encoding="utf-8")
    options = (*sources.FLAGS, f"-arch=sm_{architecture}", f"-I{sources.FOLDER}")
    try:
        program = nvrtc.createProgram(text, f"{family}.cu", (), ())
    except RuntimeError as error:  # no library: CuPy's own message names the file only
        reason = requirements.missing() or str(error)
        raise BackendError(f"backend 'cuda' cannot compile: {reason}") from error
    try:
        nvrtc.compileProgram(program, options)
        found: bytes = nvrtc.getCUBIN(program)
    except nvrtc.NVRTCError as error:
        log = nvrtc.getProgramLog(program).strip() or str(error)
        raise BackendError(
            f"backend 'cuda' cannot compile {family}.cu for sm_{architecture} with NVRTC "
            f"{'.'.join(str(part) for part in nvrtc.getVersion())}: {log}"
        ) from error
    finally:
        nvrtc.destroyProgram(program)
    return found


@cache
def _cupy() -> Launcher:
    """The launcher of this machine."""
    from spikefuse.kernels.gpu import requirements

    reason = requirements.missing()
    if reason is not None:
        raise BackendError(f"backend 'cuda' cannot run here: {reason}")
    return CupyLauncher()


@cache
def _module(family: str, device: int) -> Any:
    """A family's kernels on one device."""
    from cupy.cuda import Device
    from cupy.cuda.function import Module

    architecture = int("".join(str(part) for part in torch.cuda.get_device_capability(device)))
    with Device(device):
        module = Module()
        module.load(cubin(family, architecture))
    return module


@cache
def _function(family: str, kernel: str, device: int) -> tuple[Any, int]:
    """A kernel on one device, and the most bytes of shared memory that its blocks may ask for."""
    from cupy.cuda import Device, driver

    with Device(device) as where:
        function = _module(family, device).get_function(kernel)
        most = int(where.attributes["MaxSharedMemoryPerBlockOptin"])
        limit = driver.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
        static = driver.funcGetAttribute(driver.CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES, function.ptr)
        driver.funcSetAttribute(function.ptr, limit, most - static)
    return function, most - static
