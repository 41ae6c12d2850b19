"""The ideal observers against enumeration, and the scores against closed forms."""

import itertools
import math

import numpy as np
import pytest
from scipy.stats import binom, norm

from sensors.scenes.comodulation import ComodulationParams, ComodulationScene, joint_states
from sensors.scenes.observers import (
    accuracy,
    accuracy_interval,
    chance_interval,
    d_prime,
    displaced,
    evoked_ratio,
    jitter_law,
)
from sensors.scenes.onset import OnsetParams, OnsetScene
from sensors.scenes.which import WhichParams, WhichScene
from sensors.scenes.xor import CueParams, CueScene


def channel_likelihood(train: np.ndarray, event: int, law: np.ndarray, h: float, q: float) -> float:
    """Of one channel on a circle: every place of the evoked spike and every set of noise spikes."""
    reach, n, total = len(law) // 2, len(train), 0.0
    outcomes = [(1 - h, None)] + [(h * g, (event + j - reach) % n) for j, g in enumerate(law)]
    for noise in itertools.product((0, 1), repeat=n):
        p_noise = math.prod(q if bit else 1 - q for bit in noise)
        for p, place in outcomes:
            made = list(noise)
            if place is not None:
                made[place] = 1
            total += p * p_noise * (made == list(train))
    return total


def test_the_evoked_ratio_equals_enumeration() -> None:
    law, h, q, n = jitter_law(1.0, 1), 0.7, 0.1, 6
    trains = np.array(list(itertools.product((0, 1), repeat=n)))
    around = np.pad(trains[..., None], ((0, 0), (1, 1), (0, 0)), mode="wrap")
    ratio = evoked_ratio(around, law, h, q)[:, 1:-1, 0]
    silence = q ** trains.sum(1) * (1 - q) ** (n - trains.sum(1))
    expected = [[channel_likelihood(t, event, law, h, q) for event in range(n)] for t in trains]
    np.testing.assert_allclose(ratio * silence[:, None], expected, rtol=1e-12)
    # And each event's law over all trains sums to one.
    np.testing.assert_allclose((ratio * silence[:, None]).sum(axis=0), 1.0, rtol=1e-12)


@pytest.mark.parametrize("task", ["synchrony", "order"])
def test_the_onset_observer_equals_a_sum_over_onsets(task: str) -> None:
    scene = OnsetScene(
        OnsetParams(task=task, offsets_ms=(2, 5), period_ms=16, n_channels=2, jitter_ms=1.0)
    )
    batch = scene.batch(3, range(6))
    law, p = jitter_law(1.0, 4), scene.params
    h, q = p.p_evoke, p.noise_hz / 1000

    def ratio(train: np.ndarray, event: int) -> float:
        reach = range(-4, 5)
        near = sum(g * train[(event + j) % 16] for g, j in zip(law, reach, strict=True))
        return math.prod(1 - h + h / q * x for x in near)

    for b in range(6):
        vision, audio = (batch.spikes[m][:, b].numpy() for m in ("vision", "audio"))
        by_shift = [
            sum(ratio(vision, t) * ratio(audio, (t + d) % 16) for t in range(16)) for d in range(16)
        ]
        d = int(batch.conditions[b])
        apart = (by_shift[d] + by_shift[-d]) / 2
        expected = (by_shift[-d], by_shift[d]) if task == "order" else (apart, by_shift[0])
        found = batch.ideal[b].double()
        assert float(found[1] - found[0]) == pytest.approx(
            math.log(expected[1] / expected[0]), abs=1e-4
        )


def test_the_which_observer_equals_an_explicit_sum() -> None:
    scene = WhichScene(WhichParams(n_events=3, duration_ms=90, n_fibres=2))
    batch = scene.batch(1, range(5))
    p, law = scene.params, jitter_law(4.0, 9)
    for b in range(5):
        vision, audio = (batch.spikes[m][:, b].numpy() for m in ("vision", "audio"))
        expected = np.zeros(3)
        for k, fibre in itertools.product(range(3), range(2)):
            for t in np.flatnonzero(vision[:, k]):
                near = sum(law[j] * audio[t + j - 9, fibre] for j in range(19))
                expected[k] += math.log(p.p_drop + (1 - p.p_drop) * near * 1000 / p.inserted_hz)
        np.testing.assert_allclose(batch.ideal[b].numpy(), expected, rtol=1e-4, atol=1e-5)


def test_the_match_of_which_equals_a_sum_over_all_trains_of_an_object() -> None:
    scene = WhichScene(
        WhichParams(n_objects=2, n_events=3, n_fibres=2, duration_ms=13, reach_ms=1, jitter_ms=0.6)
    )
    batch, p = scene.batch(4, range(7)), scene.params
    assert p.n_free == 5
    trains = {m: s.numpy().transpose(1, 0, 2) for m, s in batch.spikes.items()}
    ratio = evoked_ratio(trains["audio"], jitter_law(0.6, 1), 0.7, 0.01).prod(axis=2)
    for i, j in itertools.product(range(7), range(7)):
        seen = [math.prod(ratio[j, np.flatnonzero(trains["vision"][i, :, k])]) for k in range(2)]
        unseen = [
            math.prod(ratio[j, 1 + 3 * n + at] for n, at in enumerate(sorted(free)))
            for free in itertools.product(range(5), repeat=3)
        ]
        expected = math.log(np.mean(seen) / np.mean(unseen))
        assert scene.match(trains, batch.conditions.numpy())[i, j] == pytest.approx(expected)


