"""Planted offsets and drifts are found from events alone, in bounded memory, and never invented."""

from __future__ import annotations

import numpy as np
import pytest

from spikefuse.runtime.clocks import ClockEstimator, ClockParams, Onsets
from spikefuse.runtime.lag_line import find_line, refine_line


def common_causes(seed, seconds=60, rate_hz=3.0, noise_hz=10.0, jitter_ms=1.0):
    """Two trains that answer the same causes, each with jitter and noise of its own."""
    rng = np.random.default_rng(seed)
    end = seconds * 1_000_000
    causes = np.sort(rng.integers(0, end, rng.poisson(rate_hz * seconds)))
    trains = []
    for _ in range(2):
        answers = causes + rng.normal(0, jitter_ms * 1e3, len(causes))
        noise = rng.integers(0, end, rng.poisson(noise_hz * seconds))
        times = np.concatenate([answers, noise]).astype(np.int64)
        trains.append(np.sort(times[(times >= 0) & (times < end)]))
    return trains


def heard(times, offset_ms, drift_ppm):
    return np.rint(offset_ms * 1e3 + times * (1 + drift_ppm * 1e-6)).astype(np.int64)


def fed(estimator, reference, other, chunk_us=200_000):
    end = int(max(reference[-1], other[-1])) + 1
    for start in range(0, end + 1, chunk_us):
        for name, times in (("reference", reference), ("other", other)):
            low, high = np.searchsorted(times, [start, start + chunk_us])
            estimator.push(name, times[low:high], min(start + chunk_us, end))
    return estimator


@pytest.mark.parametrize(
    ("seed", "offset_ms", "drift_ppm"), [(0, 120.0, 150.0), (1, -333.3, -200.0), (2, 0.0, 0.0)]
)
def test_planted_clocks_are_found_within_a_millisecond_and_20_ppm(seed, offset_ms, drift_ppm):
    reference, other = common_causes(seed)
    other = heard(other, offset_ms, drift_ppm)
    other = other[other >= 0]
    found = fed(ClockEstimator(), reference, other).estimate()
    assert found is not None
    assert found.locked
    for time_ms in (0.0, 60_000.0):
        assert abs(found.lag_ms(time_ms) - offset_ms - drift_ppm * 1e-6 * time_ms) < 1.0
    assert abs(found.drift_ppm - drift_ppm) < 20.0
    back = found.to_reference(heard(reference, offset_ms, drift_ppm))
    assert np.abs(back - reference).max() < 1000


def test_trains_without_common_causes_lock_on_nothing():
    locked = 0
    for seed in range(8):
        reference, _ = common_causes(seed, noise_hz=20.0)
        other, _ = common_causes(100 + seed, noise_hz=20.0)
        found = fed(ClockEstimator(), reference, other).estimate()
        assert found is not None
        locked += found.locked
    assert locked == 0


def test_chunks_of_any_length_give_the_same_estimate():
    reference, other = common_causes(3, seconds=20)
    estimates = [
        fed(ClockEstimator(), reference, heard(other, 40, 50), chunk_us).estimate()
        for chunk_us in (7_000, 90_000, 2_000_000)
    ]
    assert estimates[0] == estimates[1] == estimates[2]


def test_a_sensor_that_stops_for_a_while_costs_its_windows_and_no_memory():
    reference, other = common_causes(4, seconds=60)
    other = heard(other, 25, 0)
    other = other[(other < 10_000_000) | (other > 30_000_000)]
    estimator = ClockEstimator()
    held = estimator._correlations.nbytes + sum(r.counts.nbytes for r in estimator._rates.values())
    estimator.push("reference", reference)
    estimator.push("other", other)
    after = estimator._correlations.nbytes + sum(r.counts.nbytes for r in estimator._rates.values())
    assert after == held
    assert estimator.skipped > 0


@pytest.mark.parametrize("chunk", [1, 7, 300])
def test_onsets_are_the_first_events_of_an_address_after_silence(chunk):
    rng = np.random.default_rng(0)
    times, at = np.sort(rng.integers(0, 100_000, 300)), rng.integers(0, 5, 300)
    onsets, found = Onsets(3000), []
    for start in range(0, 300, chunk):
        found += onsets.first(times[start : start + chunk], at[start : start + chunk]).tolist()
    last = {}
    expected = []
    for time, address in zip(times, at, strict=True):
        expected.append(time - last.get(address, -3000) >= 3000)
        last[address] = time
    assert found == expected


def test_no_estimate_before_enough_windows():
    reference, other = common_causes(5, seconds=8)
    assert fed(ClockEstimator(), reference, other).estimate() is None


def test_standard_errors_cover_the_error_of_the_drift():
    ratios = []
    for seed in range(12):
        reference, other = common_causes(seed, seconds=30, jitter_ms=2.0)
        found = fed(ClockEstimator(), reference, heard(other, 60, 80)).estimate()
        ratios.append((found.drift_ppm - 80) / found.drift_se_ppm)
    assert 0.4 < np.sqrt(np.mean(np.square(ratios))) < 2.0


def test_a_line_of_exact_lags_is_fitted_exactly():
    times = np.arange(0.0, 60_000.0, 1000.0)
    lags = np.arange(-100, 101) * 0.5
    counts = np.zeros((len(times), len(lags)))
    at = np.rint((10.0 + 1e-4 * (times - times.mean())) / 0.5).astype(int) + 100
    counts[np.arange(len(times)), at] = 5.0
    line = refine_line(times, lags, counts, find_line(times, lags, counts, 3e-4))
    assert line.lag_ms == pytest.approx(10.0, abs=0.05)
    assert line.slope == pytest.approx(1e-4, abs=1e-5)


@pytest.mark.parametrize("wrong", [{"bin_us": 0}, {"min_windows": 2}, {"window_ms": 1.0}])
def test_wrong_parameters_are_named(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ClockParams(**wrong)
    with pytest.raises(ValueError, match="sensor"):
        ClockEstimator().push("vision", np.zeros(0, np.int64))
