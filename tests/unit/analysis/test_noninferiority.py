"""Non-inferiority: Holm by hand, verdicts on planted differences."""

import numpy as np
import pytest

from analysis.noninferiority import compare_all, holm, two_sided_p


def test_holm_by_hand() -> None:
    # Sorted: 0.01 x 4, 0.02 x 3, 0.03 x 2 (but not below what came before), 0.5 x 1.
    assert holm([0.03, 0.01, 0.5, 0.02]) == pytest.approx([0.06, 0.04, 0.5, 0.06])
    assert holm([0.4, 0.5]) == pytest.approx([0.8, 0.8])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_two_sided_p_by_hand() -> None:
    draws = np.array([0.3, 0.2, 0.1, 0.4, 0.2, 0.3, 0.1, 0.2, -0.1])
    assert two_sided_p(draws) == two_sided_p(-draws) == pytest.approx(2 * (1 + 1) / (1 + 9))
    assert two_sided_p(np.zeros(9)) == 1.0


def samples(shift: float, spread: float, n: int = 400) -> np.ndarray:
    return shift + spread * np.random.default_rng(3).standard_normal(n)


def test_verdicts_of_planted_differences() -> None:
    rows = [f"r{i % 100}" for i in range(400)]
    columns = [f"c{i % 7}" for i in range(400)]
    differences = {
        "same": samples(0.0, 0.05),
        "worse": samples(-0.08, 0.05),
        "unclear": samples(-0.01, 0.6),
    }
    found = compare_all(differences, rows, columns, np.random.default_rng(0), n_draws=999)
    assert {name: c.verdict for name, c in found.items()} == {
        "same": "non-inferior",
        "worse": "inferior",
        "unclear": "unresolved",
    }
    for name, comparison in found.items():
        assert comparison.difference == pytest.approx(differences[name].mean())
        assert comparison.interval[0] < comparison.difference < comparison.interval[1]


def test_the_same_result_counts_for_less_among_many() -> None:
    rows, columns = [str(i) for i in range(400)], [str(i) for i in range(400)]
    alone = {"a": samples(0.0, 0.2)}
    many = alone | {str(i): samples(-0.02, 0.2) for i in range(20)}
    p_alone, p_many = (
        compare_all(d, rows, columns, np.random.default_rng(0), n_draws=999)["a"].p_value
        for d in (alone, many)
    )
    assert p_many == pytest.approx(min(1.0, 21 * p_alone))


def test_the_margin_must_be_positive() -> None:
    with pytest.raises(ValueError, match="margin must be > 0 and alpha in"):
        compare_all({}, [], [], np.random.default_rng(0), margin=0.0)
