"""Pictures of what the sensors make of real recordings: ``spikefuse data gallery OUT``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from spikefuse._types import FloatArray
from spikefuse.errors import ConfigError, DataError
from spikefuse.events import EventStream

NMNIST_SOURCE = "N-MNIST: Orchard et al. 2015, CC BY-SA 4.0"
FSDD_SOURCE = "Free Spoken Digit Dataset: Jackson et al., CC BY-SA 4.0"
_SEED = 7


def draw_gallery(
    root: Path, folder: Path, index: int = 8, spoken: str = "7_jackson_0.wav"
) -> list[Path]:
    """Draw a digit, a word and damaged recordings as PNG, SVG and CSV.

    Parameters
    ----------
    root : Path
        With ``NMNIST/Train``, ``NMNIST/mnist_frames.npz`` (``train_images``: the pictures that were
        recorded, by number) and ``FSDD/recordings``.
    folder : Path
    index : int
        Number of the N-MNIST recording, from 1.
    spoken : str
        Name of the wav file.

    Raises
    ------
    ConfigError
        If a file is missing.
    DataError
        If one is damaged.
    """
    from analysis.figures.sensors import draw_cochleas, draw_corruptions, draw_digit
    from sensors.cochlea import Cochlea

    picture, real = recorded_digit(root, index)
    simulated = _simulated(picture)
    wave, rate = word(root, spoken)
    cochlea = Cochlea()
    written = draw_digit(
        picture,
        {"our pixel model": simulated, "recording": real},
        f"Number {index} of N-MNIST's train part, simulated from its picture and recorded\n"
        f"(polarity of the recording turned round, see text). {NMNIST_SOURCE}",
        folder,
    )
    written += draw_cochleas(
        wave,
        rate,
        cochlea.drive(wave, rate),
        _three_cochleas(wave, rate),
        f"{spoken}. {FSDD_SOURCE}",
        folder,
    )
    return written + draw_corruptions(
        _worn_vision(real),
        _worn_audio(wave, rate),
        f"{NMNIST_SOURCE}; {FSDD_SOURCE}",
        folder,
    )


def recorded_digit(root: Path, index: int) -> tuple[FloatArray, EventStream]:
    """The picture and its recording, ON for brighter."""
    from sensors.files import read_events

    frames = root / "NMNIST" / "mnist_frames.npz"
    found = sorted(root.glob(f"NMNIST/Train/*/{index:05d}.bin"))
    if not frames.is_file() or len(found) != 1:
        raise ConfigError(
            f"--root must hold NMNIST/mnist_frames.npz and NMNIST/Train/<digit>/{index:05d}.bin, "
            f"got {root} without"
        )
    with np.load(frames, allow_pickle=False) as arrays:
        if "train_images" not in arrays or len(arrays["train_images"]) < index:
            raise DataError(f"{frames} must hold train_images up to number {index}, got fewer")
        picture = np.asarray(arrays["train_images"][index - 1], dtype=np.float64)
    stream = read_events(found[0], (34, 34, 2))
    events = stream.events.copy()
    events["p"] = ~events["p"]  # its bit is 1 where a bright digit on black darkens
    return picture, replace(stream, events=events)


def _simulated(picture: FloatArray) -> EventStream:
    """Our pixel model's events of the picture, moved as the camera was."""
    from sensors.dvs import DvsPixelArray
    from sensors.retina import NMNIST_DVS, NMNIST_PSF_PX, nmnist_path, pan

    path, times_us = nmnist_path()
    film = pan(picture, path, (34, 34), NMNIST_PSF_PX)
    return DvsPixelArray(NMNIST_DVS).encode(film, times_us)


def word(root: Path, name: str) -> tuple[FloatArray, int]:
    """One spoken digit."""
    from sensors.audio_source import read_wav, spoken_digit_folder

    path = spoken_digit_folder(root) / name
    if not path.is_file():
        raise ConfigError(f"--root must hold FSDD/recordings/{name}, got {root} without")
    return read_wav(path)


def _three_cochleas(wave: FloatArray, rate: int) -> dict[str, EventStream]:
    """The same word through each model."""
    from scipy.signal import resample_poly

    from sensors.cochlea import Cochlea
    from sensors.cochlea_gammatone import GammatoneCochlea, GammatoneParams
    from sensors.cochlea_shd import ShdCochlea

    # The hair cells' equations need short steps: 48 kHz, as the data sets were made.
    fine = resample_poly(wave, 48_000, rate)
    top = min(0.45 * rate, 3500.0)
    return {
        "Cochlea (64 channels, low frequency at the bottom)": Cochlea().encode(wave, rate),
        "GammatoneCochlea (128 channels, low frequency at the bottom)": GammatoneCochlea(
            GammatoneParams(n_channels=128, f_max_hz=top)
        ).encode(wave, rate),
        "ShdCochlea (700 channels, high frequency at the bottom, as SHD has it)": ShdCochlea()
        .encode(fine, 48_000),
    }  # fmt: skip


def _worn_vision(stream: EventStream) -> dict[str, EventStream]:
    """What corruptions do to events."""
    from sensors.corruptions import add_background, add_hot_pixels, drop_events, jitter_time

    rng = np.random.default_rng(_SEED)
    return {
        "whole": stream,
        "80 % dropped": drop_events(stream, 0.8, rng),
        "background, 5 Hz": add_background(stream, 5.0, rng),
        "8 hot pixels": add_hot_pixels(stream, 8, 300.0, rng),
        "jitter, 10 ms": jitter_time(stream, 10_000.0, rng),
    }


def _worn_audio(wave: FloatArray, rate: int) -> dict[str, EventStream]:
    """What corruptions do to a word; noise is added before the cochlea."""
    from sensors.cochlea import Cochlea
    from sensors.corruptions import add_background, drift_clock, lose_channels
    from sensors.speech import add_noise

    rng = np.random.default_rng(_SEED)
    cochlea = Cochlea()
    whole = cochlea.encode(wave, rate)
    return {
        "whole": whole,
        "noise, 0 dB": cochlea.encode(add_noise(wave.astype(np.float32), 0.0, rng), rate),
        "background, 5 Hz": add_background(whole, 5.0, rng),
        "half the channels lost": lose_channels(whole, 0.5, rng),
        "clock 20 % fast": drift_clock(whole, 200_000.0),
    }
