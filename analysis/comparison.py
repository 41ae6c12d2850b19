"""What a finished run adds to its ``comparison``: a front per profile, and the verdicts."""

from __future__ import annotations

from typing import Any

from analysis.energy_verdict import energy_verdicts
from analysis.model_fronts import describe_fronts
from analysis.records import RunRecord
from analysis.tables import profiles_of


def compare_models(run: RunRecord) -> dict[str, Any]:
    """``fronts`` by profile and ``verdicts``, one per profile and reuse (none with few seeds)."""
    return {
        "fronts": describe_fronts([[run]], profiles_of(run.result)),
        "verdicts": energy_verdicts(run),
    }
