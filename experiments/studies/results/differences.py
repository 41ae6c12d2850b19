"""Who is more accurate than the spiking fusion model, decided over all comparisons at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from analysis.noninferiority import holm, two_sided_p
from analysis.stats import cluster_interval, cluster_means
from experiments.studies.results.families import REFERENCE
from experiments.studies.results.pricing import Result
from spikefuse._types import FloatArray

ALPHA = 0.05
N_DRAWS = 9999
KINDS = ("pictures", "speakers", "seeds")
# With five to thirty clusters tests reject too often: Cameron, Gelbach and Miller 2008,
# doi:10.1162/rest.90.3.414.
FEW = 30


@dataclass(frozen=True)
class Difference:
    """The spiking fusion model's accuracy less another's, on the same samples.

    Parameters
    ----------
    gap : float
    interval : (low, high)
        95 %, clustered, not corrected for the number of comparisons.
    p_value : float
        Of no difference, two-sided, after Holm over the comparisons.
    """

    gap: float
    interval: tuple[float, float]
    p_value: float

    @property
    def decided(self) -> bool:
        """Whether the correction leaves the two apart."""
        return self.p_value < ALPHA

    @property
    def decided_alone(self) -> bool:
        """Whether they are apart by the interval of this comparison alone."""
        low, high = self.interval
        return low > 0 or high < 0


def differences(results: Mapping[str, Result], n_draws: int = N_DRAWS) -> dict[str, Difference]:
    """The spiking fusion model against every other; none if it is not among them."""
    if REFERENCE not in results:
        return {}
    pairs = {
        name: _pair(results[REFERENCE], other)
        for name, other in results.items()
        if name != REFERENCE
    }
    adjusted = holm(
        [
            two_sided_p(cluster_means(gap, clusters, np.random.default_rng(0), n_draws))
            for gap, clusters in pairs.values()
        ]
    )
    return {
        name: Difference(
            float(gap.mean()), cluster_interval(gap, clusters, np.random.default_rng(0)), p_value
        )
        for (name, (gap, clusters)), p_value in zip(pairs.items(), adjusted, strict=True)
    }


def resampled(result: Result) -> dict[str, int]:
    """How many pictures, speakers and seeds the draws resample."""
    return {kind: len(set(names)) for kind, names in zip(KINDS, result.names(), strict=True)}


def _pair(snn: Result, other: Result) -> tuple[FloatArray, list[list[str]]]:
    """Right less right by sample, over the seeds of both, and the samples' clusters."""
    seeds = {run["seed"] for run in snn.runs} & {run["seed"] for run in other.runs}
    first, second = (_only(result, seeds) for result in (snn, other))
    return first.right() - second.right(), first.names()


def _only(result: Result, seeds: set[int]) -> Result:
    """The same with some of its seeds."""
    kept = [i for i, run in enumerate(result.runs) if run["seed"] in seeds]
    runs, clusters = [result.runs[i] for i in kept], [result.clusters[i] for i in kept]
    return Result(result.family, runs, result.sizes, result.tuned, clusters)
