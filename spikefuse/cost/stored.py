"""Counts as plain values of a result file, and back: a stored run can be priced on any profile."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spikefuse.errors import DataError
from spikefuse.opcounts import COUNT_FIELDS, OpCounts, PathCounts

_MEMORY = ("kind", "modality", "weight_words", "state_words")


def stored_counts(counts: OpCounts) -> dict[str, Any]:
    """Totals of every path that are not zero, with its memory, and the number of samples.

    Returns
    -------
    dict
        ``n_samples``, ``uncounted``, and ``paths``: by name, integer totals over all samples and
        what describes the path (``kind``, ``modality``, ``weight_words``, ``state_words``).
    """
    paths: dict[str, dict[str, Any]] = {}
    for name, path in counts.by_path.items():
        totals = {field: getattr(path, field) for field in COUNT_FIELDS}
        kept = {field: total for field, total in totals.items() if total}
        paths[name] = {**kept, **{field: getattr(path, field) for field in _MEMORY}}
    return {
        "n_samples": counts.n_samples,
        "paths": paths,
        "uncounted": list(counts.uncounted),
    }


def counts_of(stored: Mapping[str, Any]) -> OpCounts:
    """The counts that `stored_counts` described.

    Raises
    ------
    DataError
        If a field is missing or unknown.
    """
    try:
        paths = {name: PathCounts(**path) for name, path in stored["paths"].items()}
        return OpCounts(paths, stored["n_samples"], tuple(stored.get("uncounted", ())))
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"stored counts must hold n_samples and paths, got: {error}") from error
