"""Rows of the sensors: pixel model, cochleas, transforms, loading and codes."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from experiments.bench.rows import OURS, Contender, Row, Setting
from experiments.bench.timing import Samples, spread
from spikefuse._types import FloatArray, StructuredArray
from spikefuse.events import EVENT_DTYPE, EventStream

# lauscher 0.1 takes 250 to 300 s for a second of sound (one thread of a machine of this class,
# measured apart; it is no contender because a single run lasts minutes).
_LAUSCHER_S = 250.0
_SHD_COUNTS = (5_000, 12_000)  # spikes of a recording, about those of the real set
_BATCH = 32


def sensor_rows(setting: Setting) -> Iterator[Row]:
    """Everything from light and sound to binned events."""
    with tempfile.TemporaryDirectory() as folder:
        yield from _pixel_rows(setting)
        yield _cochlea(setting, "gammatone")
        yield _cochlea(setting, "shd")
        yield from _transform_rows(setting)
        yield from _loading_rows(setting, Path(folder))
        yield from _code_rows(setting)


def _pixel_rows(setting: Setting) -> Iterator[Row]:
    """A textured picture that pans over 346 x 260 pixels, clean and with every kind of noise."""
    from sensors.dvs import DvsParams, DvsPixelArray
    from sensors.retina import pan

    size, n_frames = ((20, 24), 8) if setting.quick else ((260, 346), 60)
    rng = np.random.default_rng(21)
    coarse = rng.uniform(20, 230, (size[0] // 8 + 6, size[1] // 8 + 6))
    picture = np.kron(coarse, np.ones((8, 8)))
    path = np.stack([np.linspace(-6, 6, n_frames), np.linspace(-9, 9, n_frames)], axis=1)
    film, times_us = pan(picture, path, size, psf_px=1.0), np.arange(n_frames) * 1000
    quiet = {"shot_noise_hz": 0.0, "leak_hz": 0.0, "threshold_mismatch": 0.0, "refractory_us": 0}
    for name, changes in (("clean", quiet), ("mismatch, leak, shot noise, bandwidth", {})):
        extra = {} if changes else {"cutoff_hz": 200.0}
        pixels = DvsPixelArray(DvsParams(**changes, **extra))  # type: ignore[arg-type]
        n_events = len(pixels.encode(film, times_us))

        def run(pixels: DvsPixelArray = pixels) -> dict[str, Any]:
            return {"n_events": np.array([float(len(pixels.encode(film, times_us)))])}

        yield Row(
            f"pixel model {size[1]} x {size[0]}, {name}",
            (Contender(OURS, run),),
            {"n_events": np.array([float(n_events)])},
            ("pixel_model",),
            facts={"frames": n_frames, "events a frame": n_events / n_frames},
            conclude=_per_second("frames_per_s", n_frames),
        )


def _cochlea(setting: Setting, kind: str) -> Row:
    """Two seconds of modulated noise and tones at 48 kHz, 700 channels."""
    from sensors.cochlea_gammatone import GammatoneCochlea
    from sensors.cochlea_shd import ShdCochlea

    rate, duration_s = 48_000, 0.05 if setting.quick else 2.0
    wave = _sound(rate, duration_s)
    model = GammatoneCochlea() if kind == "gammatone" else ShdCochlea()
    expected = float(len(model.encode(wave, rate)))
    label = "gammatone" if kind == "gammatone" else "basilar membrane, hair and bushy cells (SHD)"

    def conclude(samples: Samples) -> dict[str, float]:
        times = duration_s * 1000 / spread(samples[OURS]).median
        return {"times_real_time": times, "times_lauscher": times * _LAUSCHER_S}

    return Row(
        f"cochlea, {label}",
        (Contender(OURS, lambda: {"n_events": np.array([float(len(model.encode(wave, rate)))])}),),
        {"n_events": np.array([expected])},
        ("cochlea_gammatone",) if kind == "gammatone" else ("cochlea_shd",),
        facts={"channels": model.n_channels, "rate_hz": rate, "spikes": expected},
        conclude=conclude,
    )


def _sound(rate: int, duration_s: float) -> FloatArray:
    """Tones under noise whose level goes up and down four times a second."""
    time_s = np.arange(round(rate * duration_s)) / rate
    rng = np.random.default_rng(22)
    tones = sum(np.sin(2 * np.pi * f * time_s) for f in (220.0, 700.0, 2400.0))
    envelope = 0.5 - 0.5 * np.cos(2 * np.pi * 4 * time_s)
    wave: FloatArray = 0.1 * envelope * (tones + rng.normal(size=len(time_s)))
    return wave


def _transform_rows(setting: Setting) -> Iterator[Row]:
    """Event by event loops in Tonic, one compiled pass here."""
    from sensors import transforms

    size, n_events = ((34, 34, 2), 2_000) if setting.quick else ((128, 128, 2), 60_000)
    stream = _random_stream(size, n_events, 400_000)
    events = stream.events
    foreign = _foreign(events)
    filter_us, window_us, n_bins = 10_000, 10_000, 20
    filled = events["t"] >= filter_us  # before that Tonic's memory lets everything pass

    def supported(kept: StructuredArray) -> dict[str, Any]:
        return {"times": kept["t"][kept["t"] >= filter_us].astype(np.float64)}

    ours = supported(transforms.denoise(stream, filter_us).events)
    facts = {"events": len(stream), "sensor": list(size)}
    yield Row(
        "denoise",
        (
            Contender(OURS, lambda: supported(transforms.denoise(stream, filter_us).events)),
            *_tonic(
                setting,
                "denoise_numpy",
                lambda f: supported(f(foreign, filter_us)),
            ),
        ),
        ours,
        ("denoise",),
        facts={**facts, "compared": float(filled.mean())},
    )
    yield Row(
        f"time frames of {window_us // 1000} ms",
        (
            Contender(OURS, lambda: {"frames": transforms.time_frames(stream, window_us)}),
            *_tonic(
                setting,
                "to_frame_numpy",
                lambda f: {
                    "frames": f(
                        _foreign(events),
                        size,
                        time_window=window_us,
                        include_incomplete=True,
                        start_time=0,
                        end_time=stream.duration_us,
                    )
                },
            ),
        ),
        {"frames": transforms.time_frames(stream, window_us)},
        ("frames",),
        facts=facts,
    )
    span = (int(events["t"][0]), int(events["t"][-1]))
    yield Row(
        f"voxel grid of {n_bins} bins",
        (
            # Tonic's n bins are ours of n + 1 without the last, which it loses.
            Contender(
                OURS, lambda: {"voxels": transforms.voxel_grid(stream, n_bins + 1, span)[:n_bins]}
            ),
            *_tonic(
                setting,
                "to_voxel_grid_numpy",
                lambda f: {"voxels": f(_foreign(events), size, n_bins)[:, 0]},
            ),
        ),
        {"voxels": transforms.voxel_grid(stream, n_bins + 1, span)[:n_bins]},
        ("frames",),
        facts=facts,
    )


def _loading_rows(setting: Setting, folder: Path) -> Iterator[Row]:
    """A made-up file in SHD's layout, and real N-MNIST where there is any."""
    from sensors.data_sets import open_set
    from sensors.tonic_source import offline
    from spikefuse.kernels.binning import bin_events

    n_recordings = 8 if setting.quick else 256
    _write_shd(folder / "SHD", n_recordings)
    files = open_set("SHD", folder)
    cached = _filled(files, folder)
    first = range(min(_BATCH, n_recordings))
    counts = np.array([float(len(files[i].stream)) for i in first])

    def ours(recorded: Any) -> Callable[[], dict[str, Any]]:
        def run() -> dict[str, Any]:
            binned = bin_events([recorded[i].stream for i in first], 10.0)
            total = binned.n_events if binned.value is None else float(binned.value.sum())
            return {"n_events": np.array([float(total)])}

        return run

    contenders = [Contender(OURS, ours(cached)), Contender("spikefuse, from the file", ours(files))]
    if "tonic" in setting.peers:
        dataset = offline("SHD", folder, {"train": True})
        from sensors.tonic_source import tonic_function

        to_frame = tonic_function("to_frame_numpy")

        def theirs() -> dict[str, Any]:
            frames = [
                to_frame(dataset[i][0], (700, 1, 1), time_window=10_000, include_incomplete=True)
                for i in first
            ]
            return {"n_events": np.array([float(sum(f.sum() for f in frames))])}

        contenders.append(Contender("tonic", theirs))
    yield Row(
        f"load and bin {len(first)} SHD recordings, from the cache",
        tuple(contenders),
        {"n_events": np.array([counts.sum()])},
        ("shd_loading", "samples_per_ms"),
        facts={"spikes a recording": float(counts.mean())},
        conclude=_per_ms("samples_per_ms", len(first)),
    )
    if setting.data_root is None:
        return
    digits = open_set("NMNIST", setting.data_root)
    known = _filled(digits, folder)
    some = range(min(_BATCH, len(digits)))
    sizes = np.array([float(len(digits[i].stream)) for i in some])
    yield Row(
        f"load {len(some)} N-MNIST recordings, from the cache",
        (
            Contender(
                OURS, lambda: {"counts": np.array([float(len(known[i].stream)) for i in some])}
            ),
            Contender(
                "spikefuse, from the files",
                lambda: {"counts": np.array([float(len(digits[i].stream)) for i in some])},
            ),
        ),
        {"counts": sizes},
        ("samples_per_ms",),
        facts={"events a recording": float(sizes.mean())},
        conclude=_per_ms("samples_per_ms", len(some)),
    )


