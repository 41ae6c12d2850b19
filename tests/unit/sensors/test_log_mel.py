"""Log-mel spectrograms: scipy's transform, pure tones, the work by hand."""

import numpy as np
import pytest
from scipy.signal import stft

from sensors.log_mel import LogMel
from spikefuse.work import mel_work, stft_work

RATE_HZ = 8000


def test_the_power_is_that_of_scipys_transform() -> None:
    wave = np.random.default_rng(0).standard_normal(1000)
    found = LogMel().encode(wave, RATE_HZ)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(256) / 256)
    padded = np.concatenate([np.zeros(128), wave, np.zeros(256)])
    _, _, spectrum = stft(
        padded, window=window, nperseg=256, noverlap=128, boundary=None, padded=False
    )
    power = np.abs(spectrum * window.sum()) ** 2 / (window**2).sum()  # scipy divides by the sum
    wanted = np.log(1e-6 + LogMel().filters(RATE_HZ) @ power[:, : found.shape[1]])
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_a_tone_is_loudest_in_the_band_that_holds_it() -> None:
    front_end = LogMel()
    time_s = np.arange(4000) / RATE_HZ
    for hertz in (250.0, 1000.0, 3000.0):
        loudness = front_end.encode(np.sin(2 * np.pi * hertz * time_s), RATE_HZ).mean(1)
        at_tone = front_end.filters(RATE_HZ)[:, round(hertz / (RATE_HZ / 256))]
        assert loudness.argmax() == at_tone.argmax()


def test_triangles_add_up_to_one_between_the_outer_centres() -> None:
    filters = LogMel().filters(RATE_HZ)
    inside = slice(int(filters[0].argmax()) + 1, int(filters[-1].argmax()))
    np.testing.assert_allclose(filters.sum(0)[inside], 1.0)


def test_a_wave_is_cut_or_followed_by_silence() -> None:
    front_end, wave = LogMel(), np.ones(1000)
    assert front_end.encode(wave, RATE_HZ, 640).shape == (24, 6)
    long = front_end.encode(wave, RATE_HZ, 3200)
    assert long.shape == (24, 26)
    np.testing.assert_allclose(long[:, -1], np.log(1e-6), rtol=1e-6)


def test_the_work_is_that_of_transform_and_bands_of_every_wave() -> None:
    front_end = LogMel()
    taps = int((front_end.filters(RATE_HZ) > 0).sum())
    one = stft_work(3200, 256, 128) + mel_work(26, taps, 24)
    counts = front_end.counts(3200, RATE_HZ, n=3)
    assert (counts.kind, counts.modality) == ("frontend", "audio")
    assert counts.effective_macs == 3 * one.macs
    assert counts.effective_acs == 3 * one.acs
    assert counts.weight_words == 512 + taps


@pytest.mark.parametrize(
    ("options", "message"),
    [({"n_fft": 100}, "n_fft"), ({"hop": 0}, "hop"), ({"low_hz": -1.0}, "low_hz")],
)
def test_parameters_are_checked(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LogMel(**options)  # type: ignore[arg-type]


def test_bands_without_a_bin_are_refused() -> None:
    with pytest.raises(ValueError, match="n_bands must leave every band a bin"):
        LogMel(n_fft=64, n_bands=40).filters(RATE_HZ)
    with pytest.raises(ValueError, match="wave must be"):
        LogMel().encode(np.zeros((2, 10)), RATE_HZ)
