"""Tables of the timing study, and the reasons for what an operator cannot do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.studies.timing.nets import TRIALS
from experiments.studies.timing.tasks import TASKS
from spikefuse.fusion import OPERATORS
from spikefuse.pages import markdown_table

Row = Mapping[str, Any]

TIMED = tuple(name for name in TASKS if name not in ("xor", "redundant"))
# What a task must reach to count as done: accuracy of cues, else fraction of the ideal d'.
CUES_DONE, TIMED_DONE = 0.95, 0.8
_COUNTED_ON = ("s1_32", "s3")

WHY = {
    "early": "a neuron adds what arrives within its time constant: near spikes of two modalities "
    "and of one alike bring it to threshold",
    "concat": "as `early`: a sum and a threshold, no product; a lag longer than the time constant "
    "is not seen at all",
    "late": "a sum of what each modality says alone; of the four cases of a relation it errs in "
    "one at least, and training finds nothing to follow",
    "current_sum": "computes what `concat` computes",
    "uncertainty_gate": "its gains follow the spread of one modality's addresses, which tells "
    "nothing here; otherwise `concat`",
    "energy_gate": "its gates open for whole windows of 20 ms; otherwise `concat`",
    "qk_attention": "a mask is a spike of this very step, so that a query and a key meet only "
    "within their membranes' time constants",
    "cross_residual": "no delay: what one modality said is kept only in membranes",
    "latent": "must build each lag from recurrent steps",
    "cross_synapse": "delays make the spikes of a pair meet, but a neuron adds them: as many "
    "spikes of one modality do the same",
    "coincidence": "the only product; its windows end at 64 ms, and an onset that leaves a sample "
    "enters it at its beginning, outside every window",
}


def tables(rows: Sequence[Row]) -> dict[str, str]:
    """Every table by the name of its mark, as Markdown.

    Parameters
    ----------
    rows : sequence of mapping
        Runs of the chosen trials: see `experiments.studies.timing.study.train`.
    """
    names = [name for name in OPERATORS if any(row["operator"] == name for row in rows)]
    tasks = [task for task in TASKS if any(row["task"] == task for row in rows)]
    return {
        "timing accuracy": accuracy_table(rows, names, tasks),
        "timing fraction": fraction_table(rows, names, [task for task in tasks if task in TIMED]),
        "timing limits": limit_table(rows, names),
        "timing cost": cost_table(rows, names),
        "timing trials": trial_table(rows, names, tasks),
    }


def accuracy_table(rows: Sequence[Row], names: Sequence[str], tasks: Sequence[str]) -> str:
    """Operators by tasks, observers first."""
    lines = [
        [observer] + [f"{_cell(rows, task, names)[0][observer]:.3f}" for task in tasks]
        for observer in ("ideal", "additive")
    ]
    lines += [
        [f"`{name}`"] + [_spread(_values(rows, task, name, "test")) for task in tasks]
        for name in names
    ]
    return markdown_table(["", *tasks], lines)


def fraction_table(rows: Sequence[Row], names: Sequence[str], tasks: Sequence[str]) -> str:
    """Operators by timed scenes."""
    lines = [
        [f"`{name}`"] + [_spread(_values(rows, task, name, "fraction"), 2) for task in tasks]
        for name in names
    ]
    return markdown_table(["", *tasks], lines)


def cost_table(rows: Sequence[Row], names: Sequence[str]) -> str:
    """Most parameters on any task; operations and training time on two tasks."""
    heads = ["", "parameters"]
    for task in _COUNTED_ON:
        heads += [f"{task}: accumulates", "multiplications", "neuron updates", "CPU s"]
    lines = []
    for name in names:
        of_name = [row for row in rows if row["operator"] == name]
        line = [f"`{name}`", f"{max(row['parameters'] for row in of_name):,}"]
        for task in _COUNTED_ON:
            for field in ("accumulates", "multiplications", "updates", "cpu_s"):
                mean = _mean(rows, task, name, field)
                line.append("" if np.isnan(mean) else f"{mean:,.0f}")
        lines.append(line)
    return markdown_table(heads, lines)


def limit_table(rows: Sequence[Row], names: Sequence[str]) -> str:
    """What each operator falls short of, from its means, and the reason from its equation."""
    return markdown_table(
        ["", "not done", "why"],
        [[f"`{name}`", ", ".join(not_done(rows, name)) or "nothing", WHY[name]] for name in names],
    )


def trial_table(rows: Sequence[Row], names: Sequence[str], tasks: Sequence[str]) -> str:
    """Options of every trial, and the number of the one chosen on each task."""
    heads = ["", "trial 1", "trial 2", "trial 3", *tasks]
    lines = []
    for name in names:
        trials = [", ".join(f"{k} {v}" for k, v in options.items()) for options in TRIALS[name]]
        chosen = [{row["trial"] + 1 for row in _cell(rows, task, [name])} for task in tasks]
        lines.append([f"`{name}`", *trials, *(", ".join(map(str, found)) for found in chosen)])
    return markdown_table(heads, lines)


def not_done(rows: Sequence[Row], name: str) -> list[str]:
    """Tasks on which an operator's mean over seeds is below the mark."""
    return [
        task
        for task in TASKS
        if any(row["task"] == task and row["operator"] == name for row in rows)
        and (
            _mean(rows, task, name, "fraction") < TIMED_DONE
            if task in TIMED
            else _mean(rows, task, name, "test") < CUES_DONE
        )
    ]


def seed_interval(values: Sequence[float]) -> float:
    """Half of the 95 % interval of a mean over two or more seeds, by Student's t."""
    from scipy.stats import t

    n = len(values)
    return float(t.ppf(0.975, n - 1) * np.std(values, ddof=1) / n**0.5)


def _cell(rows: Sequence[Row], task: str, names: Sequence[str]) -> list[Row]:
    """Runs of a task by some operators."""
    return [row for row in rows if row["task"] == task and row["operator"] in names]


def _values(rows: Sequence[Row], task: str, name: str, field: str) -> list[float]:
    """A field of an operator's runs of a task, by seed."""
    return [float(row[field]) for row in _cell(rows, task, [name])]


def _mean(rows: Sequence[Row], task: str, name: str, field: str) -> float:
    """Mean over seeds, nan without any."""
    values = _values(rows, task, name, field)
    return float(np.mean(values)) if values else float("nan")


def _spread(values: Sequence[float], digits: int = 3) -> str:
    """Mean and half of its interval; one seed has none."""
    if not values:
        return ""
    if len(values) < 2:
        return f"{values[0]:.{digits}f}"
    return f"{np.mean(values):.{digits}f} ± {seed_interval(values):.{digits}f}"
