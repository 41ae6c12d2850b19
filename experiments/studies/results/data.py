"""What the models of the results study read, once per data set: events, frames, sums, pictures.

Augmented variants of the training recordings are drawn once and shared by all models and epochs;
validation and test are as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from experiments.config import AugmentConfig, Config
from experiments.loading.augment import augment
from experiments.loading.data import PairedData
from sensors.clock import on_clock
from sensors.log_mel import LogMel
from sensors.pictures import digit_pictures, digit_spectrograms, mnist_pictures, wav_spectrograms
from spikefuse._types import Float32Array, Int64Array
from spikefuse.baselines import frame_counts
from spikefuse.events import EventStream
from spikefuse.kernels.binning import bin_events
from spikefuse.spikes import SpikeBatch

SPLITS = ("train", "validation", "test")
RATE_HZ = 8000  # of the speech in both data sets
N_VARIANTS = 6
_AT_ONCE = 64
Inputs = Mapping[str, Tensor | SpikeBatch]


@dataclass(frozen=True)
class Rows:
    """Which recordings a batch holds.

    Parameters
    ----------
    split : str
    pairs, variants : int [B, M]
        Recording and variant of each modality of the data, in their order.
    """

    split: str
    pairs: Int64Array
    variants: Int64Array


Feed = Callable[[Rows], Inputs]


@dataclass
class Sensed:
    """One data set as every kind of model reads it.

    Parameters
    ----------
    data : PairedData
        Of the modalities ``vision`` and ``audio``.
    config : Config
    kept : Path
        Folder for what the frame sensors gave, so that a second process need not render it again.
    seed : int
        Of the augmentation.
    """

    data: PairedData
    config: Config
    kept: Path
    seed: int = 0
    front_end: LogMel = field(default_factory=LogMel)
    _tensors: dict[tuple[object, ...], Tensor] = field(default_factory=dict)

    @property
    def window_ms(self) -> float:
        """Length of a sample."""
        return self.config.data.duration_ms

    @property
    def modalities(self) -> tuple[str, ...]:
        """Names, in the order of a pair."""
        return tuple(self.data.splits["train"])

    @property
    def n_steps(self) -> int:
        """Steps of a spiking model."""
        return -(-round(self.window_ms * 1e3) // round(self.config.data.dt_ms * 1e3))

    def spikes(self, modalities: Sequence[str]) -> Feed:
        """Reads events in steps of a spiking model."""

        def read(rows: Rows) -> Inputs:
            found: dict[str, SpikeBatch] = {}
            for name in modalities:
                column = self.modalities.index(name)
                items = zip(rows.variants[:, column], rows.pairs[:, column], strict=True)
                streams = self._spiking[rows.split][name]
                some = [streams[variant][index] for variant, index in items]
                found[name] = bin_events(some, self.config.data.dt_ms, self.n_steps)
            return found

        return read

    def frames(self, frame_ms: Mapping[str, float]) -> Feed:
        """Reads event frames and cochleagrams of the whole window."""
        return self._stored(
            {name: ("frames", name, length) for name, length in frame_ms.items()}, torch.log1p
        )

    def sums(self, modalities: Sequence[str]) -> Feed:
        """Reads the bin sums of a quantised twin: at most a spike a step, all steps added."""
        return self._stored({name: ("sums", name) for name in modalities}, lambda x: x)

    def pictures(self, modalities: Sequence[str]) -> Feed:
        """Reads one picture and one standardised log-mel spectrogram."""
        return self._stored({name: ("pictures", name) for name in modalities}, lambda x: x)

    def picture_sizes(self) -> dict[str, tuple[int, int, int]]:
        """(W, H, P) of what the frame sensors give."""
        shapes = {name: self._pictures["test"][name].shape for name in self.modalities}
        return {name: (shape[-1], shape[-2], 1) for name, shape in shapes.items()}

    def _stored(
        self, keys: Mapping[str, tuple[object, ...]], change: Callable[[Tensor], Tensor]
    ) -> Feed:
        """Reads tensors that are made at the first reading, ``[V, n, C, H, W]`` each."""

        def read(rows: Rows) -> Inputs:
            found = {}
            for name, key in keys.items():
                column = self.modalities.index(name)
                whole = self._tensor(rows.split, name, key)
                chosen = whole[rows.variants[:, column], rows.pairs[:, column]]
                found[name] = change(chosen.float())
            return found

        return read

    def _tensor(self, split: str, name: str, key: tuple[object, ...]) -> Tensor:
        """All variants and recordings of a split and modality as a model reads them."""
        if (split, *key) not in self._tensors:
            self._tensors[split, *key] = self._made(split, name, key)
        return self._tensors[split, *key]

    def _made(self, split: str, name: str, key: tuple[object, ...]) -> Tensor:
        if key[0] == "pictures":
            return self._varied(split, name)
        variants = self._framed[split][name]
        if key[0] == "frames":
            length = float(str(key[2]))
            return _small_counts(variants, lambda some: frame_counts(some, length, self.window_ms))
        dt_ms, n_steps = self.config.data.dt_ms, self.n_steps
        width, height, polarities = variants[0][0].sensor_size

        def summed(some: Sequence[EventStream]) -> Tensor:
            spikes = bin_events(some, dt_ms, n_steps).to_dense().clamp(max=1)
            return spikes.sum(0).reshape(len(some), polarities, height, width)

        return _small_counts(variants, summed)

    @cached_property
    def _spiking(self) -> dict[str, dict[str, list[list[EventStream]]]]:
        """Streams with the spiking models' augmentation, by split, modality, variant."""
        return self._streams(self.config.train.augment)

    @cached_property
    def _framed(self) -> dict[str, dict[str, list[list[EventStream]]]]:
        """Streams with the dense models' augmentation."""
        return self._streams(self.config.train.dense_augment)

    def _streams(self, change: AugmentConfig) -> dict[str, dict[str, list[list[EventStream]]]]:
        rng = np.random.default_rng([self.seed, 7])
        found: dict[str, dict[str, list[list[EventStream]]]] = {}
        for split in SPLITS:
            placed = {
                name: [on_clock(r.stream, name, self.data.clock, r.source) for r in recordings]
                for name, recordings in self.data.splits[split].items()
            }
            n_variants = N_VARIANTS if split == "train" else 0
            found[split] = {
                name: [[augment(s, change, rng) for s in streams] for _ in range(n_variants)]
                or [streams]
                for name, streams in placed.items()
            }
        return found

    @cached_property
    def _pictures(self) -> dict[str, dict[str, Float32Array]]:
        """Pictures and standardised spectrograms ``[n, H, W]`` by split and modality."""
        path = self.kept / f"pictures-{self.config.data.source}.npz"
        names = {
            f"{split}.{name}": [r.source for r in self.data.splits[split][name]]
            for split in SPLITS
            for name in self.modalities
        }
        if path.is_file():
            with np.load(path) as stored:
                kept = {key: stored[key] for key in stored.files}
        else:
            kept = self._sensed_anew()
            path.parent.mkdir(parents=True, exist_ok=True)
            own = path.with_suffix(f".{np.random.default_rng().integers(2**31)}.npz")
            np.savez(own, allow_pickle=False, **kept)
            own.replace(path)
        by_name: dict[str, dict[str, Float32Array]] = {name: {} for name in self.modalities}
        for name in self.modalities:
            by_name[name] = dict(zip(kept[f"{name}_names"].tolist(), kept[name], strict=True))
        found: dict[str, dict[str, Float32Array]] = {}
        for split in SPLITS:
            found[split] = {
                name: np.stack([by_name[name][source] for source in names[f"{split}.{name}"]])
                for name in self.modalities
            }
        # Per band, from the training part: folds into the first layer.
        train = found["train"]["audio"]
        mean, scale = train.mean((0, 2), keepdims=True), train.std((0, 2), keepdims=True)
        for parts in found.values():
            parts["audio"] = ((parts["audio"] - mean) / scale).astype(np.float32)
        return found

    def _sensed_anew(self) -> dict[str, Float32Array]:
        """What camera and microphone give of all recordings, and their names."""
        config, every = self.config.data, self.data.splits
        vision = [r for split in SPLITS for r in every[split]["vision"]]
        names = [r.source for split in SPLITS for r in every[split]["audio"]]
        if config.source == "embedded_digits":
            pictures = digit_pictures(config.digits, [r.source for r in vision])
            sound = digit_spectrograms(config.digits, names, self.front_end, self.window_ms)
        else:
            root = Path(config.root)
            pictures = mnist_pictures(root / "NMNIST" / "mnist_frames.npz", vision)
            sound = wav_spectrograms(root, names, self.front_end, self.window_ms, RATE_HZ)
        return {
            "vision": pictures,
            "audio": sound,
            "vision_names": np.array([r.source for r in vision]),
            "audio_names": np.array(names),
        }

    def _varied(self, split: str, name: str) -> Tensor:
        """Pictures with augmentation where it is training, ``[V, n, 1, H, W]``."""
        given = self._pictures[split][name]
        if split != "train":
            return torch.from_numpy(given)[None, :, None]
        rng = np.random.default_rng([self.seed, 8])
        settings = self.config.train.dense_augment
        rows = [[varied(x, name, settings, rng) for x in given] for _ in range(N_VARIANTS)]
        return torch.from_numpy(np.array(rows))[:, :, None]


