"""S5: words, the mouth's film, exact observers, equal marginals, sensors."""

from dataclasses import replace

import numpy as np
import pytest

from sensors.scenes.mouth import MouthParams, MouthScene
from sensors.scenes.mouth_film import mouth_film
from sensors.scenes.observers import accuracy, chance_interval
from sensors.scenes.words import recorded_words, synthetic_words
from spikefuse.errors import DataError

SMALL = MouthParams(n_per_digit=1)


def _arrays(batch):
    return {name: spikes.numpy().transpose(1, 0, 2) for name, spikes in batch.spikes.items()}


@pytest.fixture(scope="module")
def scene():
    return MouthScene(SMALL)


@pytest.fixture(scope="module")
def digits():
    return MouthScene(replace(SMALL, task="digits"))


def test_film_is_dark_over_the_area_of_the_ellipse():
    opening = np.linspace(0.2, 1.0, 9)
    film = mouth_film(opening, (40, 40))
    area = ((190.0 - film) / 170.0).sum((1, 2))
    expected = np.pi * 40 * 40 * (0.36 - 0.08 * opening) * (0.04 + 0.36 * opening)
    np.testing.assert_allclose(area, expected, rtol=0.03)
    assert mouth_film(np.zeros(0), (8, 8)).shape == (0, 8, 8)
    with pytest.raises(ValueError, match="opening must be"):
        mouth_film(np.array([1.1]), (20, 20))


def test_bank_of_words_is_whole_and_reproducible():
    bank = synthetic_words(1, 0, 640, 4)
    assert bank.digits.tolist() == list(range(10))
    np.testing.assert_allclose(bank.loudness.max(1), 1.0)
    np.testing.assert_allclose(bank.bands.max((1, 2)), 1.0)
    assert (bank.bands >= 0).all()
    synthetic_words.cache_clear()
    np.testing.assert_array_equal(bank.waves, synthetic_words(1, 0, 640, 4).waves)
    with pytest.raises(DataError, match="period_ms must be at least"):
        synthetic_words(1, 0, 200, 4)


@pytest.mark.realdata
def test_recorded_words_drive_the_mouth(data_root):
    bank = recorded_words(data_root, 2, 0, 640, 4)
    assert np.bincount(bank.digits).tolist() == [2] * 10
    assert len(set(bank.names)) == 20
    scene = MouthScene(replace(SMALL, folder=str(data_root), n_per_digit=2))
    batch = scene.batch(1, range(300))
    assert accuracy(batch.ideal.numpy(), batch.labels.numpy()) > 0.85
    with pytest.raises(DataError, match="folder must hold"):
        recorded_words(data_root, 10_000, 0, 640, 4)


@pytest.mark.parametrize("task", ["sync", "digits"])
def test_ideal_observer_equals_explicit_sums(task):
    scene = MouthScene(replace(SMALL, task=task))
    p, steps = scene.params, np.arange(scene.params.period_ms)
    batch = scene.batch(2, range(2))
    trains = _arrays(batch)
    for b in range(2):
        level = 0
        if task == "digits":
            level = scene.conditions.index(float(batch.conditions[b]))
        table = {}
        for name, n_level in (("vision", 0), ("audio", level)):
            table[name] = np.zeros((10, p.period_ms))
            for word in range(10):
                chance = scene._chance[name][n_level, word]
                for start in range(p.period_ms):
                    moved = np.roll(chance, start, axis=1).T
                    x = trains[name][b]
                    table[name][word, start] = np.log(np.where(x > 0, moved, 1 - moved)).sum()

        def joint(later, table=table):
            return table["vision"] + table["audio"][:, (steps + later) % p.period_ms]

        if task == "digits":
            expected = np.logaddexp.reduce(joint(p.lead_ms), axis=1)
        else:
            shift = int(batch.conditions[b])
            apart = [np.logaddexp.reduce(joint(p.lead_ms + s).ravel()) for s in (-shift, shift)]
            expected = [
                np.logaddexp(*apart) - np.log(2),
                np.logaddexp.reduce(joint(p.lead_ms).ravel()),
            ]
        got = batch.ideal[b].double().numpy()
        np.testing.assert_allclose(got - got[0], expected - expected[0], atol=5e-3)


def test_default_difficulty_and_the_additive_observer():
    scene = MouthScene()
    batch = scene.batch(4, range(800))
    labels = batch.labels.numpy()
    assert 0.87 <= accuracy(batch.ideal.numpy(), labels) <= 0.97
    assert accuracy(batch.additive.numpy(), labels) == 0.5


