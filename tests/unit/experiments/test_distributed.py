"""Several processes on one batch: parts, masks, gradients and figures are those of one process."""

import copy
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tiny_run
import torch
from tiny_run import learner_of
from torch import nn

from experiments.config import Config
from experiments.loading.data import PairedData, load_data
from experiments.training import loop
from experiments.training.checkpoints import CheckpointFolder
from experiments.training.distributed import ALONE, Group, Processes, check_separable, share_of
from experiments.training.loop import train_model
from experiments.training.masks import WholeBatchMasks
from experiments.training.objective import Objective
from spikefuse.encoders.dropout import SpikeDropout
from spikefuse.errors import ConfigError
from spikefuse.synapses import SpikeBatchNorm

# Masks come from one generator of the process, which threads would draw from in any order.
DRY = ("model.vision.dropout=0.0", "model.audio.dropout=0.0")


class Threads:
    """Groups whose members are threads of this process: what `torch.distributed` does, by hand."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.barrier = threading.Barrier(size, timeout=60)
        self.given: list = [None] * size

    def member(self, rank: int) -> Group:
        threads = self

        class Member(Processes):
            def _exchange(self, value: object) -> list:
                threads.given[self.rank] = value
                threads.barrier.wait()
                found = list(threads.given)
                threads.barrier.wait()
                return found

            def _sum(self, tensor: torch.Tensor) -> torch.Tensor:
                return tensor.copy_(torch.stack(self._exchange(tensor.clone())).sum(0))

            def _from_first(self, value: object) -> object:
                return copy.deepcopy(self._exchange(value)[0])  # as if it had been sent

        return Member(rank, self.size)

    def run(self, work: Callable[[Group], None]) -> None:
        failed: list[BaseException] = []

        def guarded(rank: int) -> None:
            try:
                work(self.member(rank))
            except BaseException as error:
                failed.append(error)
                self.barrier.abort()

        threads = [threading.Thread(target=guarded, args=(rank,)) for rank in range(self.size)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failed:
            raise failed[0]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> PairedData:
    return load_data(tiny_run.tiny().data, cache_dir=tmp_path_factory.mktemp("cache"))


def trained(
    config: Config, data: PairedData, folder: Path, name: str, group: Group = ALONE
) -> tuple[nn.Module, list[dict]]:
    with LOCK:
        learner = learner_of(config, data, name)
    records: list[dict] = []
    train_model(learner, data, config, 0, CheckpointFolder(folder), records.append, group)
    return learner.model, records


LOCK = threading.Lock()
"""Building seeds torch's one generator and draws from it: only one thread may at a time."""


@pytest.fixture(autouse=True)
def one_builds_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    def guarded(*args: object) -> Objective:
        with LOCK:
            return Objective(*args)

    monkeypatch.setattr(loop, "Objective", guarded)


def test_parts_cover_the_batch_once_and_an_empty_one_weighs_nothing() -> None:
    for n in (1, 2, 7, 16):
        shares = [share_of(n, rank, 3) for rank in range(3)]
        rows = [i for s in shares if s.n_own for i in range(n)[s.rows]]
        assert rows == list(range(n))
        assert sum(s.weight for s in shares) == pytest.approx(1.0)
        assert all(len(range(n)[s.rows]) >= 1 for s in shares)
    assert share_of(5, 0, 1).rows == slice(0, 5)
    assert share_of(5, 0, 1).weight == 1.0


