"""Fusion operators beside what they must be measured against, over the cells of a protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.calibration import at_temperature, aurc, ece, nll
from analysis.naming import model_name
from analysis.noninferiority import Comparison, compare_all
from analysis.pooled import pooled_samples
from analysis.pooling import log_opinion_pool, matched_accuracy, recordings_of
from analysis.records import RunRecord
from analysis.stats import accuracy_interval, paired_difference_interval
from spikefuse._types import FloatArray, Int64Array
from spikefuse.errors import DataError

REFERENCES = "references"
POOL, BOUND = "log-opinion pool", "independence bound"
PROFILES = ("horowitz_45nm_fp32", "horowitz_45nm_int8", "loihi1_davies2018")
MARGIN = 0.02
_MODALITIES = ("vision", "audio")

Cell = Mapping[str, RunRecord]


@dataclass(frozen=True)
class Row:
    """One line of the table; None where a row has no such figure.

    Parameters
    ----------
    name : str
    accuracy : float
    interval, difference, difference_interval
        95 %, clustered; the difference is to the log-opinion pool, paired.
    by_cell : tuple of float
        Accuracy of each cell.
    validation : float or None
        Accuracy on validation pairs, mean over cells.
    nll, ece, aurc : float or None
        At the temperature fitted on validation pairs, mean over cells.
    operations : float or None
        Accumulates and multiply-accumulates per sample, front ends not included.
    dynamic_pj : mapping of profile to float or None
    latency_ms : float or None
        Median evidence time plus compute still to wait for.
    params : int or None
    comparison : Comparison or None
        Non-inferiority to the pool, of operators alone.
    """

    name: str
    accuracy: float
    interval: tuple[float, float]
    by_cell: tuple[float, ...]
    difference: float | None = None
    difference_interval: tuple[float, float] | None = None
    validation: float | None = None
    nll: float | None = None
    ece: float | None = None
    aurc: float | None = None
    operations: float | None = None
    dynamic_pj: Mapping[str, float | None] | None = None
    latency_ms: float | None = None
    params: int | None = None
    comparison: Comparison | None = None


def operator_rows(cells: Sequence[Cell], pool_latency_ms: Sequence[float] = ()) -> list[Row]:
    """Operators in the order of the cells, then the references, the pool and the bound.

    Parameters
    ----------
    cells : sequence of mappings
        Run by name: ``references`` with ``snn_vision``, ``snn_audio`` and ``dense``, and an
        operator's run, of the model ``snn``, under the operator's name.
    pool_latency_ms : sequence of float, optional
        The pool's latency on each cell; it is no model of a run.

    Raises
    ------
    DataError
        If a run lacks its predictions or scores, or cells do not hold the same runs.
    """
    operators = [name for name in cells[0] if name != REFERENCES]
    if any(set(cell) != {REFERENCES, *operators} for cell in cells):
        raise DataError(f"cells must hold the same runs, got {[sorted(cell) for cell in cells]}")
    references = [cell[REFERENCES] for cell in cells]
    pools = [_pool(run) for run in references]
    pool_right = np.concatenate([_right(pool.test, pool.labels) for pool in pools])
    _, (rows, columns) = pooled_samples(references, "snn_vision")
    right = {name: pooled_samples([cell[name] for cell in cells], "snn")[0] for name in operators}
    found = compare_all(
        {name: values - pool_right for name, values in right.items()},
        rows,
        columns,
        np.random.default_rng(0),
        MARGIN,
    )
    table = [
        _model_row(name, [cell[name] for cell in cells], "snn", pool_right, found[name])
        for name in operators
    ]
    table += [
        _model_row(model_name(model), references, model, pool_right)
        for model in ("snn_vision", "snn_audio", "dense")
    ]
    table.append(_pool_row(references, pools, pool_right, pool_latency_ms))
    table.append(_bound_row(references))
    return table


def chosen_on_validation(rows: Sequence[Row]) -> Row:
    """The operator of the highest validation accuracy, the first one of several."""
    operators = [row for row in rows if row.comparison is not None]
    return max(operators, key=lambda row: row.validation or 0.0)


@dataclass(frozen=True)
class _Pool:
    """The log-opinion pool on one cell."""

    validation: FloatArray
    validation_labels: Int64Array
    test: FloatArray
    labels: Int64Array


def _scores(run: RunRecord, split: str, model: str) -> FloatArray:
    """Log-probabilities of a run of one seed."""
    if run.scores is None or len(run.result["seeds"]) != 1:
        raise DataError(f"RUN must hold scores.npz of one seed, got {run.path}")
    name = f"{split}.{model}.seed{run.result['seeds'][0]}"
    return np.asarray(run.scores[name], dtype=np.float64)


def _labels(run: RunRecord, split: str) -> Int64Array:
    """Labels of a split's pairs."""
    return np.asarray((run.scores or {})[f"{split}.labels"], dtype=np.int64)


def _temperature(run: RunRecord, model: str) -> float:
    """Temperature of a run of one seed, fitted on validation pairs."""
    return float(run.result["models"][model]["calibration"]["temperature_by_seed"][0])


