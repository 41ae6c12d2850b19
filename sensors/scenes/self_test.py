"""A scene's test of itself: what one modality tells alone, and what counts tell without time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from sensors.scenes.base import Scene, SceneBatch
from sensors.scenes.observers import accuracy, accuracy_interval, chance_interval, d_prime
from spikefuse._types import Float32Array, Int64Array
from spikefuse.events import EventStream

Level = Literal["bare", "sensor"]
_TRAIN_SEED, _TEST_SEED, _AGAIN_SEED = 101, 202, 303
_TIMES_AGAIN = {"bare": 10, "sensor": 4}
_CHUNK = 500
_COARSE_MS = 4
_ALL = "counts of all"
LEVEL_OF_CONFIDENCE = 0.99


class LeakError(RuntimeError):
    """A classifier that must not know the class beat chance, or fell below it."""


@dataclass(frozen=True)
class Probe:
    """One classifier on held-out samples.

    Parameters
    ----------
    what : str
        A modality's name, or ``"counts of all"``.
    features, classifier : str
    accuracy : float
    low, high : float
        99 % interval of guessing.
    again, again_low, again_high : float or None
        The same on the larger second draw; only where the first was outside the interval.
    """

    what: str
    features: str
    classifier: str
    accuracy: float
    low: float
    high: float
    again: float | None = None
    again_low: float | None = None
    again_high: float | None = None

    @property
    def inside(self) -> bool:
        """Whether the first accuracy is inside the interval."""
        return self.low <= self.accuracy <= self.high

    @property
    def at_chance(self) -> bool:
        """Whether the first accuracy is inside its interval, or else the second inside its."""
        if self.inside or self.again is None or self.again_low is None or self.again_high is None:
            return self.inside
        return self.again_low <= self.again <= self.again_high


@dataclass(frozen=True)
class Observed:
    """The observers' accuracy under one condition.

    Parameters
    ----------
    condition : float
    n : int
    ideal, additive : float
    ideal_low, ideal_high : float
        95 % interval.
    ideal_d_prime : float
    """

    condition: float
    n: int
    ideal: float
    ideal_low: float
    ideal_high: float
    ideal_d_prime: float
    additive: float


@dataclass(frozen=True)
class Verdict:
    """What a scene's self-test found.

    Parameters
    ----------
    scene, level : str
    n_train, n_test : int
    probes : tuple of Probe
    observers : tuple of Observed
        Bare spikes, the same test samples.
    """

    scene: str
    level: str
    n_train: int
    n_test: int
    probes: tuple[Probe, ...]
    observers: tuple[Observed, ...]

    @property
    def leaks(self) -> tuple[Probe, ...]:
        """Probes that know the class: outside the interval in both draws."""
        return tuple(probe for probe in self.probes if not probe.at_chance)

    @property
    def outside_at_first(self) -> tuple[Probe, ...]:
        """Probes outside the interval in the first draw, whatever the second says."""
        return tuple(probe for probe in self.probes if not probe.inside)

    @property
    def passed(self) -> bool:
        """Whether no probe knows the class."""
        return not self.leaks

    def require(self) -> Verdict:
        """The verdict itself, if it passed.

        Raises
        ------
        LeakError
            Naming every probe outside the interval.
        """
        if self.leaks:
            told = "; ".join(
                f"{p.what}, {p.classifier} on {p.features}: {p.accuracy:.3f}" for p in self.leaks
            )
            low, high = self.leaks[0].low, self.leaks[0].high
            raise LeakError(
                f"every probe of {self.scene} must stay in [{low:.3f}, {high:.3f}], got {told}"
            )
        return self

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "passed": self.passed}


def self_test(
    scene: Scene[Any], level: Level = "bare", n_train: int = 2000, n_test: int = 2000
) -> Verdict:
    """Train classifiers that must not know the class, and see whether they do.

    For each modality alone: logistic regression on every channel's counts in steps (bare: 1 ms;
    sensor: 4 ms, channels in up to 16 groups); logistic regression on counts of channels and
    statistics of intervals; boosted trees on the latter. On all modalities without time:
    logistic regression, boosted trees and a small network on counts per address of the whole
    sample. Every one must stay inside the 99 % interval of guessing, on samples of another seed.
    The interval is that of a single classifier, not widened for their number. So one scene in
    twelve would have one outside by luck; the same fitted classifier is then judged once more, on
    ten times as many new samples (sensor: four times) and their narrower interval, and both
    figures are kept. A scene passes if nothing is outside in both draws; `Verdict.outside_at_first`
    names what the first draw alone would have failed.

    A scene whose cues are redundant on purpose says so (`Scene.unimodal_at_chance`,
    `Scene.collapsed_at_chance`) and those probes are left out.

    Parameters
    ----------
    scene : Scene
    level : "bare" or "sensor"
        Bare trains, or those rendered through retina and cochlea.
    n_train, n_test : int
    """
    if level not in ("bare", "sensor"):
        raise ValueError(f"level must be 'bare' or 'sensor', got {level!r}")
    if min(n_train, n_test) < 10 * scene.n_classes:
        raise ValueError(
            f"n_train and n_test must be >= {10 * scene.n_classes}, got {n_train} and {n_test}"
        )
    train = _features(scene, level, _TRAIN_SEED, n_train)
    test = _features(scene, level, _TEST_SEED, n_test)
    probes = tuple(_probes(scene, level, train, test))
    return Verdict(scene.name, level, n_train, n_test, probes, observe(scene, _TEST_SEED, n_test))


def observe(scene: Scene[Any], seed: int, n: int) -> tuple[Observed, ...]:
    """Accuracy of the ideal and the additive observer on ``n`` bare samples, by condition."""
    parts = list(_batches(scene, seed, n))
    ideal = np.concatenate([part.ideal.numpy() for part in parts])
    additive = np.concatenate([part.additive.numpy() for part in parts])
    labels = np.concatenate([part.labels.numpy() for part in parts])
    conditions = np.concatenate([part.conditions.numpy() for part in parts])
    found = []
    for condition in scene.conditions:
        mine = np.isclose(conditions, condition)
        n_mine = int(mine.sum())
        if not n_mine:
            continue
        best = accuracy(ideal[mine], labels[mine])
        low, high = accuracy_interval(best, n_mine)
        found.append(
            Observed(
                condition,
                n_mine,
                best,
                low,
                high,
                d_prime(best, scene.n_classes),
                accuracy(additive[mine], labels[mine]),
            )
        )
    return tuple(found)


@dataclass(frozen=True, eq=False)
class _Features:
    """Of each modality: counts in steps, counts and interval statistics, counts; and labels."""

    steps: dict[str, Float32Array]
    intervals: dict[str, Float32Array]
    counts: dict[str, Float32Array]
    labels: Int64Array

    def table(self, what: str, kind: str) -> Float32Array:
        """Features by a probe's names, ``[n, n_features]``."""
        if what == _ALL:
            return np.concatenate(list(self.counts.values()), axis=1)
        return (self.steps if kind == "counts in steps" else self.intervals)[what]


