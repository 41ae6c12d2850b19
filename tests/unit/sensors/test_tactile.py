"""The tactile sensor: afferents against closed forms, recordings by construction."""

import math
from pathlib import Path

import numpy as np
import pytest

from sensors.paired import check_disjoint
from sensors.tactile import (
    STEP_US,
    Contact,
    TactileParams,
    afferent_spikes,
    build_tactile,
    class_patterns,
    contact_speed,
    load_tactile,
)

SMALL = TactileParams(n_train=20, n_validation=10, n_test=10, fingers=4, side=4)
ONE = np.ones(1)


def test_a_held_indentation_and_a_lifting_skin_are_silent() -> None:
    still = np.zeros((800, 1))
    assert not afferent_spikes(still, ONE, SMALL).any()
    assert not afferent_spikes(still - 100.0, ONE, SMALL).any()


def test_intervals_at_a_constant_speed_have_their_closed_form() -> None:
    # k steps of charging reach d (1 - a^k) / (1 - a); the first k beyond 1 fires, then dead time.
    speed = 5.0
    d = STEP_US * 1e-6 * SMALL.drive_hz * speed / (speed + SMALL.half_speed_mm_s)
    a = math.exp(-STEP_US * 1e-3 / SMALL.tau_ms)
    k = math.floor(math.log(1 - (1 - a) / d) / math.log(a)) + 1
    spikes = afferent_spikes(np.full((800, 1), speed), ONE, SMALL)
    gaps = np.diff(np.flatnonzero(spikes[:, 0]))
    assert set(gaps) == {k + round(SMALL.refractory_ms * 1e3 / STEP_US)}
    # Below the speed whose steady membrane is 1, never.
    floor = (1 - a) / (STEP_US * 1e-6 * SMALL.drive_hz)
    slow = 0.99 * SMALL.half_speed_mm_s * floor / (1 - floor)
    assert not afferent_spikes(np.full((800, 1), slow), ONE, SMALL).any()
    assert afferent_spikes(np.full((800, 1), slow / 0.98), ONE, SMALL).any()


@pytest.mark.parametrize("frequency_hz", [10.0, 25.0, 50.0])
def test_a_vibration_is_followed_cycle_by_cycle(frequency_hz: float) -> None:
    contact = Contact((0.0, 0.0), frequency_hz)
    speed = contact_speed(contact, 200.0, 0.0, 0.0, SMALL)
    first = np.flatnonzero(afferent_spikes(speed, np.ones(16), SMALL)[:, 0])
    cycle = (first * STEP_US * 1e-6 * frequency_hz).astype(int)
    assert set(cycle) == set(range(round(0.4 * frequency_hz)))
    phase = first * STEP_US * 1e-6 * frequency_hz - cycle
    assert phase.max() < 0.5  # while the skin is pressed in, never while it lifts


def test_faster_vibrations_need_less_depth() -> None:
    def least_um(frequency_hz: float) -> float:
        for amplitude in np.arange(2.0, 400.0, 2.0):
            speed = contact_speed(Contact((0.0, 0.0), frequency_hz), amplitude, 0.0, 0.0, SMALL)
            if afferent_spikes(speed[:, :1], ONE, SMALL).any():
                return float(amplitude)
        return math.inf

    assert least_um(10.0) > 2 * least_um(40.0)


def test_speed_is_the_derivative_of_the_depth() -> None:
    contact = Contact((1.0, 2.0), 20.0)
    speed = contact_speed(contact, 80.0, 50.0, 0.0, SMALL)
    depth_um = np.cumsum(speed, axis=0) * STEP_US * 1e-6 * 1e3
    t_s = np.arange(1, len(speed) + 1) * STEP_US * 1e-6
    at = 2 * SMALL.side + 1  # the afferent below the contact
    expected = np.where(t_s > 0.05, 40.0 * (1 - np.cos(2 * np.pi * 20.0 * (t_s - 0.05))), 0.0)
    np.testing.assert_allclose(depth_um[:, at], expected, atol=0.1)
    # One spacing away the skin moves by the Gaussian's share.
    share = math.exp(-(SMALL.spacing_mm**2) / (2 * SMALL.spread_mm**2))
    np.testing.assert_allclose(speed[:, at + 1], share * speed[:, at], rtol=1e-12)


def test_recordings_hold_their_classes_contacts() -> None:
    params = TactileParams(n_train=20, n_validation=1, n_test=1, jitter_mm=0.0, background_hz=0.0)
    truth = class_patterns(10, params)
    for item in build_tactile(params, 10)[:20]:
        events = item.stream.events
        places = np.stack([events["x"], events["y"]], 1) * params.spacing_mm
        sites = np.array([contact.at_mm for contact in truth[item.label]])
        away = np.linalg.norm(places[:, None] - sites[None], axis=2).min(axis=1)
        assert len(events) > 20
        assert away.max() < 4 * params.spread_mm


def test_splits_share_no_finger_and_seeds_decide(tmp_path: Path) -> None:
    first, hit = load_tactile(SMALL, 5, "touch", tmp_path)
    again, second_hit = load_tactile(SMALL, 5, "touch", tmp_path)
    assert (hit, second_hit) == (False, True)
    assert {r.stream.modality for r in first} == {"touch"}
    assert [r.label for r in first][:7] == [0, 1, 2, 3, 4, 0, 1]
    for a, b in zip(first, again, strict=True):
        assert np.array_equal(a.stream.events, b.stream.events)
    splits = {
        split: {"touch": [r for r in first if r.split == split]}
        for split in ("train", "validation", "test")
    }
    assert [len(parts["touch"]) for parts in splits.values()] == [20, 10, 10]
    check_disjoint(splits)
    other = build_tactile(TactileParams(**{**vars(SMALL), "seed": 1}), 5, "touch")
    assert any(len(a.stream) != len(b.stream) for a, b in zip(first, other, strict=True))
    assert class_patterns(5, SMALL) == class_patterns(5, TactileParams(side=4, seed=9))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"side": 0}, "side must be >= 1, got 0"),
        ({"tau_ms": 0.0}, "tau_ms must be positive, got 0"),
        ({"background_hz": -1.0}, "background_hz must be >= 0, got -1"),
    ],
)
def test_bad_parameters_are_named(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TactileParams(**change)
