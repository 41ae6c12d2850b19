"""Stored counts of the results study under every default profile: energies and ranges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.stats import cluster_interval
from experiments.config import Config
from experiments.evaluation.evaluate import without_frontend
from experiments.studies.results.cells import SIZES, Cells, from_plain
from experiments.studies.results.families import REFERENCE, Family, families
from spikefuse._types import FloatArray
from spikefuse.cost import EnergyEstimate, energy, load_profile, load_sensor
from spikefuse.cost.bill import Bill, bill_of
from spikefuse.cost.pricing import Reuse
from spikefuse.cost.profile import list_profiles
from spikefuse.cost.ranges import RatioRange, ratio_range
from spikefuse.opcounts import OpCounts

N_DRAWS = 5000
EVENT_CAMERA, FRAME_CAMERA = "dvs128", "frame_camera_mobile_cis"
# Both the digital cochlea and the spectrogram hear through a converter.
MICROPHONE = "mems_mic_pdm_chain"
REUSES: tuple[Reuse, ...] = ("none", "ideal")


@dataclass(frozen=True)
class Result:
    """All stored cells of one family.

    Parameters
    ----------
    family : Family
    runs : list of cells
        One for each seed.
    sizes : mapping of factor to cell
    tuned : cell
    clusters : list of (pictures, speakers), one for each of ``runs``
    """

    family: Family
    runs: list[dict[str, Any]]
    sizes: Mapping[float, dict[str, Any]]
    tuned: Mapping[str, Any]
    clusters: list[tuple[list[str], list[str]]]

    def right(self, key: str = "correct") -> FloatArray:
        """1 and 0 for every test sample of every seed."""
        return np.array([float(c) for run in self.runs for c in run[key]])

    def names(self) -> list[list[str]]:
        """Picture, speaker and seed of every sample of `right`, by kind."""
        rows = [
            (picture, speaker, str(run["seed"]))
            for run, (pictures, speakers) in zip(self.runs, self.clusters, strict=True)
            for picture, speaker in zip(pictures, speakers, strict=True)
        ]
        return [list(column) for column in zip(*rows, strict=True)]

    def accuracy(self, key: str = "correct") -> tuple[float, float, float]:
        """Mean over seeds, and a 95 % interval clustered by picture, speaker and seed."""
        values = self.right(key)
        low, high = cluster_interval(values, self.names(), np.random.default_rng(0))
        return float(values.mean()), low, high

    def counts(self, eight: bool) -> OpCounts:
        """Over all seeds."""
        key = "counts_8" if eight else "counts"
        return OpCounts.concat(from_plain(run[key]) for run in self.runs)


def gathered(cells: Cells, seeds: list[int]) -> dict[str, Result]:
    """What there is of every family that has a tested seed."""
    found: dict[str, Result] = {}
    for name, family in families().items():
        runs = [run for seed in seeds if (run := cells.tested(family, seed)) is not None]
        tuned = cells.tuned(family)
        if not runs or tuned is None:
            continue
        clusters = [cells.samples(run["seed"]) for run in runs]
        sizes = {f: cell for f in SIZES if (cell := cells.sized(family, f, seeds[0])) is not None}
        named = [(c["vision"], c["audio"]) for c in clusters if c is not None]
        found[name] = Result(family, runs, sizes, tuned, named)
    return found


def default_profiles() -> list[str]:
    """Processors whose use is not that of a cross-check."""
    found = []
    for name in list_profiles():
        profile = load_profile(name)
        if profile.prices != "sensor" and profile.use == "default":
            found.append(name)
    return found


def sensors_of(family: Family) -> list[str]:
    """Names of the sensors that a family needs."""
    camera = FRAME_CAMERA if family.kind == "frames" else EVENT_CAMERA
    by_modality = {"vision": camera, "audio": MICROPHONE}
    return [by_modality[name] for name in family.modalities]


def priced(result: Result, profile: str, config: Config, reuse: Reuse) -> EnergyEstimate:
    """Energy per sample, of counts at the precision that the profile prices."""
    return energy(
        result.counts(eight_bits(profile)),
        profile,
        wall_time_s=config.data.duration_ms * 1e-3,
        sensors=sensors_of(result.family),
        reuse=reuse,
        frontend_profile=config.cost.frontend_profile,
    )


def eight_bits(profile: str) -> bool:
    """Whether the profile prices whole numbers: all but 32-bit logic do."""
    return not profile.endswith("fp32")


@dataclass(frozen=True)
class Ratios:
    """Ranges of a family's energy over the fused SNN's on one profile and reuse.

    Parameters
    ----------
    network, dynamic, total : RatioRange
        Without front ends; with them; with static power and sensors as well.
    """

    network: RatioRange
    dynamic: RatioRange
    total: RatioRange


def ratio_to_snn(
    results: Mapping[str, Result], name: str, profile: str, config: Config, reuse: Reuse
) -> Ratios | None:
    """The ranges, constants drawn once for both; None where either has no price."""
    pair = (results[REFERENCE], results[name])
    counts = [result.counts(eight_bits(profile)) for result in pair]

    def bills(of: list[OpCounts]) -> list[Bill]:
        helper = config.cost.frontend_profile
        return [bill_of(c, profile, reuse=reuse, frontend_profile=helper) for c in of]

    whole, alone = bills(counts), bills([without_frontend(c) for c in counts])
    if any(bill.reason is not None for bill in whole):
        return None
    window_s = config.data.duration_ms * 1e-3
    static = load_profile(profile).static_mw() or 0.0
    fixed = [
        (static + sum(load_sensor(s).power_mw for s in sensors_of(r.family))) * window_s * 1e9
        for r in pair
    ]
    return Ratios(
        ratio_range(alone[0], alone[1], n_draws=N_DRAWS),
        ratio_range(whole[0], whole[1], n_draws=N_DRAWS),
        ratio_range(
            whole[0], whole[1], extra_snn_pj=fixed[0], extra_dense_pj=fixed[1], n_draws=N_DRAWS
        ),
    )