def _batches(scene: Scene[Any], seed: int, n: int, first: int = 0) -> Iterator[SceneBatch]:
    for start in range(first, first + n, _CHUNK):
        yield scene.batch(seed, range(start, min(start + _CHUNK, first + n)))


def _features(scene: Scene[Any], level: Level, seed: int, n: int, first: int = 0) -> _Features:
    rows: dict[str, dict[str, list[Float32Array]]] = {}
    labels: list[Int64Array] = []
    if level == "bare":
        for batch in _batches(scene, seed, n, first):
            labels.append(batch.labels.numpy())
            for name, spikes in batch.spikes.items():
                trains = spikes.numpy().transpose(1, 0, 2)
                kinds = rows.setdefault(name, {"steps": [], "intervals": [], "counts": []})
                kinds["steps"] += list(trains.reshape(len(trains), -1))
                kinds["counts"] += list(trains.sum(axis=1))
                kinds["intervals"] += [
                    _interval_statistics(np.nonzero(train)[0].astype(np.float64), train.shape[0])
                    for train in trains
                ]
    else:
        for index in range(first, first + n):
            sample = scene.draw(seed, index)
            labels.append(np.array([sample.label]))
            for name, stream in scene.render(sample).streams.items():
                kinds = rows.setdefault(name, {"steps": [], "intervals": [], "counts": []})
                addresses = stream.addresses()
                kinds["counts"].append(
                    np.bincount(addresses, minlength=stream.n_addresses).astype(np.float32)
                )
                kinds["steps"].append(_coarse(stream, addresses, scene.duration_ms))
                kinds["intervals"].append(
                    _interval_statistics(stream.events["t"] * 1e-3, scene.duration_ms)
                )
    stacked = {name: {k: np.stack(v) for k, v in kinds.items()} for name, kinds in rows.items()}
    return _Features(
        {name: kinds["steps"] for name, kinds in stacked.items()},
        {
            name: np.concatenate([kinds["intervals"], kinds["counts"]], axis=1)
            for name, kinds in stacked.items()
        },
        {name: kinds["counts"] for name, kinds in stacked.items()},
        np.concatenate(labels),
    )


