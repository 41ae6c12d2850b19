"""The launcher that runs kernels on the CPU: the twin of the one that runs them on a GPU."""

from __future__ import annotations

import contextlib
import os
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor

from spikefuse.kernels.gpu import sources

from .build import build

# TSan keeps a history for every fibre: hundreds of megabytes in a runner. A check uses four.
_MOST_THREAD_RUNNERS = 4

_READ_ONLY, _WRITTEN, _SCALAR, _NULL = range(4)

# What the sanitizers are told. `__tsan_on_report` ends the runner, and knows what is no race.
_OPTIONS = {
    "TSAN_OPTIONS": "halt_on_error=0:exitcode=66:atexit_sleep_ms=0:history_size=0",
    "ASAN_OPTIONS": "detect_leaks=0",
}


class EmulatorError(Exception):
    """A kernel did what a GPU does not forgive; a sanitizer or the scheduler says what."""


class Emulator:
    """Runs kernels in one process for each family, which ends when this object does.

    Parameters
    ----------
    sanitizer : "undefined", "address" or "thread"
    seed : int
        Order of threads and blocks: 0 natural, 1 reversed, else shuffled.
    preempt : int
        A thread hands over at one of so many atomics, and at every barrier; 0 never.
    unordered_blocks : bool
        For "thread": whether blocks may race with each other. Static shared memory, which all
        blocks of the emulator share, is then left out.
    folder : Path
        Where the `.cu` files are.
    """

    def __init__(
        self,
        sanitizer: str = "undefined",
        seed: int = 0,
        preempt: int = 0,
        unordered_blocks: bool = False,
        folder: Path = sources.FOLDER,
    ) -> None:
        self.sanitizer, self.folder = sanitizer, folder
        self.schedule = (seed, preempt, int(unordered_blocks))
        self.n_launches: dict[str, int] = {}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._scratch = tempfile.TemporaryDirectory()

    def __call__(
        self,
        family: str,
        kernel: str,
        grid: sources.Size,
        block: sources.Size,
        arguments: Sequence[sources.Argument],
        shared_bytes: int = 0,
    ) -> None:
        """Launch once, as `sources.Launcher` says.

        Raises
        ------
        EmulatorError
            If a sanitizer or the scheduler finds fault.
        """
        signature = sources.kernels(family, self.folder)[kernel]
        if block[0] * block[1] * block[2] > signature.max_threads:
            raise ValueError(f"block of {kernel} must be <= {signature.max_threads}, got {block}")
        given = sources.bound(signature, arguments)
        name = kernel.encode()
        request = [struct.pack("I", len(name)), name]
        request.append(struct.pack("10I", *grid, *block, shared_bytes, *self.schedule))
        request.append(struct.pack("I", len(given)))
        written = []
        for parameter, argument in zip(signature.parameters, given, strict=True):
            if isinstance(argument, Tensor):
                kind = _READ_ONLY if parameter.is_read_only else _WRITTEN
                raw = _bytes_of(argument)
                if kind == _WRITTEN:
                    written.append(argument)
            else:
                kind = _NULL if argument is None else _SCALAR
                raw = b"" if argument is None else argument.tobytes()
            request += [struct.pack("=IQ", kind, len(raw)), raw]
        self.n_launches[kernel] = self.n_launches.get(kernel, 0) + 1
        self._exchange(family, kernel, b"".join(request), written)

    def close(self) -> None:
        """End the processes."""
        for family in list(self._processes):
            self._end(family)
        self._scratch.cleanup()

    def __del__(self) -> None:
        self.close()

    def _exchange(
        self, family: str, kernel: str, request: bytes, written: Sequence[Tensor]
    ) -> None:
        """Send a request and take what was written back."""
        process = self._process(family)
        to, back = process.stdin, process.stdout
        assert to is not None
        assert back is not None
        try:
            to.write(request)
            to.flush()
            (length,) = struct.unpack("I", _take(back, 4))
            message = _take(back, length).decode()
            arrays = [] if length else [_take(back, t.numel() * t.element_size()) for t in written]
        except (EOFError, BrokenPipeError):
            status = process.wait()
            self._end(family)
            text = (Path(self._scratch.name) / family).read_text(errors="replace")
            raise EmulatorError(f"{kernel}: the runner ended with {status}\n{text}") from None
        if length:
            self._end(family)
            raise EmulatorError(f"{kernel}: {message}")
        for tensor, raw in zip(written, arrays, strict=True):
            if raw:
                flat = torch.frombuffer(bytearray(raw), dtype=tensor.dtype)
                tensor.copy_(flat.view(tensor.shape))

    def _process(self, family: str) -> subprocess.Popen[bytes]:
        """The family's runner, started if it is not running."""
        if family not in self._processes:
            if self.sanitizer == "thread":
                for oldest in list(self._processes)[: 1 - _MOST_THREAD_RUNNERS]:
                    self._end(oldest)
            command = [str(build(family, self.sanitizer, self.folder))]
            if self.sanitizer == "thread" and shutil.which("setarch"):
                command = ["setarch", "-R", *command]  # TSan knows no addresses at random
            errors = (Path(self._scratch.name) / family).open("wb")
            self._processes[family] = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env={**os.environ, **_OPTIONS},
            )
            errors.close()
        return self._processes[family]

    def _end(self, family: str) -> None:
        """End a runner, whatever it is doing."""
        process = self._processes.pop(family)
        process.kill()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        process.wait()


def _bytes_of(tensor: Tensor) -> bytes:
    """The elements as they lie in memory; NumPy knows no bfloat16."""
    if tensor.device.type != "cpu":
        raise ValueError(f"tensors must be on the CPU, got {tensor.device}")
    if tensor.dtype == torch.bfloat16:
        tensor = tensor.view(torch.int16)
    array: np.ndarray[Any, Any] = tensor.numpy()
    return array.tobytes()


def _take(stream: IO[bytes], n: int) -> bytes:
    """Exactly n bytes."""
    raw = stream.read(n) if n else b""
    if len(raw) != n:
        raise EOFError
    return raw