def varied(
    x: Float32Array, name: str, settings: AugmentConfig, rng: np.random.Generator
) -> Float32Array:
    """A picture or spectrogram ``[H, W]`` changed as the events are: shifted, stretched in time.

    A spectrogram is shifted by as much of its bands as events are of the cochlea's 64 channels.
    """
    if name != "audio":
        reach = settings.shift_px
        dy, dx = (int(d) for d in rng.integers(-reach, reach + 1, 2))
        return _shifted(x, dy, dx, 0.0)
    reach = round(settings.channel_shift * len(x) / 64)
    stretch = 1.0 + rng.uniform(-settings.time_stretch, settings.time_stretch)
    at = np.clip(np.round(np.arange(x.shape[1]) / stretch).astype(int), 0, x.shape[1] - 1)
    band_shift = int(rng.integers(-reach, reach + 1))
    return _shifted(x[:, at], band_shift, 0, float(x.min()))


def _shifted(x: Float32Array, rows: int, columns: int, fill: float) -> Float32Array:
    """Moved by whole cells, ``fill`` where nothing came from."""
    padded = np.full_like(x, fill)
    height, width = x.shape
    to = (
        slice(max(rows, 0), height + min(rows, 0)),
        slice(max(columns, 0), width + min(columns, 0)),
    )
    of = (
        slice(max(-rows, 0), height - max(rows, 0)),
        slice(max(-columns, 0), width - max(columns, 0)),
    )
    padded[to] = x[of]
    return padded


def _small_counts(
    variants: Sequence[Sequence[EventStream]], read: Callable[[Sequence[EventStream]], Tensor]
) -> Tensor:
    """Counts of all variants as bytes, ``[V, n, ...]``; more than 255 in a cell count as 255."""
    rows = [
        torch.cat(
            [
                read(streams[i : i + _AT_ONCE]).clamp(max=255).to(torch.uint8)
                for i in range(0, len(streams), _AT_ONCE)
            ]
        )
        for streams in variants
    ]
    return torch.stack(rows)
