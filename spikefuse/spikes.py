"""SpikeBatch: a batch of spike trains as events (time-major CSR), with a dense round trip."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class SpikeBatch:
    """Spikes of ``B`` samples over ``T`` steps of ``N`` addresses, as compressed sparse rows.

    Row ``r = t * B + b`` holds the addresses active in step ``t`` of sample ``b``.

    Parameters
    ----------
    indptr : int32 Tensor[T * B + 1]
        Row ``r`` owns ``index[indptr[r] : indptr[r + 1]]``.
    index : int32 Tensor[nnz]
        Active addresses in ``[0, N)``, strictly increasing within a row.
    value : float32 Tensor[nnz] or None
        Amplitudes; None means every spike is 1.
    shape : (T, B, N)

    Raises
    ------
    ValueError
        If the pieces do not fit together.
    """

    indptr: Tensor  # int32 [T * B + 1]
    index: Tensor  # int32 [nnz]
    value: Tensor | None  # float32 [nnz]
    shape: tuple[int, int, int]

    def __post_init__(self) -> None:
        n_steps, n_batch, n_addresses = self.shape
        if min(self.shape) < 0 or n_addresses < 1:
            raise ValueError(f"shape must be (T >= 0, B >= 0, N >= 1), got {self.shape}")
        if self.indptr.shape != (n_steps * n_batch + 1,) or self.indptr.dtype != torch.int32:
            raise ValueError(
                f"indptr must be int32 [{n_steps * n_batch + 1}], got {self.indptr.dtype} "
                f"{tuple(self.indptr.shape)}"
            )
        if self.index.ndim != 1 or self.index.dtype != torch.int32:
            raise ValueError(
                f"index must be int32 [nnz], got {self.index.dtype} {tuple(self.index.shape)}"
            )
        if int(self.indptr[0]) != 0 or int(self.indptr[-1]) != len(self.index):
            raise ValueError(
                f"indptr must run from 0 to nnz={len(self.index)}, got "
                f"{int(self.indptr[0])} to {int(self.indptr[-1])}"
            )
        if bool((self.indptr.diff() < 0).any()):
            raise ValueError("indptr must never decrease, got a negative row length")
        if self.value is not None and self.value.shape != self.index.shape:
            raise ValueError(
                f"value must match index {tuple(self.index.shape)}, got {tuple(self.value.shape)}"
            )
        self._check_index(n_addresses)

    def _check_index(self, n_addresses: int) -> None:
        """Addresses in range and strictly increasing inside each row."""
        if not len(self.index):
            return
        low, high = int(self.index.min()), int(self.index.max())
        if low < 0 or high >= n_addresses:
            raise ValueError(
                f"index must lie in [0, {n_addresses}), got {low if low < 0 else high}"
            )
        increasing = self.index.diff() > 0
        starts = self.indptr[1:-1].long()
        starts = starts[(starts > 0) & (starts < len(self.index))]
        increasing[starts - 1] = True
        if not bool(increasing.all()):
            raise ValueError("index must be strictly increasing within each row, got a repeat")

    @classmethod
    def trusted(
        cls, indptr: Tensor, index: Tensor, value: Tensor | None, shape: tuple[int, int, int]
    ) -> SpikeBatch:
        """The same object without the checks, for kernels whose output is right by construction.

        The checks read every event several times: more than it took to find them.
        """
        batch = object.__new__(cls)
        fields = {"indptr": indptr, "index": index, "value": value, "shape": shape}
        for name, field in fields.items():
            object.__setattr__(batch, name, field)
        return batch

    @classmethod
    def from_dense(cls, dense: Tensor) -> SpikeBatch:
        """Events of a dense ``[T, B, N]`` tensor; values are kept unless all of them are 1."""
        if dense.ndim != 3:
            raise ValueError(f"dense must be [T, B, N], got shape {tuple(dense.shape)}")
        n_steps, n_batch, n_addresses = dense.shape
        rows = dense.detach().reshape(n_steps * n_batch, n_addresses)
        row, column = rows.nonzero(as_tuple=True)
        value = rows[row, column].to(torch.float32)
        indptr = torch.zeros(len(rows) + 1, dtype=torch.int64, device=rows.device)
        indptr[1:] = torch.bincount(row, minlength=len(rows)).cumsum(0)
        binary = bool((value == 1).all())
        return cls(
            indptr.to(torch.int32),
            column.to(torch.int32),
            None if binary else value,
            (n_steps, n_batch, n_addresses),
        )

    def to_dense(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """The same spikes as a dense ``[T, B, N]`` tensor."""
        n_steps, n_batch, n_addresses = self.shape
        device = self.index.device
        dense = torch.zeros(n_steps * n_batch, n_addresses, dtype=dtype, device=device)
        one = torch.ones((), dtype=dtype, device=device)
        value = one if self.value is None else self.value.to(dtype)
        dense[self.rows(), self.index.long()] = value
        return dense.view(n_steps, n_batch, n_addresses)

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> SpikeBatch:
        """The same spikes on another device.

        Parameters
        ----------
        device : torch.device or str
        non_blocking : bool
            As of ``torch.Tensor.to``.
        """
        indptr = self.indptr.to(device, non_blocking=non_blocking)
        index = self.index.to(device, non_blocking=non_blocking)
        value = self.value
        if value is not None:
            value = value.to(device, non_blocking=non_blocking)
        return SpikeBatch.trusted(indptr, index, value, self.shape)

    def rows(self) -> Tensor:
        """Row ``t * B + b`` of every event, int64 [nnz]."""
        return torch.repeat_interleave(
            torch.arange(len(self.indptr) - 1, device=self.index.device),
            self.indptr.diff().long(),
        )

    @property
    def n_events(self) -> int:
        """Number of stored spikes."""
        return len(self.index)

    @property
    def density(self) -> float:
        """Share of the ``T * B * N`` cells that hold a spike."""
        n_steps, n_batch, n_addresses = self.shape
        cells = n_steps * n_batch * n_addresses
        return self.n_events / cells if cells else 0.0
