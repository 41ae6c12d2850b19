"""InfoNCE against loops in float64, closed forms and finite differences."""

import math

import pytest
import torch
from torch import Tensor

from spikefuse.objectives.contrastive import Temperature, info_nce

LABELS = torch.tensor([0, 1, 0, 2, 1, 0])


def embeddings(n: int = 6, dim: int = 4) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    za, zb = (torch.randn(n, dim, generator=generator, dtype=torch.float64) for _ in range(2))
    return za / za.norm(dim=1, keepdim=True), zb / zb.norm(dim=1, keepdim=True)


def by_loops(za: Tensor, zb: Tensor, temperature: float, labels: list[int]) -> float:
    """The definition, one exponential at a time."""
    total, n = 0.0, len(za)
    for anchors, others in ((za.tolist(), zb.tolist()), (zb.tolist(), za.tolist())):
        for i in range(n):
            scores = [
                math.exp(sum(x * y for x, y in zip(anchors[i], other, strict=True)) / temperature)
                for other in others
            ]
            positives = [j for j in range(n) if labels[j] == labels[i]]
            total -= sum(math.log(scores[j] / sum(scores)) for j in positives) / len(positives)
    return total / (2 * n)


@pytest.mark.parametrize("labels", [None, LABELS], ids=["pairs", "labels"])
def test_the_loss_equals_loops(labels: Tensor | None) -> None:
    za, zb = embeddings()
    names = list(range(6)) if labels is None else labels.tolist()
    assert float(info_nce(za, zb, 0.3, labels)) == pytest.approx(by_loops(za, zb, 0.3, names))


def test_labels_that_all_differ_are_pairs() -> None:
    za, zb = embeddings()
    torch.testing.assert_close(info_nce(za, zb, 0.2, torch.arange(6)), info_nce(za, zb, 0.2))


@pytest.mark.parametrize("labels", [None, LABELS], ids=["pairs", "labels"])
def test_scores_that_tell_nothing_give_the_logarithm_of_the_batch(labels: Tensor | None) -> None:
    same = torch.ones(6, 4)
    assert float(info_nce(same, same, 0.1, labels)) == pytest.approx(math.log(6), rel=1e-6)


def test_orthogonal_pairs_have_a_closed_form() -> None:
    n, temperature = 5, 0.7
    z = torch.eye(n, dtype=torch.float64)
    expected = math.log(1 + (n - 1) * math.exp(-1 / temperature))
    assert float(info_nce(z, z, temperature)) == pytest.approx(expected)


def test_one_class_leaves_nothing_to_push_away() -> None:
    """With every sample a positive, equal vectors are the minimum: the logarithm of the batch."""
    za, zb = embeddings()
    one_class = torch.zeros(6, dtype=torch.int64)
    assert float(info_nce(za, zb, 0.5, one_class)) > math.log(6)
    same = za[:1].expand(6, -1)
    assert float(info_nce(same, same, 0.5, one_class)) == pytest.approx(math.log(6))


@pytest.mark.parametrize("labels", [None, LABELS], ids=["pairs", "labels"])
def test_the_gradient_equals_finite_differences(labels: Tensor | None) -> None:
    za, zb = (z.requires_grad_() for z in embeddings())
    temperature = torch.tensor(0.4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda a, b, t: info_nce(a, b, t, labels), (za, zb, temperature)
    )


def test_labels_take_false_negatives_out() -> None:
    """Two samples of one class, alike: over pairs they are pushed apart, over labels they rest."""
    z = torch.tensor([[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0]], dtype=torch.float64)
    labels = torch.tensor([4, 4, 9])
    assert float(info_nce(z, z, 0.1)) > 0.4  # a pair takes half of the probability: log 2
    split = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]], dtype=torch.float64)
    assert float(info_nce(split, split, 0.1)) < float(info_nce(z, z, 0.1))
    assert float(info_nce(split, split, 0.1, labels)) > float(info_nce(z, z, 0.1, labels))


def test_no_bits_are_lost_at_a_small_temperature() -> None:
    z = torch.eye(4)
    loss = info_nce(z, -z, 1e-3)
    assert float(loss) == pytest.approx(1000 + math.log(3), rel=1e-5)


def test_a_temperature_starts_where_it_is_told_and_stays_in_its_bounds() -> None:
    temperature = Temperature(0.07, (0.02, 0.5))
    assert float(temperature().detach()) == pytest.approx(0.07, rel=1e-6)
    for far, bound in ((-50.0, 0.02), (50.0, 0.5)):
        with torch.no_grad():
            temperature.logit.fill_(far)
        assert float(temperature().detach()) == pytest.approx(bound, rel=1e-6)


def test_a_learned_temperature_falls_where_pairs_are_found() -> None:
    temperature = Temperature(0.1)
    z = torch.eye(4)
    torch.autograd.backward(info_nce(z, z, temperature()))
    assert temperature.logit.grad is not None
    assert float(temperature.logit.grad) > 0
    assert not Temperature(learn=False).logit.requires_grad


@pytest.mark.parametrize(
    ("shapes", "labels", "temperature", "message"),
    [
        (((3, 2), (4, 2)), None, 0.1, r"za and zb must be .*, got \(3, 2\) and \(4, 2\)"),
        (((0, 2), (0, 2)), None, 0.1, r"B >= 1, got \(0, 2\)"),
        (((3, 2), (3, 2)), torch.zeros(2), 0.1, r"labels must be \[3\], got \(2,\)"),
        (((3, 2), (3, 2)), None, 0.0, "temperature must be positive, got 0.0"),
    ],
)
def test_what_does_not_fit_is_refused(shapes, labels, temperature, message) -> None:
    with pytest.raises(ValueError, match=message):
        info_nce(torch.ones(shapes[0]), torch.ones(shapes[1]), temperature, labels)


def test_a_temperature_outside_of_its_bounds_is_refused() -> None:
    with pytest.raises(ValueError, match=r"initial must lie between bounds.*got 2.0 and"):
        Temperature(2.0)
