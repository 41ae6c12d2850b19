"""One point of a search: a run, and what it is judged by."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments.config import load_config
from experiments.files import write_json
from experiments.run import Reporter, Silent, run_experiment
from experiments.sweeps.space import settings_of
from spikefuse.errors import SpikefuseError

FIGURES = "validation.json"


def run_point(
    folder: str,
    name: str,
    values: Mapping[str, Any],
    base: str,
    model: str,
    profile: str,
    reporter: Reporter | None = None,
) -> dict[str, Any]:
    """Train a point in its run directory, or go on with it, and judge it on validation.

    Parameters
    ----------
    folder, name : str
        The search's folder, and the run directory in it.
    values : mapping of configuration key to value
    base : str
        The base configuration, a TOML file.
    model, profile : str
        Which is judged, and what prices its energy.

    Returns
    -------
    dict
        As of `describe_validation`; ``error`` alone if the configuration is wrong or training did
        not stay finite, which another try would not mend.
    """
    from experiments.loading.data import load_data
    from experiments.sweeps.objectives import describe_validation

    run = Path(folder) / name
    told = run / FIGURES
    try:
        config = load_config(base, settings_of(values))
        if not (run / "result.json").is_file():
            run_experiment(config, run, reporter or Silent())
        if not told.is_file():
            data = load_data(config.data)
            write_json(told, describe_validation(run, config, data, model, profile))
    except SpikefuseError as error:
        return {"error": str(error)}
    figures: dict[str, Any] = json.loads(told.read_text())
    return figures
