"""A run directory and the words of a command line, made into a model and sources."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path

from experiments.config import Config
from sensors.audio_source import read_wav
from sensors.cochlea import Cochlea
from sensors.cochlea_gammatone import GammatoneCochlea, GammatoneParams
from sensors.dvs import DvsPixelArray
from sensors.files import read_events
from sensors.live.files import StreamSource
from sensors.live.film import FILM_SUFFIXES, FilmSource
from sensors.live.sound import MicrophoneSource, wav_source
from sensors.live.source import Epoch, Source
from sensors.live.udp import UdpSource
from sensors.video import VIDEO_SUFFIXES
from spikefuse.errors import ConfigError, DataError
from spikefuse.events import SensorSize
from spikefuse.runtime.outcomes import Outcomes

_LATEST_BEGIN_US = 3_600_000_000  # silence before the first event is streamed, too
_SOUNDS = (".wav", ".flac", ".ogg")


def open_source(
    where: str,
    modality: str,
    size: SensorSize,
    config: Config,
    outcomes: Outcomes,
    *,
    epoch: Epoch | None = None,
    ear: str = "run",
    packets: str = "t64_x16_y16_on8",
    fps: float = 30.0,
    chunk_ms: float = 10.0,
) -> Source:
    """What a word of the command line stands for.

    Parameters
    ----------
    where : str
        A file of events, sound or film, a folder of pictures, ``udp:PORT`` or ``mic``.
    modality : str
    size : (W, H, P)
        That the model was trained for.
    config : Config
    outcomes : Outcomes
    epoch : Epoch, optional
        Zero of the live sources, shared by them.
    ear : "run" or "streaming"
        Sound files through the cochlea of the run, which hears the whole file first as in training,
        or through the streaming one.
    packets, fps, chunk_ms
        Of UDP, of films without times, and of chunks.

    Raises
    ------
    ConfigError
        If the word means nothing for the modality.
    DataError
        If the source cannot be opened or is of another size.
    """
    if where.startswith("udp:"):
        port = where.removeprefix("udp:")
        if not port.isdigit():
            raise ConfigError(f"--{modality} must be udp:PORT, got {where!r}")
        return UdpSource(modality, int(port), packets, epoch=epoch, outcomes=outcomes)
    sound = where == "mic" or Path(where).suffix.lower() in _SOUNDS
    if sound and size[1:] != (1, 1):
        raise ConfigError(f"--{modality} must be events or a film for a {size} sensor, got sound")
    if where == "mic":
        ear_model = _streaming_ear(config, size[0], 16_000)
        return MicrophoneSource(modality, cochlea=ear_model, epoch=epoch, outcomes=outcomes)
    path = Path(where)
    if sound:
        return _sound(path, modality, size, config, ear, chunk_ms)
    if path.is_dir() or path.suffix.lower() in (*VIDEO_SUFFIXES, *FILM_SUFFIXES):
        array = DvsPixelArray(config.data.digits.dvs)
        return FilmSource(path, modality, array, size[:2], fps)
    stream = read_events(path, size if path.suffix.lower() in (".bin", ".bs2", ".raw") else None)
    if stream.sensor_size != size:
        raise DataError(f"{path} must be of a {size} sensor, got {stream.sensor_size}")
    first_us = int(stream.events["t"][0]) if len(stream.events) else 0
    if first_us > _LATEST_BEGIN_US:
        raise DataError(
            f"{path} must begin within an hour of its zero, got its first event at "
            f"{first_us * 1e-6:.0f} s: times of a clock of the day? Move them with "
            "'spikefuse data convert FILE OUT --rebase'"
        )
    return StreamSource(stream, modality, chunk_ms)


def _sound(
    path: Path, modality: str, size: SensorSize, config: Config, ear: str, chunk_ms: float
) -> Source:
    """A sound file through either cochlea."""
    if ear not in ("run", "streaming"):
        raise ConfigError(f"--ear must be run or streaming, got {ear!r}")
    if ear == "streaming":
        _, rate = read_wav(path)
        return wav_source(path, modality, _streaming_ear(config, size[0], rate), None, chunk_ms)
    own = Cochlea(config.data.digits.cochlea if _embedded(config) else config.data.cochlea)
    if own.params.n_channels != size[0]:
        raise ConfigError(
            f"--ear must be streaming: the run's cochlea has {own.params.n_channels} channels, its "
            f"model {size[0]}"
        )
    wave, rate = read_wav(path)
    return StreamSource(own.encode(wave, rate, modality), modality, chunk_ms)


def _streaming_ear(config: Config, n_channels: int, sample_rate: int) -> GammatoneCochlea:
    """The streaming cochlea with the run's channels, level and hair cells."""
    own = asdict(config.data.digits.cochlea if _embedded(config) else config.data.cochlea)
    known = {f: own[f] for f in GammatoneParams.__dataclass_fields__ if f in own}
    known |= {"n_channels": n_channels, "f_max_hz": min(own["f_max_hz"], 0.45 * sample_rate)}
    known |= {"leak_s": 1.0, "dead_s": 1 / own["max_rate_hz"]}  # the run's has no leak
    return GammatoneCochlea(GammatoneParams(**known))


def _embedded(config: Config) -> bool:
    return config.data.source == "embedded_digits"


def speed_of(text: str) -> float:
    """A factor, or ``max``.

    Raises
    ------
    ConfigError
        If it is neither.
    """
    if text == "max":
        return math.inf
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0 < speed < math.inf:
        raise ConfigError(f"--speed must be a positive number or max, got {text!r}")
    return speed
