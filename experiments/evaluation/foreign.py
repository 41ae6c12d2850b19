"""A network of one's own beside the models of a finished run, in a run directory of its own."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from analysis.comparison import compare_models
from analysis.records import load_run, read_result
from experiments.config import Config, load_config, to_toml
from experiments.evaluation.evaluate import Evaluation, evaluate
from experiments.evaluation.host_cost import describe_host
from experiments.evaluation.latency import add_latency
from experiments.evaluation.missing import describe_missing
from experiments.evaluation.own_beside import OTHERS, describe_beside, traced_again
from experiments.evaluation.results import describe_model
from experiments.evaluation.scores import FinalScores, final_scores
from experiments.evaluation.timeline import trace
from experiments.files import write_bytes, write_json, write_text
from experiments.loading.data import PairedData, load_data
from experiments.run import Reporter, epoch_line, load_run_config, predictions_table
from experiments.training.foreign import Foreign, ForeignLearner
from experiments.training.loop import epochs_of, train_model
from experiments.training.trained import checkpoints_of
from spikefuse.errors import ConfigError

FILE = "own_network.json"
_UNTRAINED = "one network, as it was given: the same for every seed"


def add_foreign(
    run: Path,
    about: Foreign,
    reporter: Reporter,
    out: Path | None = None,
    train: bool = False,
    overrides: Sequence[str] = (),
) -> Path:
    """Test a network on the test pairs of a run, and write a copy of the run that holds it too.

    Parameters
    ----------
    run : Path
        A finished run directory; it is left as it is.
    about : Foreign
    reporter : Reporter
    out : Path, optional
        New or empty, or that of an earlier call of the same; beside the run by default.
    train : bool
        Train it on the run's training pairs first, once for every seed, as the run's own models are
        trained. Otherwise one network answers for every seed.
    overrides : sequence of "train.key=value"
        For its training.

    Returns
    -------
    Path
        The run directory with the network as one more model.

    Raises
    ------
    ConfigError
        If the run is not finished or has a model of this name, ``out`` holds something else, an
        override is not of ``train``, or as of `Foreign.learner`.
    """
    result = read_result(run)
    config = load_run_config(run)
    if about.name in result["models"]:
        raise ConfigError(f"--name must not be one of {list(result['models'])}, got {about.name!r}")
    learning = _learning(config, overrides)
    if overrides and not train:
        raise ConfigError("--set must go with --train, got it without")
    folder = out or run.parent / f"{run.name}-{about.name}"
    facts = _facts(run, about, learning if train else None)
    _claim(folder, facts)
    torch.set_num_threads(config.train.threads)
    reporter.stage(f"data: {config.data.source}")
    data = load_data(config.data, lambda done, total: reporter.progress(done, total, "encoding"))
    learners = [about.learner(config, data, seed) for seed in (config.seeds if train else (0,))]
    write_json(folder / FILE, facts)
    for learner, seed in zip(learners, config.seeds, strict=False):
        if train:
            _train(learner, data, learning, seed, folder, reporter)
    reporter.stage(f"{about.name} on the test pairs")
    tested = [evaluate(learner, data, config, s) for s, learner in enumerate(learners)]
    validation = [final_scores(learner, data, "validation") for learner in learners]
    reporter.stage(f"{about.name}, answer by answer on the validation and the test pairs")
    traced = [trace(learner, data, config, s) for s, learner in enumerate(learners)]
    if not train:
        n = len(config.seeds)
        tested, validation, traced = tested * n, validation * n, traced * n
    environment = result["environment"]
    entry = describe_model(learners[0], tested, validation, config, data, environment)
    add_latency(entry, learners[0], traced, config)
    missing = describe_missing(learners, data, config)
    if missing:
        for found in missing.values():
            found["accuracy_by_seed"] *= len(config.seeds) // len(learners)
        entry["missing"] = missing
    entry["host"] = describe_host(learners[0], data, config)
    entry["own_network"] = facts | {"answers": learners[0].answers}
    if not train:
        entry["own_network"]["note"] = _UNTRAINED
    others = [name for name in OTHERS if name in result["models"]]
    if others:
        reporter.stage(f"{' and '.join(others)} again, answer by answer")
    entry["own_network"]["at_equal_accuracy"] = describe_beside(
        traced,
        {name: traced_again(run, name, config, data) for name in others},
        {**result["models"], about.name: entry},
        about.name,
        config,
        1 / len(data.classes),
    )
    _write(folder, run, config, data, about.name, tested, validation)
    result["models"][about.name] = entry
    write_json(folder / "result.json", result)
    result["comparison"] |= compare_models(load_run(folder))
    write_json(folder / "result.json", result)
    return folder


def foreign_learners(
    folder: Path, about: Foreign, config: Config, data: PairedData
) -> list[ForeignLearner]:
    """The network for every seed of a run: with the weights that ``--train`` left there, if any."""
    found: list[ForeignLearner] = []
    for seed in config.seeds:
        learner = about.learner(config, data, seed)
        kept = checkpoints_of(folder, about.name, seed)
        if kept.folder.is_dir():
            kept.load_best(learner.model)
        learner.model.eval()
        found.append(learner)
    return (
        found
        if any((folder / "checkpoints").glob(f"{about.name}-seed*"))
        else found[:1] * len(found)
    )


def _learning(config: Config, overrides: Sequence[str]) -> Config:
    """What trains it: the run's own schedule on the loss of the classes alone, with overrides."""
    other = next((o for o in overrides if not o.strip().startswith("train.")), None)
    if other is not None:
        raise ConfigError(f"--set must be of train.*, got {other!r}: the rest is the run's own")
    plain = replace(
        config.train,
        auxiliary_weight=0.0,
        balance="none",
        activity_weight=0.0,
        checkpoint_steps=0,
        tbptt_steps=0,
    )
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        path = Path(folder) / "config.toml"
        path.write_text(to_toml(replace(config, train=plain)))
        return load_config(str(path), overrides)


