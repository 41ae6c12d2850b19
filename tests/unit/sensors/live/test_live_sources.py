"""Recordings, sound and films as sources: what they give is what the whole gives."""

from __future__ import annotations

import sys
import time
import types
from itertools import count, pairwise

import numpy as np
import pytest
import soundfile
from PIL import Image

from sensors.cochlea_gammatone import GammatoneCochlea, GammatoneParams
from sensors.dvs import DvsParams, DvsPixelArray
from sensors.files import write_events
from sensors.live.files import StreamSource, file_source
from sensors.live.film import FilmSource
from sensors.live.sound import MicrophoneSource, wav_source
from sensors.live.source import Pace, in_turn
from spikefuse.errors import DataError
from spikefuse.events import EVENT_DTYPE, EventStream
from spikefuse.runtime.buffer import Chunk

EAR = GammatoneCochlea(GammatoneParams(n_channels=16, f_max_hz=3500.0))


def recording(n=200, modality="vision", duration_us=100_000):
    events = np.zeros(n, EVENT_DTYPE)
    events["t"] = np.linspace(0, duration_us - 1, n).astype(np.int64)
    events["x"] = np.arange(n) % 8
    events["p"] = True
    return EventStream(events, (8, 8, 2), duration_us, modality)


def joined(source):
    chunks = [c for c in source.chunks() if c is not None]
    return np.concatenate([c.events for c in chunks]), chunks


def test_chunks_of_a_file_make_the_file_and_end_with_it(tmp_path):
    whole = recording()
    write_events(tmp_path / "a.npz", whole)
    got, chunks = joined(file_source(tmp_path / "a.npz", "vision", chunk_ms=7))
    assert np.array_equal(got, whole.events)
    assert chunks[-1].now_us == whole.duration_us
    assert all((c.events["t"] < c.now_us).all() for c in chunks)


def test_recordings_take_turns_by_their_clocks():
    sources = [StreamSource(recording(modality=m), m, ms) for m, ms in (("a", 10), ("b", 30))]
    clocks = [c.now_us for c in in_turn(sources)]
    assert clocks == sorted(clocks)
    assert len(clocks) == 14


class Heard:
    """A live source with these chunks waiting."""

    live = True

    def __init__(self, modality, clocks_us):
        self.modality, self._clocks_us = modality, clocks_us

    def chunks(self):
        for now_us in self._clocks_us:
            yield Chunk(self.modality, np.zeros(0, EVENT_DTYPE), now_us)

    def close(self):
        pass


def test_live_sources_with_a_backlog_take_turns_by_their_clocks():
    sources = [Heard("a", range(0, 3000, 100)), Heard("b", [1050, 2050])]
    clocks = [c.now_us for c in in_turn(sources)]
    assert clocks == sorted(clocks)
    assert len(clocks) == 32


def test_a_clock_that_leapt_ahead_is_heard_though_the_other_never_pauses():
    chunks = in_turn([Heard("a", count()), Heard("b", [10**12])])
    assert "b" in {next(chunks).modality for _ in range(1100)}


@pytest.mark.parametrize("stray_us", [10**12, -(10**12)])
def test_a_stray_time_holds_up_neither_its_own_sensor_nor_the_other(stray_us):
    """Both have something waiting at every moment, as sensors of thousands of packets a second."""
    clocks = list(range(0, 2_000_000, 1000))
    strayed = [*clocks[:500], stray_us, *clocks[500:]]
    last, apart = {"a": 0, "b": 0}, []
    for chunk in in_turn([Heard("a", clocks), Heard("b", strayed)]):
        if chunk.now_us != stray_us:
            last[chunk.modality] = chunk.now_us
            apart.append(abs(last["a"] - last["b"]))
    assert max(apart[:-10]) <= 5000


def test_recorded_speed_takes_the_recorded_time_and_twice_the_speed_half_of_it():
    took = {}
    for speed in (1.0, 2.0):
        started = time.monotonic()
        for _ in in_turn([StreamSource(recording(), "vision", 20)], Pace(speed)):
            pass
        took[speed] = time.monotonic() - started
    assert 0.07 < took[1.0] < 0.6
    assert took[2.0] < took[1.0]


