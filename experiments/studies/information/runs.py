"""Information in a finished run: its decoders, what they use of a dependence, its paths."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from analysis.answers import clusters_of
from analysis.calibration import at_temperature
from analysis.information import calibrated, dependence_in_use, run_bounds
from analysis.records import load_run
from experiments.evaluation.scores import final_scores
from experiments.loading.data import load_data
from experiments.run import load_run_config
from experiments.stress.run import load_learners
from experiments.studies.information.paths import Effects, path_effects
from experiments.studies.necessity_controls import changed_data
from experiments.studies.runs import Row
from spikefuse.errors import DataError

FUSED = "snn"
_N_EXCHANGES = 4


def run_rows(key: Row) -> Row:
    """Bounds of every model of a run; dependence in use and path effects of its fused SNN."""
    started = time.process_time()
    folder = Path(key["run"])
    record, config = load_run(folder), load_run_config(folder)
    found: Row = {
        "fusion": config.model.fusion,
        "seeds": list(config.seeds),
        "information": {name: asdict(b) for name, b in run_bounds(record).items()},
    }
    intact = calibrated(record, FUSED) if FUSED in record.result["models"] else None
    if intact is None or record.predictions is None:
        return found | {"cpu_s": time.process_time() - started}
    data = load_data(config.data)
    learners = load_learners(folder, config, data, FUSED)
    temperatures = record.result["models"][FUSED]["calibration"]["temperature_by_seed"]
    exchanged, labels = [], np.empty(0, np.int64)
    for draw in range(_N_EXCHANGES):
        changed = changed_data(data, "partner", config.data.dt_ms, draw)
        by_seed = [final_scores(learner, changed, "test") for learner in learners]
        labels = by_seed[0].labels
        exchanged.append(
            [at_temperature(s.log_probs, t) for s, t in zip(by_seed, temperatures, strict=True)]
        )
    n, n_seeds = len(labels), len(learners)
    if not np.array_equal(labels, record.scores["test.labels"] if record.scores else labels[:0]):
        raise DataError(f"{folder} must be of the data that its configuration makes, got others")
    # Seeds side by side as more samples of the same clusters: one critic that depends on the seed.
    once = clusters_of(record.predictions, np.arange(n, dtype=np.int64))
    clusters = [[*names] * n_seeds for names in once]
    dependence = dependence_in_use(
        intact.reshape(n_seeds * n, -1),
        np.array(exchanged).reshape(_N_EXCHANGES, n_seeds * n, -1),
        np.tile(labels, n_seeds),
        clusters,
    )
    with torch.no_grad():
        paths: list[Effects] = [path_effects(learner, data) for learner in learners]
    return found | {
        "dependence": asdict(dependence),
        "paths": paths,
        "cpu_s": time.process_time() - started,
    }
