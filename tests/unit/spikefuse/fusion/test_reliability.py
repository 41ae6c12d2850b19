"""The uncertainty gate on S4: its weights against the planted variances, and under noise."""

from itertools import pairwise

import pytest
import torch

from experiments.studies.reliability import (
    GATES,
    MARK,
    MARK_NOISE,
    ReliabilityProtocol,
    tables,
    weigh,
)
from spikefuse.fusion import build
from spikefuse.fusion.uncertainty_gate import UncertaintyGateFusion
from spikefuse.spikes import SpikeBatch

P = ReliabilityProtocol(n_samples=300)
CONDITIONS = P.deviations_deg


@pytest.mark.parametrize("deviations", CONDITIONS[:3], ids=str)
def test_weights_of_s4_follow_the_rule_within_a_tenth(deviations: tuple[float, float]) -> None:
    found = weigh(P, deviations)
    assert found.rule == pytest.approx(
        deviations[1] ** 2 / (deviations[0] ** 2 + deviations[1] ** 2), rel=0.05
    )
    assert found.gate == pytest.approx(found.rule, rel=0.1)
    assert 1 - found.gate == pytest.approx(1 - found.rule, rel=0.1)
    assert found.error < 0.1


def test_a_modality_never_gains_by_its_noise() -> None:
    for row in (0, 1):  # of vision, of sound
        pairs = [(sd, 4.0) if row == 0 else (4.0, sd) for sd in (4.0, 5.66, 8.0, 11.3, 16.0)]
        vision = [weigh(P, deviations).gate for deviations in pairs]
        own = vision if row == 0 else [1 - w for w in vision]
        assert all(later < earlier for earlier, later in pairwise(own)), own


@pytest.mark.parametrize("kind", GATES)
def test_random_events_never_raise_the_gain_of_a_spike(kind: str) -> None:
    rows = [weigh(P, P.background_at_deg, kind, rate) for rate in P.background_hz]
    own = [1 - row.per_spike for row in rows]
    assert all(later < earlier for earlier, later in pairwise(own)), own
    # Their number wins in the end, unless only what is beyond noise counts.
    most = max(1 - row.gate for row in rows)
    clean = 1 - rows[0].gate
    assert (most == clean) if kind == "above noise" else (most > 1.2 * clean)


@torch.no_grad()
def test_influence_by_hand() -> None:
    gate = build("uncertainty_gate", {"vision": 5, "audio": 5}, 2)
    assert isinstance(gate, UncertaintyGateFusion)
    spikes = {name: torch.zeros(4, 2, 5) for name in ("vision", "audio")}
    spikes["vision"][0, 0, 1] = spikes["vision"][2, 0, 3] = spikes["audio"][3, 0, 2] = 1
    shares, _ = gate.weights(spikes)
    seen = float(shares["vision"][0, 0] + shares["vision"][2, 0])
    expected = seen / (seen + float(shares["audio"][3, 0]))
    found = gate.influence(spikes)
    assert float(found["vision"][0]) == pytest.approx(expected, rel=1e-6)
    assert found["vision"][1] == found["audio"][1] == 0.5  # a silent sample
    events = {name: SpikeBatch.from_dense(x) for name, x in spikes.items()}
    assert torch.equal(gate.influence(events)["vision"], found["vision"])


def test_tables_name_every_condition() -> None:
    small = ReliabilityProtocol(n_samples=20)
    rows = [weigh(small, (4.0, 8.0), kind) for kind in GATES]
    noisy = [weigh(small, (5.66, 5.66), kind, 20.0) for kind in GATES]
    found = tables(rows, noisy)
    assert f"| 4, 8 | {rows[0].rule:.3f} | {rows[0].gate:.3f}" in found[MARK]
    assert f"| {rows[1].gate:.3f}" in found[MARK]
    assert f"| 20 | {1 - noisy[0].gate:.3f}" in found[MARK_NOISE]
    with pytest.raises(ValueError, match="zip"):
        tables(rows[:1], noisy)
