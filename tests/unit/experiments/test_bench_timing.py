"""Timing, floors, checks and targets of the benchmarks."""

import numpy as np
import pytest
import torch

from experiments.bench import timing
from experiments.bench.checks import CheckError, check
from experiments.bench.floor import Floor, bandwidth
from experiments.bench.product_rows import fit_line
from experiments.bench.targets import Target, load_targets
from experiments.bench.timing import best_of, interleave, ratios, spread
from spikefuse.spikes import SpikeBatch


def test_spread_is_median_and_quartiles() -> None:
    assert spread([4.0, 1.0, 2.0, 3.0, 5.0]).to_dict() == {"median": 3.0, "q1": 2.0, "q3": 4.0}
    with pytest.raises(ValueError, match="at least one sample, got none"):
        spread([])


def test_ratios_go_round_by_round() -> None:
    # The ratio of the medians would be 1; every single round says otherwise.
    assert ratios([2.0, 20.0, 4.0], [1.0, 10.0, 2.0]) == [2.0, 2.0, 2.0]
    with pytest.raises(ValueError, match="2 rounds as ours does, got 1"):
        ratios([1.0], [1.0, 2.0])


def test_the_best_peer_is_chosen_in_each_round() -> None:
    samples = {"a": [1.0, 5.0], "b": [3.0, 2.0], "c": [0.0, 0.0]}
    assert best_of(samples, ["a", "b"]) == [1.0, 2.0]


class FakeTime:
    """A clock that moves only when somebody works."""

    def __init__(self) -> None:
        self.now = 0.0
        self.order: list[str] = []

    def work(self, name: str, ms: float):
        def run() -> None:
            self.order.append(name)
            self.now += ms / 1e3

        return run


def test_interleave_reports_milliseconds_per_call(monkeypatch) -> None:
    fake = FakeTime()
    monkeypatch.setitem(timing.CLOCKS, "fake", lambda: fake.now)
    runs = {"slow": fake.work("slow", 30.0), "fast": fake.work("fast", 0.5)}
    samples, calls = interleave(runs, 5, 10.0, np.random.default_rng(0), "fake")
    assert samples["slow"] == pytest.approx([30.0] * 5)
    assert samples["fast"] == pytest.approx([0.5] * 5)
    assert calls == {"slow": 1, "fast": 20}


def test_every_contender_runs_once_in_every_round_in_changing_order(monkeypatch) -> None:
    fake = FakeTime()
    monkeypatch.setitem(timing.CLOCKS, "fake", lambda: fake.now)
    names = ["a", "b", "c"]
    runs = {name: fake.work(name, 50.0) for name in names}
    interleave(runs, 12, 10.0, np.random.default_rng(3), "fake")
    rounds = np.array(fake.order[-36:]).reshape(12, 3)
    assert all(sorted(order) == names for order in rounds)
    assert len({tuple(order) for order in rounds}) >= 4


def test_processor_time_sees_work() -> None:
    def spin(n: int) -> int:
        return sum(range(n))

    runs = {"one": lambda: spin(100_000), "four": lambda: spin(400_000)}
    samples, _ = interleave(runs, 5, 5.0, np.random.default_rng(0))
    assert 2.0 < spread(ratios(samples["four"], samples["one"])).median < 8.0


@pytest.mark.parametrize("read_bytes", [0, 100, 1 << 10, 3_000_000])
def test_the_floor_reads_every_byte(read_bytes: int, monkeypatch) -> None:
    floor = Floor(0, read_bytes, 1 << 16)
    read = 0
    dot = np.dot

    def counted(left, right):
        nonlocal read
        read += left.nbytes + right.nbytes
        return dot(left, right)

    run = floor.runner()
    monkeypatch.setattr(np, "dot", counted)
    run()
    assert read == read_bytes // 8 * 8
    assert floor.moved_bytes == read_bytes