def _code_rows(setting: Setting) -> Iterator[Row]:
    """Codes against snnTorch's, which are dense."""
    from spikefuse.encoders import encode_delta, encode_latency, encode_rate

    shape = (20, 2, 30) if setting.quick else (100, 32, 700)
    generator = torch.Generator().manual_seed(23)
    values = torch.rand(shape[1:], generator=generator)
    peer = "snntorch" in setting.peers
    for share in (0.02, 0.2):
        p = values * 2 * share
        contenders = [
            Contender(
                OURS,
                lambda p=p: {  # type: ignore[misc]
                    "fair": _fair(encode_rate(p, shape[0], generator=generator).density, p)
                },
            )
        ]
        if peer:
            from snntorch import spikegen

            contenders.append(
                Contender(
                    "snntorch",
                    lambda p=p: {  # type: ignore[misc]
                        "fair": _fair(float(spikegen.rate(p, num_steps=shape[0]).mean()), p)
                    },
                )
            )
        fair = {"fair": np.ones(1)}
        yield Row(f"rate code at {share:.0%}", tuple(contenders), fair, ("codes",))
    latency = encode_latency(values, shape[0])
    contenders = [Contender(OURS, lambda: {"spikes": encode_latency(values, shape[0])})]
    if peer:
        contenders.append(
            Contender(
                "snntorch",
                lambda: {
                    "spikes": spikegen.latency(
                        values, num_steps=shape[0], clip=True, linear=True, normalize=True
                    )
                },
            )
        )
    yield Row("latency code", tuple(contenders), {"spikes": latency}, ("codes",))
    # Moves of whole thresholds, at most one: there both codes send the same spikes.
    moves = torch.randint(-1, 2, shape, generator=generator).float()
    moves[0] = 0.0  # snnTorch has nothing to compare the first sample with
    signal = moves.cumsum(0) * 0.5

    def sent(spikes: Any) -> dict[str, Any]:
        n = spikes.n_events if hasattr(spikes, "n_events") else torch.count_nonzero(spikes)
        return {"n_spikes": np.array([float(n)])}

    contenders = [Contender(OURS, lambda: sent(encode_delta(signal, 0.5)[0]))]
    if peer:
        contenders.append(
            Contender(
                "snntorch",
                lambda: sent(spikegen.delta(signal, threshold=0.5, padding=True, off_spike=True)),
            )
        )
    yield Row("delta code", tuple(contenders), sent(encode_delta(signal, 0.5)[0]), ("codes",))


