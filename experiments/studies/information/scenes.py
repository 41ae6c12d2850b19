"""Nets on timed scenes: information in their answers, and what they take from which cue."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import cache, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from analysis.calibration import normalised
from analysis.decomposition import decompose, joint_table
from analysis.information import dependence_in_use, information_bound
from experiments.evaluation.scores import bounded_temperature
from experiments.studies.necessity_controls import changed_samples
from experiments.studies.resolution.tasks import Samples
from experiments.studies.runs import Row
from experiments.studies.timing.nets import TRIALS, TimingNet
from experiments.studies.timing.study import TimingProtocol, fit
from experiments.studies.timing.tasks import TimingTask
from spikefuse._types import FloatArray, Int64Array

# Where both modalities tell the class only together, and where either does.
TASKS = ("xor", "redundant", "s1_16")
# With the trial that validation chose in docs/timing.md, from 0, for each task.
OPERATORS: Mapping[str, Mapping[str, int]] = {
    "late": {"xor": 0, "redundant": 2, "s1_16": 1},
    "concat": {"xor": 0, "redundant": 2, "s1_16": 2},
    "cross_synapse": {"xor": 1, "redundant": 0, "s1_16": 1},
    "coincidence": {"xor": 0, "redundant": 0, "s1_16": 0},
}
IDEAL = "ideal observer"
_VALIDATION_SEED, _TEST_SEED = 91, 92
_N_VALIDATION, _N_TEST, _N_EXCHANGES = 1000, 4000, 4
_CHUNK = 250


def scene_keys(tasks: tuple[str, ...], seeds: int) -> list[Row]:
    """Rows to find: the ideal observer, each modality alone, every operator."""
    nets = ["vision", "audio", *OPERATORS]
    return [
        *({"scene": task, "net": IDEAL, "seed": 0} for task in tasks),
        *(
            {"scene": task, "net": net, "seed": seed}
            for seed in range(seeds)
            for task in tasks
            for net in nets
        ),
    ]


def scene_row(key: Row) -> Row:
    """Information in the answers of one net, and what it takes from each modality.

    ``parts`` decompose what the two cues tell of the net's *answer*, on the scenes whose cues are
    discrete: of a net that compares them it is synergy, of one that adds votes it is not.
    """
    started = time.process_time()
    task = _task(key["scene"])
    test, cues = drawn(task, _TEST_SEED, _N_TEST)
    labels = test.labels.numpy()
    ask: Callable[[Samples], FloatArray]
    if key["net"] == IDEAL:
        ask = partial(_ideal, task)
    else:
        net = _trained(task, key["net"], key["seed"])
        validation, _ = drawn(task, _VALIDATION_SEED, _N_VALIDATION)
        scores = _scores(net, validation)
        ask = partial(_calibrated, net, bounded_temperature(scores, validation.labels))
    intact = ask(test)
    clusters = [[str(i % 100) for i in range(len(labels))]]
    bound = information_bound(intact[None], labels, clusters)
    found: Row = {"information": asdict(bound)}
    if key["net"] not in test.trains:
        exchanged = np.stack(
            [ask(changed_samples(test, "partner", 1, draw)) for draw in range(_N_EXCHANGES)]
        )
        found["dependence"] = asdict(dependence_in_use(intact, exchanged, labels, clusters))
    if cues is not None:
        answers = intact.argmax(1).astype(np.int64)
        found["parts"] = asdict(decompose(joint_table(*cues, answers)))
    return found | {"cpu_s": time.process_time() - started}


def drawn(
    task: TimingTask, seed: int, n: int
) -> tuple[Samples, tuple[Int64Array, Int64Array] | None]:
    """The first ``n`` samples of a seed; the cues of both modalities where they are discrete."""
    trains: dict[str, list[Tensor]] = {name: [] for name in task.scene.modalities}
    labels: list[Int64Array] = []
    cues: dict[str, list[Int64Array]] = {name: [] for name in task.scene.modalities}
    for start in range(0, n, 500):
        rows = range(start, min(start + 500, n))
        some = task.scene.generate(task.scene.uniforms(seed, rows, task.scene.n_uniforms))
        labels.append(some.labels)
        for name, train in some.trains().items():
            trains[name].append(torch.from_numpy(train.transpose(1, 0, 2).astype(np.uint8)))
            cues[name].append(some.latent[name])
    joined = torch.from_numpy(np.concatenate(labels))
    samples = Samples(
        {name: torch.cat(parts, 1) for name, parts in trains.items()},
        joined,
        torch.zeros(n),
        float("nan"),
    )
    if not task.name.startswith(("xor", "redundant")):
        return samples, None  # onsets are times, not a few states
    vision, audio = (np.concatenate(parts) for parts in cues.values())
    return samples, (vision, audio)


def _ideal(task: TimingTask, samples: Samples) -> FloatArray:
    """Log-posterior of the classes, which are equally likely, ``[n, C]``."""
    offset_ms = float(task.name.rpartition("_")[2]) if "_" in task.name else 0.0
    scores = []
    for start in range(0, samples.n, _CHUNK):
        trains = {
            name: train[:, start : start + _CHUNK].numpy().transpose(1, 0, 2)
            for name, train in samples.trains.items()
        }
        n = len(next(iter(trains.values())))
        scores.append(task.scene.log_likelihood(trains, np.full(n, offset_ms)))
    return normalised(np.concatenate(scores).astype(np.float64))


def _calibrated(net: TimingNet, temperature: float, samples: Samples) -> FloatArray:
    """Log-probabilities of a net at a temperature, ``[n, C]``."""
    return normalised(_scores(net, samples).double().numpy() / temperature)


@torch.no_grad()
def _scores(net: TimingNet, samples: Samples) -> Tensor:
    """Class scores [n, C]."""
    chunks = range(0, samples.n, _CHUNK)
    return torch.cat([net(samples.events(slice(at, at + _CHUNK), 1)) for at in chunks])


def _trained(task: TimingTask, name: str, seed: int) -> TimingNet:
    """A net of docs/timing.md, or `concat` of one modality alone."""
    torch.manual_seed(seed)
    n_in: dict[str, int] = task.scene.modalities
    operator = name
    if name in n_in:
        n_in, operator = {name: n_in[name]}, "concat"
    options: dict[str, Any] = dict(TRIALS[operator][OPERATORS[operator][task.name]])
    protocol = TimingProtocol()
    rate = options.pop("rate")
    delay_rate_ms = options.pop("delay_rate_ms", protocol.delay_rate_ms)
    net = TimingNet(operator, n_in, task.scene.n_classes, **options)
    fit(protocol, task, net, seed, rate, delay_rate_ms)
    return net.eval()


@cache
def _task(name: str) -> TimingTask:
    return TimingTask(name)
