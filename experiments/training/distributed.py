"""Training by several processes on the same batches: each computes its part of every one.

All processes draw the same pairs, augmentation, dropped modalities and dropout masks, those of one
process, and then take their rows of the batch; gradients and figures are summed. So N processes go
through the steps of one, up to the order of additions.

Torch's DistributedDataParallel is not used: it averages where parts of unequal size need weights,
wants one forward call per step where a long sequence takes one per chunk, and hides the model's
other methods. What it gains, sending while the gradient is computed, is little for networks of this
size: here one buffer holds the whole gradient.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from types import FrameType
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn

from experiments.training.checkpoints import CheckpointFolder, Partial, Progress
from experiments.training.masks import WholeBatchMasks
from spikefuse.errors import ConfigError, SpikefuseError
from spikefuse.synapses import SpikeBatchNorm

T = TypeVar("T")

# The others wait while the first encodes recordings; a process that dies is noticed at once.
_TIMEOUT = timedelta(hours=6)


class GroupError(SpikefuseError):
    """Another process of the group is gone, so this one ends as well."""


@dataclass(frozen=True)
class Share:
    """The rows of a batch that one process computes.

    A process that gets none computes a row of another's with weight 0: every one then makes the
    same calls.

    Parameters
    ----------
    rows : slice
    n_own : int
        Rows that count; 0 where the row is another's.
    n_all : int
        Rows of the batch.
    """

    rows: slice
    n_own: int
    n_all: int

    @property
    def weight(self) -> float:
        """What a mean over the own rows weighs in that over the batch."""
        return self.n_own / self.n_all


def share_of(n: int, rank: int, size: int) -> Share:
    """Part ``rank`` of ``size`` contiguous parts of ``n`` rows, the first ones longer by one."""
    short, longer = divmod(n, size)
    first = rank * short + min(rank, longer)
    own = short + (rank < longer)
    return Share(slice(first, first + own) if own else slice(0, 1), own, n)


class Group(Protocol):
    """The processes that train together, as one of them sees it."""

    @property
    def first(self) -> bool:
        """Whether this one writes files, reads the test set and talks."""

    def share(self, n: int) -> Share:
        """This process's rows of a batch of ``n``."""

    def total(self, own: Tensor) -> Tensor:
        """Sum over the processes, the same on each; no gradient passes."""

    def rows(self, own: Tensor, share: Share) -> Tensor:
        """All rows ``[n_all, ...]`` from each one's own; no gradient passes."""

    def anywhere(self, flag: bool) -> bool:
        """Whether ``flag`` is true in any process."""

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Put the sum of every process's gradients into each."""

    def masks(self, n: int) -> AbstractContextManager[Any]:
        """Inside, dropout on this process's rows is that of a batch of ``n`` in one process."""

    def keeper(self, folder: CheckpointFolder) -> CheckpointFolder:
        """The folder in the first process, one that keeps nothing in the others."""

    def begin(
        self, folder: CheckpointFolder, model: nn.Module, optimizer: torch.optim.Optimizer,
        objective: nn.Module,
    ) -> tuple[Progress, Partial | None]:  # fmt: skip
        """Restore what the first process finds saved, in every one."""

    def align(self, model: nn.Module) -> None:
        """Put the first process's weights into every one's model."""

    def after_first(self, build: Callable[[], T]) -> T:
        """What ``build`` gives, the others' once the first has filled the cache."""


