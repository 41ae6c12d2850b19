"""A run: train every model and seed, read the test set once, write the run directory."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from analysis.comparison import compare_models
from analysis.records import load_run
from experiments.config import Config, load_config, to_toml
from experiments.environment import describe_environment
from experiments.evaluation.evaluate import Evaluation, evaluate, typical_sample
from experiments.evaluation.host_cost import describe_host
from experiments.evaluation.missing import describe_missing
from experiments.evaluation.precision import aware_name, train_aware
from experiments.evaluation.rasters import learned_delays, raster_of
from experiments.evaluation.results import build_result, groups
from experiments.evaluation.scores import (
    FinalScores,
    calibrate_late,
    final_scores,
    write_answers,
    write_scores,
)
from experiments.evaluation.timeline import Traced, trace
from experiments.files import is_leftover, remove_leftovers, write_bytes, write_json, write_text
from experiments.loading.data import PairedData, load_data
from experiments.training.checkpoints import CheckpointFolder
from experiments.training.distil import teacher_of
from experiments.training.distributed import ALONE, Group
from experiments.training.learners import Learner, build_learner
from experiments.training.loop import epochs_of, train_model
from experiments.training.prune import prune_and_tune
from experiments.training.tracking import check_tracking, track
from experiments.training.trained import checkpoints_of
from spikefuse.errors import ConfigError
from spikefuse.models import FusionSNN

PREDICTION_COLUMNS = (
    "model",
    "seed",
    "sample",
    "vision_source",
    "audio_source",
    "vision_group",
    "audio_group",
    "label",
    "prediction",
    "evidence_ms",
)


# Models by name and seed.
Trained = dict[tuple[str, int], Learner]


class Reporter(Protocol):
    """Where a run says what it is doing."""

    def stage(self, text: str) -> None:
        """A new stage begins."""

    def progress(self, done: int, total: int, text: str) -> None:
        """``done`` of ``total`` of the stage."""


def run_experiment(
    config: Config, folder: Path, reporter: Reporter, group: Group = ALONE
) -> dict[str, Any]:
    """Train what is not yet trained, evaluate once, write ``result.json``.

    Parameters
    ----------
    config : Config
    folder : Path
        A new or empty folder, or that of an interrupted run of the same configuration.
    reporter : Reporter
    group : Group
        Processes that train together; this is its first, the others `follow_experiment`.

    Returns
    -------
    dict
        The content of ``result.json``.

    Raises
    ------
    ConfigError
        If the folder holds something else.
    """
    check_tracking(config)
    claim_folder(folder, config)
    torch.set_num_threads(config.train.threads)
    reporter.stage(f"data: {config.data.source}")
    data = group.after_first(
        lambda: load_data(config.data, lambda i, n: reporter.progress(i, n, "encoding"))
    )
    environment = describe_environment(config.train.threads)
    write_json(folder / "env.json", environment)
    write_json(folder / "manifest.json", dict(data.manifest))
    trained, aware, validation = _train_each(config, folder, data, reporter, group)
    _write_metrics(folder, config)
    return _evaluate_all(config, folder, data, trained, aware, validation, environment, reporter)


def follow_experiment(config: Config, group: Group) -> None:
    """What the other processes of a group do while the first is in `run_experiment`.

    They compute their share of every batch of training; they write nothing, and the test pairs are
    not theirs.
    """
    torch.set_num_threads(config.train.threads)
    data = group.after_first(lambda: load_data(config.data))
    _train_each(config, None, data, Silent(), group)


class Silent:
    """The reporter of a process that does not talk."""

    def stage(self, text: str) -> None:
        """Nothing."""

    def progress(self, done: int, total: int, text: str) -> None:
        """Nothing."""


def _train_each(
    config: Config, folder: Path | None, data: PairedData, reporter: Reporter, group: Group
) -> tuple[Trained, Trained, dict[str, list[FinalScores]]]:
    """Every model and seed, trained in float and at 8 bits, and its validation scores.

    Without a folder nothing is written: another process of the group does that.
    """
    trained: Trained = {}
    aware: Trained = {}
    validation: dict[str, list[FinalScores]] = {}
    kept = (folder or Path()) / "checkpoints"
    for name in config.models:
        for seed in config.seeds:
            reporter.stage(f"train {name}, seed {seed}")
            checkpoints = group.keeper(CheckpointFolder(kept / f"{name}-seed{seed}"))
            learner = build_learner(name, config, data.sensor_sizes, seed, len(data.classes))

            def on_epoch(record: dict[str, Any], total: int = epochs_of(learner, config)) -> None:
                if folder is not None:
                    _write_metrics(folder, config)
                    track(config, folder, record)
                reporter.progress(record["epoch"], total, epoch_line(record))

            teacher = teacher_of(learner, trained.get(("dense", seed)), config)
            train_model(learner, data, config, seed, checkpoints, on_epoch, group, teacher)
            checkpoints.load_best(learner.model)
            if config.train.prune_share and isinstance(learner.model, FusionSNN):
                reporter.stage(f"prune {name}, seed {seed}")
                at = kept / f"{name}-seed{seed}-pruned"
                prune_and_tune(
                    learner, data, config, seed, group.keeper(CheckpointFolder(at)), group
                )
                checkpoints.save_best(learner.model)
            if calibrate_late(learner, data):
                checkpoints.save_best(learner.model)
            group.align(learner.model)
            validation.setdefault(name, []).append(final_scores(learner, data, "validation"))
            trained[name, seed] = learner
            if config.train.aware_epochs:
                bits = config.train.aware_bits
                reporter.stage(f"train {name}, seed {seed}, at {bits} bits")
                at = kept / f"{name}-seed{seed}-{aware_name(bits)}"
                aware[name, seed] = train_aware(learner, data, config, seed, at, quiet, group=group)
    return trained, aware, validation


def reevaluate(folder: Path, reporter: Reporter) -> dict[str, Any]:
    """Evaluate a trained run again from its checkpoints; training is finished first if need be."""
    return run_experiment(load_run_config(folder), folder, reporter)


def load_run_config(folder: Path) -> Config:
    """The configuration that a run directory was made with.

    Raises
    ------
    ConfigError
        If the folder is no run directory.
    """
    path = folder / "config.toml"
    if not path.is_file():
        raise ConfigError(f"RUN must be a run directory with config.toml, got {folder}")
    return load_config(str(path))


def claim_folder(folder: Path, config: Config) -> None:
    """Create the run directory, or check that it belongs to this configuration."""
    path = folder / "config.toml"
    if path.is_file():
        # What it means counts, not the text: a key added since then has its default.
        if load_config(str(path)) != config:
            raise ConfigError(
                f"--out must be a new folder or one of the same configuration, got {folder} with "
                "another config.toml"
            )
        remove_leftovers(folder)
        return
    if folder.exists() and not all(map(is_leftover, folder.iterdir())):
        raise ConfigError(f"--out must be a new or empty folder, got {folder} with other files")
    remove_leftovers(folder)
    write_text(path, to_toml(config))


def _evaluate_all(
    config: Config,
    folder: Path,
    data: PairedData,
    trained: Mapping[tuple[str, int], Learner],
    aware: Mapping[tuple[str, int], Learner],
    validation: Mapping[str, list[FinalScores]],
    environment: Mapping[str, Any],
    reporter: Reporter,
) -> dict[str, Any]:
    """Read the test set with every trained model and write what was found."""
    reporter.stage("evaluate on the test pairs")
    evaluations: dict[str, list[Evaluation]] = {}
    for done, ((name, seed), learner) in enumerate(trained.items(), start=1):
        found = evaluate(learner, data, config, seed, aware.get((name, seed)))
        evaluations.setdefault(name, []).append(found)
        reporter.progress(done, len(trained), name)
    learners = {name: trained[name, config.seeds[0]] for name in evaluations}
    write_text(folder / "predictions.csv", predictions_table(config, data, evaluations))
    tested = {name: [e.scores for e in by_seed] for name, by_seed in evaluations.items()}
    by_split = {"validation": validation, "test": tested}
    write_scores(folder / "scores.npz", data, config.seeds, by_split)
    said = {m: [(e.times_ms, e.answers) for e in by_seed] for m, by_seed in evaluations.items()}
    write_answers(folder / "answers.npz", config.seeds, said)
    if "snn" in learners:
        index = typical_sample(evaluations["snn"][0])
        raster = raster_of(learners["snn"], data, index, config.seeds[0])
        write_arrays(folder / "raster.npz", raster)
    learned = learned_delays(trained, config, data)
    if learned:
        write_arrays(folder / "delays.npz", learned)
    reporter.stage("answer by answer on the validation and the test pairs")
    traced: dict[str, list[Traced]] = {}
    for (name, seed), learner in trained.items():
        traced.setdefault(name, []).append(
            trace(learner, data, config, seed, aware.get((name, seed)))
        )
    result = build_result(config, data, learners, evaluations, validation, environment, traced)
    for name, model in result["models"].items():
        missing = describe_missing([trained[name, seed] for seed in config.seeds], data, config)
        if missing:
            model["missing"] = missing
        model["host"] = describe_host(learners[name], data, config)
    write_json(folder / "result.json", result)
    # Fronts and verdicts come from the files of the run, as anyone reads them.
    result["comparison"] |= compare_models(load_run(folder))
    write_json(folder / "result.json", result)
    return result


def epoch_line(record: Mapping[str, Any]) -> str:
    """An epoch in a few words: accuracies, activity of a spiking model, speed."""
    words = [
        f"val {record['val_accuracy']:.3f}",
        f"train {record['train_accuracy']:.3f}",
        f"{record['events_per_s'] / 1e3:.0f} k events/s",
    ]
    if "train_spikes_per_neuron" in record:
        words.insert(2, f"{record['train_spikes_per_neuron']:.2g} spikes/neuron")
    return ", ".join(words)


def write_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """An npz file, whole or absent."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    write_bytes(path, buffer.getvalue())


