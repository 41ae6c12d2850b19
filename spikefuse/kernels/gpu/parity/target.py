"""Where a check runs, its random data, and what counts as equal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from spikefuse.kernels.gpu.compaction import Events
from spikefuse.kernels.gpu.sources import Launcher

TOLERANCE = 1e-5  # of the largest element


class Mismatch(Exception):
    """A kernel's result is not that of its reference."""


class Shape(NamedTuple):
    """Steps, samples, inputs and outputs of a layer, and the share of its inputs that spike."""

    n_steps: int
    n_batch: int
    n_in: int
    n_out: int
    density: float


@dataclass(frozen=True)
class Target:
    """A launcher, and the device on which its tensors lie."""

    launch: Launcher
    device: str = "cpu"

    def put(self, tensor: Tensor) -> Tensor:
        """The tensor as the launcher takes it."""
        return tensor.detach().contiguous().to(self.device)

    def put_events(self, events: Events) -> Events:
        """Events as the launcher takes them."""
        indptr, index, value = events
        return self.put(indptr), self.put(index), None if value is None else self.put(value)


def generator(shape: tuple[float, ...], seed: int = 0) -> torch.Generator:
    """Random numbers that follow from the case alone."""
    return torch.Generator().manual_seed(hash((*shape, seed)) % 2**31)


def random_spikes(shape: Shape, random: torch.Generator, *, graded: bool = False) -> Tensor:
    """Float32 [R, n_in] with silent rows: the second and the last, where there are more than 3."""
    n_rows = shape.n_steps * shape.n_batch
    spikes = (torch.rand(n_rows, shape.n_in, generator=random) < shape.density).float()
    if graded:
        spikes *= torch.randint(1, 9, spikes.shape, generator=random) / 2
    if n_rows > 3:
        spikes[1] = 0
        spikes[-1] = 0
    return spikes


def events_of(dense: Tensor) -> Events:
    """Events of [R, N] by torch alone; amplitudes unless all are 1."""
    cells = dense.nonzero()
    indptr = torch.zeros(len(dense) + 1, dtype=torch.int32)
    indptr[1:] = (dense != 0).sum(1).cumsum(0)
    value = dense[dense != 0]
    index = cells[:, 1].int().contiguous()
    return indptr, index, None if bool((value == 1).all()) else value.contiguous()


def near(name: str, got: Tensor | None, want: Tensor, tolerance: float = TOLERANCE) -> None:
    """Refuse a result that is off by more than ``tolerance`` of the largest wanted element.

    Raises
    ------
    Mismatch
    """
    if got is None or got.shape != want.shape:
        shape = None if got is None else tuple(got.shape)
        raise Mismatch(f"{name} must be of shape {tuple(want.shape)}, got {shape}")
    if not want.numel():
        return
    off = (got.detach().cpu().double() - want.detach().double()).abs().max().item()
    most = tolerance * max(want.detach().abs().max().item(), 1e-3)
    if not off <= most:  # a NaN is not
        raise Mismatch(f"{name} must be within {most:.3g} of its reference, got {off:.3g}")


def same(name: str, got: Tensor | None, want: Tensor | None) -> None:
    """Refuse a result that is not equal bit for bit; -0 equals 0.

    Raises
    ------
    Mismatch
    """
    if (got is None) != (want is None):
        raise Mismatch(f"{name} must be {'absent' if want is None else 'there'}")
    if got is None or want is None:
        return
    got = got.detach().cpu()
    if got.shape != want.shape or not torch.equal(got, want.detach()):
        raise Mismatch(f"{name} must equal its reference, got another result")


def same_events(name: str, got: Events, want: Events) -> None:
    """`same` for events."""
    for part, one, other in zip(("indptr", "index", "value"), got, want, strict=True):
        same(f"{part} of {name}", one, other)
