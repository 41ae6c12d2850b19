"""What the numbers of the results page say, in sentences made from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from analysis.naming import format_pj
from experiments.config import Config
from experiments.studies.results.differences import ALPHA, FEW, Difference, resampled
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


def sentences(
    results: Mapping[str, Result],
    config: Config,
    estimates: Estimates,
    found: Mapping[str, Difference],
) -> str:
    """Where the spiking model is ahead and where it is not, as a list."""
    if REFERENCE not in results:
        return "The spiking model is not among the stored cells yet."
    lines = [
        _accuracy(results[REFERENCE], found),
        *_energy(results, estimates),
        _noise(results, estimates, config),
        _sensors(config),
    ]
    return "\n".join(f"- {line}" for line in lines)


def _accuracy(snn: Result, found: Mapping[str, Difference]) -> str:
    """Who is more accurate, less accurate, or not told apart."""
    behind = [name for name, d in found.items() if d.decided and d.gap < 0]
    ahead = [name for name, d in found.items() if d.decided and d.gap > 0]
    alone = [name for name, d in found.items() if not d.decided and d.decided_alone]
    undecided = [name for name, d in found.items() if not d.decided and not d.decided_alone]
    n_seeds = len(snn.runs)
    verdict = "" if n_seeds >= 5 else f" ({n_seeds} seeds: no verdict, figures of these runs only)"
    said = [
        f"Accuracy of the spiking fusion model less the other's, in points{verdict}: "
        f"{len(found)} comparisons, decided at {100 * ALPHA:g} % after Holm's correction over all "
        "of them."
    ]
    for names, text in (
        (behind, "It **loses** to"),
        (ahead, "It is ahead of"),
        (alone, "Not told apart, though the interval of that comparison alone leaves out 0:"),
        (undecided, "Not told apart:"),
    ):
        if names:
            said.append(f"{text} {_listed(names, found)}.")
    return " ".join([*said, *_few(snn)])


def _listed(names: Sequence[str], found: Mapping[str, Difference]) -> str:
    """Families with their differences."""
    return ", ".join(f"`{name}` ({100 * found[name].gap:+.1f})" for name in names)


def _few(snn: Result) -> list[str]:
    """A warning where draws resample few of a kind."""
    n_drawn = resampled(snn)
    few = [f"{n} {kind}" for kind, n in n_drawn.items() if n < FEW]
    if not few:
        return []
    return [
        f"The draws resample {', '.join(f'{n} {kind}' for kind, n in n_drawn.items())}. "
        f"**{' and '.join(few)} are few**: intervals and p-values are as coarse as that, and tend "
        "to be too narrow and too small."
    ]


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