def _tonic(
    setting: Setting, name: str, call: Callable[[Callable[..., Any]], dict[str, Any]]
) -> Iterator[Contender]:
    """Tonic's function of that name, where Tonic takes part."""
    if "tonic" in setting.peers:
        from sensors.tonic_source import tonic_function

        function = tonic_function(name)
        yield Contender("tonic", lambda: call(function))


def _foreign(events: StructuredArray) -> StructuredArray:
    """Events in a dtype that Tonic's functions work on; they write into what they get."""
    return events.astype([("t", "<i8"), ("x", "<i8"), ("y", "<i8"), ("p", "<i8")])


def _random_stream(size: tuple[int, int, int], n_events: int, duration_us: int) -> EventStream:
    """Events anywhere at any time, in order."""
    rng = np.random.default_rng(24)
    events = np.zeros(n_events, EVENT_DTYPE)
    events["t"] = np.sort(rng.integers(0, duration_us, n_events))
    events["x"], events["y"] = (
        rng.integers(0, size[0], n_events),
        rng.integers(0, size[1], n_events),
    )
    events["p"] = rng.integers(0, 2, n_events)
    return EventStream(events, size, duration_us, "vision")


def _filled(recorded: Any, folder: Path) -> Any:
    """The same recordings from a cache that holds all of them."""
    from sensors.sample_cache import cached_set

    cached = cached_set(recorded, directory=folder / "cache")
    if cached.store is not None:
        cached.store.build_all()
    return cached


def _write_shd(folder: Path, n: int) -> None:
    """A file in SHD's layout with random spikes."""
    import h5py

    rng = np.random.default_rng(25)
    folder.mkdir()
    with h5py.File(folder / "shd_train.h5", "w") as file:
        spikes = file.create_group("spikes")
        times = spikes.create_dataset("times", (n,), dtype=h5py.vlen_dtype(np.float16))
        units = spikes.create_dataset("units", (n,), dtype=h5py.vlen_dtype(np.uint16))
        for i in range(n):
            m = rng.integers(*_SHD_COUNTS)
            times[i] = np.sort(rng.uniform(0, 0.8, m)).astype(np.float16)
            units[i] = rng.integers(0, 700, m)
        file["labels"] = rng.integers(0, 20, n)
        file["extra/keys"] = np.array([b"%d" % i for i in range(20)])
        file["extra/speaker"] = rng.integers(0, 10, n)
    (folder / "shd_train.h5.zip").touch()


def _fair(share: float, p: torch.Tensor) -> FloatArray:
    """1 if the share of spikes is what the probabilities say, within six standard deviations."""
    sd = float((p * (1 - p)).sum().sqrt()) / p.numel()  # of one step: many steps vary less
    return np.array([float(abs(share - float(p.mean())) < 6 * sd)])


def _per_second(name: str, n: int) -> Callable[[Samples], dict[str, float]]:
    return lambda samples: {name: n * 1000 / spread(samples[OURS]).median}


def _per_ms(name: str, n: int) -> Callable[[Samples], dict[str, float]]:
    return lambda samples: {name: n / spread(samples[OURS]).median}
