"""What the numbers of the results page say, in sentences made from them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from analysis.naming import format_pj
from analysis.stats import cluster_interval
from experiments.config import Config
from experiments.studies.results.families import REFERENCE
from experiments.studies.results.pricing import (
    EVENT_CAMERA,
    FRAME_CAMERA,
    MICROPHONE,
    REUSES,
    Result,
)
from spikefuse.cost import EnergyEstimate, load_profile, load_sensor
from spikefuse.cost.pricing import Reuse

Estimates = Mapping[tuple[str, str, Reuse], EnergyEstimate]
_ALTERNATIVES = ("genx320", "frame_camera_always_on")


def sentences(results: Mapping[str, Result], config: Config, estimates: Estimates) -> str:
    """Where the spiking model is ahead and where it is not, as a list."""
    if REFERENCE not in results:
        return "The spiking model is not among the stored cells yet."
    lines = [
        _accuracy(results),
        *_energy(results, estimates),
        _noise(results, estimates, config),
        _sensors(config),
    ]
    return "\n".join(f"- {line}" for line in lines)


def difference(snn: Result, other: Result) -> tuple[float, float, float]:
    """Accuracy of the SNN less another's on the same samples, and its clustered 95 % interval."""
    seeds = {run["seed"] for run in snn.runs} & {run["seed"] for run in other.runs}
    first, second = (_only(result, seeds) for result in (snn, other))
    gap = first.right() - second.right()
    low, high = cluster_interval(gap, first.names(), np.random.default_rng(0))
    return float(gap.mean()), low, high


def _only(result: Result, seeds: set[int]) -> Result:
    """The same with some of its seeds."""
    kept = [i for i, run in enumerate(result.runs) if run["seed"] in seeds]
    runs, clusters = [result.runs[i] for i in kept], [result.clusters[i] for i in kept]
    return Result(result.family, runs, result.sizes, result.tuned, clusters)


def _accuracy(results: Mapping[str, Result]) -> str:
    """Who is more accurate, less accurate, or not told apart."""
    snn = results[REFERENCE]
    groups: dict[str, list[str]] = {"ahead": [], "behind": [], "open": []}
    for name, other in results.items():
        if name == REFERENCE:
            continue
        gap, low, high = difference(snn, other)
        kind = "behind" if high < 0 else "ahead" if low > 0 else "open"
        groups[kind].append(f"`{name}` ({100 * gap:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}])")
    n_seeds = len(snn.runs)
    verdict = "" if n_seeds >= 5 else f" ({n_seeds} seeds: no verdict, figures of these runs only)"
    said = [f"Accuracy of the spiking fusion model less the other's, in points{verdict}."]
    for kind, text in (
        ("behind", "It **loses** to"),
        ("ahead", "It is ahead of"),
        ("open", "The intervals leave open"),
    ):
        if groups[kind]:
            said.append(f"{text} {', '.join(groups[kind])}.")
    return " ".join(said)


def _energy(results: Mapping[str, Result], estimates: Estimates) -> list[str]:
    """Where another family needs less, by profile and end of reuse."""
    lines = []
    profiles = list(dict.fromkeys(profile for _, profile, _ in estimates))
    for profile in profiles:
        if load_profile(profile).prices != "both":
            continue
        for what in ("network", "dynamic", "with sensors"):
            own = part_pj(estimates[REFERENCE, profile, "ideal"], what)
            cheaper = []
            for name, result in results.items():
                if name == REFERENCE or len(result.family.modalities) < 2:
                    continue
                ends = [part_pj(estimates[name, profile, reuse], what) for reuse in REUSES]
                if max(ends) < own:
                    cheaper.append(f"`{name}`")
                elif min(ends) < own:
                    cheaper.append(f"`{name}` (with reuse)")
            said = f"cheaper: {', '.join(cheaper)}" if cheaper else "no other fusion is cheaper"
            lines.append(f"{profile}, {what}: the SNN needs {format_pj(own)} a sample; {said}.")
    return lines


def part_pj(found: EnergyEstimate, what: str) -> float:
    """Energy of the network alone, with front ends, or with static power and sensors."""
    value = found.with_sensors_pj if what == "with sensors" else found.dynamic_pj
    if value is None:
        raise ValueError(f"estimate must have a price, got none: {found.reason}")
    if what != "network":
        return value
    by_path: dict[str, float] = found.breakdown["by_path"]
    return value - sum(e for path, e in by_path.items() if path.startswith("frontend"))


def _noise(results: Mapping[str, Result], estimates: Estimates, config: Config) -> str:
    """What the network is beside front ends and sensors."""
    parts = []
    for name in (REFERENCE, "dense_concat", "camera_concat"):
        if name not in results:
            continue
        found = estimates[name, "horowitz_45nm_int8", "ideal"]
        if found.dynamic_pj is None or found.with_sensors_pj is None:
            continue
        network = part_pj(found, "network")
        ends = found.dynamic_pj - network
        parts.append(
            f"`{name}` {100 * network / found.with_sensors_pj:.2g} % network, "
            f"{100 * ends / found.with_sensors_pj:.2g} % front ends, "
            f"{100 * (1 - found.dynamic_pj / found.with_sensors_pj):.3g} % sensors"
        )
    return (
        f"Of the energy with sensors over {config.data.duration_ms:g} ms on horowitz_45nm_int8 "
        f"(reuse ideal): {'; '.join(parts)}. The network is noise beside what feeds it: choosing "
        "sensors and front ends decides the sum, choosing a network does not."
    )


def _sensors(config: Config) -> str:
    """What other sensors would change."""
    window_s = config.data.duration_ms * 1e-3

    def of(name: str) -> str:
        power = load_sensor(name).power_mw
        return f"{name} {format_pj(power * window_s * 1e9)} ({power:.3g} mW)"

    return (
        f"Sensors over the window: {of(EVENT_CAMERA)}, {of(FRAME_CAMERA)}, {of(MICROPHONE)}. Other "
        f"cameras turn the order of the totals: {of(_ALTERNATIVES[0])}, {of(_ALTERNATIVES[1])}."
    )
