"""Which backend runs an operation: the only place that compares backend names.

Order of choice: the ``backend`` argument, then ``with use_backend(...)``, then automatic. An
explicit backend never falls back; automatic takes the first that can, and the reference always can.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, wraps
from importlib import import_module
from importlib.util import find_spec
from typing import Any, ParamSpec, TypeVar

import torch

from spikefuse.errors import BackendError

REFERENCE, NUMBA, CUDA = "reference", "numba", "cuda"
BACKENDS = (REFERENCE, NUMBA, CUDA)

# Operation -> backend -> module that holds the kernels. An op's reference is the plain torch
# function `<op>_ref` beside it, so it stands in no table.
_KERNELS: dict[str, dict[str, str]] = {}
_DEVICE = {NUMBA: "cpu", CUDA: "cuda"}
_GPU = "spikefuse.kernels.gpu"
_chosen: ContextVar[str | None] = ContextVar("spikefuse_backend", default=None)
_Given = ParamSpec("_Given")
_Result = TypeVar("_Result")


def register(op: str, backend: str, module: str) -> None:
    """Say that ``module`` (imported on first use) holds the kernels of ``op`` for ``backend``."""
    _KERNELS.setdefault(op, {})[_known(backend)] = module


def twin(op: str, name: str) -> Callable[[Callable[_Given, _Result]], Callable[_Given, _Result]]:
    """Decorate the host's part of ``op``: on the GPU its twin runs with the same arguments.

    The twin is ``name`` of the module that holds the CUDA kernels of ``op``; it takes all
    arguments but ``backend``, which the decorated function must have.
    """

    def decorate(host: Callable[_Given, _Result]) -> Callable[_Given, _Result]:
        place = list(inspect.signature(host).parameters).index("backend")

        @wraps(host)
        def run(*args: _Given.args, **kwargs: _Given.kwargs) -> _Result:
            if args[place] != CUDA:
                return host(*args, **kwargs)
            result: _Result = kernel(op, CUDA, name)(*args[:place], *args[place + 1 :], **kwargs)
            return result

        return run

    return decorate


@contextmanager
def use_backend(backend: str) -> Iterator[None]:
    """Run every operation inside the block on ``backend``; an argument still goes before it.

    Raises
    ------
    BackendError
        If there is no such backend; an operation that the backend cannot run raises when called.
    """
    token = _chosen.set(_known(backend))
    try:
        yield
    finally:
        _chosen.reset(token)


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def asked(backend: str | None = None) -> str | None:
    """What the user asked for: the argument of the call, else `use_backend`; None if neither."""
    return backend if backend is not None else _chosen.get()


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def choose(op: str, backend: str | None, device: str, refused: str | None = None) -> str:
    """The backend that runs this call of ``op``; `torch.compile` takes it as it is when it traces.

    Parameters
    ----------
    op : str
    backend : str or None
        What the caller asked for; None leaves it to `use_backend` or to the automatic choice.
    device : str
        Device type of the inputs, ``"cpu"`` or ``"cuda"``.
    refused : str, optional
        Why no kernel but the reference can take these inputs (their dtype, say).

    Raises
    ------
    BackendError
        If an explicit backend cannot run; it lists every backend and why it was refused.
    """
    wanted: str | None = asked(backend)
    if wanted is None:
        # An emulator takes the host's tensors, but only those it is asked to.
        fastest = (NUMBA,) if device == _DEVICE[NUMBA] else (CUDA,)
        usable = (b for b in fastest if why_not(op, b, device, refused) is None)
        return next(usable, REFERENCE)
    reason = why_not(op, _known(wanted), device, refused)
    if reason is not None:
        others = "; ".join(
            f"{name}: {why_not(op, name, device, refused) or 'can run'}" for name in BACKENDS
        )
        raise BackendError(
            f"backend {wanted!r} cannot run {op} here: {reason}. Candidates are {others}"
        )
    return wanted


def why_not(op: str, backend: str, device: str, refused: str | None = None) -> str | None:
    """Why ``backend`` cannot run ``op`` on ``device``; None if it can."""
    if backend == REFERENCE:
        return None
    if backend not in _KERNELS.get(op, {}):
        return f"no {backend} kernel of {op}"
    needed = gpu_device() if backend == CUDA else _DEVICE[backend]
    if device != needed:
        return f"it needs inputs on {needed}, got {device}"
    return _unavailable(backend) or refused


def on_gpu(backend: str | None, device: str) -> bool:
    """Whether CUDA kernels are what this call asks for, or what its inputs lie beside."""
    return device == _DEVICE[CUDA] or asked(backend) == CUDA


def gpu_device() -> str:
    """Where tensors of the CUDA backend lie: the host while an emulator stands in for a GPU."""
    return "cpu" if _emulated() else _DEVICE[CUDA]


def kernel(op: str, backend: str, name: str) -> Callable[..., Any]:
    """The function ``name`` of the module that holds ``op``'s kernels for ``backend``."""
    module = _KERNELS[op][backend]
    # Small kernels feel the time that it takes to find out that a module is there.
    function: Callable[..., Any] = getattr(sys.modules.get(module) or import_module(module), name)
    return function


def table(device: str = "cpu") -> dict[str, dict[str, str]]:
    """Operation -> backend -> "on" or why not: what ``spikefuse doctor`` prints."""
    return {
        op: {b: why_not(op, b, gpu_device() if b == CUDA else device) or "on" for b in BACKENDS}
        for op in sorted(_KERNELS)
    }


def _unavailable(backend: str) -> str | None:
    """Why a backend cannot run here at all, or None."""
    if backend == NUMBA:
        return _missing("numba")
    if _emulated():
        return None
    missing: str | None = import_module(f"{_GPU}.requirements").missing()
    return missing


def _emulated() -> bool:
    """Whether something stands in for the GPU."""
    stood_in: bool = import_module(f"{_GPU}.launch").emulated()
    return stood_in


@cache
def _missing(package: str) -> str | None:
    """Why ``package`` cannot be used, or None."""
    return None if find_spec(package) else f"{package} is not installed"


def _known(backend: str) -> str:
    """``backend`` if it is one."""
    if backend not in BACKENDS:
        raise BackendError(f"backend must be one of {list(BACKENDS)}, got {backend!r}")
    return backend
