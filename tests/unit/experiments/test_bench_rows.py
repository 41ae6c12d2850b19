"""Rows: what is timed, what is judged, what counts as a failure; and the rows that exist."""

import numpy as np
import pytest
import torch

from experiments.bench import lif_peers, memory, peers
from experiments.bench.floor import Floor
from experiments.bench.linear_lif import make_linear_lif
from experiments.bench.recordings import synthetic_streams, training_samples
from experiments.bench.rows import Contender, Row, Setting, run_row
from experiments.bench.suite import GROUPS, run_group
from experiments.bench.titles import TITLES

QUICK = Setting(quick=True, rounds=3, least_ms=0.1)
ONES = {"out": torch.ones(4)}


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def answers(value: float):
    return lambda: {"out": torch.full((4,), value)}


def fails():
    raise RuntimeError("not supported here")


def test_a_wrong_peer_is_an_error_and_has_no_time() -> None:
    row = Row(
        "r",
        (
            Contender("ours", answers(1.0)),
            Contender("right", answers(1.0)),
            Contender("wrong", answers(1.5)),
            Contender("broken", fails),
        ),
        ONES,
    )
    result = run_row(row, QUICK, rng())
    ours, right, wrong, broken = result["contenders"]
    assert wrong == {
        "name": "wrong",
        "error": "check failed: out must be within 0.005 (relative error), got 0.5",
    }
    assert broken["error"] == "RuntimeError: not supported here"
    assert ours["ratio"]["median"] == 1.0
    assert len(right["samples"]) == 3
    assert "error" not in result


def test_if_the_first_contender_is_wrong_nothing_is_timed() -> None:
    row = Row("r", (Contender("ours", answers(2.0)), Contender("peer", answers(1.0))), ONES)
    result = run_row(row, QUICK, rng())
    assert "got 1" in result["error"]
    assert result["contenders"] == []
    assert result["targets"] == {}


def test_a_contender_may_have_its_own_answer() -> None:
    other = Contender("peer", answers(2.0), {"out": torch.full((4,), 2.0)})
    result = run_row(Row("r", (Contender("ours", answers(1.0)), other), ONES), QUICK, rng())
    assert "error" not in result["contenders"][1]


def sampled(samples, targets=(), **fields) -> dict:
    contenders = tuple(Contender(name, answers(1.0)) for name in samples)
    row = Row("r", contenders, ONES, targets, sample=lambda rounds: samples, **fields)
    return run_row(row, QUICK, rng())


def test_a_target_is_judged_against_the_fastest_peer_there_is() -> None:
    samples = {"spikefuse": [1.0, 2.0, 1.0], "spikingjelly": [9.0] * 3, "norse": [7.0, 12.0, 8.0]}
    target = sampled(samples, ("lif_forward",))["targets"]["lif_forward"]
    # Round by round: 7 / 1, 9 / 2, 8 / 1.
    assert target["value"] == pytest.approx(7.0)
    assert (target["met"], target["aim_met"]) == (True, False)
    assert target["against"] == ["spikingjelly", "norse"]  # snnTorch took no part
    alone = sampled({"spikefuse": [1.0] * 3}, ("lif_forward",))["targets"]["lif_forward"]
    assert (alone["value"], alone["met"]) == (None, None)


def test_figures_of_a_row_are_judged_and_kept() -> None:
    result = sampled(
        {"spikefuse": [2.0] * 3},
        ("growth", "row_bandwidth"),
        facts={"row_bytes": 240_000_000},
        conclude=lambda samples: {"r_squared": 0.5},
    )
    assert result["facts"]["row_gb_per_s"] == pytest.approx(120.0)
    assert result["targets"]["growth"]["met"] is False
    assert result["targets"]["row_bandwidth"]["aim_met"] is True


def test_the_floor_is_timed_beside_the_contenders() -> None:
    row = Row("r", (Contender("ours", answers(1.0)),), ONES, floor=Floor(1 << 20))
    floor = run_row(row, QUICK, rng())["floor"]
    assert floor["moved_bytes"] == 2 << 20
    assert len(floor["samples"]) == 3
    assert floor["ours_over_floor"] > 0


@pytest.mark.parametrize("name", ["spikingjelly", "snntorch", "norse"])
def test_peers_have_the_same_spikes_and_gradients(name: str) -> None:
    pytest.importorskip(name)
    peer = getattr(lif_peers, name)()
    torch.manual_seed(4)
    x = torch.randn(30, 3, 20) * 0.4 + 0.1
    gradient = torch.randn(30, 3, 20)
    leaf, theirs = x.clone().requires_grad_(), (x * peer.gain).requires_grad_()
    expected, spikes = lif_peers.oracle(leaf, peer.surrogate), peer.scan(theirs)
    assert 0.03 < float(expected.detach().mean()) < 0.5
    assert torch.equal(spikes, expected)
    (wanted,) = torch.autograd.grad(expected, leaf, gradient)
    (got,) = torch.autograd.grad(spikes, theirs, gradient)
    torch.testing.assert_close(got * peer.gain, wanted, rtol=1e-4, atol=1e-5)


