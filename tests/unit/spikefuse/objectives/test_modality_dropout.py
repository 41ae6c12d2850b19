"""Modality dropout: an absent modality is an empty stream, and one always stays."""

import numpy as np
import pytest

from spikefuse.events import EventStream, MultiStream
from spikefuse.kernels.binning import bin_events
from spikefuse.objectives.modality_dropout import draw_absent, drop_modalities, without


@pytest.fixture
def sample(make_stream) -> MultiStream:
    streams = {name: make_stream(modality=name) for name in ("vision", "audio", "touch")}
    return MultiStream(streams, 3, {"vision": "a"})


@pytest.mark.parametrize("n_modalities", [2, 3])
def test_shares_are_those_asked_for_and_one_modality_always_stays(n_modalities: int) -> None:
    absent = draw_absent(20_000, n_modalities, 0.4, np.random.default_rng(0))
    assert set(absent.sum(1).tolist()) == {0, 1}
    np.testing.assert_allclose(absent.mean(0), 0.4 / n_modalities, atol=0.01)


def test_nothing_is_drawn_of_a_single_modality() -> None:
    assert not draw_absent(50, 1, 1.0, np.random.default_rng(0)).any()


def test_no_and_certain_dropout() -> None:
    assert not draw_absent(50, 2, 0.0, np.random.default_rng(0)).any()
    assert (draw_absent(50, 2, 1.0, np.random.default_rng(0)).sum(1) == 1).all()


def test_an_absent_modality_is_an_empty_stream(sample: MultiStream) -> None:
    left = without(sample, ["audio"])
    empty = EventStream.empty((8, 6, 2), 50_000, "audio")
    assert len(left["audio"]) == 0
    assert (left["audio"].sensor_size, left["audio"].duration_us) == ((8, 6, 2), 50_000)
    assert left["vision"] is sample["vision"]
    assert (left.label, left.provenance) == (3, {"vision": "a"})
    found = bin_events([left["audio"]], 5.0, 10)
    expected = bin_events([empty], 5.0, 10)
    assert found.n_events == 0
    assert found.indptr.tolist() == expected.indptr.tolist()


def test_the_same_generator_drops_the_same(sample: MultiStream) -> None:
    names, many = ("vision", "audio"), [sample] * 30
    a, b, c = (
        [
            tuple(len(s[m]) > 0 for m in names)
            for s in drop_modalities(many, names, 0.5, np.random.default_rng(seed))
        ]
        for seed in ([1, 2], [1, 2], [1, 3])
    )
    assert a == b != c
    assert {(True, True), (True, False), (False, True)} == set(a)


def test_wrong_values_are_named(sample: MultiStream) -> None:
    with pytest.raises(ValueError, match=r"probability must lie in \[0, 1\], got 1.5"):
        draw_absent(1, 2, 1.5, np.random.default_rng(0))
    with pytest.raises(ValueError, match="got \\['smell'\\]"):
        without(sample, ["smell"])