@pytest.mark.parametrize("n_steps", [1, 2, 4])
def test_the_comodulation_observer_equals_enumeration(n_steps: int) -> None:
    scene = ComodulationScene(ComodulationParams(n_steps=n_steps, step_ms=5, gap_ms=2, n_fibres=2))
    batch, p = scene.batch(2, range(8)), scene.params
    rates = np.array([[0.12, 0.01], [0.01, 0.12], [0.01, 0.01]])
    for b in range(8):
        fits = {}
        for name in ("vision", "audio"):
            train = batch.spikes[name][:, b].numpy().reshape(n_steps, 7, 2, 2)
            assert not train[:, 5:].any()
            counts = train.sum(axis=(1, 3))[:, None]
            fits[name] = (rates**counts * (1 - rates) ** (10 - counts)).prod(axis=2)
        total = np.zeros(2)
        for states in itertools.product(range(3), repeat=2 * n_steps):
            v, a = states[:n_steps], states[n_steps:]
            if a.count(0) != a.count(1):
                continue
            fit = math.prod(
                fits["vision"][i, v[i]] * fits["audio"][i, a[i]] for i in range(n_steps)
            )
            joint = joint_states(p.coupling)
            total += fit * np.array(
                [math.prod(j[v[i], a[i]] for i in range(n_steps)) for j in joint]
            )
        found = batch.ideal[b].double()
        assert float(found[1] - found[0]) == pytest.approx(math.log(total[1] / total[0]), abs=1e-5)


@pytest.mark.parametrize("code", ["order", "rate"])
def test_the_cue_observer_is_the_sum_over_cues(code: str) -> None:
    """Exclusive or from the two single cues' posteriors, which the redundant variant yields."""
    params = CueParams(code=code, p_evoke=0.5, n_fibres=1, n_pairs=2, noise_hz=20.0)
    scene = CueScene(params)
    batch = scene.batch(4, range(20))
    trains = {m: s.numpy().transpose(1, 0, 2) for m, s in batch.spikes.items()}
    cue = {m: scene._cue_log_likelihood(train) for m, train in trains.items()}
    odds = {"same": np.zeros(20), "differ": np.zeros(20)}
    for v, a in itertools.product(range(2), range(2)):
        joint = np.exp(cue["vision"][:, v] + cue["audio"][:, a]).sum(axis=1)
        odds["same" if v == a else "differ"] += joint
    expected = np.log(odds["differ"] / odds["same"])
    np.testing.assert_allclose(batch.ideal[:, 1] - batch.ideal[:, 0], expected, atol=1e-3)


def test_ideal_scores_are_calibrated() -> None:
    """Right likelihoods say how often they are right: the mean posterior of the answer given."""
    for scene in (
        OnsetScene(OnsetParams(offsets_ms=(16,))),
        WhichScene(),
        ComodulationScene(),
        CueScene(CueParams(p_evoke=0.3, n_fibres=1, n_pairs=1, noise_hz=20.0)),
    ):
        batch = scene.batch(11, range(3000))
        claimed = batch.ideal.softmax(dim=1).max(dim=1).values.numpy()
        right = (batch.ideal.argmax(dim=1) == batch.labels).numpy()
        error = float(np.sqrt((claimed * (1 - claimed)).mean() / len(right)))
        assert abs(claimed.mean() - right.mean()) < 4 * error, scene.name


def test_jitter_law_and_displacements() -> None:
    law = jitter_law(2.0, 3)
    assert law.sum() == pytest.approx(1.0)
    np.testing.assert_allclose(law[3:] / law[3], np.exp(-0.5 * (np.arange(4) / 2) ** 2))
    grid = (np.arange(100_000) + 0.5) / 100_000
    found = np.bincount(displaced(grid, law) + 3, minlength=7) / 100_000
    np.testing.assert_allclose(found, law, atol=2e-5)
    assert displaced(np.array([0.0, 1.0 - 1e-16]), law).tolist() == [-3, 3]
    with pytest.raises(ValueError, match="sd_ms must be positive, got 0"):
        jitter_law(0.0, 3)


def test_accuracy_shares_ties() -> None:
    scores = np.array([[1.0, 0.0, 0.0], [2.0, 2.0, 0.0], [0.0, 0.0, 0.0]])
    assert accuracy(scores, np.array([0, 1, 2])) == pytest.approx((1 + 1 / 2 + 1 / 3) / 3)
    with pytest.raises(ValueError, match="at least one sample"):
        accuracy(scores[:0], np.array([], int))


def test_intervals() -> None:
    low, high = chance_interval(2000, 2)
    assert binom.cdf(low * 2000 - 1, 2000, 0.5) < 0.005 < binom.cdf(low * 2000, 2000, 0.5)
    assert low + high == pytest.approx(1.0)
    assert accuracy_interval(0.0, 10)[0] == pytest.approx(0.0, abs=1e-12)
    low, high = accuracy_interval(0.9, 100)
    for edge in (low, high):  # the score test is at its limit there
        z = (0.9 - edge) / math.sqrt(edge * (1 - edge) / 100)
        assert abs(z) == pytest.approx(norm.ppf(0.975))


def test_d_prime() -> None:
    assert d_prime(float(norm.cdf(1.0))) == pytest.approx(2.0)
    # Two alternatives in a choice: accuracy = Phi(d' / sqrt 2); three: known by simulation.
    assert d_prime(1 / 3, 3) == pytest.approx(0.0, abs=1e-5)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((200_000, 3)) + np.array([1.5, 0.0, 0.0])
    assert d_prime(float((x.argmax(1) == 0).mean()), 3) == pytest.approx(1.5, abs=0.02)
    assert d_prime(1.0) == math.inf
    assert d_prime(0.0) == -math.inf
