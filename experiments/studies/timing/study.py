"""What each fusion operator reaches where timing across modalities is the answer.

``python -m experiments.studies.timing.study --json FILE`` trains every operator, followed by one
spiking layer, on bare timed scenes, by one protocol, and appends a line for each run to FILE; runs
that are there already are not repeated. With ``--document FILE`` it puts the tables between the
marks in that page.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from experiments.studies.timing.nets import TRIALS, TimingNet
from experiments.studies.timing.report import tables
from experiments.studies.timing.tasks import TASKS, HeldOut, TimingTask
from spikefuse.cost.count import count
from spikefuse.fusion import OPERATORS
from spikefuse.pages import write_tables
from spikefuse.synapses.annealing import DELAY_UNIT_MS

Row = dict[str, Any]


@dataclass(frozen=True)
class TimingProtocol:
    """How every net is trained.

    Parameters
    ----------
    s1_steps, s2_steps, s3_steps, cue_steps : int
        Updates on each offset of S1, on S2, on S3, and on exclusive or and its redundant variant.
    batch : int
        Fresh samples of an update.
    delay_rate_ms : float
        Peak learning rate of learned delays, which Adam moves by about as much an update; an
        operator's trial may have its own.
    clip : float
        Bound of the gradient's norm.
    """

    s1_steps: int = 600
    s2_steps: int = 300
    s3_steps: int = 400
    cue_steps: int = 200
    batch: int = 64
    delay_rate_ms: float = 0.1
    clip: float = 5.0

    def steps_of(self, task: str) -> int:
        """Updates on a task."""
        by_scene = {"s1": self.s1_steps, "s2": self.s2_steps, "s3": self.s3_steps}
        return by_scene.get(task[:2], self.cue_steps)


def train(p: TimingProtocol, task: TimingTask, operator: str, trial: int, seed: int) -> Row:
    """Train one net and say what it reaches on validation and test samples.

    Parameters
    ----------
    p : TimingProtocol
    task : TimingTask
    operator : str
    trial : int
        Which of the operator's `TRIALS`.
    seed : int
        Of the weights and of the training samples.
    """
    torch.manual_seed(seed)
    options = dict(TRIALS[operator][trial])
    rate = options.pop("rate")
    delay_rate_ms = options.pop("delay_rate_ms", p.delay_rate_ms)
    net = TimingNet(operator, task.scene.modalities, task.scene.n_classes, **options)
    started = time.process_time()
    fit(p, task, net, seed, rate, delay_rate_ms)
    seconds = time.process_time() - started
    net.eval()
    test = share_right(net, task.test)
    counts = count(net, task.test.chunks[0][0])
    return {
        "task": task.name,
        "operator": operator,
        "trial": trial,
        "seed": seed,
        "protocol": asdict(p),
        "options": TRIALS[operator][trial],
        "validation": share_right(net, task.validation),
        "test": test,
        "ideal": task.test.ideal,
        "additive": task.test.additive,
        "fraction": _fraction(task, test),
        "accumulates": counts.effective_acs,
        "multiplications": counts.effective_macs,
        "updates": counts.neuron_updates_active + counts.neuron_updates_idle,
        "parameters": sum(w.numel() for w in net.parameters() if w.requires_grad),
        "cpu_s": seconds,
    }


def fit(
    p: TimingProtocol,
    task: TimingTask,
    net: TimingNet,
    seed: int,
    rate: float,
    delay_rate_ms: float,
) -> None:
    """Adam with one cycle of the learning rate, cross-entropy, fresh samples every update."""
    delays = [w for k, w in net.named_parameters() if k.endswith("delay")]
    others = [w for k, w in net.named_parameters() if not k.endswith("delay")]
    groups, peaks = [{"params": others}], [rate]
    if delays:
        groups.append({"params": delays})
        peaks.append(delay_rate_ms / DELAY_UNIT_MS)
    steps = p.steps_of(task.name)
    optimiser = torch.optim.Adam(groups, lr=rate)
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimiser, peaks, steps, pct_start=0.1)
    net.train()
    for step in range(steps):
        net.set_anneal(step / steps)
        events, labels = task.training(seed, step, p.batch)
        loss = F.cross_entropy(net(events), labels)
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(net.parameters(), p.clip)
        optimiser.step()
        cycle.step()


@torch.no_grad()
def share_right(net: TimingNet, samples: HeldOut) -> float:
    """Accuracy of a net."""
    right = sum(int((net(x).argmax(1) == labels).sum()) for x, labels in samples.chunks)
    return right / samples.n


def _fraction(task: TimingTask, reached: float) -> float:
    """d' of an accuracy on the test samples as a fraction of the ideal observer's there."""
    n = task.test.n
    return task.sensitivity(reached, n) / task.sensitivity(task.test.ideal, n)


def tuning_task(task: str) -> str:
    """The task whose validation samples choose an operator's trial: one for all offsets of S1."""
    return "s1_32" if task.startswith("s1_") else task


