"""The tables of the results page, from stored cells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from analysis.naming import format_pj
from experiments.config import Config
from experiments.studies.results.differences import Difference, differences
from experiments.studies.results.pricing import (
    REUSES,
    Result,
    default_profiles,
    eight_bits,
    priced,
    ratio_to_snn,
)
from experiments.studies.results.pricing import gathered as gathered
from experiments.studies.results.words import sentences
from spikefuse.cost import EnergyEstimate, load_profile
from spikefuse.cost.pricing import Reuse
from spikefuse.cost.ranges import RatioRange
from spikefuse.pages import markdown_table

_KINDS = {
    "snn": "events, steps",
    "dense": "events, frames",
    "twin": "events, sums",
    "frames": "picture, log-mel",
}


@dataclass(frozen=True)
class StudyTables:
    """Tables of one data set.

    Parameters
    ----------
    results : mapping of family to its cells
    config : Config
    """

    results: Mapping[str, Result]
    config: Config

    def by_mark(self, data: str) -> dict[str, str]:
        """Every table by the name of its marks."""
        return {
            f"results {data} accuracy": self.accuracy(),
            f"results {data} energy": self.energies(),
            f"results {data} tuning": self.tuning(),
            f"results {data} words": sentences(
                self.results, self.config, self.estimates, self.differences
            ),
        }

    @cached_property
    def differences(self) -> dict[str, Difference]:
        """The spiking fusion model against every other family."""
        return differences(self.results)

    @cached_property
    def estimates(self) -> dict[tuple[str, str, Reuse], EnergyEstimate]:
        """Energy by family, profile and reuse."""
        return {
            (name, profile, reuse): priced(result, profile, self.config, reuse)
            for name, result in self.results.items()
            for profile in default_profiles()
            for reuse in REUSES
        }

    def accuracy(self) -> str:
        """What each family reaches, and the memory it needs."""
        rows = []
        for name, result in self.results.items():
            value, low, high = result.accuracy()
            first = result.runs[0]
            rows.append(
                [
                    f"`{name}`",
                    _KINDS[result.family.kind],
                    f"{first['n_parameters']:,}",
                    f"{100 * value:.1f} [{100 * low:.1f}, {100 * high:.1f}]",
                    f"{100 * result.accuracy('correct_8')[0]:.1f}",
                    *_difference(self.differences.get(name)),
                    _evidence(result),
                    _kib(first["state_bytes"]),
                    _kib(first["activation_bytes"]),
                    f"{len(result.runs)}",
                ]
            )
        header = [
            "model",
            "reads",
            "parameters",
            "accuracy, float [95 %]",
            "int8",
            "`snn` less it, points [95 %]",
            "p (Holm)",
            "evidence p50 / p95, ms",
            "state, KiB",
            "activations, KiB",
            "seeds",
        ]
        return markdown_table(header, rows) + self._not_equivalent()

    def _not_equivalent(self) -> str:
        """Why the quantised twin is none, if it is not."""
        twin = self.results.get("twin")
        if twin is None or not twin.runs[0]["not_equivalent"]:
            return ""
        reasons = "; ".join(twin.runs[0]["not_equivalent"])
        return f"\n\n`twin` is **not equivalent** to the spiking model here: {reasons}."

    def energies(self) -> str:
        """A table per profile: those that price both sides first."""
        both = [p for p in default_profiles() if load_profile(p).prices == "both"]
        rest = [p for p in default_profiles() if p not in both]
        return "\n\n".join(self._of_profile(profile) for profile in [*both, *rest])

    def _of_profile(self, profile: str) -> str:
        """Energies of all families on one profile, and why some have no price."""
        rows: list[list[str]] = []
        reasons: dict[str, list[str]] = {}
        for name in self.results:
            found = {reuse: self.estimates[name, profile, reuse] for reuse in REUSES}
            if found["ideal"].dynamic_pj is None:
                reasons.setdefault(_general(found["ideal"].reason), []).append(f"`{name}`")
                continue
            totals = [
                _both_ends([found[reuse].dynamic_pj for reuse in REUSES]),
                _both_ends([found[reuse].with_static_pj for reuse in REUSES]),
                _both_ends([found[reuse].with_sensors_pj for reuse in REUSES]),
            ]
            rows.append([f"`{name}`", *totals, *self._ratios(name, profile)])
        chip = load_profile(profile)
        at = "8-bit weights" if eight_bits(profile) else "float"
        title = f"**{profile}** ({chip.title}; {chip.basis}); counts and accuracy at {at}."
        header = [
            "model",
            "dynamic",
            "+ static",
            "+ sensors",
            "network / SNN's, reuse none",
            "network / SNN's, reuse ideal",
            "dynamic / SNN's, ideal",
            "with sensors / SNN's, ideal",
        ]
        parts = [title, markdown_table(header, rows)] if rows else [title]
        parts += [f"No price: {', '.join(names)}: {why}." for why, names in reasons.items()]
        return "\n\n".join(parts)

    def _ratios(self, name: str, profile: str) -> list[str]:
        """Ratios to the fused spiking model with their ranges."""
        if name == "snn" or "snn" not in self.results:
            return ["1"] * 4
        none = ratio_to_snn(self.results, name, profile, self.config, "none")
        ideal = ratio_to_snn(self.results, name, profile, self.config, "ideal")
        if none is None or ideal is None:
            return ["-"] * 4
        return [
            _range(found) for found in (none.network, ideal.network, ideal.dynamic, ideal.total)
        ]

    def tuning(self) -> str:
        """The chosen trial of each family and its sizes."""
        rows = []
        for name, result in self.results.items():
            best, sizes = result.tuned["best"], result.sizes
            spread = [row["accuracy"] for row in result.tuned["tried"]]
            cells = [_size(sizes[factor]) if factor in sizes else "-" for factor in (0.25, 0.5)]
            cells.append(_size(result.runs[0]))
            cells.append(_size(sizes[2.0]) if 2.0 in sizes else "-")
            rows.append(
                [
                    f"`{name}`",
                    f"{best['rate']:.2g}, {best['decay']:g}, {best['dropout']:g}, "
                    f"{best['frames']:g}",
                    f"{100 * min(spread):.1f} to {100 * max(spread):.1f}",
                    *cells,
                ]
            )
        header = [
            "model",
            "rate x, decay, dropout x, frames x",
            "trials on validation",
            "1/4",
            "1/2",
            "1 (declared)",
            "2",
        ]
        return markdown_table(header, rows)


def _size(cell: Mapping[str, object]) -> str:
    """Accuracy and parameters of one size."""
    right = str(cell["correct"])
    n = int(str(cell["n_parameters"]))
    return f"{100 * right.count('1') / len(right):.1f} ({n / 1e3:.0f} k)"


def _difference(found: Difference | None) -> tuple[str, str]:
    """Points with the interval of this comparison alone, and the corrected p-value."""
    if found is None:
        return "-", "-"
    low, high = (100 * end for end in found.interval)
    return f"{100 * found.gap:+.1f} [{low:+.1f}, {high:+.1f}]", f"{found.p_value:.3f}"


def _evidence(result: Result) -> str:
    """Median and 95 % quantile of the time from which the answer stays."""
    times = [t for run in result.runs for t in (run["evidence_ms"] or ())]
    if not times:
        return "whole window"
    return f"{np.percentile(times, 50):.0f} / {np.percentile(times, 95):.0f}"


def _kib(n_bytes: float | None) -> str:
    return "-" if n_bytes is None else f"{n_bytes / 1024:.1f}"


def _both_ends(values: list[float | None]) -> str:
    """Reuse none and ideal, or one number where they are the same."""
    none, ideal = values
    if none is None or ideal is None:
        return "not published"
    if format_pj(none) == format_pj(ideal):
        return format_pj(ideal)
    return f"{format_pj(none)} .. {format_pj(ideal)}"


def _range(found: RatioRange) -> str:
    """Nominal ratio, 5 to 95 % of the draws, and how often the SNN needs less."""
    share = 100 * found.share_snn_wins
    return f"{found.nominal:.3g} [{found.low:.3g}, {found.high:.3g}], {share:.0f} %"


def _general(reason: str | None) -> str:
    """A refusal without the name of the path that met it first."""
    text = (reason or "").split(";")[0]
    return text.strip()
