"""Smallest energy and latency with d' >= 1 against the temporal resolution that the answer needs.

``spikefuse study resolution --json FILE --document docs/resolution.md`` trains small nets of every
family on S1 and S2, each at six required resolutions, and appends a line for each to FILE; what is
there already is not repeated. ``--stored`` trains nothing and writes tables and figure from the
files.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from experiments.studies.resolution.choice import DELAYS_MS, FAMILIES, PROFILES, REUSES, chosen
from experiments.studies.resolution.counts import at_events_of, counts_of, delta_counts_of
from experiments.studies.resolution.nets import (
    Candidate,
    StepNet,
    candidates,
    read_at,
    sums_until,
)
from experiments.studies.resolution.tasks import (
    TEST_SEED,
    TRAINING_SEED,
    VALIDATION_SEED,
    ResolutionTask,
    Samples,
)
from experiments.studies.runs import completed, fitting_rows
from spikefuse.cost import energy
from spikefuse.opcounts import OpCounts
from spikefuse.pages import write_tables
from spikefuse.synapses.annealing import DELAY_UNIT_MS

Row = dict[str, Any]
_CHUNK = 250


@dataclass(frozen=True)
class ResolutionProtocol:
    """How every net is trained and read.

    Parameters
    ----------
    steps, batch : int
        Updates, and fresh samples of each.
    n_validation, n_test, n_counted : int
        Samples that choose, that are reported, and of the latter that are counted.
    delay_rate_ms : float
        Peak learning rate of learned delays.
    clip : float
        Bound of the gradient's norm.
    """

    steps: int = 400
    batch: int = 64
    n_validation: int = 2000
    n_test: int = 4000
    n_counted: int = 500
    delay_rate_ms: float = 0.1
    clip: float = 5.0


@dataclass(frozen=True)
class TaskData:
    """A task with its samples, drawn once for all nets."""

    task: ResolutionTask
    train: Samples
    validation: Samples
    test: Samples


@cache
def task_data(p: ResolutionProtocol, scene: str, resolution_ms: int, seed: int) -> TaskData:
    """Samples of a task; those of training depend on the seed."""
    task = ResolutionTask(scene, resolution_ms)
    return TaskData(
        task,
        task.samples(TRAINING_SEED + seed, p.steps * p.batch),
        task.samples(VALIDATION_SEED, p.n_validation),
        task.samples(TEST_SEED, p.n_test, observed=True),
    )


def cell(p: ResolutionProtocol, key: Row) -> Row:
    """Train one net and say what it reaches, when, and at what price.

    Parameters
    ----------
    p : ResolutionProtocol
    key : dict
        ``scene``, ``resolution_ms``, ``seed`` and the candidate's ``kind``, ``width``, ``step_ms``.
    """
    data = task_data(p, key["scene"], key["resolution_ms"], key["seed"])
    candidate = Candidate(key["kind"], key["width"], key["step_ms"])
    started = time.process_time()
    torch.manual_seed(key["seed"])
    net = StepNet(candidate, data.task.scene.modalities, data.task.scene.n_classes)
    fit(p, net, data, key["seed"])
    net.eval()
    part = slice(0, p.n_counted)
    prices = {"clock": _prices(counts_of(net, data.test, part))}
    if candidate.kind == "cnn":
        prices["delta"] = _prices(delta_counts_of(net, data.test, part))
    elif candidate.spiking:
        prices["events"] = _prices(at_events_of(net, data.test, part))
    found: Row = {"energy_pj": prices}
    for split, samples in (("validation", data.validation), ("test", data.test)):
        shares = accuracies(net, samples)
        found[split] = {
            "accuracy": shares[-1],
            "d_prime": data.task.sensitivity(shares[-1], samples.n),
            "d_prime_after": [data.task.sensitivity(s, samples.n) for s in shares[:-1]],
        }
    found["ideal_d_prime"] = data.task.sensitivity(data.test.ideal, data.test.n)
    found["parameters"] = sum(w.numel() for w in net.parameters() if w.requires_grad)
    return found | {"cpu_s": time.process_time() - started}


def fit(p: ResolutionProtocol, net: StepNet, data: TaskData, seed: int) -> None:
    """Adam with one cycle; half of the loss on the last answer, half on one soon after the event.

    An answer is read 1 to 128 ms after the event, log-uniform, by all nets at the same times.
    """
    delays = [w for k, w in net.named_parameters() if k.endswith("delay")]
    others = [w for k, w in net.named_parameters() if not k.endswith("delay")]
    groups, peaks = [{"params": others}], [net.candidate.rate]
    if delays:
        groups.append({"params": delays})
        peaks.append(p.delay_rate_ms / DELAY_UNIT_MS)
    optimiser = torch.optim.Adam(groups, lr=net.candidate.rate)
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimiser, peaks, p.steps, pct_start=0.1)
    draw = torch.Generator().manual_seed(seed)
    net.train()
    for step in range(p.steps):
        net.set_anneal(step / p.steps)
        at = slice(step * p.batch, (step + 1) * p.batch)
        labels = data.train.labels[at]
        soon = data.train.event_ms[at] + 128 ** torch.rand(len(labels), generator=draw)
        sums = sums_until(net.features(net.read(data.train, at)))
        early = F.cross_entropy(read_at(net, sums, soon), labels)
        loss = (F.cross_entropy(net.scores(sums[-1]), labels) + early) / 2
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(net.parameters(), p.clip)
        optimiser.step()
        cycle.step()


@torch.no_grad()
def accuracies(net: StepNet, samples: Samples) -> list[float]:
    """Share of right answers so long after the event as `DELAYS_MS` says, and after the sample."""
    right = torch.zeros(len(DELAYS_MS) + 1)
    for begin in range(0, samples.n, _CHUNK):
        at = slice(begin, begin + _CHUNK)
        labels, event_ms = samples.labels[at], samples.event_ms[at]
        sums = sums_until(net.features(net.read(samples, at)))
        answers: Iterator[Tensor] = (read_at(net, sums, event_ms + d) for d in DELAYS_MS)
        for i, scores in enumerate((*answers, net.scores(sums[-1]))):
            right[i] += (scores.argmax(1) == labels).sum()
    return [float(x) for x in right / samples.n]


def _prices(counts: OpCounts) -> Row:
    """Energy in pJ by profile and reuse: value and the ends of the constants' ranges."""
    found: Row = {}
    for profile in PROFILES:
        for reuse in REUSES:
            estimate = energy(counts, profile, reuse=reuse)
            ends = estimate.dynamic_range_pj or (None, None)
            found[f"{profile} {reuse}"] = [estimate.dynamic_pj, *ends]
    return found