def _coarse(stream: EventStream, addresses: Int64Array, duration_ms: int) -> Float32Array:
    """Counts in steps of 4 ms of up to 16 groups of addresses, flat."""
    n_groups = min(stream.n_addresses, 16)
    n_steps = -(-duration_ms // _COARSE_MS)
    step = np.minimum(stream.events["t"] // (1000 * _COARSE_MS), n_steps - 1)
    cell = step * n_groups + addresses * n_groups // stream.n_addresses
    return np.bincount(cell, minlength=n_steps * n_groups).astype(np.float32)


def _interval_statistics(times_ms: np.ndarray[Any, Any], duration_ms: int) -> Float32Array:
    """Of all of a modality's spikes: intervals in eight classes, their moments, first and last."""
    times = np.sort(times_ms)
    gaps = np.diff(times)
    edges = np.array([0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, np.inf])
    shares = np.histogram(gaps, edges)[0] / max(len(gaps), 1)
    if not len(gaps):
        gaps = np.array([float(duration_ms)])
    ends = (times[0], times[-1], times.mean()) if len(times) else (duration_ms,) * 3
    moments = (gaps.mean(), gaps.std(), gaps.max(), len(times))
    return np.array([*shares, *moments, *ends], np.float32)


def _probes(scene: Scene[Any], level: Level, train: _Features, test: _Features) -> Iterator[Probe]:
    """The classifiers that the scene claims to keep at chance."""
    plan: list[tuple[str, str, str]] = []
    if scene.unimodal_at_chance:
        for name in scene.modalities:
            plan.append((name, "counts in steps", "logistic regression"))
            plan.append((name, "counts and intervals", "logistic regression"))
            plan.append((name, "counts and intervals", "boosted trees"))
    if scene.collapsed_at_chance:
        for classifier in ("logistic regression", "boosted trees", "network"):
            plan.append((_ALL, "counts per address", classifier))
    for what, kind, classifier in plan:
        model = _classifier(classifier)
        model.fit(train.table(what, kind), train.labels)

        def judged(
            parts: Iterable[_Features], model: Any = model, what: str = what, kind: str = kind
        ) -> tuple[float, float, float]:
            right = [model.predict(part.table(what, kind)) == part.labels for part in parts]
            hits = np.concatenate(right)
            interval = chance_interval(len(hits), scene.n_classes, LEVEL_OF_CONFIDENCE)
            return float(hits.mean()), *interval

        probe = Probe(what, kind, classifier, *judged([test]))
        if not probe.inside:
            n = len(test.labels)
            parts = (
                _features(scene, level, _AGAIN_SEED, n, k * n) for k in range(_TIMES_AGAIN[level])
            )
            probe = Probe(what, kind, classifier, *judged([test]), *judged(parts))
        yield probe


def _classifier(name: str) -> Any:
    """A scikit-learn classifier by name; all are seeded."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if name == "logistic regression":
        return make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=300))
    if name == "boosted trees":
        return HistGradientBoostingClassifier(
            max_iter=60, max_leaf_nodes=8, max_bins=32, random_state=0
        )
    return make_pipeline(
        StandardScaler(),
        MLPClassifier((16,), alpha=1.0, early_stopping=True, max_iter=60, random_state=0),
    )
