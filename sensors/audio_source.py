"""Spoken digits from folders of wav files, through our cochlea."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np

from sensors.cochlea import Cochlea, CochleaParams
from sensors.recordings import Recording
from spikefuse._types import FloatArray
from spikefuse.errors import DataError

_NAME = re.compile(r"(?P<digit>\d)_(?P<speaker>[^_]+)_(?P<index>\d+)\.wav$", re.IGNORECASE)


def read_wav(path: Path) -> tuple[FloatArray, int]:
    """Samples in [-1, 1] (channels averaged) and the sample rate.

    Raises
    ------
    DataError
        If the file is unreadable or holds no samples.
    """
    import soundfile

    try:
        samples, rate = soundfile.read(path, dtype="float64", always_2d=True)
    except (soundfile.LibsndfileError, OSError, RuntimeError) as error:
        raise DataError(f"{path} must be a readable sound file, got: {error}") from error
    if not len(samples):
        raise DataError(f"{path} must hold at least one sample, got none")
    wave: FloatArray = np.asarray(samples.mean(axis=1))
    return wave, int(rate)


def load_spoken_digits(
    root: Path, params: CochleaParams, progress: Callable[[int, int], None] | None = None
) -> list[Recording]:
    """Encode every ``digit_speaker_index.wav`` below ``root/FSDD/recordings`` (or ``root``).

    Parameters
    ----------
    root : Path
        A folder with ``FSDD/recordings/*.wav``, or with the wav files themselves.
    params : CochleaParams
    progress : callable (done, total), optional

    Returns
    -------
    list of Recording
        Sorted by name; the group is the speaker.

    Raises
    ------
    DataError
        If no wav file is there, a name does not fit, or a file is empty or unreadable.
    """
    folder = spoken_digit_folder(root)
    paths = sorted(folder.glob("*.wav"))
    if not paths:
        raise DataError(
            f"data.root must hold FSDD/recordings/<digit>_<speaker>_<index>.wav, got no wav "
            f"file in {folder}; get the Free Spoken Digit Dataset and put its recordings there"
        )
    cochlea = Cochlea(params)
    recordings: list[Recording] = []
    for done, path in enumerate(paths):
        match = _NAME.match(path.name)
        if match is None:
            raise DataError(f"{path} must be named <digit>_<speaker>_<index>.wav")
        wave, rate = read_wav(path)
        try:
            stream = cochlea.encode(wave, rate)
        except ValueError as error:
            raise DataError(f"{path}: {error}") from error
        recordings.append(
            Recording(stream, int(match["digit"]), path.name, match["speaker"], split=None)
        )
        if progress is not None:
            progress(done + 1, len(paths))
    return recordings


def spoken_digit_folder(root: Path) -> Path:
    """``root/FSDD/recordings`` if it is there, else ``root`` itself."""
    nested = Path(root) / "FSDD" / "recordings"
    return nested if nested.is_dir() else Path(root)
