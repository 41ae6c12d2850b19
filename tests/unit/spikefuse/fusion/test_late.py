"""The log-opinion pool and its temperatures."""

import math

import pytest
import torch

from spikefuse.fusion import LateFusion, build, fit_temperature
from spikefuse.kernels.readout import li_scan


def late() -> LateFusion:
    torch.manual_seed(0)
    operator = build("late", {"vision": 12, "audio": 7}, 4, dt_ms=5.0)
    assert isinstance(operator, LateFusion)
    return operator


def spikes() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {
        name: (torch.rand(9, 3, n, generator=generator) < 0.3).float()
        for name, n in (("vision", 12), ("audio", 7))
    }


@torch.no_grad()
def test_scores_are_the_sum_of_calibrated_log_likelihoods() -> None:
    operator, x = late(), spikes()
    operator.set_temperature({"audio": 2.5})
    expected = torch.zeros(9, 3, 4)
    for name, temperature in (("vision", 1.0), ("audio", 2.5)):
        readout = operator.readouts[name]
        current = x[name] @ operator.readout_synapses[name].weight * readout.log_gain.exp()
        trace, _ = li_scan(current, torch.sigmoid(readout.beta_logit))
        expected += torch.log_softmax(trace / temperature, -1)
    torch.testing.assert_close(operator(x)[0], expected)


@torch.no_grad()
def test_a_silent_modality_votes_for_no_class() -> None:
    operator, x = late(), spikes()
    x["audio"] = torch.zeros_like(x["audio"])
    evidence, _ = operator.evidence(x)
    expected = torch.log_softmax(evidence["vision"], -1) - math.log(4)
    torch.testing.assert_close(operator(x)[0], expected)


def test_temperatures_are_kept_with_the_weights() -> None:
    operator = late()
    operator.set_temperature({"vision": 3.0})
    fresh = late()
    fresh.load_state_dict(operator.state_dict())
    torch.testing.assert_close(fresh.log_temperature, torch.tensor([3.0, 1.0]).log())
    with pytest.raises(ValueError, match=r"temperature must be positive numbers of .*'touch': 1"):
        operator.set_temperature({"touch": 1.0})
    with pytest.raises(ValueError, match=r"temperature must be positive .*'audio': 0"):
        operator.set_temperature({"audio": 0.0})


@pytest.mark.parametrize("planted", [0.3, 1.0, 4.0])
def test_a_planted_temperature_is_found(planted: float) -> None:
    generator = torch.Generator().manual_seed(3)
    logits = 2 * torch.randn(20_000, 5, generator=generator)
    labels = torch.multinomial(torch.softmax(logits, 1), 1, generator=generator)[:, 0]
    assert fit_temperature(planted * logits, labels) == pytest.approx(planted, rel=0.05)


def test_the_fit_is_the_minimum_of_the_loss() -> None:
    generator = torch.Generator().manual_seed(4)
    logits, labels = torch.randn(50, 3, generator=generator), torch.arange(50) % 3
    logits[torch.arange(50), labels] += 0.5
    best = fit_temperature(logits, labels)

    def loss(temperature: float) -> float:
        scaled = logits.double() / temperature
        return float(torch.nn.functional.cross_entropy(scaled, labels))

    assert loss(best) < min(loss(best * 1.01), loss(best / 1.01))


def test_scores_that_are_always_or_never_right() -> None:
    logits = torch.eye(3)
    assert fit_temperature(logits, torch.arange(3)) == pytest.approx(1e-3)
    assert fit_temperature(logits, (torch.arange(3) + 1) % 3) == pytest.approx(1e3)
    with pytest.raises(ValueError, match=r"scores must be \[N, C\] with a label"):
        fit_temperature(logits, torch.arange(2))