def _pool(run: RunRecord) -> _Pool:
    """Both splits pooled at the unimodal models' temperatures."""
    models = [f"snn_{name}" for name in _MODALITIES]
    temperatures = [_temperature(run, model) for model in models]
    validation, test = (
        log_opinion_pool([_scores(run, split, model) for model in models], temperatures)
        for split in ("validation", "test")
    )
    return _Pool(validation, _labels(run, "validation"), test, _labels(run, "test"))


def _right(log_probs: FloatArray, labels: Int64Array) -> FloatArray:
    """1 where the most probable class is the label."""
    return np.asarray(log_probs.argmax(1) == labels, dtype=np.float64)


def _model_row(
    name: str,
    runs: Sequence[RunRecord],
    model: str,
    pool_right: FloatArray,
    comparison: Comparison | None = None,
) -> Row:
    """A trained model over the cells."""
    right, (rows, columns) = pooled_samples(runs, model)
    entries = [run.result["models"][model] for run in runs]
    difference: tuple[float, float] = (
        comparison.interval
        if comparison is not None
        else paired_difference_interval(right, pool_right, rows, columns, np.random.default_rng(0))
    )
    after = [entry["calibration"]["after"] for entry in entries]
    return Row(
        name,
        float(right.mean()),
        accuracy_interval(right, [rows, columns]),
        tuple(entry["accuracy"] for entry in entries),
        float((right - pool_right).mean()),
        difference,
        _mean([entry["val_accuracy"] for entry in entries]),
        nll=_mean([scores["nll"] for scores in after]),
        ece=_mean([scores["ece"] for scores in after]),
        aurc=_mean([scores["aurc"] for scores in after]),
        operations=_mean([_operations(entry) for entry in entries]),
        dynamic_pj={p: _mean([e["energy"][p]["dynamic_pj"] for e in entries]) for p in PROFILES},
        latency_ms=_mean([entry["latency"]["p50_ms"] for entry in entries]),
        params=entries[0]["params"],
        comparison=comparison,
    )


def _pool_row(
    references: Sequence[RunRecord],
    pools: Sequence[_Pool],
    right: FloatArray,
    latency_ms: Sequence[float],
) -> Row:
    """The pool: its costs are those of both unimodal models; adding up is not counted."""
    import torch

    from spikefuse.fusion import fit_temperature

    _, (rows, columns) = pooled_samples(references, "snn_vision")
    tested = [
        at_temperature(
            pool.test,
            fit_temperature(
                torch.from_numpy(pool.validation), torch.from_numpy(pool.validation_labels)
            ),
        )
        for pool in pools
    ]
    labels = [pool.labels for pool in pools]
    both = [[run.result["models"][f"snn_{m}"] for m in _MODALITIES] for run in references]
    return Row(
        POOL,
        float(right.mean()),
        accuracy_interval(right, [rows, columns]),
        tuple(float(_right(pool.test, pool.labels).mean()) for pool in pools),
        None,
        None,
        _mean([float(_right(p.validation, p.validation_labels).mean()) for p in pools]),
        nll=_mean(list(map(nll, tested, labels))),
        ece=_mean(list(map(ece, tested, labels))),
        aurc=_mean(list(map(aurc, tested, labels))),
        operations=_mean([sum(_operations(entry) for entry in pair) for pair in both]),
        dynamic_pj={
            p: _mean([_sum([entry["energy"][p]["dynamic_pj"] for entry in pair]) for pair in both])
            for p in PROFILES
        },
        latency_ms=_mean(latency_ms) if latency_ms else None,
        params=sum(entry["params"] for entry in both[0]),
    )


def _bound_row(references: Sequence[RunRecord]) -> Row:
    """The pool on every label-matched pair of each cell's test recordings."""
    right: list[FloatArray] = []
    rows: list[str] = []
    columns: list[str] = []
    for run in references:
        table = run.predictions
        if table is None or run.scores is None:
            raise DataError(f"RUN must hold predictions.csv and scores.npz, got {run.path}")
        labels, pairs = _labels(run, "test"), run.scores["test.pairs"]
        names = run.scores["modalities"].tolist()
        of_pair = table["model"] == "snn_vision"
        sides = [
            recordings_of(
                at_temperature(_scores(run, "test", f"snn_{m}"), _temperature(run, f"snn_{m}")),
                labels,
                pairs[:, names.index(m)],
                table[f"{m}_group"][of_pair].tolist(),
            )
            for m in _MODALITIES
        ]
        values, cell_rows, cell_columns = matched_accuracy(sides[0], sides[1])
        right.append(values)
        rows += cell_rows
        columns += cell_columns
    everything = np.concatenate(right)
    interval = accuracy_interval(everything, [rows, columns])
    by_cell = tuple(float(values.mean()) for values in right)
    return Row(BOUND, float(everything.mean()), interval, by_cell)


def _operations(entry: Mapping[str, Any]) -> float:
    """ACs and MACs of the network, front ends left out."""
    return float(
        sum(
            path["effective_acs"] + path["effective_macs"]
            for name, path in entry["counts"]["by_path"].items()
            if not name.startswith("frontend.")
        )
    )


def _sum(values: Sequence[float | None]) -> float | None:
    """The sum, or None where one is unknown."""
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def _mean(values: Sequence[Any]) -> Any:
    """The mean, or None where one is unknown."""
    return None if any(value is None for value in values) else float(np.mean(values))
