"""True frames belong to the recordings whose events the others read."""

from pathlib import Path

import numpy as np
import pytest
from scipy.io import wavfile

from sensors.digits import DigitsParams, build_audio, build_vision
from sensors.log_mel import LogMel
from sensors.pictures import digit_pictures, digit_spectrograms, mnist_pictures, wav_spectrograms
from sensors.recordings import Recording
from spikefuse.errors import DataError
from spikefuse.events import EventStream

SMALL = DigitsParams(n_train=6, n_validation=2, n_test=2, event_drop=0.0, background_hz=0.0)


def of(source: str, label: int) -> Recording:
    return Recording(EventStream.empty((34, 34, 2), 1000, "vision"), label, source, source)


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    path = tmp_path / "mnist_frames.npz"
    images = np.zeros((3, 28, 28), np.uint8)
    images[1, 4, 5] = 255
    labels = np.array([7, 2, 1])
    np.savez(
        path,
        train_images=images,
        train_labels=labels,
        test_images=images[:1],
        test_labels=labels[:1],
    )
    return path


def test_pictures_follow_the_index_in_the_name(stored: Path) -> None:
    found = mnist_pictures(stored, [of("Train/2/00002.bin", 2), of("Test/7/00001.bin", 7)])
    assert found[0].sum() == found[0, 4, 5] == 1.0
    assert found[1].sum() == 0.0


@pytest.mark.parametrize(
    ("source", "label", "message"),
    [
        ("Train/2/00003.bin", 2, "must show 2, got 1"),
        ("Train/2/00009.bin", 2, "got too few"),
        ("2.bin", 2, "must be named"),
    ],
)
def test_a_picture_of_another_digit_is_refused(
    stored: Path, source: str, label: int, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        mnist_pictures(stored, [of(source, label)])


def test_the_camera_sees_the_digit_where_the_events_are() -> None:
    vision = build_vision(SMALL)
    pictures = digit_pictures(SMALL, [r.source for r in vision])
    for recording, picture in zip(vision, pictures, strict=True):
        events = recording.stream.events
        seen = np.zeros((34, 34))
        np.add.at(seen, (events["y"], events["x"]), 1.0)
        # The camera moves by less than 3 pixels: the middle of the events is near the digit's.
        for axis in (0, 1):
            middles = [np.average(np.arange(34), weights=x.sum(1 - axis)) for x in (seen, picture)]
            assert abs(middles[0] - middles[1]) < 3


def test_the_microphone_hears_what_the_cochlea_heard() -> None:
    audio = build_audio(SMALL)
    found = digit_spectrograms(SMALL, [r.source for r in audio[::-1]], LogMel(), 400.0)
    assert found.shape == (10, 24, 26)
    again = digit_spectrograms(SMALL, [audio[0].source], LogMel(), 400.0)
    np.testing.assert_array_equal(found[-1], again[0])
    with pytest.raises(DataError, match="names must be of recordings"):
        digit_spectrograms(SMALL, ["nobody"], LogMel(), 400.0)


def test_wav_files_are_read_by_name(tmp_path: Path) -> None:
    wave = np.random.default_rng(0).standard_normal(2000) * 0.1
    wavfile.write(tmp_path / "3_a_0.wav", 8000, (wave * 32767).astype(np.int16))
    found = wav_spectrograms(tmp_path, ["3_a_0.wav"], LogMel(), 300.0, 8000)
    wanted = LogMel().encode(wave, 8000, 2400)
    np.testing.assert_allclose(found[0], wanted, atol=0.1)
    with pytest.raises(DataError, match="16000 samples a second, got 8000"):
        wav_spectrograms(tmp_path, ["3_a_0.wav"], LogMel(), 300.0, 16000)
