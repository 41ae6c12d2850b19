"""Decompositions whose parts are known in closed form."""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np
import pytest

from analysis.decomposition import decompose, joint_table
from spikefuse._types import FloatArray
from spikefuse.errors import ConfigError


def _law(outcomes: list[tuple[int, int, int]]) -> FloatArray:
    columns = np.array(outcomes).T
    return joint_table(columns[0], columns[1], columns[2])


_CELLS = [(v, a) for v in (0, 1) for a in (0, 1)]


@pytest.mark.parametrize(
    ("name", "outcomes", "parts"),
    [
        ("exclusive or", [(v, a, v ^ a) for v, a in _CELLS], (0, 0, 0, 1)),
        ("copy", [(0, 0, 0), (1, 1, 1)], (1, 0, 0, 0)),
        # Harder to beat by chance: redundancy 3/4 log2(4/3), Bertschinger et al., table 1.
        ("and", [(v, a, v & a) for v, a in _CELLS], (0.75 * np.log2(4 / 3), 0, 0, 0.5)),
        ("first alone", [(v, a, v) for v, a in _CELLS], (0, 1, 0, 0)),
        ("second alone", [(v, a, a) for v, a in _CELLS], (0, 0, 1, 0)),
        ("both apart", [(v, a, 2 * v + a) for v, a in _CELLS], (0, 1, 1, 0)),
    ],
)
def test_parts_of_known_laws(
    name: str, outcomes: list[tuple[int, int, int]], parts: tuple[float, ...]
) -> None:
    found = decompose(_law(outcomes))
    mine = (found.redundancy, found.unique_first, found.unique_second, found.synergy)
    assert mine == pytest.approx(parts, abs=1e-4), name


def test_parts_are_the_same_every_time() -> None:
    law = _law([(v, a, v ^ a) for v in (0, 1) for a in (0, 1)])
    found = decompose(law)
    assert found.synergy == pytest.approx(1.0, abs=1e-5)
    assert all(decompose(law) == found for _ in range(3))


def test_noisy_exclusive_or_keeps_the_synergy_of_its_channel() -> None:
    flip = 0.1
    law = np.zeros((2, 2, 2))
    for v, a in _CELLS:
        law[v, a, v ^ a] += 0.25 * (1 - flip)
        law[v, a, 1 - (v ^ a)] += 0.25 * flip
    capacity = 1 + flip * np.log2(flip) + (1 - flip) * np.log2(1 - flip)
    found = decompose(law)
    assert found.synergy == pytest.approx(capacity, abs=1e-4)
    assert found.total == pytest.approx(capacity, abs=1e-4)


def test_parts_sum_to_the_information_of_both() -> None:
    law = np.random.default_rng(0).dirichlet(np.ones(12)).reshape(2, 3, 2)
    pair = law.sum(2, keepdims=True) * law.sum((0, 1))
    assert decompose(law).total == pytest.approx(float((law * np.log2(law / pair)).sum()), abs=1e-4)


def test_joint_table_counts_shares() -> None:
    found = joint_table(np.array([0, 0, 1, 1]), np.array([0, 0, 2, 1]), np.array([1, 1, 0, 0]))
    assert found.shape == (2, 3, 2)
    assert found[0, 0, 1] == 0.5
    assert found[1, 2, 0] == found[1, 1, 0] == 0.25


def test_what_is_no_law_is_refused() -> None:
    with pytest.raises(ValueError, match="law of three variables"):
        decompose(np.ones((2, 2, 2)))
    with pytest.raises(ValueError, match="one common length"):
        joint_table(np.zeros(2, np.int64), np.zeros(3, np.int64), np.zeros(2, np.int64))


def test_missing_library_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    known = builtins.__import__

    def without_dit(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.split(".")[0] == "dit":
            raise ImportError(name)
        return known(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_dit)
    with pytest.raises(ConfigError, match=r"spikefuse\[information\]"):
        decompose(_law([(0, 0, 0), (1, 1, 1)]))
