"""Tables of docs/recipes.md: recipes by their heads; scenes and operators by finished runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from analysis.naming import MODEL_NAMES, format_pj
from analysis.records import load_run
from analysis.report.runs import differences
from experiments.config_recipes import RecipeHead
from spikefuse.errors import ConfigError
from spikefuse.pages import markdown_table

_SWEEP_PROFILES = ("horowitz_45nm_fp32", "loihi1_davies2018")
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


def operators_table(sweep: Path) -> str:
    """Accuracy and energy of each operator, by falling accuracy, of a sweep over ``model.fusion``.

    Raises
    ------
    ConfigError
        If the folder holds no finished runs of one timed scene that differ in the operator alone.
    """
    runs = [load_run(at.parent) for at in sorted(sweep.glob("*/result.json"))]
    varied = {key for found in differences(runs) for key in found}
    if len(runs) < 2 or "model.fusion" not in varied or varied - {"model.fusion", "name"}:
        raise ConfigError(
            f"--sweep must be a finished sweep over model.fusion alone, got {sweep} with "
            f"{len(runs)} runs that differ in {sorted(varied) or 'nothing'}"
        )
    ideal = runs[0].result["data"].get("ideal")
    if ideal is None:
        raise ConfigError(f"--sweep must be over a timed scene, got {sweep}")
    rows = []
    for run in sorted(runs, key=lambda run: -run.result["models"]["snn"]["accuracy"]):
        entry = run.result["models"]["snn"]
        energies = [entry["energy"].get(p, {}).get("dynamic_pj") for p in _SWEEP_PROFILES]
        rows.append(
            [
                f"`{run.config['model']['fusion']}`",
                _accuracy(entry),
                " ".join(f"{x:.3f}" for x in entry["accuracy_by_seed"]),
                *("no price" if pj is None else format_pj(pj) for pj in energies),
            ]
        )
    rows.append(["ideal observer", f"{ideal['accuracy']:.3f}", "", *[""] * len(_SWEEP_PROFILES)])
    rows.append(["additive observer", f"{ideal['additive']:.3f}", "", *[""] * len(_SWEEP_PROFILES)])
    energy = [f"dynamic energy a sample, {p} (modelled)" for p in _SWEEP_PROFILES]
    return markdown_table(["operator", "accuracy [95 %]", "by seed", *energy], rows)


def _accuracy(model: dict[str, Any] | None) -> str:
    """Mean over seeds and its interval; empty of a model that the run has not."""
    if model is None:
        return ""
    low, high = model["accuracy_interval"]
    return f"{model['accuracy']:.3f} [{low:.3f}, {high:.3f}]"
