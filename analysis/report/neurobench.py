"""The run in NeuroBench's terms: its metric names, from the counts that ran."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from analysis.naming import model_name
from analysis.tables import Table

_FLOAT_BYTES = 4


def neurobench_table(result: Mapping[str, Any]) -> Table:
    """Correctness, footprint, sparsity and synaptic operations of every model.

    Names as in Yik et al., "The NeuroBench framework for benchmarking neuromorphic computing
    algorithms and systems", Nature Communications 16, 2025. Activation sparsity is the share of
    neuron updates without a spike; an update of a spiking neuron happens once a step.
    """
    rows: list[tuple[str, ...]] = []
    for name, entry in result["models"].items():
        counts = entry["counts"]["total"]
        updates = counts.get("neuron_updates_active", 0.0) + counts.get("neuron_updates_idle", 0.0)
        sparsity = "n/a (1)"
        if entry["kind"] != "dense" and updates and "spikes_fired" in counts:
            sparsity = f"{1 - counts['spikes_fired'] / updates:.3f}"
        rows.append(
            (
                model_name(name),
                f"{entry['accuracy']:.3f}",
                f"{entry['params'] * _FLOAT_BYTES:,}",
                sparsity,
                f"{counts['dense_macs']:,.0f}" if "dense_macs" in counts else "n/a",
                f"{counts['effective_macs']:,.0f}",
                f"{counts['effective_acs']:,.0f}",
                f"{updates:,.0f}",
            )
        )
    header = (
        "model",
        "accuracy",
        "footprint (bytes, parameters as float32)",
        "activation sparsity",
        "dense (operations)",
        "effective MACs",
        "effective ACs",
        "membrane updates",
    )
    notes = (
        ("not counted: a dense model, or a run that holds no updates",)
        if any("(1)" in r[3] for r in rows)
        else ()
    )
    title = "NeuroBench metrics per sample, front ends included"
    return Table(title, header, tuple(rows), notes)