def chosen_trial(rows: Sequence[Row], operator: str, task: str) -> int:
    """The trial with the best validation accuracy at the first seed; the first one of equals."""
    tried = [
        row
        for row in rows
        if (row["operator"], row["task"], row["seed"]) == (operator, tuning_task(task), 0)
    ]
    best = max(tried, key=lambda row: (row["validation"], -row["trial"]))
    return int(best["trial"])


class Study:
    """Runs by (task, operator, trial, seed), kept in a file of JSON lines.

    Parameters
    ----------
    path : Path
        Lines of another protocol are left alone and not used.
    protocol : TimingProtocol
    n_seeds : int
    """

    def __init__(self, path: Path, protocol: TimingProtocol, n_seeds: int) -> None:
        self.path, self.protocol, self.n_seeds = path, protocol, n_seeds

    def rows(self) -> list[Row]:
        """All runs in the file by this protocol and today's trials."""
        text = self.path.read_text(encoding="utf-8") if self.path.exists() else ""
        rows = [json.loads(line) for line in text.splitlines()]
        return [
            row
            for row in rows
            if row["protocol"] == asdict(self.protocol)
            and row["options"] == TRIALS[row["operator"]][row["trial"]]
        ]

    def run(self, task: TimingTask, operator: str, trial: int, seed: int) -> None:
        """Train, unless the file holds this run already."""
        key = (task.name, operator, trial, seed)
        if any((r["task"], r["operator"], r["trial"], r["seed"]) == key for r in self.rows()):
            return
        row = train(self.protocol, task, operator, trial, seed)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        print(f"{key}: {row['test']:.3f} of {row['ideal']:.3f}, {row['cpu_s']:.0f} s", flush=True)

    def complete(self, names: Sequence[str], operators: Sequence[str]) -> None:
        """Train every operator on every task: its trials at the first seed, then all seeds."""
        for name in names:
            for operator in operators:
                for trial in range(len(TRIALS[operator])):
                    self.run(_task(tuning_task(name)), operator, trial, 0)
                trial = chosen_trial(self.rows(), operator, name)
                for seed in range(self.n_seeds):
                    self.run(_task(name), operator, trial, seed)

    def reported(self) -> list[Row]:
        """The runs of the chosen trials."""
        rows = self.rows()
        return [
            row for row in rows if row["trial"] == chosen_trial(rows, row["operator"], row["task"])
        ]


@cache
def _task(name: str) -> TimingTask:
    """A task, whose held-out samples are drawn once."""
    return TimingTask(name)


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line: see the module."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.studies.timing.study", description=__doc__
    )
    parser.add_argument("--json", type=Path, required=True, help="file of runs, one a line")
    parser.add_argument("--document", type=Path, help="page whose tables are replaced")
    parser.add_argument("--tasks", nargs="+", default=TASKS, choices=TASKS)
    parser.add_argument("--operators", nargs="+", default=list(OPERATORS), choices=list(OPERATORS))
    parser.add_argument("--seeds", type=int, default=3, help="training seeds")
    parser.add_argument(
        "--tables-only", action="store_true", help="train nothing: tables of the runs in the file"
    )
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)
    study = Study(chosen.json, TimingProtocol(), chosen.seeds)
    if not chosen.tables_only:
        study.complete(chosen.tasks, chosen.operators)
    found = tables(study.reported())
    print("\n\n".join(found.values()))
    if chosen.document is not None:
        write_tables(chosen.document, found)


if __name__ == "__main__":
    main()
