"""What a causal level costs: ``python -m experiments.studies.level [FOLDER]``.

A logistic regression (C 0.01, standardised square roots of counts in 20 ms bins) reads the
cochlea's spikes when the level is that of the whole utterance, a gain fixed on the training part,
and a running mean square; another reads the utterance's loudness alone. On the embedded default's
speech it is fitted on the train split and tested on the validation split; on recordings below
FOLDER (``FSDD/recordings``) two speakers train and one other validates, in all rotations, as when
the recipe was chosen.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from sensors.audio_source import read_wav, spoken_digit_folder
from sensors.cochlea import Cochlea, CochleaParams, fixed_gain
from sensors.digits import DigitsParams
from sensors.speech import add_noise, random_voice, synthesise
from spikefuse._types import BoolArray, FloatArray, Int64Array

_RATE_HZ = 8000
_BIN_US = 20_000
RUNNING_S = (0.05, 0.1, 0.3, 1.0)


@dataclass(frozen=True)
class Sounds:
    """Waveforms with their digits and speakers or splits."""

    waves: Sequence[FloatArray]
    labels: Int64Array
    groups: np.ndarray[tuple[int], np.dtype[np.str_]]
    n_bins: int


def embedded(params: DigitsParams | None = None) -> Sounds:
    """The embedded default's speech in its noise, train and validation, draw for draw."""
    p = params or DigitsParams()
    rng = np.random.default_rng([p.seed, 1])
    waves: list[FloatArray] = []
    labels: list[int] = []
    groups: list[str] = []
    for split, size, count in (
        ("train", p.n_train, p.voices),
        ("validation", p.n_validation, max(p.voices // 2, 1)),
    ):
        voices = [random_voice(f"{split}-voice-{i}", rng) for i in range(count)]
        for index in range(size):
            voice = voices[int(rng.integers(count))]
            clean = synthesise(index % 10, voice, rng, _RATE_HZ)
            waves.append(add_noise(clean, p.snr_db, rng).astype(np.float64))
            labels.append(index % 10)
            groups.append(split)
    return Sounds(waves, np.array(labels), np.array(groups), 20)


def recorded(root: Path) -> Sounds:
    """Spoken digits of a folder; groups are speakers."""
    paths = sorted(spoken_digit_folder(root).glob("*.wav"))
    waves = [read_wav(path)[0] for path in paths]
    labels = np.array([int(path.name[0]) for path in paths])
    return Sounds(waves, labels, np.array([path.name.split("_")[1] for path in paths]), 35)


def running_level(wave: FloatArray, tau_s: float, level_rms: float, start: float) -> FloatArray:
    """The waveform over its own running root mean square, which starts at a training set's."""
    from scipy.signal import lfilter

    decay = float(np.exp(-1 / (tau_s * _RATE_HZ)))
    square, _ = lfilter([1 - decay], [1, -decay], wave**2, zi=[decay * start**2])
    levelled: FloatArray = wave * level_rms / np.sqrt(square + (0.05 * start) ** 2)
    return levelled


def counts(waves: Sequence[FloatArray], params: CochleaParams, n_bins: int) -> FloatArray:
    """Square roots of spikes per channel and bin, ``[n, n_bins * channels]``."""
    cochlea = Cochlea(params)
    rows = []
    for wave in waves:
        events = cochlea.encode(wave, _RATE_HZ).events
        step = events["t"] // _BIN_US
        kept = step < n_bins
        index = step[kept] * params.n_channels + events["x"][kept]
        rows.append(np.bincount(index, minlength=n_bins * params.n_channels))
    return np.sqrt(np.array(rows, dtype=np.float64))


def accuracy(x: FloatArray, labels: Int64Array, train: BoolArray, test: BoolArray) -> float:
    """Of the logistic regression."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=500))
    model.fit(x[train], labels[train])
    return float(model.score(x[test], labels[test]))


def study(sounds: Sounds) -> dict[str, list[float]]:
    """Accuracy of every kind of level, one number for each split or rotation."""
    groups = sorted(set(sounds.groups.tolist()))
    if groups == ["train", "validation"]:
        parts = [(sounds.groups == "train", sounds.groups == "validation")]
    else:
        parts = []
        for k, tested in enumerate(groups):
            validates = groups[k - 1]
            inside = ~np.isin(sounds.groups, [tested, validates])
            parts.append((inside, sounds.groups == validates))
    params = CochleaParams()
    whole = counts(sounds.waves, params, sounds.n_bins)
    loudness = np.log([[np.sqrt(np.mean(wave**2)) + 1e-9] for wave in sounds.waves])
    found: dict[str, list[float]] = {"whole utterance": [], "loudness alone": []}
    for train, test in parts:
        found["whole utterance"].append(accuracy(whole, sounds.labels, train, test))
        found["loudness alone"].append(accuracy(loudness, sounds.labels, train, test))
        chosen = [wave for wave, inside in zip(sounds.waves, train, strict=True) if inside]
        gain = fixed_gain(chosen, params.level_rms)
        given = {"fixed gain": counts(sounds.waves, replace(params, gain=gain), sounds.n_bins)}
        for tau_s in RUNNING_S:
            start = params.level_rms / gain
            levelled = [running_level(w, tau_s, params.level_rms, start) for w in sounds.waves]
            unit = replace(params, gain=1.0)
            given[f"running, {tau_s:g} s"] = counts(levelled, unit, sounds.n_bins)
        for name, x in given.items():
            found.setdefault(name, []).append(accuracy(x, sounds.labels, train, test))
    return found


def table(found: dict[str, list[float]]) -> str:
    """Markdown rows."""
    lines = ["| level | mean | each |", "|---|---|---|"]
    for name, values in found.items():
        each = " ".join(f"{v:.3f}" for v in values)
        lines.append(f"| {name} | {np.mean(values):.3f} | {each} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(f"embedded default, validation\n{table(study(embedded()))}", flush=True)
    if len(sys.argv) > 1:
        print(f"\nrecordings, validation speakers\n{table(study(recorded(Path(sys.argv[1]))))}")