def keys_of(scene: str, resolution_ms: int, seed: int, some: Sequence[Candidate]) -> list[Row]:
    """Keys of rows."""
    return [{"scene": scene, "resolution_ms": resolution_ms, "seed": seed} | c.key() for c in some]


def complete(
    p: ResolutionProtocol, path: Path, scenes: Sequence[str], resolutions: Sequence[int], seeds: int
) -> None:
    """All candidates at the first seed, then the other seeds of what validation has chosen."""

    def find(key: Row) -> Row:
        row = cell(p, key)
        print(
            f"{key['scene']} {key['resolution_ms']} ms, {key['kind']} {key['width']} at "
            f"{key['step_ms']} ms, seed {key['seed']}: d' {row['test']['d_prime']:.2f} of "
            f"{row['ideal_d_prime']:.2f}, {row['cpu_s']:.1f} s",
            flush=True,
        )
        return row

    tasks = [(scene, resolution) for scene in scenes for resolution in resolutions]
    mark = {"protocol": asdict(p)}
    for scene, resolution in tasks:
        task_data.cache_clear()
        every = [c for of_family in candidates(resolution).values() for c in of_family]
        completed(path, [k | mark for k in keys_of(scene, resolution, 0, every)], find)
    for scene, resolution in tasks:
        task_data.cache_clear()
        first = stored([path], p)
        picks = [
            pick
            for family in FAMILIES
            for aim in ("energy", "latency")
            if (pick := chosen(first, scene, resolution, family, aim)) is not None
        ]
        for seed in range(1, seeds):
            wanted = keys_of(scene, resolution, seed, list(dict.fromkeys(picks)))
            completed(path, [k | mark for k in wanted], find)


def stored(paths: Sequence[Path], p: ResolutionProtocol) -> list[Row]:
    """Rows of some files by this protocol, each once; one error where there is none."""
    mark = asdict(p)
    rows = fitting_rows(paths, lambda row: row.get("protocol") == mark, "this protocol")
    unique = {
        tuple(r[k] for k in ("scene", "resolution_ms", "seed", "kind", "width", "step_ms")): r
        for r in rows
    }
    return list(unique.values())


def run_study(
    p: ResolutionProtocol,
    paths: Sequence[Path],
    scenes: Sequence[str],
    resolutions: Sequence[int],
    seeds: int,
    document: Path | None = None,
    figures: Path | None = None,
    summary_page: Path | None = None,
    train: bool = True,
) -> None:
    """Complete the first file, then write what all of them hold: see the module."""
    from analysis.figures.headline import draw_headline
    from experiments.studies.resolution.curves import curves, drawn
    from experiments.studies.resolution.report import summary, tables

    torch.set_num_threads(1)
    if train:
        complete(p, paths[0], scenes, resolutions, seeds)
    rows = stored(paths, p)
    found = tables(rows)
    print("\n\n".join(found.values()))
    if document is not None:
        write_tables(document, found)
    if summary_page is not None:
        write_tables(summary_page, summary(rows))
    if figures is not None:
        for path in draw_headline(drawn(curves(rows)), figures):
            print(f"figure: {path}")
