"""Sound through a streaming cochlea: a wav file, or a microphone."""

from __future__ import annotations

import importlib
import queue
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from sensors.audio_source import read_wav
from sensors.cochlea_gammatone import GammatoneCochlea
from sensors.cochlea_model import CochleaModel
from sensors.live.source import Epoch
from spikefuse._types import Float32Array, FloatArray
from spikefuse.errors import DataError
from spikefuse.runtime.buffer import Chunk
from spikefuse.runtime.outcomes import Outcomes

# A streaming cochlea may hold back the spikes of its last frame; none is longer.
_HELD_BACK_US = 1000


class WaveSource:
    """A waveform through a streaming cochlea, as if it were heard now.

    The spikes are those of ``cochlea.encode(wave, sample_rate, gain=gain)``, whatever the chunks.

    Parameters
    ----------
    wave : float array [n]
    sample_rate : int
        In hertz.
    modality : str
    cochlea : CochleaModel, optional
        That streams; `GammatoneCochlea` by default.
    gain : float, optional
        By default the one that brings the whole waveform to the cochlea's level, which a
        microphone could not know.
    chunk_ms : float
    """

    live = False

    def __init__(
        self,
        wave: FloatArray | Float32Array,
        sample_rate: int,
        modality: str = "audio",
        cochlea: CochleaModel[Any] | None = None,
        gain: float | None = None,
        chunk_ms: float = 10.0,
    ) -> None:
        self.modality, self._wave, self._rate = modality, wave, sample_rate
        self._cochlea = cochlea if cochlea is not None else GammatoneCochlea()
        self._gain = self._cochlea.gain(wave) if gain is None else gain
        self._n = max(1, round(chunk_ms * 1e-3 * sample_rate))

    def chunks(self) -> Iterator[Chunk]:
        """Chunks of equal length, then what the cochlea still holds."""
        state = self._cochlea.start(self._rate, self._gain)
        for start in range(0, len(self._wave), self._n):
            part = self._wave[start : start + self._n]
            events, state = self._cochlea.advance(part, state)
            heard_us = round(1e6 * (start + len(part)) / self._rate)
            yield Chunk(self.modality, events, max(heard_us - _HELD_BACK_US, 0))
        end_us = round(1e6 * len(self._wave) / self._rate)
        yield Chunk(self.modality, self._cochlea.finish(state), end_us)

    def close(self) -> None:
        """Nothing is open."""


def wav_source(
    path: Path | str,
    modality: str = "audio",
    cochlea: CochleaModel[Any] | None = None,
    gain: float | None = None,
    chunk_ms: float = 10.0,
) -> WaveSource:
    """A sound file, its channels averaged; see `WaveSource`.

    Parameters
    ----------
    path : Path
    modality : str
    cochlea : cochlea model, optional
    gain : float, optional
    chunk_ms : float
        Length of the pieces that are handed on.
    """
    wave, rate = read_wav(Path(path))
    return WaveSource(wave, rate, modality, cochlea, gain, chunk_ms)


class MicrophoneSource:
    """The microphone through a streaming cochlea; needs ``pip install 'spikefuse[mic]'``.

    Blocks that nobody fetches in time are dropped and counted as ``flood``; their time passes all
    the same, as silence. An overflow that the driver reports is one outcome ``overrun``.

    Parameters
    ----------
    modality : str
    sample_rate : int
    cochlea : CochleaModel, optional
    gain : float, optional
        By default the one that brings the first half second to the cochlea's level.
    device : str or int, optional
        As sounddevice names it.
    epoch : Epoch, optional
        When the stream began; shared by its live sources. With the first sound by default.
    chunk_ms : float
    wait_ms : float
        How long to wait for sound before giving way to other sources.
    outcomes : Outcomes, optional

    Raises
    ------
    DataError
        If sounddevice is missing, or there is no such device.
    """

    live = True

    def __init__(
        self,
        modality: str = "audio",
        sample_rate: int = 16_000,
        cochlea: CochleaModel[Any] | None = None,
        gain: float | None = None,
        device: str | int | None = None,
        epoch: Epoch | None = None,
        chunk_ms: float = 10.0,
        wait_ms: float = 20.0,
        outcomes: Outcomes | None = None,
    ) -> None:
        try:
            sounddevice = importlib.import_module("sounddevice")
        except (ImportError, OSError) as error:  # OSError: the library without PortAudio
            raise DataError(
                "a microphone needs sounddevice with PortAudio: pip install 'spikefuse[mic]'"
            ) from error
        self.modality, self._rate, self._gain = modality, sample_rate, gain
        self._cochlea = cochlea if cochlea is not None else GammatoneCochlea()
        self.outcomes = outcomes if outcomes is not None else Outcomes()
        self._wait_s = wait_ms * 1e-3
        self._epoch = epoch if epoch is not None else Epoch()
        self._blocks: queue.Queue[Float32Array] = queue.Queue(maxsize=200)
        self._n = max(1, round(chunk_ms * 1e-3 * sample_rate))
        self._lost = 0  # samples, told to the cochlea as silence
        self._open = True
        try:
            self._input = sounddevice.InputStream(
                samplerate=sample_rate,
                channels=1,
                dtype="float32",
                blocksize=self._n,
                device=device,
                callback=self._heard,
            )
            self._input.start()
        except Exception as error:  # sounddevice's own errors; it may be a stand-in
            raise DataError(f"device must be a microphone, got {device!r}: {error}") from error

    def chunks(self) -> Iterator[Chunk | None]:
        """A chunk a block, or None; until the source is closed."""
        first: list[Float32Array] = []
        state: Any = None
        heard = began_us = 0
        while self._open:
            try:
                block = self._blocks.get(timeout=self._wait_s)
            except queue.Empty:
                yield None
                continue
            if state is None:
                began_us = began_us if first else self._epoch.now_us()
                first.append(block)
                level = np.concatenate(first)
                if self._gain is None and 2 * len(level) < self._rate:
                    yield None
                    continue
                gain = self._cochlea.gain(level) if self._gain is None else self._gain
                state, block = self._cochlea.start(self._rate, gain), level
            lost, self._lost = self._lost, 0
            block = np.concatenate([np.zeros(lost, np.float32), block])
            events, state = self._cochlea.advance(block, state)
            heard += len(block)
            heard_us = began_us + round(1e6 * heard / self._rate)
            events["t"] += began_us
            yield Chunk(self.modality, events, max(heard_us - _HELD_BACK_US, 0))

    def close(self) -> None:
        """Give the device back."""
        self._open = False
        self._input.stop()
        self._input.close()

    def _heard(self, block: Any, frames: int, time_info: Any, status: Any) -> None:
        """Called by the driver's thread."""
        if status:
            self.outcomes.note(self.modality, "overrun", detail=str(status))
        try:
            self._blocks.put_nowait(np.array(block[:, 0], dtype=np.float32))
        except queue.Full:
            self._lost += frames
            self.outcomes.note(self.modality, "flood", detail="blocks of sound that nobody fetched")