def quiet(_: dict[str, Any]) -> None:
    """Epochs at 8 bits are in their checkpoints, not in metrics.jsonl."""


def _write_metrics(folder: Path, config: Config) -> None:
    """metrics.jsonl and timing.jsonl from the checkpoints: a line per model, seed and epoch."""
    metrics: list[str] = []
    timing: list[str] = []
    for name in config.models:
        for seed in config.seeds:
            checkpoints = checkpoints_of(folder, name, seed)
            progress = checkpoints.load_progress()
            metrics += [json.dumps(record) for record in progress.history]
            timing += [json.dumps(record) for record in progress.timing]
    write_text(folder / "timing.jsonl", "\n".join(timing) + "\n")
    write_text(folder / "metrics.jsonl", "\n".join(metrics) + "\n")


def predictions_table(
    config: Config, data: PairedData, evaluations: Mapping[str, list[Evaluation]]
) -> str:
    """predictions.csv: one line per model, seed and test sample; further modalities at the end."""
    parts, pairs = data.splits["test"], data.fixed_pairs["test"]
    of_modality = groups(data)
    of_pair = [dict(zip(parts, pair, strict=True)) for pair in pairs]
    sources = {
        m: [parts[m][chosen[m]].source if m in chosen else "" for chosen in of_pair]
        for m in of_modality
    }
    further = [m for m in of_modality if m not in ("vision", "audio")]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    columns = [f"{m}_{what}" for m in further for what in ("source", "group")]
    writer.writerow([*PREDICTION_COLUMNS, *columns])
    for name, by_seed in evaluations.items():
        for seed, evaluation in zip(config.seeds, by_seed, strict=True):
            for i in range(len(pairs)):
                writer.writerow(
                    [
                        name,
                        seed,
                        i,
                        sources["vision"][i],
                        sources["audio"][i],
                        of_modality["vision"][i],
                        of_modality["audio"][i],
                        int(evaluation.labels[i]),
                        int(evaluation.predictions[i]),
                        f"{evaluation.evidence_ms[i]:g}",
                        *(found[m][i] for m in further for found in (sources, of_modality)),
                    ]
                )
    return buffer.getvalue()
