"""What the neuron scans share: argument checks, and tensors as the flat rows their kernels read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from spikefuse.kernels.eager import wants_grad as wants_grad
from spikefuse.kernels.registry import choose as choose

Reset = Literal["zero", "subtract"]
Floats = npt.NDArray[np.float32]

# Steps between two stored states. Kernels compute what lies between again, in a tile of the
# second-level cache: 16 steps of 8192 neurons are 512 KiB.
CHECKPOINT_STEPS = 16
TILE_FLOATS = 8192
# Rows shorter than this are joined over the batch, so that SIMD loops are long.
_SHORT_ROW = 128


@dataclass(frozen=True)
class Rows:
    """How kernels see ``[T, B, N]``: as ``n_rows`` rows of ``width`` neurons in each step.

    ``repeat`` samples of the batch make one row, so parameters are repeated that often.
    """

    n_steps: int
    n_rows: int
    width: int
    repeat: int

    @property
    def tile(self) -> int:
        """Rows whose states between two checkpoints fit the second-level cache."""
        return max(1, min(self.n_rows, TILE_FLOATS // max(1, self.width)))


@dataclass(frozen=True)
class Stream:
    """A time-major tensor as flat memory: row b of step t starts at ``t * step + b * row``."""

    flat: Floats
    step: int
    row: int


def rows_of(shape: torch.Size) -> Rows:
    """Rows of a ``[T, B, N]`` shape."""
    n_steps, n_batch, n = shape
    repeat = n_batch if 0 < n < _SHORT_ROW and n_batch > 0 else 1
    return Rows(n_steps, n_batch // repeat, n * repeat, repeat)


def stream_of(tensor: Tensor | None, rows: Rows) -> Stream:
    """Rows of a tensor without copying it, whatever its steps; None is read as zeros.

    An expanded scalar (the gradient of a sum) stays one row; only a tensor whose neurons do not lie
    side by side is copied.
    """
    if tensor is None:
        return Stream(np.zeros(rows.width, np.float32), 0, 0)
    tensor = tensor.detach()
    n = tensor.shape[2]
    if tensor.numel() == 0:
        return Stream(np.zeros(0, np.float32), 0, 0)
    if tensor.stride() == (0, 0, 0):
        return Stream(np.full(rows.width, tensor[0, 0, 0].item(), np.float32), 0, 0)
    joined = rows.repeat == 1 or tensor.stride(1) == n
    if not joined or (n > 1 and tensor.stride(2) != 1):
        tensor = tensor.contiguous()
    step, row = tensor.stride(0), tensor.stride(1) * rows.repeat
    extent = (rows.n_steps - 1) * step + (rows.n_rows - 1) * row + rows.width
    return Stream(tensor.as_strided((extent,), (1,)).numpy(), step, row)


def lanes_of(parameter: Tensor, n: int, rows: Rows) -> Floats:
    """A scalar or per-neuron parameter as one float per neuron of a row."""
    values = parameter.detach().numpy()
    if values.size == 1 or n == 1:
        return np.full(rows.width, values.item(), np.float32)
    return np.tile(values, rows.repeat)


def state_of(initial: Tensor | None, current: Tensor) -> Tensor:
    """A state to be overwritten: a copy of the first one, or rest."""
    if initial is None:
        return current.new_zeros(current.shape[1:])
    return initial.detach().clone(memory_format=torch.contiguous_format)


def array_of(tensor: Tensor, *shape: int) -> Floats:
    """A contiguous tensor as an array of another shape."""
    array: Floats = tensor.detach().view(shape).numpy()
    return array


def summed_like(lanes: Tensor, parameter: Tensor) -> Tensor:
    """Gradient of a parameter from one float64 per neuron ``[N]``."""
    total = lanes if parameter.numel() == lanes.numel() else lanes.sum()
    return total.to(parameter.dtype).view(parameter.shape)


def per_neuron(lanes: npt.NDArray[np.float64], rows: Rows) -> Tensor:
    """Sum of a row's lanes over the samples joined in it."""
    if len(lanes) == 0:
        return torch.empty(0, dtype=torch.float64)
    return torch.from_numpy(lanes).view(rows.repeat, len(lanes) // rows.repeat).sum(0)


def checked_current(current: Tensor) -> None:
    """Refuse what is not ``[T, B, N]``."""
    if current.ndim != 3:
        raise ValueError(f"current must be [T, B, N], got shape {tuple(current.shape)}")
    if not current.dtype.is_floating_point:
        raise ValueError(f"current must be floating point, got {current.dtype}")
    if current.shape[0] == 0:
        raise ValueError("current must be of at least one step, got none")


def checked_reset(reset: str) -> None:
    """Refuse an unknown reset."""
    if reset not in ("zero", "subtract"):
        raise ValueError(f"reset must be 'zero' or 'subtract', got {reset!r}")


def after_reset(
    v: Tensor, s: Tensor, threshold: Tensor | float, reset: Reset, detach: bool
) -> Tensor:
    """What the spikes ``s`` leave of the membrane ``v``; ``detach``: they are constants."""
    s = s.detach() if detach else s
    return v * (1.0 - s) if reset == "zero" else v - threshold * s


def parameter_of(name: str, value: Tensor | float, current: Tensor) -> Tensor:
    """A parameter as a tensor beside ``current``: a scalar, or one value per neuron."""
    if not isinstance(value, Tensor):
        return torch.full((), value, dtype=current.dtype, device=current.device)
    n = current.shape[2]
    if value.shape not in ((), (1,), (n,)):
        raise ValueError(f"{name} must be a number or [{n}], got shape {tuple(value.shape)}")
    return _beside(name, value, current)


def checked_state(name: str, state: Tensor | None, current: Tensor) -> None:
    """Refuse a state that is not ``[B, N]`` of the same type."""
    if state is None:
        return
    if state.shape != current.shape[1:]:
        shape = tuple(current.shape[1:])
        raise ValueError(f"{name} must be of shape {shape}, got {tuple(state.shape)}")
    _beside(name, state, current)


def _beside(name: str, value: Tensor, current: Tensor) -> Tensor:
    """``value`` if its type and device are those of ``current``."""
    if value.dtype != current.dtype or value.device != current.device:
        raise ValueError(
            f"{name} must be {current.dtype} on {current.device} as current is, "
            f"got {value.dtype} on {value.device}"
        )
    return value


def refused(current: Tensor) -> str | None:
    """Why no kernel but the reference can take this input."""
    return None if current.dtype == torch.float32 else f"it needs float32, got {current.dtype}"


def checkpoints(shape: Any, keep: bool) -> tuple[Any, ...]:
    """Shape of the states stored for a backward pass; none where it cannot follow."""
    n_steps, n_batch, n = shape
    return (-(-n_steps // CHECKPOINT_STEPS) if keep else 0, n_batch, n)