def test_a_sound_file_gives_the_spikes_of_the_whole(tmp_path):
    rng = np.random.default_rng(0)
    wave = 0.3 * np.sin(np.arange(8000) * 0.5) * rng.random(8000)
    soundfile.write(tmp_path / "a.wav", wave, 8000, subtype="DOUBLE")
    got, chunks = joined(wav_source(tmp_path / "a.wav", cochlea=EAR, chunk_ms=9))
    whole = EAR.encode(wave, 8000)
    kept = got[got["t"] < whole.duration_us]
    assert np.array_equal(np.sort(kept), np.sort(whole.events))
    for before, after in pairwise(chunks):
        assert (after.events["t"] >= before.now_us).all()


def stand_in(blocks):
    """A driver that calls back at once with these blocks."""

    class Stream:
        def __init__(self, callback, blocksize, **_):
            self.callback, self.blocksize = callback, blocksize

        def start(self):
            for block in blocks:
                self.callback(block[:, None], len(block), None, None)

        def stop(self):
            pass

        def close(self):
            pass

    return types.SimpleNamespace(InputStream=Stream)


def test_a_microphone_gives_the_spikes_of_its_sound(monkeypatch):
    wave = np.random.default_rng(1).normal(0, 0.1, 16_000).astype(np.float32)
    monkeypatch.setitem(sys.modules, "sounddevice", stand_in(np.split(wave, 100)))
    source = MicrophoneSource(cochlea=EAR, gain=1.0, wait_ms=1.0)
    parts = []
    for chunk in source.chunks():
        if chunk is None:
            source.close()
        else:
            parts.append(chunk.events)
    whole = EAR.encode(wave, 16_000, gain=1.0)
    got = np.concatenate(parts)
    assert np.array_equal(np.sort(got[got["t"] < whole.duration_us]), np.sort(whole.events))


def test_sound_that_nobody_fetches_is_a_flood_and_its_time_passes(monkeypatch):
    blocks = [np.full(160, 0.1, np.float32)] * 260
    monkeypatch.setitem(sys.modules, "sounddevice", stand_in(blocks))
    source = MicrophoneSource(cochlea=EAR, gain=1.0, wait_ms=1.0)
    clocks = []
    for chunk in source.chunks():
        if chunk is None:
            source.close()
        else:
            clocks.append(chunk.now_us)
    assert source.outcomes.count("audio", "flood") == 60
    assert clocks[-1] == 2_600_000 - 1000


def test_without_sounddevice_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(DataError, match=r"spikefuse\[mic\]"):
        MicrophoneSource()


def film(n=12, side=8):
    frames = np.full((n, side, side), 20.0)
    for k in range(n):
        frames[k, :, k % side] = 200.0
    return frames


def test_an_array_of_frames_gives_the_events_of_the_whole_film(tmp_path):
    np.save(tmp_path / "a.npy", film())
    array = DvsPixelArray(DvsParams(shot_noise_hz=0.0))
    got, chunks = joined(FilmSource(tmp_path / "a.npy", array=array, fps=100))
    times = np.arange(12) * 10_000
    assert len(got)
    assert np.array_equal(got, array.encode(film(), times).events)
    assert chunks[-1].now_us == times[-1]


@pytest.mark.parametrize("kind", ["folder", "gif"])
def test_pictures_and_gifs_are_films(tmp_path, kind):
    pictures = [Image.fromarray(frame.astype(np.uint8)).convert("RGB") for frame in film()]
    path = tmp_path / "a.gif"
    if kind == "folder":
        path = tmp_path / "film"
        path.mkdir()
        for k, picture in enumerate(pictures):
            picture.save(path / f"{k:03}.png")
    else:
        pytest.importorskip("av", reason="PyAV is not installed (spikefuse[io])")
        pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=40)
    got, chunks = joined(FilmSource(path, fps=25))
    assert len(got) > 50
    assert len(chunks) == 11


def test_what_is_no_film_is_one_clear_error(tmp_path):
    with pytest.raises(DataError, match="film"):
        FilmSource(tmp_path / "none.mp4")
    np.save(tmp_path / "flat.npy", np.zeros((3, 4)))
    with pytest.raises(DataError, match=r"\[T, H, W\]"):
        joined(FilmSource(tmp_path / "flat.npy"))
    np.save(tmp_path / "one.npy", np.zeros((1, 4, 4)))
    with pytest.raises(DataError, match="2 frames"):
        joined(FilmSource(tmp_path / "one.npy"))
