"""Tables of docs/recipes.md: recipes by their heads, timed scenes by finished runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from analysis.naming import MODEL_NAMES
from analysis.records import load_run
from experiments.config_recipes import RecipeHead
from spikefuse.errors import ConfigError
from spikefuse.pages import markdown_table

_MODELS = ("snn", "dense", "snn_vision", "snn_audio")


def recipe_tables(heads: Sequence[RecipeHead]) -> dict[str, str]:
    """The recipes' table by the name of its mark, as Markdown."""
    rows = [
        [f"`{h.name}`", f"{h.title} {h.shows[0].upper()}{h.shows[1:]}", h.data, h.split, h.seeds,
         h.time]
        for h in heads
    ]  # fmt: skip
    columns = ["recipe", "what it is and shows", "data", "split", "seeds", "time on a CPU"]
    return {"recipes": markdown_table(columns, rows)}


def scene_table(runs: Sequence[Path]) -> str:
    """Accuracies of finished runs of timed scenes beside the observers of the same test samples.

    Raises
    ------
    ConfigError
        If a run is of other data.
    """
    rows = []
    for run in runs:
        result = load_run(run).result
        ideal = result["data"].get("ideal")
        if ideal is None:
            raise ConfigError(f"--run must be a run of a timed scene, got {run}")
        low, high = ideal["interval"]
        rows.append(
            [
                f"`{result['name']}`",
                str(len(result["seeds"])),
                str(result["data"]["n_test"]),
                f"{ideal['accuracy']:.3f} [{low:.3f}, {high:.3f}]",
                f"{ideal['additive']:.3f}",
                *[_accuracy(result["models"].get(model)) for model in _MODELS],
            ]
        )
    heads = ["recipe", "seeds", "test samples", "ideal observer [95 %]", "additive observer"]
    return markdown_table([*heads, *[MODEL_NAMES[model] for model in _MODELS]], rows)


def _accuracy(model: dict[str, Any] | None) -> str:
    """Mean over seeds and its interval; empty of a model that the run has not."""
    if model is None:
        return ""
    low, high = model["accuracy_interval"]
    return f"{model['accuracy']:.3f} [{low:.3f}, {high:.3f}]"
