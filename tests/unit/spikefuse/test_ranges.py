"""Ranges: common random numbers, closed forms of the draws, and the order of the tornado."""

import math

import pytest

from spikefuse.cost.bill import bill_of
from spikefuse.cost.ranges import ratio_range
from spikefuse.opcounts import OpCounts, PathCounts

ADDS = OpCounts({"a": PathCounts(effective_acs=1000)}, 1)
MORE_ADDS = OpCounts({"a": PathCounts(effective_acs=3000)}, 1)
SYNOPS = OpCounts({"a": PathCounts(effective_acs=100)}, 1)
UPDATES = OpCounts({"a": PathCounts(neuron_updates_active=40)}, 1)


def test_a_constant_that_both_pay_cancels() -> None:
    both = [bill_of(c, "yan2024_22nm") for c in (ADDS, MORE_ADDS)]
    found = ratio_range(*both, spread=3.0, n_draws=200)
    assert (found.low, found.high) == pytest.approx((3, 3))
    assert found.share_snn_wins == 1
    assert found.tornado[0].low == pytest.approx(found.tornado[0].high)


def test_two_constants_give_the_triangle_of_their_logarithms() -> None:
    """Difference of two uniforms on [-L, L]: P(d > -g) = 1 - (2L - g)^2 / 8L^2."""
    snn, dense = bill_of(SYNOPS, "loihi1_davies2018"), bill_of(UPDATES, "loihi1_davies2018")
    nominal = 40 * 81 / (100 * 23.6)
    reach, gap = math.log(2.0), math.log(nominal)
    found = ratio_range(snn, dense, spread=2.0, n_draws=40_000)
    assert found.nominal == pytest.approx(nominal)
    assert found.median == pytest.approx(nominal, rel=0.02)
    assert found.share_snn_wins == pytest.approx(
        1 - (2 * reach - gap) ** 2 / (8 * reach**2), abs=0.01
    )
    quantile = 2 * reach - math.sqrt(8 * reach**2 * 0.05)
    assert found.high == pytest.approx(nominal * math.exp(quantile), rel=0.02)


def test_the_tornado_is_sorted_and_says_what_is_assumed() -> None:
    counts = OpCounts({"a": PathCounts(effective_acs=900, neuron_updates_active=5)}, 1)
    found = ratio_range(bill_of(counts, "loihi1_davies2018"), bill_of(UPDATES, "loihi1_davies2018"))
    swings = [abs(math.log(s.high / s.low)) for s in found.tornado]
    assert swings == sorted(swings, reverse=True)
    assert all(s.assumed for s in found.tornado)
    published = ratio_range(bill_of(SYNOPS, "loihi1_nahuku"), bill_of(SYNOPS, "loihi1_nahuku"))
    assert not published.tornado[0].assumed


def test_without_ranges_every_draw_is_the_nominal_ratio() -> None:
    snn, dense = bill_of(SYNOPS, "loihi1_davies2018"), bill_of(UPDATES, "loihi1_davies2018")
    found = ratio_range(snn, dense, spread=1.0, n_draws=50)
    assert found.low == pytest.approx(found.high) == pytest.approx(found.nominal)
    assert found.to_dict()["tornado"][0]["assumed"] is False


def test_a_process_factor_cancels_within_a_profile_and_fixed_parts_do_not() -> None:
    snn, dense = bill_of(SYNOPS, "loihi1_davies2018"), bill_of(UPDATES, "loihi1_davies2018")
    found = ratio_range(snn, dense, spread=1.0, process_spread=2.0, n_draws=100)
    assert found.low == pytest.approx(found.high)
    fixed = ratio_range(
        snn, dense, extra_snn_pj=1e9, extra_dense_pj=1e9, spread=1.0, process_spread=2.0
    )
    assert fixed.low < fixed.high
    assert fixed.nominal == pytest.approx(1, abs=1e-5)


def test_misuse_names_the_argument() -> None:
    priced = bill_of(SYNOPS, "loihi1_davies2018")
    unpriced = bill_of(OpCounts({"a": PathCounts(kind="dense")}, 1), "loihi1_davies2018")
    with pytest.raises(ValueError, match="dense must have a price, got none: loihi1_davies2018"):
        ratio_range(priced, unpriced)
    with pytest.raises(ValueError, match=r"spread must be at least 1, got 0\.5"):
        ratio_range(priced, priced, spread=0.5)
    with pytest.raises(ValueError, match="snn must need energy, got none"):
        ratio_range(bill_of(OpCounts({"a": PathCounts()}, 1), "loihi1_davies2018"), priced)