def test_linear_and_lif_by_the_formula() -> None:
    torch.manual_seed(5)
    x = torch.randn(12, 2, 32)
    ours, expected = make_linear_lif("spikefuse", x)(), make_linear_lif("oracle", x)()
    assert torch.equal(ours["spikes"], expected["spikes"])
    torch.testing.assert_close(ours["gradient"], expected["gradient"], rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match=r"name must be one of .* got 'brian'"):
        make_linear_lif("brian", x)


def test_synthetic_recordings_have_the_statistics_of_real_ones() -> None:
    vision, audio = (synthetic_streams(name, 40, seed=1) for name in ("vision", "audio"))
    assert 3300 < np.median([len(s) for s in vision]) < 4700
    assert 2200 < np.median([len(s) for s in audio]) < 3300
    assert max(int(s.events["t"][-1]) for s in vision) < 308_000
    for stream in vision[:5]:  # a part of the sensor, both polarities
        used = len(np.unique(stream.addresses() % 1156)) / 1156
        assert 0.3 < used < 0.45
        assert set(np.unique(stream.events["p"])) == {False, True}
    assert vision[0].n_addresses == 2312
    assert audio[0].n_addresses == 64


def test_synthetic_samples_are_the_same_every_time() -> None:
    first, origin = training_samples(None, 3)
    again, _ = training_samples(None, 3)
    assert origin.startswith("synthetic")
    assert len(first) == 3
    for a, b in zip(first, again, strict=True):
        assert all(np.array_equal(a[name].events, b[name].events) for name in ("vision", "audio"))


def test_absent_peers_are_named_with_the_line_that_installs_them(monkeypatch) -> None:
    monkeypatch.setattr(peers, "find_spec", lambda name: None if name == "spikingjelly" else True)
    assert peers.describe()["spikingjelly"] == "absent: pip install 'spikefuse[bench]'"
    assert "spikingjelly" not in peers.present()
    assert "scipy" in peers.present()


def test_groups_have_titles() -> None:
    assert set(GROUPS) == set(TITLES)
    with pytest.raises(ValueError, match=r"group must be one of .* got 'gpu'"):
        run_group("gpu", QUICK, lambda row: None)


def failures(result) -> list[str]:
    """Errors of all rows and contenders."""
    rows = result["rows"]
    return [row["error"] for row in rows if "error" in row] + [
        f"{row['name']}, {entry['name']}: {entry['error']}"
        for row in rows
        for entry in row["contenders"]
        if "error" in entry
    ]


def test_the_training_step_is_the_same_in_snntorch() -> None:
    pytest.importorskip("snntorch")
    setting = Setting(frozenset({"snntorch"}), quick=True, rounds=3, least_ms=0.1)
    seen: list[str] = []
    result = run_group("network", setting, lambda r: seen.append(r["name"]), lambda n: "step" in n)
    assert seen == ["fusion model, one training step"]
    assert failures(result) == []
    ours, twin = result["rows"][0]["contenders"]
    assert set(twin["check"]) == {
        "scores",
        "gradient encoders.vision.synapses.0.weight",
        "gradient encoders.audio.synapses.0.weight",
    }
    assert len(ours["check"]) > 10


@pytest.mark.slow
@pytest.mark.parametrize("group", list(TITLES))
def test_every_row_of_a_group_passes_its_checks(group: str) -> None:
    before = torch.get_num_threads()
    setting = Setting(peers.present(), quick=True, rounds=3, least_ms=0.1)
    result = run_group(group, setting, lambda row: None)
    assert failures(result) == []
    assert len(result["rows"]) >= 2
    assert torch.get_num_threads() == before


@pytest.mark.slow
@pytest.mark.skipif(not memory.measurable(), reason="the system does not tell the peak")
def test_peak_memory_is_that_of_the_call() -> None:
    one = 100 * 16 * 512 * 4 / 2**20  # MiB of one [T, B, N] tensor
    # The linear layer alone keeps its output and the gradient of it.
    alone = memory.peak_of("linear only", (100, 16, 512))
    loop = memory.peak_of("torch loop", (100, 16, 512))
    assert one < alone < 8 * one
    assert loop > alone + 2 * one
    with pytest.raises(RuntimeError, match="must be one of"):
        memory.peak_of("brian", (4, 2, 8))
