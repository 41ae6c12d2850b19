"""Dropout on a part of a batch that is the dropout of the whole one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import dropout
from torch.overrides import TorchFunctionMode


class WholeBatchMasks(TorchFunctionMode):
    """Inside, random masks are drawn for all rows of a batch and cut to some of them.

    Covers ``torch.nn.functional.dropout`` and ``Tensor.uniform_``, what the models draw with; the
    first dimension must be the batch, or samples side by side (``[B * k, ...]``).

    Parameters
    ----------
    rows : slice
        Those that are computed here.
    n_all : int
        Of the batch.
    """

    def __init__(self, rows: slice, n_all: int) -> None:
        super().__init__()
        self.rows, self.n_all = rows, n_all

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func is dropout or func is Tensor.uniform_:
            return self._drawn(func, args[0], args[1:], dict(kwargs or {}))
        return func(*args, **(kwargs or {}))

    def _drawn(
        self, func: Callable[..., Any], x: Tensor, rest: tuple[Any, ...], named: dict[str, Any]
    ) -> Tensor:
        """``func`` on rows among zeros in the place of the others."""
        n_own = self.rows.stop - self.rows.start
        times, odd = divmod(x.shape[0], n_own)
        if odd:
            raise ValueError(f"a mask must have a multiple of {n_own} rows, got {x.shape[0]}")
        own = slice(self.rows.start * times, self.rows.stop * times)
        # Numbers are drawn in the order of memory: that of the part is that of the whole.
        strides = x.stride()
        order = sorted(range(x.dim()), key=lambda i: -strides[i])
        shape = (self.n_all * times, *x.shape[1:])
        padded = x.new_zeros([shape[i] for i in order])
        padded = padded.permute([order.index(i) for i in range(x.dim())])
        if func is Tensor.uniform_:
            with torch.no_grad():
                return x.copy_(func(padded, *rest, **named)[own])
        padded[own] = x
        drawn: Tensor = func(padded, *rest, **named)
        return drawn[own]