def test_the_floor_copies_every_byte(monkeypatch) -> None:
    copied = 0
    copyto = np.copyto

    def counted(target, source):
        nonlocal copied
        copied += source.nbytes
        copyto(target, source)
        assert (target == 1).all()

    run = Floor(4000).runner()
    monkeypatch.setattr(np, "copyto", counted)
    run()
    assert copied == 4000
    assert Floor(4000, 50).moved_bytes == 8050


def test_bandwidth_is_plausible() -> None:
    found = bandwidth(3, 1.0, np.random.default_rng(0))
    assert {(b["set_kib"], b["kind"]) for b in found} == {
        (kib, kind) for kib in (512, 8192, 131072) for kind in ("read", "copy")
    }
    assert all(0.1 < b["gb_per_s"]["median"] < 5000 for b in found)


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support")
def test_the_check_takes_what_is_equal_in_any_form() -> None:
    dense = (torch.rand(4, 3, 50) < 0.2).float()
    batch = SpikeBatch.from_dense(dense)
    sparse = dense.view(12, 50).to_sparse_csr()
    distances = check(
        {"spikes": batch, "spikes csr": sparse, "sum": np.ones(3)},
        {"spikes": dense, "spikes csr": dense, "sum": torch.ones(3)},
    )
    assert distances == {"spikes": 0.0, "spikes csr": 0.0, "sum": 0.0}


def test_the_check_allows_a_flipped_spike_among_many_only() -> None:
    right = torch.zeros(100_000)
    right[::10] = 1.0
    wrong = right.clone()
    wrong[:5] = 1.0 - wrong[:5]
    assert check({"spikes": wrong}, {"spikes": right})["spikes"] == pytest.approx(5e-5)
    wrong[:1000] = 1.0 - right[:1000]
    with pytest.raises(CheckError, match=r"differing cells\), got 0.01"):
        check({"spikes": wrong}, {"spikes": right})


@pytest.mark.parametrize(
    ("got", "message"),
    [
        ({}, "gradient must be computed"),
        ({"gradient": torch.ones(3)}, "must be of 4 elements, got 3"),
        ({"gradient": torch.full((4,), 1.01)}, r"relative error\), got 0.01"),
        ({"gradient": torch.full((4,), float("nan"))}, "got nan"),
        ({"gradient": [1.0]}, "must be a tensor, an array or events, got list"),
    ],
)
def test_the_check_says_what_is_off(got, message: str) -> None:
    with pytest.raises(CheckError, match=message):
        check(got, {"gradient": torch.ones(4)})


def test_a_target_is_judged_by_its_own_limits() -> None:
    target = Target("w", ("peer",), at_least=2.0, aim=4.0, floor_at_most=1.3)
    judged = target.judge(3.0, 1.5)
    assert (judged["met"], judged["aim_met"], judged["floor_met"]) == (True, False, False)
    judged = target.judge(None, None)
    assert (judged["met"], judged["aim_met"], judged["floor_met"]) == (None, None, None)


def test_the_file_of_targets_promises_what_was_asked() -> None:
    targets = load_targets()
    promised = {name: (t.at_least, t.aim) for name, t in targets.items()}
    assert promised["lif_forward"] == (6.0, 9.0)
    assert promised["product_never_slower"] == (1.0, None)
    assert promised["dweight_far"] == (15.0, 35.0)
    assert promised["epoch"] == (3.0, 10.0)
    assert all(t.work and (t.against or t.metric != "ratio") for t in targets.values())


def test_the_line_through_exact_points() -> None:
    line = fit_line({1000: 3.0, 2000: 5.0, 4000: 9.0})
    assert line["r_squared"] == pytest.approx(1.0)
    assert line["intercept_ms"] == pytest.approx(1.0)
    assert line["ns_per_event"] == pytest.approx(2000.0)
    assert fit_line({1: 0.0, 2: 1.0, 3: 0.0})["r_squared"] == pytest.approx(0.0, abs=1e-9)
