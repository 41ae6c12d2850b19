"""Does the answer need time? Accuracy lost without it, on finished runs and on timed scenes.

``python -m experiments.studies.necessity --json FILE --runs RUN... --scenes --document
docs/resolution.md`` changes samples by the controls of `experiments.studies.necessity_controls` and
reads them with models *frozen* as they were trained; with ``--retrain`` (always on scenes) also
with models *retrained* on samples under the same control, which alone says that what is lost is not
in the samples. Of runs with models of single modalities it gives the race-model inequality as well.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from analysis.race_model import decision_times_ms, race_model
from experiments.evaluation.missing import accuracy_without
from experiments.loading.batches import batches
from experiments.loading.data import load_data
from experiments.run import load_run_config
from experiments.studies.necessity_controls import CONTROLS, changed_data, changed_samples
from experiments.studies.resolution.nets import Candidate, StepNet
from experiments.studies.resolution.study import (
    ResolutionProtocol,
    TaskData,
    accuracies,
    fit,
    task_data,
)
from experiments.studies.resolution.tasks import SCENES
from experiments.studies.runs import completed, rows_of, trained
from experiments.training.trained import trained_learner
from spikefuse.pages import markdown_table, write_tables

Row = dict[str, Any]
# Scenes are asked at one resolution, with two nets that solve them.
RESOLUTION_MS, BIN_MS = 16, 8
NETS = (Candidate("coincidence", 8, 1), Candidate("cnn", 16, 8))
INTACT = "intact"


def run_row(key: Row, retrain: bool) -> Row:
    """Test accuracy of one model and seed of a run: intact, and under each control."""
    started = time.process_time()
    run = Path(key["run"])
    config = load_run_config(run)
    data = load_data(config.data)
    learner = trained_learner(run, config, data, key["model"], key["seed"])
    found: Row = {
        "data": config.name,
        "chance": 1 / len(data.classes),
        "frozen": {INTACT: accuracy_without(learner, data, "test", "")},
        "retrained": {},
    }
    for control in CONTROLS:
        changed = changed_data(data, control, config.data.dt_ms, key["seed"])
        found["frozen"][control] = accuracy_without(learner, changed, "test", "")
        if retrain and control != "partner":
            again = trained(key["model"], config, changed, key["seed"])
            found["retrained"][control] = accuracy_without(again, changed, "test", "")
    return found | {"cpu_s": time.process_time() - started}


def scene_row(p: ResolutionProtocol, key: Row) -> Row:
    """The same of one net and seed on a scene, frozen and retrained."""
    started = time.process_time()
    drawn = task_data(p, key["scene"], RESOLUTION_MS, key["seed"])
    # Under a control there is no event after which an answer could be asked: all at the end.
    end = {k: torch.full_like(getattr(drawn, k).event_ms, 1e6) for k in ("train", "test")}
    data = replace(
        drawn,
        train=replace(drawn.train, event_ms=end["train"]),
        test=replace(drawn.test, event_ms=end["test"]),
    )

    def net_on(some: TaskData) -> StepNet:
        torch.manual_seed(key["seed"])
        candidate = Candidate(key["kind"], key["width"], key["step_ms"])
        net = StepNet(candidate, some.task.scene.modalities, some.task.scene.n_classes)
        fit(p, net, some, key["seed"])
        return net.eval()

    net = net_on(data)
    found: Row = {
        "chance": 1 / data.task.scene.n_classes,
        "frozen": {INTACT: accuracies(net, data.test)[-1]},
        "retrained": {},
    }
    for control in CONTROLS:
        test = changed_samples(data.test, control, BIN_MS, 1)
        found["frozen"][control] = accuracies(net, test)[-1]
        train = changed_samples(data.train, control, BIN_MS, 2)
        again = net_on(replace(data, train=train, test=test))
        found["retrained"][control] = accuracies(again, test)[-1]
    return found | {"cpu_s": time.process_time() - started}


def race_row(key: Row) -> Row:
    """The race-model inequality on right decisions of a run's fused and unimodal models.

    A decision is made when the running answer is right and stays so. Nothing of a run without a
    model of each of two modalities.
    """
    run = Path(key["run"])
    config = load_run_config(run)
    data = load_data(config.data)
    times: list[Any] = []
    for name in ("snn", *(f"snn_{modality}" for modality in data.sensor_sizes)):
        learner = trained_learner(run, config, data, name, key["seed"])
        at = learner.anytime_ms(())
        answers, labels = [], []
        for batch in batches(data, "test", data.fixed_pairs["test"], 64):
            with torch.no_grad():
                answers.append(learner.anytime_scores(batch.samples, at).argmax(2))
            labels.append(batch.labels)
        times.append(
            decision_times_ms(
                torch.cat(answers, 1).numpy(), torch.cat(labels).numpy(), np.asarray(at)
            )
        )
    test = race_model(*times)
    return {
        "data": config.name,
        "race": {
            "violation": test.violation,
            "interval": list(test.interval),
            "p_value": test.p_value,
            "area_ms": test.area_ms,
            "median_ms": [float(np.median(t)) for t in times],
            "decided": [float(np.isfinite(t).mean()) for t in times],
        },
    }


def races(run: Path) -> bool:
    """Whether a run holds the fused model and one of each of two modalities."""
    config = load_run_config(run)
    alone = [name for name in config.models if name.startswith("snn_") and name != "snn_late"]
    return "snn" in config.models and len(alone) == 2


def necessity_table(rows: Sequence[Row]) -> str:
    """Accuracy in percent, intact, and points lost under each control, over seeds."""
    groups: dict[tuple[str, str, float], list[Row]] = {}
    for row in rows:
        if "frozen" in row:
            net = row["model"] if "run" in row else f"`{row['kind']}` {row['width']}"
            groups.setdefault((row.get("data") or row["scene"], net, row["chance"]), []).append(row)
    lines = []
    for (data, net, chance), found in groups.items():
        for how in ("frozen", "retrained"):
            if not any(row[how] for row in found):
                continue
            cells = []
            for control in CONTROLS:
                lost = [
                    100 * (row["frozen"][INTACT] - row[how][control])
                    for row in found
                    if control in row[how]
                ]
                cells.append(_spread(lost) if lost else "as frozen")
            intact = 100 * float(np.mean([row["frozen"][INTACT] for row in found]))
            lines.append(
                [data, net, how, str(len(found)), f"{100 * chance:.0f}", f"{intact:.1f}", *cells]
            )
    heads = ["data", "model", "", "seeds", "chance", "intact", *CONTROLS.values()]
    return markdown_table(heads, lines)


def _spread(values: Sequence[float]) -> str:
    """Mean, lowest and highest."""
    return f"{np.mean(values):.1f} ({min(values):.1f} to {max(values):.1f})"


def race_table(rows: Sequence[Row]) -> str:
    """A line for each run and seed."""
    lines = []
    for row in rows:
        if "race" not in row:
            continue
        r = row["race"]
        low, high = r["interval"]
        lines.append(
            [
                row["data"],
                str(row["seed"]),
                " / ".join(f"{t:.0f}" for t in r["median_ms"]),
                " / ".join(f"{100 * d:.0f}" for d in r["decided"]),
                f"{r['violation']:+.3f} [{low:+.3f}, {high:+.3f}]",
                f"{r['p_value']:.3f}",
                f"{r['area_ms']:.1f}",
            ]
        )
    if not lines:
        return "No run with a fused model and one for each modality was read."
    heads = [
        "run",
        "seed",
        "median decision, both / each alone (ms)",
        "decided rightly (%)",
        "largest excess [95 %]",
        "p",
        "area (ms)",
    ]
    return markdown_table(heads, lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line: see the module."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.studies.necessity", description=__doc__
    )
    parser.add_argument("--json", type=Path, required=True, help="file of rows, one a line")
    parser.add_argument("--runs", type=Path, nargs="+", default=[], help="finished runs")
    parser.add_argument("--models", nargs="+", default=["snn"], help="models of the runs")
    parser.add_argument("--retrain", action="store_true", help="also retrain those of the runs")
    parser.add_argument("--scenes", action="store_true", help="S1 and S2 as well")
    parser.add_argument("--seeds", type=int, default=3, help="training seeds on scenes")
    parser.add_argument("--steps", type=int, default=400, help="updates on scenes")
    parser.add_argument("--document", type=Path, help="page whose tables are replaced")
    parser.add_argument("--stored", action="store_true", help="train and read nothing")
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    if not given.stored:
        for run in given.runs:
            config = load_run_config(run)
            keys = [
                {"run": str(run.resolve()), "model": m, "seed": s, "retrain": given.retrain}
                for m in given.models
                for s in config.seeds
                if m in config.models
            ]
            completed(given.json, keys, lambda key: run_row(key, given.retrain))
            if races(run):
                wanted = [
                    {"run": str(run.resolve()), "seed": s, "what": "race"} for s in config.seeds
                ]
                completed(given.json, wanted, race_row)
        if given.scenes:
            p = ResolutionProtocol(steps=given.steps)
            keys = [
                {"scene": scene, "seed": seed, "steps": given.steps} | net.key()
                for scene in SCENES
                for seed in range(given.seeds)
                for net in NETS
            ]
            completed(given.json, keys, lambda key: scene_row(p, key))
    rows = rows_of(given.json)
    found = {"temporal necessity": necessity_table(rows), "race model": race_table(rows)}
    print("\n\n".join(found.values()))
    if given.document is not None:
        write_tables(given.document, found)


if __name__ == "__main__":
    main()
