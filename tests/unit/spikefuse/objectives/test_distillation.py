"""The distance from a teacher's answers."""

import math

import pytest
import torch

from spikefuse.objectives.distillation import distillation_loss


def test_it_is_the_divergence_of_the_softened_answers() -> None:
    # At temperature 2 the scores (2 ln 3, 0) are the probabilities 3/4 and 1/4.
    own, taught = torch.zeros(1, 2), torch.tensor([[2 * math.log(3), 0.0]])
    expected = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)
    assert distillation_loss(own, taught, 2.0).item() == pytest.approx(4 * expected, rel=1e-5)


def test_it_is_zero_at_the_teacher_and_its_gradient_points_there() -> None:
    taught = torch.randn(5, 3)
    assert distillation_loss(taught + 7.0, taught, 3.0).item() == pytest.approx(0, abs=1e-5)
    own = torch.zeros(5, 3, requires_grad=True)
    distillation_loss(own, taught, 1.0).backward()
    softened = (torch.full((5, 3), 1 / 3) - taught.softmax(1)) / 5
    assert torch.allclose(own.grad, softened, atol=1e-6)


def test_the_teacher_takes_no_gradient() -> None:
    taught = torch.randn(2, 3, requires_grad=True)
    distillation_loss(torch.zeros(2, 3, requires_grad=True), taught, 1.0).backward()
    assert taught.grad is None


def test_other_shapes_and_a_temperature_of_zero_are_refused() -> None:
    with pytest.raises(ValueError, match=r"taught must be of the shape"):
        distillation_loss(torch.zeros(2, 3), torch.zeros(2, 4), 1.0)
    with pytest.raises(ValueError, match="temperature must be positive, got 0"):
        distillation_loss(torch.zeros(2, 3), torch.zeros(2, 3), 0.0)