@pytest.mark.parametrize("layer", [SpikeDropout(0.4), nn.Dropout(0.4)])
def test_masks_of_a_part_are_rows_of_the_whole_ones(layer: nn.Module) -> None:
    x = torch.rand(3, 7, 5) + 1.0  # [T, B, N], or [B, ...] turned round
    batch_first = isinstance(layer, nn.Dropout)
    whole_in = x.transpose(0, 1) if batch_first else x
    torch.manual_seed(3)
    whole = layer(whole_in)
    after = torch.rand(1)
    for rows in (slice(0, 4), slice(4, 7)):
        torch.manual_seed(3)
        part = whole_in[rows] if batch_first else x[:, rows]
        with WholeBatchMasks(rows, 7):
            own = layer(part)
        assert torch.equal(own, whole[rows] if batch_first else whole[:, rows])
        assert torch.equal(torch.rand(1), after)  # and the generator stands where it would
    with WholeBatchMasks(slice(0, 4), 7), pytest.raises(ValueError, match="multiple of 4 rows"):
        layer(torch.ones(3, 5, 2) if not batch_first else torch.ones(5, 2))


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("snn", ("train.modality_dropout=0.3", "train.auxiliary_weight=0.2")),
        ("snn", ("train.balance='ogm'", "train.checkpoint_steps=4")),
        ("snn", ("train.activity_weight=0.1",)),
        ("dense", ("train.dense_epochs=2", "model.dense_fusion='gru'")),
    ],
)
def test_three_members_train_as_one_process_does(
    data: PairedData, tmp_path: Path, name: str, more: tuple[str, ...]
) -> None:
    # 40 samples in batches of 13: parts of 5, 4 and 4 rows, and a last batch with empty ones.
    config = tiny_run.tiny("train.epochs=2", "train.batch_size=13", *DRY, *more)
    alone, records = trained(config, data, tmp_path / "alone", name)
    models: dict[int, nn.Module] = {}
    told: dict[int, list[dict]] = {}

    def work(group: Processes) -> None:
        folder = tmp_path / f"member-{group.rank}"
        models[group.rank], told[group.rank] = trained(config, data, folder, name, group)

    Threads(3).run(work)
    for key, value in alone.state_dict().items():
        torch.testing.assert_close(models[0].state_dict()[key], value, atol=1e-4, rtol=1e-3)
        for rank in (1, 2):
            assert torch.equal(models[rank].state_dict()[key], models[0].state_dict()[key])
    assert len(records) == 2
    for ours, theirs in zip(told[0], records, strict=True):
        for key in ours.keys() - {"seconds", "events_per_s"}:
            if key != "model":
                assert ours[key] == pytest.approx(theirs[key], rel=1e-3, abs=1e-5), key
    assert (tmp_path / "member-0" / "epoch-0002").is_dir()
    assert not (tmp_path / "member-1").exists()


def test_a_group_goes_on_from_what_its_first_member_saved(data: PairedData, tmp_path: Path) -> None:
    short, whole = (
        tiny_run.tiny(f"train.epochs={n}", "train.schedule=constant", *DRY) for n in "12"
    )
    trained(short, data, tmp_path, "snn")
    models: dict[int, nn.Module] = {}
    told: dict[int, list[dict]] = {}

    def work(group: Processes) -> None:
        # Only the first one has the folder.
        folder = tmp_path if group.first else tmp_path / "nowhere"
        models[group.rank], told[group.rank] = trained(whole, data, folder, "snn", group)

    Threads(2).run(work)
    assert [[r["epoch"] for r in records] for records in told.values()] == [[2], [2]]
    for key, value in models[0].state_dict().items():
        assert torch.equal(models[1].state_dict()[key], value)


def test_a_parameter_that_no_row_reaches_keeps_no_gradient() -> None:
    layers = [[nn.Parameter(torch.ones(2)) for _ in range(3)] for _ in range(2)]
    frozen = nn.Parameter(torch.ones(1), requires_grad=False)
    layers[0][0].grad = torch.tensor([1.0, 2.0])
    layers[1][0].grad = torch.tensor([3.0, 4.0])
    layers[1][1].grad = torch.tensor([5.0, 6.0])

    def work(group: Processes) -> None:
        group.sum_gradients([*layers[group.rank], frozen])

    Threads(2).run(work)
    for own in layers:
        assert own[0].grad.tolist() == [4.0, 6.0]
        assert own[1].grad.tolist() == [5.0, 6.0]
        assert own[2].grad is None


def test_rows_of_every_member_come_together_in_order() -> None:
    found: dict[int, np.ndarray] = {}

    def work(group: Processes) -> None:
        share = group.share(4)
        found[group.rank] = group.rows(torch.arange(8.0).view(4, 2)[share.rows], share).numpy()
        assert group.anywhere(group.rank == 1)
        assert not group.anywhere(False)

    Threads(3).run(work)
    for rows in found.values():
        assert rows.tolist() == torch.arange(8.0).view(4, 2).tolist()


def test_a_model_that_normalises_over_the_batch_is_refused() -> None:
    with pytest.raises(ConfigError, match="SpikeBatchNorm at 0"):
        check_separable(nn.Sequential(SpikeBatchNorm(4)))
    check_separable(nn.Sequential(nn.Linear(2, 2)))
