"""Redundant, unique and synergistic information of two discrete sources about a third variable."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spikefuse._types import FloatArray, Int64Array
from spikefuse.errors import ConfigError

_INSTALL = "pip install 'spikefuse[information]'"

_STARTS = 5


@dataclass(frozen=True)
class Decomposition:
    """Parts of I(V, A; Y) in bits; they sum to it.

    Parameters
    ----------
    redundancy : float
        What either source tells.
    unique_first, unique_second : float
        What one tells and the other does not.
    synergy : float
        What only both together tell.
    """

    redundancy: float
    unique_first: float
    unique_second: float
    synergy: float

    @property
    def total(self) -> float:
        """I(V, A; Y)."""
        return self.redundancy + self.unique_first + self.unique_second + self.synergy


def joint_table(first: Int64Array, second: Int64Array, target: Int64Array) -> FloatArray:
    """Shares of every combination of three discrete variables, ``[|V|, |A|, |Y|]``.

    Raises
    ------
    ValueError
        If lengths differ or nothing is given.
    """
    columns = [np.asarray(x, np.int64) for x in (first, second, target)]
    if not len(columns[0]) or len({len(x) for x in columns}) > 1:
        raise ValueError(
            "first, second and target must have one common length >= 1, got "
            f"{[len(x) for x in columns]}"
        )
    table = np.zeros([int(x.max()) + 1 for x in columns])
    np.add.at(table, tuple(columns), 1.0)
    return table / len(columns[0])


def decompose(table: FloatArray) -> Decomposition:
    r"""Partial information decomposition of Bertschinger et al., by ``dit``.

    The unique information of V is the least conditional information :math:`I_Q(V; Y | A)` over all
    laws Q with the same pairs :math:`(V, Y)` and :math:`(A, Y)`; the rest follows from
    :math:`I(V; Y) = R + U_V`, :math:`I(A; Y) = R + U_A`, :math:`I(V, A; Y) = R + U_V + U_A + S`.

    Parts are of the table as it is. If it was counted from n samples, their sum is high by about
    :math:`(|V||A| - 1)(|Y| - 1) / (2 n \ln 2)`, most of it in the synergy.

    Parameters
    ----------
    table : float array [V, A, Y]
        A law: not negative, sums to 1.

    Raises
    ------
    ValueError
        If it is no law of three variables.
    ConfigError
        If ``dit`` is not installed.

    References
    ----------
    Bertschinger, Rauh, Olbrich, Jost and Ay, "Quantifying unique information", Entropy 16, 2014.
    James, Ellison and Crutchfield, "dit: a Python package for discrete information theory",
    Journal of Open Source Software 3(25), 2018.
    """
    law = np.asarray(table, np.float64)
    if law.ndim != 3 or (law < 0).any() or not np.isclose(law.sum(), 1):
        raise ValueError(
            "table must be a law of three variables, not negative and of sum 1, got shape "
            f"{law.shape} and sum {law.sum():g}"
        )
    try:
        import dit
        from dit.pid import PID_BROJA
    except ImportError as error:
        raise ConfigError(f"decompose needs dit, which is not installed: {_INSTALL}") from error
    places = np.argwhere(law > 0)
    outcomes = [tuple(str(i) for i in place) for place in places]
    dist = dit.Distribution(outcomes, [float(law[tuple(place)]) for place in places])
    nodes = (((0,), (1,)), ((0,),), ((1,),), ((0, 1),))
    found: list[Decomposition] = []
    # From some starts the optimiser stops far from the least Q: that of exclusive or, at a synergy
    # of 0.74 bits. Of several, the least Q is the one with the most synergy.
    for start in range(_STARTS):
        parts = PID_BROJA(dist, [[0], [1]], [2], rng=np.random.default_rng(start))
        # It stops within about 1e-6 bits, on either side of 0.
        values = (max(0.0, float(parts.get_pi(node))) for node in nodes)
        found.append(Decomposition(*values))
    return max(found, key=lambda one: one.synergy)
