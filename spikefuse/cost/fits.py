"""Whether a network fits a chip: its cores, its neurons, its memories, as far as they are known."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from spikefuse.cost.chip import Population, populations_of
from spikefuse.cost.constants import Constant
from spikefuse.cost.profile import HardwareProfile
from spikefuse.errors import ProfileError
from spikefuse.opcounts import OpCounts

# What a chip may be short of, and the constants that say how much of it there is.
LIMITS = (
    "n_cores",
    "n_neurons_per_core",
    "n_weight_bytes_per_core",
    "n_weight_bytes",
    "n_state_bytes",
)


@dataclass(frozen=True)
class Budget:
    """What a network needs of one resource, and what there is.

    Parameters
    ----------
    name : str
    unit : str
    needed : float
    available : float or None
        None where the profile does not say.
    where : str
        What needs most, or how it was added up.
    source : str
        Of what is available, with the place in it.
    """

    name: str
    unit: str
    needed: float
    available: float | None
    where: str
    source: str = ""

    @property
    def fits(self) -> bool | None:
        """Whether there is enough; None where that is not known."""
        return None if self.available is None else self.needed <= self.available


@dataclass(frozen=True)
class Fit:
    """A network on a chip.

    Parameters
    ----------
    profile : str
    budgets : tuple of Budget
    cores : mapping of population to cores
        Empty where the profile does not say what a core holds.
    lacking : tuple of str
        Constants that the profile does not have.
    reason : str
        Why it cannot run there at all.
    """

    profile: str
    budgets: tuple[Budget, ...]
    cores: dict[str, int]
    lacking: tuple[str, ...]
    reason: str = ""

    @property
    def fits(self) -> bool | None:
        """False if anything is short; True if all that is known suffices; None if nothing is."""
        if self.reason:
            return False
        known = [budget.fits for budget in self.budgets if budget.fits is not None]
        return all(known) if known else None

    @property
    def sentence(self) -> str:
        """Whether it fits, and why not, or what is not known."""
        if self.reason:
            return f"{self.profile}: does not fit, {self.reason}."
        known = [b for b in self.budgets if b.fits is not None]
        if not known:
            return f"{self.profile}: not known, the profile holds none of {', '.join(LIMITS)}."
        short = [b for b in known if b.fits is False]
        said = [
            f"{b.needed:,.0f} of {b.available:,.0f} {b.unit} ({b.where})" for b in short or known
        ]
        verdict = "does not fit" if short else "fits"
        more = f" Not known: {', '.join(self.lacking)}." if self.lacking else ""
        return f"{self.profile}: {verdict}, {'; '.join(said)}.{more}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "profile": self.profile,
            "fits": self.fits,
            "sentence": self.sentence,
            "cores": self.cores,
            "lacking": list(self.lacking),
            "budgets": [
                {
                    "name": b.name,
                    "unit": b.unit,
                    "needed": b.needed,
                    "available": b.available,
                    "fits": b.fits,
                    "where": b.where,
                    "source": b.source,
                }
                for b in self.budgets
            ],
        }


def fits(
    counts: OpCounts,
    profile: HardwareProfile,
    weight_bits: int | None = None,
    state_bits: int | None = None,
) -> Fit:
    r"""Place a network's populations on a chip's cores, and compare with what it has.

    A population of n neurons with w bytes of weights takes whole cores, none shared:

    .. math:: k = \max\Big(\Big\lceil \frac{n}{N} \Big\rceil,
              \Big\lceil \frac{w}{M} \Big\rceil\Big)

    of N neurons and M bytes of weights each (where the profile says), and at least one. Its weights
    are those of the synapses that drive it, at ``weight_bits`` a word.

    Parameters
    ----------
    counts : OpCounts
        Of the network; its paths carry the words of their weights and states.
    profile : HardwareProfile
    weight_bits, state_bits : int, optional
        The profile's ``word_bits`` and ``state_bits`` by default.

    Raises
    ------
    ProfileError
        If the profile is that of a sensor.

    Notes
    -----
    Weights are packed as they are: what a chip adds for an index, a delay or a pointer is not known
    here, and a sparse format may need more or less. Kernels of a convolution count once, which a
    chip without shared weights cannot do.
    """
    if profile.prices == "sensor":
        raise ProfileError(f"profile must be of a chip, got the sensor {profile.name!r}")
    word = (profile.word_bits if weight_bits is None else weight_bits) / 8
    populations = populations_of(counts)
    dense = [p for p in counts.by_path.values() if p.kind == "dense"]
    held = {p.name: sum(s.weight_words for s in p.synapses) * word for p in populations}
    cores = _cores(populations, held, profile)
    weights = sum(p.weight_words for p in counts.by_path.values() if p.kind != "frontend") * word
    states = sum(p.state_words for p in counts.by_path.values() if p.kind == "event")
    states += max((p.state_words for p in dense), default=0)
    budgets = [
        _budget("weights", "bytes", weights, "n_weight_bytes", profile, "weights of all layers"),
        _budget(
            "states",
            "bytes",
            states * (profile.state_bits if state_bits is None else state_bits) / 8,
            "n_state_bytes",
            profile,
            "states of all neurons; of dense layers the largest",
        ),
    ]
    if cores:
        most = max(cores, key=lambda name: cores[name])
        where = f"{cores[most]:,} of them {most}"
        needed = sum(cores.values())
        budgets.insert(0, _budget("cores", "cores", needed, "n_cores", profile, where))
    lacking = [name for name in LIMITS if not profile.holds(name)]
    known_whole = profile.holds("n_weight_bytes_per_core") and profile.holds("n_cores")
    if known_whole and "n_weight_bytes" in lacking:
        lacking.remove("n_weight_bytes")
    reason = ""
    if profile.prices == "event" and not populations:
        reason = "it has no event-driven neurons and the chip runs nothing else"
    return Fit(profile.name, tuple(budgets), cores, tuple(lacking), reason)


def _cores(
    populations: Sequence[Population], held: dict[str, float], profile: HardwareProfile
) -> dict[str, int]:
    """Cores of each population; none where the profile says nothing of a core."""
    limits = {
        "n_neurons_per_core": {p.name: float(p.n_neurons) for p in populations},
        "n_weight_bytes_per_core": held,
    }
    known = {name: needed for name, needed in limits.items() if profile.holds(name)}
    if not known:
        return {}
    return {
        p.name: max(
            1, *(math.ceil(needed[p.name] / profile.value(name)) for name, needed in known.items())
        )
        for p in populations
    }


def _budget(
    name: str, unit: str, needed: float, constant: str, profile: HardwareProfile, where: str
) -> Budget:
    """One resource, with the source of what there is."""
    found: Constant | None = profile.constants.get(constant)
    if found is None:
        return Budget(name, unit, needed, None, where)
    return Budget(name, unit, needed, found.value, where, f"{found.source}; {found.locator}")
