"""Balance: rates by hand, and a dominated modality that learns once the other is slowed."""

import math

import pytest
import torch
from torch import Tensor

from spikefuse.encoders.spec import EncoderSpec, ModalitySpec
from spikefuse.models import FusionSNN, ModelSpec
from spikefuse.objectives.balance import gradient_norm, ogm_rates
from spikefuse.objectives.heads import UnimodalHeads, unimodal_loss


def sure_of(p: float) -> Tensor:
    """Evidence of two classes that gives the first one probability p."""
    return torch.tensor([[math.log(p), math.log(1 - p)]])


def test_rates_by_hand() -> None:
    scores = {"vision": sure_of(0.8), "audio": sure_of(0.4)}
    rates = ogm_rates(scores, torch.tensor([0]), 0.3)
    assert rates["audio"] == 1.0
    assert rates["vision"] == pytest.approx(1 - math.tanh(0.3 * 0.8 / 0.4))


def test_a_third_modality_is_compared_with_the_mean_of_the_others() -> None:
    scores = {"a": sure_of(0.9), "b": sure_of(0.4), "c": sure_of(0.1)}
    rates = ogm_rates(scores, torch.tensor([0]), 0.5)
    assert rates["a"] == pytest.approx(1 - math.tanh(0.5 * 0.9 / 0.25))
    assert rates["b"] == rates["c"] == 1.0


def test_equal_or_single_modalities_are_not_slowed() -> None:
    one = {"a": sure_of(0.9)}
    assert ogm_rates(one, torch.tensor([0]), 1.0) == {"a": 1.0}
    assert ogm_rates(one | {"b": sure_of(0.9)}, torch.tensor([0]), 1.0) == {"a": 1.0, "b": 1.0}


def test_strength_must_be_finite() -> None:
    with pytest.raises(ValueError, match="strength must be >= 0 and finite, got -1"):
        ogm_rates({"a": sure_of(0.9)}, torch.tensor([0]), -1)


def test_the_norm_is_that_of_all_gradients_together() -> None:
    a, b, c = (torch.zeros(2, requires_grad=True) for _ in range(3))
    a.grad, b.grad = torch.tensor([3.0, 0.0]), torch.tensor([0.0, 4.0])
    assert gradient_norm([a, b, c]) == 5.0
    assert gradient_norm([c]) == 0.0


def test_heads_read_each_encoder_alone() -> None:
    torch.manual_seed(0)
    heads = UnimodalHeads({"vision": 4, "audio": 3}, 2, 20.0, 5.0)
    spikes = {k: torch.ones(5, 2, n, requires_grad=True) for k, n in (("vision", 4), ("audio", 3))}
    found = heads(spikes)
    # A leaky mean of a constant current x is x (1 - beta^t), times the readout's own gain.
    for name, synapse in heads.synapses.items():
        by_hand = heads.readouts[name](synapse(spikes[name]))[0].sum(0) / 5
        torch.testing.assert_close(found[name], by_hand)
    (grad,) = torch.autograd.grad(found["vision"].sum(), [spikes["audio"]], allow_unused=True)
    assert grad is None


def test_the_loss_is_the_mean_over_modalities() -> None:
    scores = {"a": sure_of(0.5), "b": sure_of(0.25)}
    expected = -(math.log(0.5) + math.log(0.25)) / 2
    assert float(unimodal_loss(scores, torch.tensor([0]))) == pytest.approx(expected)


N_CLASSES, N_PLACES, N_STEPS, WIDTH = 4, 16, 8, 4


def planted(n: int, generator: torch.Generator) -> tuple[dict[str, Tensor], Tensor]:
    """Two populations in which a class lights a quarter: clearly in one, faintly in the other."""
    labels = torch.randint(0, N_CLASSES, (n,), generator=generator)
    lit = torch.arange(N_PLACES) // (N_PLACES // N_CLASSES) == labels[:, None]
    rates = {"sharp": torch.where(lit, 0.7, 0.05), "faint": torch.where(lit, 0.35, 0.15)}
    spikes = {
        name: (torch.rand(N_STEPS, n, N_PLACES, generator=generator) < rate).float()
        for name, rate in rates.items()
    }
    return spikes, labels


def faint_alone(strength: float, seed: int) -> float:
    """Accuracy with the clear modality absent, after joint training at this strength of balance."""
    torch.manual_seed(seed)
    # So few neurons that encoders must learn: many would tell the classes untrained.
    widths = {"sharp": WIDTH, "faint": WIDTH}
    parts = tuple(
        ModalitySpec(m, (N_PLACES, 1, 1), EncoderSpec((), n, 0.0)) for m, n in widths.items()
    )
    model = FusionSNN(ModelSpec(parts, N_CLASSES, 5.0, fusion_hidden=24))
    heads = UnimodalHeads(widths, N_CLASSES, 100.0, 5.0)
    optimizer = torch.optim.Adam(
        [
            {"params": [*model.fusion.parameters(), *model.readout_synapse.parameters()]},
            {"params": heads.parameters()},
            *({"params": e.parameters(), "modality": m} for m, e in model.encoders.items()),
        ],
        lr=0.01,
    )
    generator = torch.Generator().manual_seed(seed)
    for _ in range(150):
        spikes, labels = planted(64, generator)
        out = model(spikes)
        alone = heads({k: x.detach() for k, x in out.encoded.items()})
        loss = torch.nn.functional.cross_entropy(out.scores.mean(0), labels)
        optimizer.zero_grad()
        torch.autograd.backward(loss + unimodal_loss(alone, labels))
        rates = ogm_rates(alone, labels, strength)
        for group in optimizer.param_groups:
            group["lr"] = 0.01 * rates.get(group.get("modality", ""), 1.0)
        optimizer.step()
    spikes, labels = planted(600, generator)
    with torch.no_grad():
        scores = model(spikes | {"sharp": torch.zeros_like(spikes["sharp"])}).scores.mean(0)
    return float((scores.argmax(1) == labels).float().mean())


@pytest.mark.slow
def test_slowing_the_dominant_modality_raises_the_dominated_one() -> None:
    free, balanced = ([faint_alone(s, seed) for seed in range(3)] for s in (0.0, 1.0))
    assert sum(balanced) > sum(free) + 0.02 * len(free)
