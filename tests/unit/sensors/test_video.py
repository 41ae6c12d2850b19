"""Videos that the tests write themselves: light, times, events, and files that are not whole."""

import builtins
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from sensors.dvs import DvsParams, DvsPixelArray
from sensors.files import read_events
from sensors.video import encode_video, read_video, video_frames
from spikefuse.errors import DataError

av = pytest.importorskip("av", reason="PyAV is not installed: pip install 'spikefuse[io]'")

QUIET = DvsParams(threshold_mismatch=0.0, shot_noise_hz=0.0, leak_hz=0.0, refractory_us=0)
# Not equally spaced, and not what 30 frames a second would give.
TIMES_MS = [0, 10, 33, 34, 90, 100]


def write_video(
    path: Path,
    frames: np.ndarray,
    times_ms: Sequence[int],
    kind: str = "gray",
    offset_ms: int = 0,
    codec: str = "ffv1",
) -> Path:
    """A lossless video; ``frames`` are [T, H, W] or [T, H, W, 3]."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=30)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "bgr0" if kind == "rgb24" and codec == "ffv1" else kind
        stream.codec_context.time_base = Fraction(1, 1000)
        for picture, time_ms in zip(frames, times_ms, strict=True):
            frame = av.VideoFrame.from_ndarray(picture, format=kind)
            frame.pts, frame.time_base = time_ms + offset_ms, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def moving_bar(n: int = 6, height: int = 24, width: int = 32) -> np.ndarray:
    film = np.full((n, height, width), 40, np.uint8)
    for k in range(n):
        film[k, :, 3 * k : 3 * k + 4] = 220
    return film


def light_of(value: float) -> float:
    """The sRGB curve for one value, as its standard has it."""
    c = value / 255
    return 255 * (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4)


def test_times_are_the_containers_and_grey_is_linear_light(tmp_path: Path) -> None:
    film = moving_bar()
    path = write_video(tmp_path / "a.mkv", film, TIMES_MS, offset_ms=500)
    pictures = list(video_frames(path))
    assert [p.time_us for p in pictures] == [1000 * t for t in TIMES_MS]
    expected = np.vectorize(light_of)(film)
    np.testing.assert_allclose([p.light for p in pictures], expected, atol=1e-9)


def test_colours_weigh_as_luminance(tmp_path: Path) -> None:
    film = np.zeros((2, 16, 16, 3), np.uint8)
    film[:, :, :4, 0], film[:, :, 4:8, 1], film[:, :, 8:12, 2] = 255, 255, 128
    path = write_video(tmp_path / "a.mkv", film, [0, 40], "rgb24")
    light = next(video_frames(path)).light[0]
    expected = [255 * 0.2126, 255 * 0.7152, 0.0722 * light_of(128), 0.0]
    np.testing.assert_allclose(light[::4], expected, atol=1e-9)


def test_ten_bits_are_not_rounded_to_eight(tmp_path: Path) -> None:
    film = np.zeros((2, 16, 16), np.uint16)
    film[:] = 2 ** np.arange(16, dtype=np.uint16)
    path = write_video(tmp_path / "a.mkv", film, [0, 40], "gray16le")
    light = next(video_frames(path)).light[0]
    np.testing.assert_allclose(
        light, [light_of(255 * v / 65535) for v in film[0, 0].tolist()], rtol=1e-3
    )
    assert len(np.unique(light)) == 16


def test_scaling_averages_areas(tmp_path: Path) -> None:
    film = np.full((2, 16, 16), 60, np.uint8)
    film[:, :, 8:] = 180
    path = write_video(tmp_path / "a.mkv", film, [0, 40])
    picture = next(video_frames(path, (4, 2)))
    assert picture.light.shape == (2, 4)
    np.testing.assert_allclose(
        picture.light[0], [light_of(v) for v in (60, 60, 180, 180)], rtol=0.05
    )


def test_events_are_those_of_the_pixel_array_on_the_same_light(tmp_path: Path) -> None:
    film = moving_bar()
    path = write_video(tmp_path / "a.mkv", film, TIMES_MS)
    stream = read_video(path, DvsPixelArray(QUIET))
    light = np.vectorize(light_of)(film)
    expected = DvsPixelArray(QUIET).encode(light, np.array(TIMES_MS) * 1000)
    assert len(stream) > 1000
    assert stream.events.tobytes() == expected.events.tobytes()
    assert stream.sensor_size == (32, 24, 2)
    assert stream.duration_us == 100_001
    parts = list(encode_video(path, DvsPixelArray(QUIET)))
    assert [p.duration_us - 1 for p in parts] == [1000 * t for t in TIMES_MS[1:]]


def test_frames_between_change_nothing_for_pixels_without_a_bandwidth(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", moving_bar(), TIMES_MS)
    plain = read_video(path, DvsPixelArray(QUIET)).events
    finer = read_video(path, DvsPixelArray(QUIET), n_between=3).events
    assert len(plain) == len(finer)
    key = ("y", "x", "t")
    plain, finer = np.sort(plain, order=key), np.sort(finer, order=key)
    for name in ("x", "y", "p"):
        np.testing.assert_array_equal(plain[name], finer[name])
    assert np.abs(plain["t"] - finer["t"]).max() <= 1


def test_frames_between_resolve_a_slow_photoreceptor(tmp_path: Path) -> None:
    """A low-pass step against its closed form: the finer, the nearer."""
    film = np.full((3, 4, 4), 40, np.uint8)
    film[1:] = 220
    path = write_video(tmp_path / "a.mkv", film, [0, 100, 200])
    slow = DvsParams(**{**QUIET.__dict__, "cutoff_hz": 3.0, "threshold_on": 0.05})
    counts = [
        len(read_video(path, DvsPixelArray(slow), n_between=n).cropped(100_001))
        for n in (0, 15, 31)
    ]
    # Without them the pixel is driven by the last frame for the whole interval: too many events.
    assert counts[0] > counts[1] >= counts[2] > 0
    assert counts[1] - counts[2] < 0.2 * (counts[0] - counts[2])


def test_memory_does_not_grow_with_the_video(tmp_path: Path) -> None:
    import tracemalloc

    film = np.zeros((120, 96, 128), np.uint8)
    path = write_video(tmp_path / "a.mkv", film, [10 * k for k in range(120)])

    def peak(n_frames: int) -> int:
        tracemalloc.start()
        for k, _ in enumerate(encode_video(path, DvsPixelArray(QUIET))):
            if k == n_frames:
                break
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(5)
    assert peak(110) < 1.2 * peak(10) + 96 * 128 * 8


@pytest.mark.parametrize(
    ("name", "codec", "kind"),
    [("a.mp4", "libx264", "yuv420p"), ("a.webm", "libvpx-vp9", "yuv420p")],
)
def test_everyday_formats(tmp_path: Path, name: str, codec: str, kind: str) -> None:
    film = np.zeros((12, 96, 64), np.uint8)  # planes of yuv420p: 64 rows of light, then colour
    film[:, 64:] = 128
    for k in range(12):
        film[k, :64] = 60 + 10 * k
    path = tmp_path / name
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, kind
        for picture in film:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format=kind)))
        container.mux(stream.encode())
    pictures = list(video_frames(path))
    assert [p.time_us for p in pictures] == [40_000 * k for k in range(12)]
    assert np.all(np.diff([p.light.mean() for p in pictures]) > 0)
    stream = read_video(path, DvsPixelArray(QUIET))
    assert len(stream) > 64 * 64
    assert stream.events["p"].mean() > 0.99


def test_truncated_files_are_an_error(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    film = rng.integers(0, 255, (30, 48, 64), dtype=np.uint8)
    path = write_video(tmp_path / "a.mkv", film, [20 * k for k in range(30)])
    content = path.read_bytes()
    for share in (0.3, 0.6, 0.9):
        path.write_bytes(content[: int(share * len(content))])
        with pytest.raises(DataError, match=r"a\.mkv must (last .* truncated|be a whole video)"):
            list(video_frames(path))
    for n in (0, 1, 30):
        path.write_bytes(content[:n])
        with pytest.raises(DataError, match=r"a\.mkv must be a whole video file, got"):
            list(video_frames(path))


@pytest.mark.parametrize("seed", range(6))
def test_damaged_files_are_pictures_or_one_error(tmp_path: Path, seed: int) -> None:
    path = write_video(tmp_path / "a.mkv", moving_bar(), TIMES_MS)
    rng = np.random.default_rng(seed)
    damaged = bytearray(path.read_bytes())
    for at in rng.integers(0, len(damaged), 8):
        damaged[at] = rng.integers(256)
    path.write_bytes(damaged)
    try:
        text = f"a.mkv {len(list(video_frames(path)))}"
    except DataError as error:
        text = str(error)
    assert "a.mkv" in text
    assert "\n" not in text


def test_what_is_no_video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match=r"none\.mp4 must be a file, got none there"):
        next(video_frames(tmp_path / "none.mp4"))
    path = tmp_path / "a.mp4"
    path.write_text("not a video")
    with pytest.raises(DataError, match=r"a\.mp4 must be a whole video file, got"):
        next(video_frames(path))
    sound = tmp_path / "a.wav"
    with av.open(str(sound), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(DataError, match=r"a\.wav must hold a video stream, got none"):
        next(video_frames(sound))
    single = write_video(tmp_path / "b.mkv", moving_bar(1), [0])
    with pytest.raises(DataError, match=r"b\.mkv must hold at least 2 frames, got 1"):
        read_video(single)
    two = write_video(tmp_path / "c.mkv", moving_bar(2), [0, 1])
    with pytest.raises(DataError, match=r"n_between must leave a microsecond .* 1000 in 1000 us"):
        read_video(two, n_between=1000)
    with pytest.raises(ValueError, match="n_between must be a whole number >= 0, got -1"):
        read_video(two, n_between=-1)
    real_import = builtins.__import__

    def without_av(name: str, *arguments, **options):
        if name == "av":
            raise ImportError(name)
        return real_import(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without_av)
    with pytest.raises(DataError, match=r"videos need PyAV, .* pip install 'spikefuse\[io\]'"):
        next(video_frames(two))


def test_high_dynamic_range_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=30)
        stream.width, stream.height, stream.pix_fmt = 32, 24, "yuv420p10le"
        stream.codec_context.color_trc = 16
        frame = av.VideoFrame(32, 24, "yuv420p10le")
        frame.pts = 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(DataError, match="must be of standard dynamic range, got transfer 16"):
        next(video_frames(path))


def test_a_video_becomes_an_event_file_from_the_command_line(tmp_path: Path) -> None:
    from experiments.loading.datafiles import data

    path, out = write_video(tmp_path / "a.mkv", moving_bar(), TIMES_MS), tmp_path / "b.npz"
    done = CliRunner().invoke(data, ["convert", str(path), str(out)])
    assert done.exit_code == 0, done.output
    stream = read_events(out)
    assert stream.events.tobytes() == read_video(path).events.tobytes()
    assert f"{len(stream)} events" in done.output
    small = tmp_path / "c.npz"
    done = CliRunner().invoke(data, ["convert", str(path), str(small), "--size", "16x12x2"])
    assert done.exit_code == 0, done.output
    assert read_events(small).sensor_size == (16, 12, 2)
