"""How sure the modelled ratio of dense and spiking energy is, and where it turns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from experiments.config import Config
from spikefuse.cost.bill import Bill, bill_of
from spikefuse.cost.break_even import break_even
from spikefuse.cost.pricing import REUSES, Reuse, total
from spikefuse.cost.profile import load_profile, load_sensor
from spikefuse.cost.ranges import ratio_range
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
        ``dynamic`` and ``with_sensors`` (`RatioRange` as plain values), ``break_even`` (None if
        no neuron fired); or only ``reason`` where one side has no price.
    """
    window_s = config.data.duration_ms * 1e-3
    sensors_pj = sum(load_sensor(name).power_mw for name in sensors) * window_s * 1e9
    found: dict[str, dict[str, Any]] = {}
    for name in config.cost.profiles:
        chip = load_profile(name)
        static_pj = (chip.static_mw() or 0.0) * window_s * 1e9
        found[name] = {}
        for reuse in REUSES:
            if reuse == "measured" and not chip.holds("r_dram_per_mac"):
                continue
            bills = [_bill(counts, name, config, reuse) for counts in (snn, dense)]
            reason = next((bill.reason for bill in bills if bill.reason is not None), None)
            found[name][reuse] = (
                {"reason": reason}
                if reason is not None
                else _compared(snn, bills[0], bills[1], static_pj + sensors_pj)
            )
    return found


def input_paths(counts: OpCounts) -> list[str]:
    """Paths that sensor events drive: the first synapses of every encoder."""
    first = [path for path in counts.by_path if ".synapses.0" in path and "encoders." in path]
    return first or [path for path in counts.by_path if path.startswith("fusion.fusion_synapses")]


def _bill(counts: OpCounts, profile: str, config: Config, reuse: Reuse) -> Bill:
    """Bill of one side."""
    return bill_of(counts, profile, reuse=reuse, frontend_profile=config.cost.frontend_profile)


def _compared(counts: OpCounts, snn: Bill, dense: Bill, fixed_pj: float) -> dict[str, Any]:
    """Both ranges and the break-even of one profile and reuse."""
    dense_pj = total(dense.charges, dense.constants)
    ranges = {
        "dynamic": ratio_range(snn, dense, n_draws=_N_DRAWS),
        "with_sensors": ratio_range(
            snn, dense, extra_snn_pj=fixed_pj, extra_dense_pj=fixed_pj, n_draws=_N_DRAWS
        ),
    }
    described: dict[str, Any] = {name: found.to_dict() for name, found in ranges.items()}
    for found in described.values():
        found["tornado"] = found["tornado"][:_LONGEST_TORNADO]
    if not counts.spikes_fired:  # a network that never fires has no line over its activity
        return {**described, "break_even": None}
    line = break_even(counts, snn, dense_pj, input_paths=input_paths(counts))
    return {**described, "break_even": asdict(line)}
