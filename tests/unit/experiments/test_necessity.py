"""Controls of temporal necessity: what they keep, and what they destroy."""

from __future__ import annotations

import numpy as np
import torch

from experiments.studies.necessity import necessity_table
from experiments.studies.necessity_controls import (
    bins_shuffled,
    changed_samples,
    collapsed,
    partners_shuffled,
)
from experiments.studies.resolution.tasks import ResolutionTask
from spikefuse.events import EVENT_DTYPE, EventStream


def _stream(times: list[int], channels: list[int]) -> EventStream:
    events = np.zeros(len(times), EVENT_DTYPE)
    events["t"], events["x"], events["p"] = times, channels, True
    return EventStream(events, (4, 1, 1), 40_000, "audio")


def _counts(stream: EventStream) -> list[int]:
    return [int(n) for n in np.bincount(stream.events["x"], minlength=4)]


def test_collapsed_keeps_counts_and_forgets_times() -> None:
    stream = _stream([5] * 400, [0] * 100 + [2] * 300)
    found = collapsed(stream, np.random.default_rng(0))
    assert _counts(found) == [100, 0, 300, 0]
    # Uniform over 40 ms: mean 20 ms, standard error 0.6 ms.
    assert abs(found.events["t"].mean() - 20_000) < 2500


def test_bins_move_as_a_whole() -> None:
    stream = _stream([100, 300, 10_100, 25_000, 39_999], [0, 1, 2, 3, 0])
    moved = False
    for seed in range(5):
        found = bins_shuffled(stream, 10.0, np.random.default_rng(seed))
        assert sorted(found.events["t"] % 10_000) == sorted(stream.events["t"] % 10_000)
        at = {int(c): int(t) for t, c in zip(found.events["t"], found.events["x"], strict=True)}
        first = [int(t) for t, c in zip(found.events["t"], found.events["x"], strict=True) if c < 1]
        # The events at 100 and 300 us were in one bin and still are.
        assert any(at[1] - t == 200 for t in first)
        moved |= bool((found.events["t"] != stream.events["t"]).any())
    assert moved


def test_partners_stay_in_their_class_and_no_pair_keeps_its_own() -> None:
    pairs = [(i, i) for i in range(12)]
    labels = [i % 3 for i in range(12)]
    found = partners_shuffled(pairs, labels, np.random.default_rng(0))
    assert [p[0] for p in found] == list(range(12))
    assert all(a != b and a % 3 == b % 3 for a, b in found)
    assert sorted(p[1] for p in found) == list(range(12))


def test_controls_of_scenes_keep_counts_of_every_address() -> None:
    samples = ResolutionTask("s1", 16).samples(5, 40)
    for control in ("collapsed", "bins"):
        changed = changed_samples(samples, control, 8, 0)
        for name, train in samples.trains.items():
            assert torch.equal(changed.trains[name].sum(0), train.sum(0))
            assert not torch.equal(changed.trains[name], train)
    shuffled = changed_samples(samples, "partner", 8, 0)
    assert torch.equal(shuffled.trains["vision"], samples.trains["vision"])
    assert not torch.equal(shuffled.trains["audio"], samples.trains["audio"])


def test_table_gives_points_lost() -> None:
    row = {
        "scene": "s1",
        "kind": "cnn",
        "width": 16,
        "chance": 0.5,
        "frozen": {"intact": 0.9, "collapsed": 0.5, "bins": 0.6, "partner": 0.5},
        "retrained": {},
    }
    other = row | {"frozen": row["frozen"] | {"bins": 0.5}}
    lines = necessity_table([row, other]).splitlines()
    assert len(lines) == 3
    assert [cell.strip() for cell in lines[2].split("|")[-4:-1]] == [
        "40.0 (40.0 to 40.0)", "35.0 (30.0 to 40.0)", "40.0 (40.0 to 40.0)"
    ]  # fmt: skip
