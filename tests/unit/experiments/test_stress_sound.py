"""Noise of sound before the cochlea."""

from dataclasses import replace

import numpy as np
import pytest
import soundfile

from experiments.config import SetConfig
from experiments.loading.batches import batches
from experiments.loading.data import load_data
from experiments.stress.conditions import CLEAN, FAMILIES, noise_kinds, sound_noise
from experiments.stress.plan import plan
from experiments.stress.sound import LEVELS, SNR_DB, Sounds, find_sounds, noise_ratio
from experiments.stress.swaps import Donors
from sensors.clock import ClockPolicy
from sensors.cochlea import Cochlea, CochleaParams
from spikefuse.errors import DataError
from spikefuse.events import EventStream, MultiStream
from tests.tiny_run import tiny

CLOCK = ClockPolicy(100.0)


class _Microphone(Cochlea):
    """Keeps what it hears."""

    def encode(self, wave, sample_rate: int, modality: str = "audio") -> EventStream:
        self.wave = wave
        return super().encode(wave, sample_rate, modality)


@pytest.fixture
def wave(rng) -> np.ndarray:
    return 0.3 * np.sin(2 * np.pi * 440 * np.arange(8000) / 8000)


@pytest.mark.parametrize("snr_db", [20.0, 0.0, -10.0])
def test_the_noise_has_the_stated_power(wave, rng, snr_db: float) -> None:
    microphone = _Microphone(CochleaParams())
    sounds = Sounds({"a": (wave, 8000)}, microphone, CLOCK)
    sounds.heard("a", noise_ratio(snr_db), rng)
    power = np.mean((microphone.wave - wave) ** 2)
    assert 10 * np.log10(np.mean(wave**2) / power) == pytest.approx(snr_db, abs=0.3)


def test_levels_ascend_from_no_noise_and_share_their_draws(wave) -> None:
    assert LEVELS[0] == 0
    assert (np.diff(LEVELS) > 0).all()
    assert LEVELS[1 + SNR_DB.index(0.0)] == 1
    microphone = _Microphone(CochleaParams())
    sounds = Sounds({"a": (wave, 8000)}, microphone, CLOCK)
    added = []
    for ratio in (1.0, 2.0):
        stream = sounds.heard("a", 0.0, np.random.default_rng(0))
        sample = MultiStream({"audio": stream}, label=0, provenance={"audio_source": "a"})
        sound_noise(ratio, sounds).change(sample, 5, 7)
        added.append(microphone.wave - wave)
    np.testing.assert_allclose(added[1], 2 * added[0])


def test_without_noise_the_embedded_default_is_heard_as_it_was() -> None:
    config = tiny("data.digits.n_test=10").data
    data = load_data(config)
    (batch,) = batches(data, "test", data.fixed_pairs["test"], 64)
    names = [str(sample.provenance["audio_source"]) for sample in batch.samples]
    sounds = find_sounds(config, data.clock, set(names))
    assert sounds is not None
    for sample, name in zip(batch.samples, names, strict=True):
        again = sounds.heard(name, 0.0, np.random.default_rng(0))
        assert np.array_equal(again.events, sample["audio"].events)
        noisy = sounds.heard(name, 1.0, np.random.default_rng(0))
        assert not np.array_equal(noisy.events, sample["audio"].events)
        assert noisy.duration_us == sample["audio"].duration_us


def test_recordings_in_a_folder_are_found_by_name(tmp_path, wave) -> None:
    folder = tmp_path / "FSDD" / "recordings"
    folder.mkdir(parents=True)
    soundfile.write(folder / "3_ann_0.wav", wave, 8000)
    config = replace(tiny().data, source="nmnist_fsdd", root=str(tmp_path))
    sounds = find_sounds(config, CLOCK, {"3_ann_0.wav"})
    assert sounds is not None
    np.testing.assert_allclose(sounds.waves["3_ann_0.wav"][0], wave, atol=1e-4)
    with pytest.raises(DataError, match=r"got none of 4_ann_0\.wav"):
        find_sounds(config, CLOCK, {"3_ann_0.wav", "4_ann_0.wav"})
    words = replace(config, source="sets", root="", audio=SetConfig("wav", root=str(folder)))
    again = find_sounds(words, CLOCK, {"3_ann_0.wav"})
    assert again is not None
    assert np.array_equal(again.waves["3_ann_0.wav"][0], sounds.waves["3_ann_0.wav"][0])


@pytest.mark.parametrize("source", ["sets", "scene"])
def test_sources_of_events_alone_have_no_sound(source: str) -> None:
    assert find_sounds(replace(tiny().data, source=source), CLOCK, {"a"}) is None


def test_a_plan_has_noise_of_sound_only_where_there_are_sounds(make_stream, wave) -> None:
    sizes = {"vision": (6, 6, 2), "audio": (8, 1, 1)}
    streams = {m: make_stream(20, size, modality=m) for m, size in sizes.items()}
    donors = Donors([MultiStream(streams, label=0)], np.array([0]), {m: ["a"] for m in sizes})
    without = {c.name for c in plan(FAMILIES, sizes, donors)}
    sounds = Sounds({"a": (wave, 8000)}, Cochlea(CochleaParams()), CLOCK)
    more = {c.name for c in plan(FAMILIES, sizes, donors, sounds)} - without
    assert more == {f"noise/audio/sound/{ratio:g}" for ratio in LEVELS[1:]}
    assert CLEAN in without
    assert "sound" in noise_kinds("audio", sizes["audio"])
    assert "sound" not in noise_kinds("vision", sizes["vision"])
