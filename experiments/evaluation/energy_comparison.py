"""How sure the modelled ratio of dense and spiking energy is, and where it turns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from experiments.config import Config
from spikefuse.cost.bill import Bill, bill_of
from spikefuse.cost.break_even import break_even
from spikefuse.cost.pricing import REUSES, Reuse, total
from spikefuse.cost.profile import HardwareProfile, load_profile, load_sensor
from spikefuse.cost.ranges import RatioRange, ratio_range
from spikefuse.opcounts import OpCounts

_N_DRAWS = 5000
_LONGEST_TORNADO = 8


def compare_energy(
    snn: OpCounts, dense: OpCounts, config: Config, sensors: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Ranges of dense / SNN and break-even for every configured profile and reuse.

    Both sides are charged on the same profile and for the same sensors over the same window.

    Parameters
    ----------
    snn, dense : OpCounts
    config : Config
    sensors : sequence of sensor profile names

    Returns
    -------
    dict of profile to dict of reuse to dict
        ``dynamic``, ``with_static`` (where published) and ``with_sensors`` (where sensors are
        named; `RatioRange` as plain values), ``break_even`` (None if no neuron fired); or only
        ``reason`` where one side has no price.
    """
    window_s = config.data.duration_ms * 1e-3
    found: dict[str, dict[str, Any]] = {}
    for name in config.cost.profiles:
        fixed = fixed_energies(name, window_s, sensors)
        found[name] = {}
        for reuse in reuses_of(load_profile(name)):
            bills = [_bill(counts, name, config, reuse) for counts in (snn, dense)]
            reason = next((bill.reason for bill in bills if bill.reason is not None), None)
            found[name][reuse] = (
                {"reason": reason}
                if reason is not None
                else _compared(snn, bills[0], bills[1], fixed)
            )
    return found


def reuses_of(chip: HardwareProfile) -> list[Reuse]:
    """Kinds of reuse that a profile can price; "measured" needs what was measured."""
    return [reuse for reuse in REUSES if reuse != "measured" or chip.holds("r_dram_per_mac")]


def fixed_energies(profile: str, window_s: float, sensors: Sequence[str]) -> dict[str, float]:
    """What both sides pay beside the dynamic energy, in pJ, by total; see `ranges_of`.

    The same always-on period for both: the whole window, the whole chip.
    """
    static_mw = load_profile(profile).static_mw()
    sensors_mw = sum(load_sensor(name).power_mw for name in sensors)
    fixed = {"dynamic": 0.0}
    if static_mw is not None:
        fixed["with_static"] = static_mw * window_s * 1e9
    if sensors:
        fixed["with_sensors"] = ((static_mw or 0.0) + sensors_mw) * window_s * 1e9
    return fixed


def ranges_of(snn: Bill, dense: Bill, fixed: Mapping[str, float]) -> dict[str, RatioRange]:
    """Ratio range of each total, from the same draws."""
    return {
        name: ratio_range(snn, dense, extra_snn_pj=pj, extra_dense_pj=pj, n_draws=_N_DRAWS)
        for name, pj in fixed.items()
    }


def input_paths(counts: OpCounts) -> list[str]:
    """Paths that sensor events drive: the first synapses of every encoder."""
    first = [path for path in counts.by_path if ".synapses.0" in path and "encoders." in path]
    return first or [path for path in counts.by_path if path.startswith("fusion.fusion_synapses")]


def _bill(counts: OpCounts, profile: str, config: Config, reuse: Reuse) -> Bill:
    """Bill of one side."""
    return bill_of(counts, profile, reuse=reuse, frontend_profile=config.cost.frontend_profile)


def _compared(
    counts: OpCounts, snn: Bill, dense: Bill, fixed: Mapping[str, float]
) -> dict[str, Any]:
    """The ranges and the break-even of one profile and reuse."""
    dense_pj = total(dense.charges, dense.constants)
    ranges = ranges_of(snn, dense, fixed)
    described: dict[str, Any] = {name: found.to_dict() for name, found in ranges.items()}
    for found in described.values():
        found["tornado"] = found["tornado"][:_LONGEST_TORNADO]
    if not counts.spikes_fired:  # a network that never fires has no line over its activity
        return {**described, "break_even": None}
    line = break_even(counts, snn, dense_pj, input_paths=input_paths(counts))
    return {**described, "break_even": asdict(line)}
