"""What a frame camera and a microphone get of the recordings that became events.

One picture and one wave per recording, by the recording's own name, so that a network on true
frames sees and hears the very digit whose events the others read.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sensors.audio_source import read_wav, spoken_digit_folder
from sensors.digits import SAMPLE_RATE_HZ, DigitsParams, filmed_digits, spoken_digits
from sensors.log_mel import LogMel
from sensors.recordings import Recording
from spikefuse._types import Float32Array
from spikefuse.errors import DataError

_NAME = re.compile(r"(?P<part>Train|Test)/(?P<digit>\d)/(?P<index>\d{5})\.bin$")


def mnist_pictures(path: Path, recordings: Sequence[Recording]) -> Float32Array:
    """The pictures that N-MNIST recordings were made of, ``[n, 28, 28]`` from 0 to 1.

    Parameters
    ----------
    path : Path
        ``mnist_frames.npz``: ``train_images``, ``train_labels``, ``test_images``, ``test_labels``,
        in the order of N-MNIST's file names, which count from 1.
    recordings : sequence of Recording
        Their sources end in ``{Train,Test}/<digit>/<index>.bin``.

    Raises
    ------
    DataError
        If a file or a picture is missing, a name does not fit, or a picture's label is not the
        recording's.
    """
    if not path.is_file():
        raise DataError(f"{path} must hold MNIST's images in the order of N-MNIST, got no file")
    with np.load(path) as stored:
        parts = {
            part: (stored[f"{part.lower()}_images"], stored[f"{part.lower()}_labels"])
            for part in ("Train", "Test")
        }
    found = np.zeros((len(recordings), 28, 28), np.float32)
    for i, recording in enumerate(recordings):
        match = _NAME.search(recording.source)
        if match is None:
            raise DataError(
                f"recordings must be named <part>/<digit>/<index>.bin, got {recording.source!r}"
            )
        images, labels = parts[match["part"]]
        index = int(match["index"]) - 1
        if not 0 <= index < len(images):
            raise DataError(f"{path} must hold the picture of {recording.source}, got too few")
        if int(labels[index]) != recording.label:
            raise DataError(
                f"the picture of {recording.source} must show {recording.label}, got "
                f"{int(labels[index])}"
            )
        found[i] = images[index] / np.float32(255)
    return found


def digit_pictures(params: DigitsParams, names: Sequence[str]) -> Float32Array:
    """What a frame camera in the retina's place sees at rest, ``[n, 34, 34]`` from 0 to 1.

    It is the first picture of the film that the pixel model was shown, position and all; the
    events that the pixel model then lost, and its background, are the event sensor's own.

    Raises
    ------
    DataError
        If a name is not among the recordings.
    """
    wanted = set(names)
    seen = {
        r.source: np.asarray(film / 255, np.float32)
        for r, film in filmed_digits(params)
        if r.source in wanted
    }
    return np.stack([_of(seen, name) for name in names])


def digit_spectrograms(
    params: DigitsParams, names: Sequence[str], front_end: LogMel, duration_ms: float
) -> Float32Array:
    """Log-mel spectrograms ``[n, bands, frames]`` of the noisy speech that the cochlea heard.

    Parameters
    ----------
    params : DigitsParams
    names : sequence of str
        Of recordings, one row each.
    front_end : LogMel
    duration_ms : float

    Raises
    ------
    DataError
        If a name is not among the recordings.
    """
    n_samples, wanted = round(duration_ms * 1e-3 * SAMPLE_RATE_HZ), set(names)
    heard = {
        u.name: front_end.encode(u.wave, SAMPLE_RATE_HZ, n_samples)
        for u in spoken_digits(params)
        if u.name in wanted
    }
    return np.stack([_of(heard, name) for name in names])


def wav_spectrograms(
    root: Path, names: Sequence[str], front_end: LogMel, duration_ms: float, rate_hz: int
) -> Float32Array:
    """Log-mel spectrograms ``[n, bands, frames]`` of wav files by name.

    Parameters
    ----------
    root : Path
    names : sequence of str
        Of files.
    front_end : LogMel
    duration_ms : float
    rate_hz : int
        That all files must have.

    Raises
    ------
    DataError
        If a file is missing, damaged or of another sample rate.
    """
    folder, n_samples = spoken_digit_folder(root), round(duration_ms * 1e-3 * rate_hz)
    rows = []
    for name in names:
        wave, rate = read_wav(folder / name)
        if rate != rate_hz:
            raise DataError(f"{folder / name} must have {rate_hz} samples a second, got {rate}")
        rows.append(front_end.encode(wave, rate, n_samples))
    return np.stack(rows)


def _of(found: dict[str, Float32Array], name: str) -> Float32Array:
    """What was found under a name."""
    if name not in found:
        raise DataError(f"names must be of recordings of these parameters, got {name!r}")
    return found[name]
