"""Tables of the study of dense baselines, as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from spikefuse.pages import markdown_table


def tables(found: Mapping[str, Any], epochs: int, seeds: Sequence[int]) -> str:
    """All tables, with what they have in common in front."""
    head = (
        f"{epochs} epochs each, {len(seeds)} seed{'s' if len(seeds) > 1 else ''}: "
        "mean (lowest to highest) of the accuracy on test pairs in per cent; operations per sample "
        "in thousands, means of 64 test samples."
    )
    operators = {name: cells for name, cells in found["operators"].items() if cells}
    parts = [head]
    if operators:
        parts += [_accuracy(operators), _operations(operators), _answers(operators)]
    for key, table in (("frames", _frames), ("sizes", _sizes), ("twin", _twin)):
        if found[key]:
            parts.append(table(found[key]))
    return "\n\n".join(parts)


def _percent(values: Sequence[float]) -> str:
    """Mean and range in per cent."""
    x = 100 * np.asarray(values)
    if len(x) == 1:
        return f"{x[0]:.1f}"
    return f"{x.mean():.1f} ({x.min():.1f} to {x.max():.1f})"


def _thousands(values: Sequence[float]) -> str:
    """Mean in thousands."""
    return f"{np.mean(values) / 1e3:.1f}"


def _of(cells: Sequence[Mapping[str, Any]], key: str) -> list[float]:
    """One number of every seed."""
    return [cell[key] for cell in cells]


def _accuracy(operators: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Accuracy of each operator in float and in whole numbers."""
    rows = [
        [
            f"`{name}`",
            f"{cells[0]['n_parameters']:,}",
            _percent(_of(cells, "float")),
            _percent(_of(cells, "rounded_8")),
            _percent(_of(cells, "rounded_4")),
            _percent(_of(cells, "aware_4")),
        ]
        for name, cells in operators.items()
    ]
    header = ("operator", "parameters", "float", "int8", "int4", "int4, trained so")
    return markdown_table(header, rows)


def _operations(operators: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Work and memory of each operator."""
    rows = [
        [
            f"`{name}`",
            _thousands(_of(cells, "macs_all")),
            _thousands(_of(cells, "macs_effective")),
            _thousands(_of(cells, "macs_effective_8")),
            _thousands(_of(cells, "weight_reads")),
            _thousands(_of(cells, "weight_reads_skipping")),
            f"{cells[0]['state_bytes'] / 1024:.1f}",
            f"{cells[0]['activation_bytes'] / 1024:.1f}",
        ]
        for name, cells in operators.items()
    ]
    header = (
        "operator",
        "MACs, all",
        "MACs, zeros skipped",
        "the same at int8",
        "weight reads",
        "weight reads, zeros skipped",
        "state, KiB",
        "activations, KiB",
    )
    return markdown_table(header, rows)


def _answers(operators: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Work of answers on the way."""
    rows = []
    for name, cells in operators.items():
        delta = "anytime_delta" in cells[0]
        rows.append(
            [
                f"`{name}`",
                _thousands(_of(cells, "macs_effective")),
                _thousands(_of(cells, "anytime")),
                _thousands(_of(cells, "anytime_delta")) if delta else "as it is",
                f"{cells[0]['delta_state_bytes'] / 1024:.1f}" if delta else "as it is",
            ]
        )
    n_answers = next(iter(operators.values()))[0]["n_answers"]
    header = (
        "operator",
        "one answer",
        f"{n_answers} answers",
        f"{n_answers} answers by changes",
        "state of that, KiB",
    )
    return markdown_table(header, rows)


def _frames(cells: Sequence[Mapping[str, Any]]) -> str:
    """Frame lengths tried."""
    lengths = [frames for frames, _ in cells[0]["tried"]]
    rows = [
        [
            " / ".join(f"{ms:g}" for ms in frames.values()),
            _percent([cell["tried"][i][1] for cell in cells]),
            str(sum(cell["chosen"] == frames for cell in cells)),
        ]
        for i, frames in enumerate(lengths)
    ]
    names = " / ".join(lengths[0])
    rows.append(["test accuracy of the choices", _percent(_of(cells, "test")), ""])
    return markdown_table([f"frames of {names}, ms", "on validation", "chosen by seeds"], rows)


def _sizes(cells: Sequence[Mapping[str, Any]]) -> str:
    """The sweep of sizes."""
    rows = [
        [
            f"{row['factor']:g}" + (" (declared)" if row["factor"] == 1 else ""),
            f"{row['n_parameters']:,}",
            f"{100 * (row['n_parameters'] / (row['factor'] * cells[0]['target']) - 1):+.1f} %",
            _percent([cell["rows"][i]["test"] for cell in cells]),
            _thousands([cell["rows"][i]["macs_effective"] for cell in cells]),
        ]
        for i, row in enumerate(cells[0]["rows"])
    ]
    header = (
        f"`concat`: times the spiking model's {cells[0]['target']:,}",
        "parameters",
        "off by",
        "accuracy",
        "MACs, zeros skipped",
    )
    return markdown_table(header, rows)


def _twin(cells: Sequence[Mapping[str, Any]]) -> str:
    """The quantised twin."""
    cell = cells[0]
    why = "; ".join(cell["not_equivalent"])
    verdict = f"not equivalent: {why}" if why else "equivalent where charge is left as stated"
    row = [
        f"{cell['bits']} bits for {cell['n_steps']} steps",
        f"{cell['n_parameters']:,}",
        _percent(_of(cells, "test")),
        _thousands(_of(cells, "macs_effective")),
        verdict,
    ]
    header = ("quantised twin", "parameters", "accuracy", "MACs, zeros skipped", "to this recipe")
    return markdown_table(header, [row])