def _facts(run: Path, about: Foreign, learning: Config | None) -> dict[str, Any]:
    """What was asked for, as it is kept."""
    asked = {k: v for k, v in asdict(about).items() if k != "weights"}
    asked["weights"] = None if about.weights is None else about.weights.name
    trained = None if learning is None else asdict(learning.train)
    facts = asked | {"run": run.name, "trained": trained}
    kept: dict[str, Any] = json.loads(json.dumps(facts))
    return kept


def _claim(folder: Path, facts: Mapping[str, Any]) -> None:
    """A new or empty folder, or one that an earlier call of the same has begun."""
    path = folder / FILE
    if path.is_file():
        if json.loads(path.read_text()) != facts:
            raise ConfigError(
                f"--out must be a new folder or one of the same call, got {folder} with another "
                f"{FILE}"
            )
        return
    if folder.exists() and any(folder.iterdir()):
        raise ConfigError(f"--out must be a new or empty folder, got {folder} with other files")


def _train(
    learner: ForeignLearner,
    data: PairedData,
    config: Config,
    seed: int,
    folder: Path,
    reporter: Reporter,
) -> None:
    """Train as the run's own models are trained, and take the best validation epoch."""
    reporter.stage(f"train {learner.name}, seed {seed}")
    checkpoints = checkpoints_of(folder, learner.name, seed)
    total = epochs_of(learner, config)

    def on_epoch(record: dict[str, Any]) -> None:
        reporter.progress(record["epoch"], total, epoch_line(record))

    train_model(learner, data, config, seed, checkpoints, on_epoch)
    checkpoints.load_best(learner.model)


def _write(
    folder: Path,
    run: Path,
    config: Config,
    data: PairedData,
    name: str,
    tested: list[Evaluation],
    validation: Sequence[FinalScores],
) -> None:
    """The run's files, with the network's answers after those of its models."""
    for source in run.rglob("*"):
        part = source.relative_to(run)
        target = folder / part
        if not source.is_file() or target.is_file() or part.parts[0] == "figures":
            continue
        if source.name not in ("report.html", "result.json", "stress.json"):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    table = predictions_table(config, data, {name: tested})
    theirs = (run / "predictions.csv").read_text(encoding="utf-8")
    write_text(folder / "predictions.csv", theirs + table.partition("\n")[2])
    arrays: dict[str, Any] = {}
    answers: dict[str, Any] = {}
    for seed, e, v in zip(config.seeds, tested, validation, strict=True):
        arrays[f"validation.{name}.seed{seed}"] = v.log_probs.astype(np.float32)
        arrays[f"test.{name}.seed{seed}"] = e.scores.log_probs.astype(np.float32)
        answers[f"{name}.seed{seed}"] = e.answers.astype(np.int16)
        answers[f"{name}.times_ms"] = e.times_ms
    _add_arrays(run / "scores.npz", folder / "scores.npz", arrays)
    _add_arrays(run / "answers.npz", folder / "answers.npz", answers)


def _add_arrays(source: Path, target: Path, more: Mapping[str, Any]) -> None:
    """An archive with further arrays."""
    found: dict[str, Any] = {}
    if source.is_file():
        with np.load(source, allow_pickle=False) as held:
            found = {name: held[name] for name in held.files}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **(found | dict(more)))
    write_bytes(target, buffer.getvalue())
