"""The `.cu` files of this folder and what their kernels take, read from the text that ships."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

FOLDER = Path(__file__).parent

# What every compiler of these files must be told. Without -fmad=false a product and a sum become
# one rounding; -ftz=false keeps the small membranes that the CPU keeps.
FLAGS = ("--std=c++17", "-fmad=false", "-ftz=false", "-prec-div=true")

_KERNEL = re.compile(r"\bSF_KERNEL\((\w+)\)\s+(\w+)\(([^)]*)\)")
# Names of constants stand for numbers in a launch bound.
_CONSTANT = re.compile(r"^#define (SF_\w+) +(\d+)\b", re.MULTILINE)
_ARRAYS = {
    "float": (torch.float32,),
    "double": (torch.float64,),
    "int": (torch.int32,),
    "u32": (torch.int32,),
    "i64": (torch.int64,),
    "short": (torch.int16,),
    "unsigned char": (torch.bool, torch.uint8),
    "sf_bf16": (torch.bfloat16,),
}
_SCALARS: dict[str, type[np.generic]] = {
    "int": np.int32,
    "float": np.float32,
    "double": np.float64,
}

Size = tuple[int, int, int]
Argument = Tensor | float | int | None


class Launcher(Protocol):
    """What runs a kernel: CuPy on a GPU, an emulator in tests."""

    def __call__(
        self,
        family: str,
        kernel: str,
        grid: Size,
        block: Size,
        arguments: Sequence[Argument],
        shared_bytes: int = 0,
    ) -> None:
        """Launch ``kernel`` of ``family`` once."""


@dataclass(frozen=True)
class Parameter:
    """One parameter of a kernel."""

    name: str
    ctype: str
    is_array: bool
    is_read_only: bool


@dataclass(frozen=True)
class Kernel:
    """The signature of a kernel, and the most threads of its blocks."""

    name: str
    max_threads: int
    parameters: tuple[Parameter, ...]


def families(folder: Path = FOLDER) -> list[str]:
    """Names of the `.cu` files."""
    return sorted(path.stem for path in folder.glob("*.cu"))


@cache
def kernels(family: str, folder: Path = FOLDER) -> dict[str, Kernel]:
    """Kernels of a family by name."""
    text = (folder / f"{family}.cu").read_text(encoding="utf-8")
    constants = dict(_CONSTANT.findall((folder / "common.cuh").read_text(encoding="utf-8")))
    found = {}
    for threads, name, parameters in _KERNEL.findall(text):
        parsed = tuple(_parameter(part) for part in parameters.split(","))
        found[name] = Kernel(name, int(constants.get(threads, threads)), parsed)
    return found


def bound(kernel: Kernel, arguments: Sequence[Argument]) -> list[Tensor | np.generic | None]:
    """The arguments as the kernel takes them: arrays checked, numbers of the right width.

    A wrong width would not fail on a GPU: the kernel would read whatever lies there.

    Raises
    ------
    ValueError
        If an argument does not fit the kernel's signature, or an array that the kernel writes is
        given twice.
    """
    if len(arguments) != len(kernel.parameters):
        raise ValueError(
            f"arguments of {kernel.name} must be {len(kernel.parameters)}, got {len(arguments)}"
        )
    given = [
        _array(kernel.name, p, a) if p.is_array else _scalar(kernel.name, p, a)
        for p, a in zip(kernel.parameters, arguments, strict=True)
    ]
    _refuse_aliases(kernel, given)
    return given


def _parameter(text: str) -> Parameter:
    """A parameter from its declaration."""
    words = text.replace("__restrict__", " ").replace("*", " * ").split()
    ctype = " ".join(word for word in words[:-1] if word not in ("const", "*"))
    known = _ARRAYS if "*" in words else _SCALARS
    if ctype not in known:
        raise ValueError(f"parameter must be of a known type, got {text.strip()!r}")
    return Parameter(words[-1], ctype, "*" in words, "const" in words)


def _array(kernel: str, parameter: Parameter, argument: Any) -> Tensor | None:
    """The tensor, if its elements are what the kernel reads."""
    if argument is None:
        return None
    dtypes = _ARRAYS[parameter.ctype]
    if not isinstance(argument, Tensor):
        raise ValueError(
            f"{parameter.name} of {kernel} must be a tensor, got {type(argument).__name__}"
        )
    if argument.dtype not in dtypes or not argument.is_contiguous():
        raise ValueError(
            f"{parameter.name} of {kernel} must be contiguous {dtypes[0]}, got "
            f"{argument.dtype} with strides {argument.stride()}"
        )
    return argument.detach()


def _scalar(kernel: str, parameter: Parameter, argument: Any) -> np.generic:
    """The number as a NumPy scalar, the one kind that CuPy passes at its own width."""
    kind = _SCALARS[parameter.ctype]
    wanted = (int, np.integer) if kind is np.int32 else (int, float, np.integer, np.floating)
    if not isinstance(argument, wanted):
        raise ValueError(
            f"{parameter.name} of {kernel} must be {parameter.ctype}, got {type(argument).__name__}"
        )
    if kind is np.int32 and not -(2**31) <= int(argument) < 2**31:
        raise ValueError(f"{parameter.name} of {kernel} must fit 32 bits, got {argument}")
    return kind(argument)


def _refuse_aliases(kernel: Kernel, given: Sequence[Tensor | np.generic | None]) -> None:
    """No array may be written and named twice: `__restrict__` promises the compiler so."""
    arrays = [
        (parameter, argument.data_ptr())
        for parameter, argument in zip(kernel.parameters, given, strict=True)
        if isinstance(argument, Tensor) and argument.numel()
    ]
    for i, (parameter, at) in enumerate(arrays):
        for other, other_at in arrays[i + 1 :]:
            if at == other_at and not (parameter.is_read_only and other.is_read_only):
                raise ValueError(
                    f"{other.name} of {kernel.name} must not be the memory of {parameter.name}, "
                    "got the same tensor"
                )
