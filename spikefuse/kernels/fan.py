"""Fan: which neuron drives which, as a list of edges by presynaptic neuron."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Fan:
    """Sparse connectivity in compressed rows: neuron ``i`` drives ``target[ptr[i]:ptr[i + 1]]``.

    Parameters
    ----------
    ptr : int32 Tensor[n_in + 1]
    target : int32 Tensor[E]
        Postsynaptic neurons, in ``[0, n_out)``. Pairs may repeat: several synapses join them.
    n_out : int

    Raises
    ------
    ValueError
        If the pieces do not fit together.
    """

    ptr: Tensor  # int32 [n_in + 1]
    target: Tensor  # int32 [E]
    n_out: int

    def __post_init__(self) -> None:
        for name, tensor in (("ptr", self.ptr), ("target", self.target)):
            if tensor.dtype != torch.int32 or tensor.ndim != 1:
                raise ValueError(
                    f"{name} must be int32 of one dimension, got {tensor.dtype} "
                    f"{tuple(tensor.shape)}"
                )
        ends = (int(self.ptr[0]), int(self.ptr[-1])) if len(self.ptr) > 1 else (-1, -1)
        if ends != (0, len(self.target)) or bool((self.ptr.diff() < 0).any()):
            raise ValueError(
                f"ptr must rise from 0 to {len(self.target)} over at least one neuron, "
                f"got {ends[0]} to {ends[1]}"
            )
        if len(self.target):
            low, high = int(self.target.min()), int(self.target.max())
            if low < 0 or high >= self.n_out:
                raise ValueError(
                    f"target must lie in [0, {self.n_out}), got {low if low < 0 else high}"
                )

    @classmethod
    def trusted(cls, ptr: Tensor, target: Tensor, n_out: int) -> Fan:
        """The same object without the checks, for edges that were checked before."""
        fan = object.__new__(cls)
        for name, field in (("ptr", ptr), ("target", target), ("n_out", n_out)):
            object.__setattr__(fan, name, field)
        return fan

    @property
    def n_in(self) -> int:
        """Presynaptic neurons."""
        return len(self.ptr) - 1

    @property
    def n_edges(self) -> int:
        """Synapses."""
        return len(self.target)

    def source(self) -> Tensor:
        """Presynaptic neuron of every edge, int64 [E]."""
        return torch.repeat_interleave(self.ptr.diff().long())

    @classmethod
    def all_to_all(cls, n_in: int, n_out: int) -> Fan:
        """Every neuron drives every other."""
        ptr = torch.arange(n_in + 1, dtype=torch.int32) * n_out
        return cls(ptr, torch.arange(n_out, dtype=torch.int32).repeat(n_in), n_out)

    @classmethod
    def one_to_one(cls, n: int) -> Fan:
        """Neuron ``i`` drives neuron ``i``."""
        line = torch.arange(n + 1, dtype=torch.int32)
        return cls(line, line[:-1].clone(), n)

    @classmethod
    def random(cls, n_in: int, n_out: int, fan_in: int) -> Fan:
        """Every postsynaptic neuron hears ``fan_in`` different ones, drawn by torch's generator.

        Raises
        ------
        ValueError
            If ``fan_in`` is below 1 or above ``n_in``.
        """
        if not 1 <= fan_in <= n_in:
            raise ValueError(f"fan_in must lie in [1, {n_in}], got {fan_in}")
        if fan_in == n_in:
            return cls.all_to_all(n_in, n_out)
        source = torch.rand(n_out, n_in).argsort(1)[:, :fan_in].reshape(-1)
        target = torch.arange(n_out).repeat_interleave(fan_in)
        order = torch.argsort(source * n_out + target)
        ptr = torch.zeros(n_in + 1, dtype=torch.int64)
        ptr[1:] = torch.bincount(source, minlength=n_in).cumsum(0)
        return cls(ptr.to(torch.int32), target[order].to(torch.int32), n_out)

    @classmethod
    def random_out(cls, n_in: int, n_out: int, fan_out: int) -> Fan:
        """Every presynaptic neuron drives ``fan_out`` different ones: each event costs the same.

        Raises
        ------
        ValueError
            If ``fan_out`` is below 1 or above ``n_out``.
        """
        if not 1 <= fan_out <= n_out:
            raise ValueError(f"fan_out must lie in [1, {n_out}], got {fan_out}")
        target = torch.rand(n_in, n_out).argsort(1)[:, :fan_out].sort(1).values.reshape(-1)
        ptr = torch.arange(n_in + 1, dtype=torch.int32) * fan_out
        return cls(ptr, target.to(torch.int32), n_out)
