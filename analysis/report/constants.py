"""What the energies rest on: every assumption, and every constant with its source."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from analysis.naming import model_name
from analysis.records import RunRecord
from analysis.tables import Table, profiles_of
from spikefuse.cost.profile import load_profile
from spikefuse.errors import ConfigError, DataError, ProfileError


def assumptions(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every assumption and source, once, with the models and profiles that rest on it."""
    found: dict[str, tuple[dict[str, None], dict[str, None]]] = {}
    for name, model in result["models"].items():
        for profile, estimate in model["energy"].items():
            for line in estimate["assumptions"]:
                profiles, models = found.setdefault(line, ({}, {}))
                profiles[profile] = models[model_name(name)] = None
    n_models = len(result["models"])
    return [
        {
            "text": text,
            "profiles": list(profiles),
            "models": "all models" if len(models) == n_models else ", ".join(models),
        }
        for text, (profiles, models) in found.items()
    ]


def constants_tables(run: RunRecord) -> list[Table]:
    """A table for each profile and sensor of the run that can be loaded.

    A profile that the run named by a file of its own may be gone: its name then stands alone.
    """
    names = dict.fromkeys(profiles_of(run.result))
    frontend = run.config.get("cost", {}).get("frontend_profile")
    if frontend:
        names[frontend] = None
    for model in run.result["models"].values():
        for estimate in model["energy"].values():
            names |= dict.fromkeys(estimate["breakdown"].get("sensors_pj") or {})
    return [_table(name) for name in names]


def _table(name: str) -> Table:
    """Value, range, source and place of every constant."""
    header = ("constant", "value", "range", "unit", "kind", "source", "where", "seen")
    title = f"Constants of {name}"
    try:
        profile = load_profile(name)
    except (ConfigError, DataError, ProfileError, ValueError, OSError) as error:
        return Table(title, header, (), (f"this profile cannot be read here: {error}",))
    rows = tuple(
        (
            key,
            f"{c.value:g}",
            f"{c.low:g} to {c.high:g}" if c.has_range else "none published",
            c.unit,
            c.kind,
            c.source,
            c.locator,
            c.seen,
        )
        for key, c in profile.constants.items()
    )
    return Table(f"{title}: {profile.title}", header, rows)
