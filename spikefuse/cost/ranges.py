"""How far a comparison depends on the constants: draws over their ranges, and a tornado."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from spikefuse._types import FloatArray
from spikefuse.cost.bill import Bill
from spikefuse.cost.constants import Constant

Key = tuple[str, str]  # profile, constant


@dataclass(frozen=True)
class Swing:
    """What one constant does to the ratio, the others at their nominal values.

    Parameters
    ----------
    profile, constant : str
    low, high : float
        Dense / SNN with the constant at the low and at the high end of what was drawn.
    assumed : bool
        Whether the range is ours, as none was published.
    """

    profile: str
    constant: str
    low: float
    high: float
    assumed: bool


@dataclass(frozen=True)
class RatioRange:
    """Dense over SNN energy when the constants are drawn from their ranges.

    Parameters
    ----------
    nominal, median, low, high : float
        Ratio at the nominal constants, and median, 5 and 95 % quantiles over draws.
    share_snn_wins : float
        Share of draws in which the SNN needs less.
    n_draws : int
    spread : float
        Constants without a published range were drawn within this factor either way.
    tornado : tuple of Swing
        Largest swing first.
    """

    nominal: float
    median: float
    low: float
    high: float
    share_snn_wins: float
    n_draws: int
    spread: float
    tornado: tuple[Swing, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a result file."""
        return {**asdict(self), "tornado": [asdict(swing) for swing in self.tornado]}


def ratio_range(
    snn: Bill,
    dense: Bill,
    *,
    extra_snn_pj: float = 0.0,
    extra_dense_pj: float = 0.0,
    spread: float = 1.5,
    process_spread: float = 1.0,
    n_draws: int = 10_000,
    seed: int = 0,
) -> RatioRange:
    r"""Draw every constant once for both systems and look at dense / SNN.

    .. math:: r = \frac{F_d\, a_d \cdot c + X_d}{F_s\, a_s \cdot c + X_s}, \quad
              \log c_k \sim U(\log l_k, \log h_k)

    with the amounts :math:`a` of the bills, the same :math:`c` on both sides (common random
    numbers: what both pay for cancels), and a process factor F per profile.

    Parameters
    ----------
    snn, dense : Bill
        With a price: ``reason`` is None.
    extra_snn_pj, extra_dense_pj : float
        Static power and sensors of either side, held fixed.
    spread : float
        Factor, at least 1, either way for constants without a published range: an assumption,
        marked as such. Yan et al. (arXiv:2409.08290) vary theirs by 50 %; 1 leaves them fixed.
    process_spread : float
        As ``spread``, of one factor for all constants of a profile.
    n_draws, seed : int

    Returns
    -------
    RatioRange

    Raises
    ------
    ValueError
        If a bill has no price, a factor is below 1, or the SNN's energy is zero.
    """
    for name, bill in (("snn", snn), ("dense", dense)):
        if bill.reason is not None:
            raise ValueError(f"{name} must have a price, got none: {bill.reason}")
    for name, factor in (("spread", spread), ("process_spread", process_spread)):
        if not 1 <= factor < math.inf:
            raise ValueError(f"{name} must be at least 1, got {factor}")
    if n_draws < 1:
        raise ValueError(f"n_draws must be at least 1, got {n_draws}")
    constants = {**dense.constants, **snn.constants}
    keys = list(constants)
    values = np.array([constants[key].value for key in keys])
    ends = np.array([_ends(constants[key], spread) for key in keys])
    weights = [_amounts(bill, keys) for bill in (snn, dense)]
    extra = np.array([extra_snn_pj, extra_dense_pj])

    def ratio(drawn: FloatArray) -> FloatArray:
        """Ratio for constants [..., n]."""
        both = [drawn @ weight + more for weight, more in zip(weights, extra, strict=True)]
        if not (both[0] > 0).all():
            raise ValueError("snn must need energy, got none")
        found: FloatArray = both[1] / both[0]
        return found

    rng = np.random.default_rng(seed)
    low, high = np.log(ends[:, 0]), np.log(ends[:, 1])
    draws: FloatArray = np.exp(low + rng.random((n_draws, len(keys))) * (high - low))
    profiles = sorted({profile for profile, _ in keys})
    reach = math.log(process_spread)
    common: FloatArray = np.exp(rng.uniform(-reach, reach, (n_draws, len(profiles))))
    draws = draws * common[:, [profiles.index(profile) for profile, _ in keys]]
    ratios = ratio(draws)
    quantiles = np.quantile(ratios, [0.05, 0.5, 0.95])
    swings: list[Swing] = []
    for i, (profile, constant) in enumerate(keys):
        both_ends = np.tile(values, (2, 1))
        both_ends[:, i] = ends[i]
        at = ratio(both_ends)
        assumed = not constants[profile, constant].has_range and spread > 1
        swings.append(Swing(profile, constant, float(at[0]), float(at[1]), assumed))
    swings.sort(key=lambda swing: -abs(math.log(swing.high / swing.low)))
    return RatioRange(
        float(ratio(values)),
        float(quantiles[1]),
        float(quantiles[0]),
        float(quantiles[2]),
        float((ratios > 1).mean()),
        n_draws,
        spread,
        tuple(swings),
    )


def _ends(constant: Constant, spread: float) -> tuple[float, float]:
    """Published range, or the assumed one."""
    if constant.has_range:
        return constant.low, constant.high
    return constant.value / spread, constant.value * spread


def _amounts(bill: Bill, keys: Sequence[Key]) -> FloatArray:
    """How often a bill uses each constant."""
    sums: dict[Key, float] = dict.fromkeys(keys, 0.0)
    for charge in bill.charges:
        sums[charge.profile, charge.constant] += charge.amount
    return np.array([sums[key] for key in keys])
