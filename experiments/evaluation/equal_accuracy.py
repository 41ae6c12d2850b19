"""Dense against spiking energy at one accuracy, each along its own front of answers over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from analysis.fronts import Mixture, at_accuracy
from experiments.config import Config
from experiments.evaluation.energy_comparison import fixed_energies, ranges_of, reuses_of
from experiments.evaluation.timeline import Traced, pooled
from spikefuse.cost.bill import Bill, bill_of
from spikefuse.cost.pricing import Reuse, total
from spikefuse.cost.profile import load_profile
from spikefuse.opcounts import OpCounts

_NAMES = {"snn": "the SNN", "dense": "the dense twin"}


@dataclass(frozen=True)
class Answers:
    """A model's answers over time: how good each is, and what was executed for it.

    Parameters
    ----------
    accuracies : sequence of float [k]
    counts : sequence of OpCounts [k]
        Of everything that ran until each answer.
    """

    accuracies: Sequence[float]
    counts: Sequence[OpCounts]


def compare_at_accuracy(
    snn: Answers,
    dense: Answers,
    config: Config,
    sensors: Sequence[str],
    accuracy: float | None = None,
) -> dict[str, dict[str, dict[str, Any]]]:
    r"""Ranges of dense / SNN at an accuracy that both reach, for every profile and reuse.

    .. math:: b(A) = (1 - s)\, b_i + s\, b_{i+1}

    with the bills b of the two answers that `analysis.fronts.at_accuracy` mixes: energy is linear
    in the amounts, so the mixture has a bill of its own, and the constants are drawn for it as for
    any other.

    Parameters
    ----------
    snn, dense : Answers
    config : Config
    sensors : sequence of sensor profile names
        Of both sides, on for the whole window as is the static power, however early the answer.
    accuracy : float, optional
        The lower of the two best by default.

    Returns
    -------
    dict of profile to dict of reuse to dict
        ``accuracy``, and ``dynamic``, ``with_static`` (where published) and ``with_sensors``
        (`RatioRange` without tornado); or ``accuracy`` and ``reason``.
    """
    target = min(max(snn.accuracies), max(dense.accuracies)) if accuracy is None else accuracy
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for profile in config.cost.profiles:
        found[profile] = {}
        for reuse in reuses_of(load_profile(profile)):
            entry: dict[str, Any] = {"accuracy": target}
            bills: list[Bill] = []
            for name, side in (("snn", snn), ("dense", dense)):
                bill, reason = _at(side, target, profile, reuse, config, _NAMES[name])
                if bill is None:
                    entry["reason"] = reason
                    break
                bills.append(bill)
            else:
                fixed = fixed_energies(profile, config.data.duration_ms * 1e-3, sensors)
                for total_name, spread in ranges_of(bills[0], bills[1], fixed).items():
                    described = spread.to_dict()
                    del described["tornado"]
                    entry[total_name] = described
            found[profile][reuse] = entry
    return found


def energies_at_equal_accuracy(
    traced: Mapping[str, Sequence[Traced]], config: Config, sensors: Sequence[str]
) -> dict[str, dict[str, dict[str, Any]]]:
    """`compare_at_accuracy` of a run's models, every profile with the counts that it is given.

    Accuracies are those of the float models, mean over seeds.

    Parameters
    ----------
    traced : mapping of "snn" and "dense" to one Traced per seed
    config : Config
    sensors : sequence of sensor profile names
    """
    timelines = {name: pooled([t.test for t in traced[name]]) for name in ("snn", "dense")}
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for profile in config.cost.profiles:
        sides = {
            name: Answers(
                (timeline.answers == timeline.labels).mean(axis=1).tolist(),
                timeline.charges[profile].counts,
            )
            for name, timeline in timelines.items()
        }
        reasons = [timeline.charges[profile].reason for timeline in timelines.values()]
        why = next((reason for reason in reasons if reason is not None), None)
        if why is not None or not all(side.counts for side in sides.values()):
            reason = {"reason": why or "operations over time were not counted"}
            found[profile] = dict.fromkeys(reuses_of(load_profile(profile)), reason)
            continue
        alone = replace(config, cost=replace(config.cost, profiles=(profile,)))
        found |= compare_at_accuracy(sides["snn"], sides["dense"], alone, sensors)
    return found


def _at(
    side: Answers, target: float, profile: str, reuse: Reuse, config: Config, name: str
) -> tuple[Bill | None, str | None]:
    """The bill of a model that runs just long enough, or why there is none."""
    bills = [
        bill_of(counts, profile, reuse=reuse, frontend_profile=config.cost.frontend_profile)
        for counts in side.counts
    ]
    reason = next((bill.reason for bill in bills if bill.reason is not None), None)
    if reason is not None:
        return None, reason
    energies = [total(bill.charges, bill.constants) for bill in bills]
    mixture = at_accuracy(side.accuracies, energies, target)
    if mixture is None:
        return None, f"accuracy {target:.3f} is not reached by {name}"
    return mixed(bills, mixture), None


def mixed(bills: Sequence[Bill], mixture: Mixture) -> Bill:
    """The bill of two answers, each given to its share of the samples."""
    low, high = bills[mixture.low], bills[mixture.high]
    charges = [
        replace(charge, amount=charge.amount * share)
        for bill, share in ((low, 1 - mixture.share), (high, mixture.share))
        for charge in bill.charges
        if share
    ]
    return replace(high, charges=tuple(charges), constants={**low.constants, **high.constants})