def test_each_modality_alone_and_all_counts_tell_nothing_in_sync(scene):
    from scipy.stats import chisquare
    from sklearn.linear_model import LogisticRegression

    drawn = scene.generate(scene.uniforms(5, range(3000), scene.n_uniforms))
    for name in ("vision", "audio"):
        for label in (0, 1):
            tenth = drawn.latent[name][drawn.labels == label] // 64
            assert chisquare(np.bincount(tenth, minlength=10)).pvalue > 1e-3
    counts = {name: train.sum(1) for name, train in drawn.trains().items()}
    total = np.concatenate([counts["vision"], counts["audio"]], axis=1).astype(float)
    total = (total - total.mean(0)) / total.std(0)
    products = (total[:, :, None] * total[:, None, :]).reshape(len(total), -1)
    late = np.concatenate(
        [
            train.reshape(3000, 10, -1, train.shape[2]).sum(2).reshape(3000, -1)
            for train in [drawn.trains()["vision"]]
        ],
        axis=1,
    )
    low, high = chance_interval(1500, 2)
    for features in (np.concatenate([total, products], 1), late):
        model = LogisticRegression(C=0.1, max_iter=500).fit(features[:1500], drawn.labels[:1500])
        assert low <= model.score(features[1500:], drawn.labels[1500:]) <= high


def test_a_leak_would_be_found(scene):
    """The same classifier on counts finds a class that moves the counts."""
    from sklearn.linear_model import LogisticRegression

    drawn = scene.generate(scene.uniforms(5, range(2000), scene.n_uniforms))
    counts = drawn.trains()["audio"].sum(1).astype(float)
    counts += drawn.labels[:, None] * 1.0
    model = LogisticRegression(max_iter=500).fit(counts[:1000], drawn.labels[:1000])
    assert model.score(counts[1000:], drawn.labels[1000:]) > chance_interval(1000, 2)[1]


def test_vision_adds_to_a_digit_most_where_sound_is_noisy(digits):
    batch = digits.batch(6, range(900))
    trains, labels = _arrays(batch), batch.labels.numpy()
    conditions = batch.conditions.numpy().astype(float)
    gains, audios = [], []
    for condition in digits.conditions:
        mine = conditions == condition
        part = {name: train[mine] for name, train in trains.items()}
        audio = accuracy(digits.alone("audio", part, conditions[mine]), labels[mine])
        audios.append(audio)
        gains.append(accuracy(batch.ideal.numpy()[mine], labels[mine]) - audio)
    assert audios[0] > audios[1] > audios[2] > 0.1
    assert gains[2] > 0.05
    assert gains[2] > gains[0]


@pytest.mark.parametrize(("factor", "least"), [(1, 0.4), (4, 0.9)])
def test_vision_finds_its_own_sound_among_others(factor, least):
    scene = MouthScene(replace(SMALL, vision_hz=20.0 * factor, audio_hz=30.0 * factor))
    drawn = scene.generate(scene.uniforms(8, range(60), scene.n_uniforms))
    in_sync = np.flatnonzero(drawn.labels == 1)[:20]
    trains = {name: train[in_sync].astype(np.float32) for name, train in drawn.trains().items()}
    scores = scene.match(trains, drawn.conditions[in_sync])
    assert scores.shape == (20, 20)
    assert (scores.argmax(1) == np.arange(20)).mean() >= least  # chance 0.05
    off = ~np.eye(20, dtype=np.bool_)
    assert np.diag(scores).mean() > 0 > scores[off].mean()


def test_a_sample_follows_from_seed_and_index_alone(scene):
    batch = scene.batch(3, [9, 2])
    sample = scene.draw(3, 9)
    events = sample.stream["vision"].events
    dense = np.zeros((640, 4))
    dense[events["t"] // 1000, events["x"]] = 1
    np.testing.assert_array_equal(dense, batch.spikes["vision"][:, 0].numpy())
    values = sample.truth.values
    later = sample.truth.offset_us["audio"] // 1000
    assert (values["vision_start_ms"] + later - values["audio_start_ms"]) % 640 == 0
    assert values["instance"] == values["word"] * 640 + values["vision_start_ms"]


def test_rendered_period_does_not_depend_on_where_it_begins(scene, digits):
    sample = scene.draw(1, 0)
    counts = []
    for start in (0, 200, 500):
        values = {**sample.truth.values, "vision_start_ms": start, "audio_start_ms": start}
        moved = replace(sample, truth=replace(sample.truth, values=values))
        felt = scene.render(moved)
        counts.append((len(felt["vision"]), len(felt["audio"])))
        assert all(stream.duration_us == 640_000 for stream in felt.streams.values())
    vision, audio = np.array(counts).T
    assert np.ptp(vision) < 0.05 * vision.mean()
    assert np.ptp(audio) < 0.05 * audio.mean()
    loud = digits.draw(1, 0)
    first, again = digits.render(loud), digits.render(loud)
    np.testing.assert_array_equal(first["audio"].events, again["audio"].events)


def test_refusals():
    for change, message in (
        ({"lead_ms": 151}, "lead_ms must lie in"),
        ({"shifts_ms": (320,)}, "shifts_ms must lie between"),
        ({"period_ms": 641}, "period_ms must be a multiple"),
        ({"snrs_db": (1.0,)}, "snrs_db must be one for each"),
        ({"task": "words"}, "task must be 'sync' or 'digits'"),
    ):
        with pytest.raises(ValueError, match=message):
            MouthParams(**change)
