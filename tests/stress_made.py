"""Small samples and answers made by hand, for tests of the stress suite."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from experiments.config import Config
from experiments.stress.conditions import FAMILIES
from experiments.stress.plan import plan
from experiments.stress.run import Response, Stressed
from experiments.stress.swaps import Donors
from experiments.training.learners import Learner, build_learner
from spikefuse.events import MultiStream
from spikefuse.opcounts import OpCounts

SIZES = {"vision": (20, 10, 2), "audio": (16, 1, 1)}


def small_samples(make_stream) -> list[MultiStream]:
    """Twelve pairs of three classes, 50 ms."""
    return [
        MultiStream(
            {name: make_stream(60 + 5 * i, size, modality=name) for name, size in SIZES.items()},
            label=i % 3,
        )
        for i in range(12)
    ]


def donors_of(samples: Sequence[MultiStream]) -> Donors:
    """Every sample of recordings of its own."""
    labels = np.array([s.label for s in samples])
    return Donors(samples, labels, {m: [f"{m}-{i}" for i in range(len(samples))] for m in SIZES})


def small_config() -> Config:
    """The default with a few neurons, 50 ms."""
    base = Config()
    small = replace(base.model, fusion_hidden=12)
    small = replace(
        small,
        vision=replace(small.vision, convs=(), hidden=10),
        audio=replace(small.audio, hidden=10),
    )
    return replace(
        base,
        data=replace(base.data, duration_ms=50.0, dt_ms=5.0),
        model=small,
        cost=replace(base.cost, windows_ms=(20.0,), frame_vision_ms=10.0, frame_audio_ms=10.0),
    )


def _learner(name: str, modalities: tuple[str, ...]) -> Learner:
    config = small_config()
    return build_learner(name, config, {m: SIZES[m] for m in modalities}, 0, 3)


def _answers(donors: Donors, final: Sequence[Sequence[int]], sure: float = 0.8) -> Response:
    """Answers of hand, stated at one probability; two times, the first one always class 0."""
    last = np.asarray(final)
    logs = np.full((*last.shape, 3), np.log((1 - sure) / 2))
    np.put_along_axis(logs, last[..., None], np.log(sure), axis=2)
    by_time = np.stack([np.zeros_like(last), last], axis=1)
    return Response(np.array([25.0, 50.0]), by_time, logs, OpCounts({}, last.shape[1]))


def made_by_hand(donors: Donors) -> Stressed:
    """A fused model that follows vision, with models of either modality."""
    labels = donors.labels
    conditions = plan(FAMILIES, SIZES, donors)
    always_0 = np.zeros_like(labels)
    worse = np.where(np.arange(12) < 6, labels, (labels + 1) % 3)  # right on half
    fused: dict[str, Response] = {}
    for condition in conditions:
        found = labels
        if condition.name == "missing/vision" or condition.name.endswith("only_audio"):
            found = always_0  # right on a third
        if condition.name == "swap/vision/other":
            found = labels[donors.of("vision", False, 0)]
        if condition.name in ("noise/vision/drop/0.95", "offset/audio/200"):
            found = worse
        fused[condition.name] = _answers(donors, [found])
    alone = {c.name: _answers(donors, [worse]) for c in conditions}
    learners = {
        "snn": [_learner("snn", ("vision", "audio"))],
        "snn_vision": [replace(_learner("snn", ("vision",)), name="snn_vision")],
        "snn_audio": [replace(_learner("snn", ("audio",)), name="snn_audio")],
    }
    clusters = {m: list(donors.sources[m]) for m in SIZES}
    named = {c.name: c for c in conditions}
    responses = {"snn": fused, "snn_vision": alone, "snn_audio": alone}
    foreign = {m: labels[donors.of(m, False, 0)] for m in SIZES}
    return Stressed(labels, clusters, foreign, named, responses, learners, SIZES)
