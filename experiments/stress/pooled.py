"""Several runs as one test: models of other runs on the same samples, and the same models on
other samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from experiments.stress.run import Response, Stressed
from spikefuse.errors import ConfigError
from spikefuse.opcounts import OpCounts


def pooled(parts: Sequence[Stressed]) -> Stressed:
    """Runs of the same models on test samples of their own, one after the other.

    A run is a seed with samples of its own, so seeds are resampled with the groups, not apart.

    Parameters
    ----------
    parts : sequence of Stressed
        At least one, of the same models, conditions and number of seeds.

    Raises
    ------
    ConfigError
        If models, conditions or numbers of seeds differ.
    """
    first = parts[0]
    for part in parts[1:]:
        if list(part.responses) != list(first.responses):
            raise ConfigError(
                f"pooled runs must have the same models, got {list(first.responses)} and "
                f"{list(part.responses)}"
            )
        if list(part.conditions) != list(first.conditions):
            raise ConfigError("pooled runs must have the same sensors, got other conditions")
    return Stressed(
        np.concatenate([part.labels for part in parts]),
        {name: [g for p in parts for g in p.clusters[name]] for name in first.clusters},
        _joined([part.foreign for part in parts]),
        first.conditions,
        {
            model: {
                name: _together([part.responses[model][name] for part in parts])
                for name in of_model
            }
            for model, of_model in first.responses.items()
        },
        first.learners,
        first.sizes,
    )


def _joined(parts: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Arrays of each name, one after the other."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _together(parts: Sequence[Response]) -> Response:
    """Responses to all samples."""
    n_seeds = {len(part.answers) for part in parts}
    if len(n_seeds) != 1:
        raise ConfigError(f"pooled runs must have as many seeds each, got {sorted(n_seeds)}")
    return Response(
        parts[0].times_ms,
        np.concatenate([part.answers for part in parts], axis=2),
        np.concatenate([part.log_probs for part in parts], axis=1),
        OpCounts.concat([part.counts for part in parts]),
    )