class Alone:
    """One process: nothing is shared, nothing is sent."""

    first = True

    def share(self, n: int) -> Share:
        """All rows."""
        return share_of(n, 0, 1)

    def total(self, own: Tensor) -> Tensor:
        """As it is."""
        return own

    def rows(self, own: Tensor, share: Share) -> Tensor:
        """As they are."""
        return own

    def anywhere(self, flag: bool) -> bool:
        """Here or nowhere."""
        return flag

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Nothing to add."""

    def masks(self, n: int) -> AbstractContextManager[Any]:
        """As they are drawn."""
        return nullcontext()

    def keeper(self, folder: CheckpointFolder) -> CheckpointFolder:
        """The folder."""
        return folder

    def begin(
        self, folder: CheckpointFolder, model: nn.Module, optimizer: torch.optim.Optimizer,
        objective: nn.Module,
    ) -> tuple[Progress, Partial | None]:  # fmt: skip
        """From the folder."""
        return folder.load_progress(), folder.restore(model, optimizer, objective)

    def align(self, model: nn.Module) -> None:
        """Nobody to align with."""

    def after_first(self, build: Callable[[], T]) -> T:
        """Built."""
        return build()


ALONE = Alone()


class Processes:
    """Processes of a `torch.distributed` group, one of them this.

    Parameters
    ----------
    rank, size : int
        Number of this one from 0, and how many there are.
    """

    def __init__(self, rank: int, size: int) -> None:
        self.rank, self.size = rank, size
        self.first = rank == 0

    def share(self, n: int) -> Share:
        """Contiguous rows."""
        return share_of(n, self.rank, self.size)

    def total(self, own: Tensor) -> Tensor:
        """Summed by all-reduce."""
        return self._sum(own.detach().clone())

    def rows(self, own: Tensor, share: Share) -> Tensor:
        """Each process adds its rows to zeros."""
        every = own.new_zeros((share.n_all, *own.shape[1:]))
        if share.n_own:
            every[share.rows] = own.detach()
        return self._sum(every)

    def anywhere(self, flag: bool) -> bool:
        """By a sum of one number."""
        return bool(self._sum(torch.tensor([float(flag)])) > 0)

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """In one buffer, with a flag for each parameter: one that no row reaches has none."""
        learned = [p for p in parameters if p.requires_grad]
        flags = torch.tensor([float(p.grad is not None) for p in learned])
        grads = [p.new_zeros(p.numel()) if p.grad is None else p.grad.flatten() for p in learned]
        every = self._sum(torch.cat([flags, *grads]))
        reached, rest = every[: len(learned)], every[len(learned) :]
        parts = torch.split(rest, [p.numel() for p in learned])
        for parameter, n_reached, part in zip(learned, reached, parts, strict=True):
            if n_reached > 0:
                parameter.grad = part.view_as(parameter).to(parameter.dtype)

    def masks(self, n: int) -> AbstractContextManager[Any]:
        """Drawn for the whole batch, then cut."""
        share = self.share(n)
        return WholeBatchMasks(share.rows, n)

    def keeper(self, folder: CheckpointFolder) -> CheckpointFolder:
        """Of the others a folder that writes, reads and removes nothing."""
        return folder if self.first else _Unkept(folder.folder)

    def begin(
        self, folder: CheckpointFolder, model: nn.Module, optimizer: torch.optim.Optimizer,
        objective: nn.Module,
    ) -> tuple[Progress, Partial | None]:  # fmt: skip
        """The first reads, and sends it to the others: they need no common file system."""
        check_separable(model)
        parts: tuple[Any, ...] = (model, optimizer, objective)
        found = ALONE.begin(folder, *parts) if self.first else None
        state = self._from_first((found, [p.state_dict() for p in parts]) if self.first else None)
        place: tuple[Progress, Partial | None] = state[0]
        if not self.first:
            for part, saved in zip(parts, state[1], strict=True):
                part.load_state_dict(saved)
        return place

    def align(self, model: nn.Module) -> None:
        """Sent by the first."""
        model.load_state_dict(self._from_first(model.state_dict() if self.first else None))

    def after_first(self, build: Callable[[], T]) -> T:
        """In turn."""
        found = build() if self.first else None
        self.anywhere(False)  # a barrier
        return build() if found is None else found

    def _sum(self, tensor: Tensor) -> Tensor:
        """In place."""
        from torch import distributed

        with _noticing(self):
            distributed.all_reduce(tensor)
        return tensor

    def _from_first(self, value: Any) -> Any:
        """An object of the first process, in all."""
        from torch import distributed

        box = [value]
        with _noticing(self):
            distributed.broadcast_object_list(box, src=0)
        return box[0]


class _Unkept(CheckpointFolder):
    """What the processes besides the first have in the place of a folder."""

    def save(self, *_: Any) -> None:
        """The first does."""

    def save_partial(self, *_: Any) -> None:
        """The first does."""

    def save_best(self, *_: Any) -> None:
        """The first does."""

    def load_best(self, *_: Any) -> None:
        """`Group.align` follows."""


def check_separable(model: nn.Module) -> None:
    """Refuse a model whose answer to a sample depends on the others of the batch.

    Raises
    ------
    ConfigError
        If it normalises over the batch.
    """
    for path, module in model.named_modules():
        if isinstance(module, SpikeBatchNorm | nn.modules.batchnorm._BatchNorm):
            raise ConfigError(
                "a model trained by several processes must not normalise over the batch, got "
                f"{type(module).__name__} at {path or '(the model itself)'}"
            )


@contextmanager
def joined() -> Iterator[Group]:
    """The group that ``torchrun`` started this process in, or `ALONE`.

    Raises
    ------
    GroupError
        Inside the block, when another process is gone.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size < 2:
        yield ALONE
        return
    from torch import distributed

    group = Processes(int(os.environ["RANK"]), size)

    def end(number: int, frame: FrameType | None) -> None:
        # torchrun ends all when one is gone; this one may have been computing and not have noticed.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise _lost(group, "told to end by SIGTERM")

    signal.signal(signal.SIGTERM, end)
    with _noticing(group):
        distributed.init_process_group("gloo", timeout=_TIMEOUT)
    yield group
    distributed.destroy_process_group()


@contextmanager
def _noticing(group: Processes) -> Iterator[None]:
    """Say in one line what torch says in many."""
    try:
        yield
    except RuntimeError as error:
        # "[where in torch] What. This is typically caused by ..."
        what = re.sub(r"^\[[^]]*\] ", "", str(error).splitlines()[0]).partition(". This ")[0]
        raise _lost(group, what) from error


def _lost(group: Processes, why: str) -> GroupError:
    """The one line."""
    return GroupError(
        f"process {group.rank} of {group.size} ends because another one did ({why}); the last "
        "saved epoch stays: the same torchrun with train --resume RUN goes on"
    )
