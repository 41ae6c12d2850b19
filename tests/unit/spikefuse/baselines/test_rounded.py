"""Networks of other libraries in few bits: by hand, and against the dense models of ours."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from spikefuse.baselines import quantised
from spikefuse.baselines.rounded import rounded
from spikefuse.cost import count


def frames_net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 3, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(27, 5), nn.Tanh(),
        nn.Linear(5, 4),
    ).eval()  # fmt: skip


def test_a_dense_network_answers_and_counts_as_our_quantised_models_do() -> None:
    net = frames_net()
    x = torch.rand(6, 2, 7, 7, generator=torch.Generator().manual_seed(1))
    ours, theirs = quantised(net, [x]), rounded(net, [x])
    y = torch.rand(6, 2, 7, 7, generator=torch.Generator().manual_seed(2))
    assert torch.allclose(theirs(y), ours(y), atol=1e-6)
    assert not torch.allclose(theirs(y), net(y), atol=1e-6)
    found, told = count(theirs, y), count(ours, y)
    for name in ("0", "3", "5"):
        assert found.by_path[f"{name}.1"] == told.by_path[name]


def test_weights_are_the_nearest_steps_of_their_row() -> None:
    net = nn.Linear(3, 2, bias=True)
    with torch.no_grad():
        net.weight.copy_(torch.tensor([[1.27, 0.011, -0.634], [-0.1, 0.06, 0.0]]))
        net.bias.copy_(torch.tensor([0.018, 0.0]))
    found: Any = rounded(nn.Sequential(net), [torch.tensor([[1.0, 0.0, 2.0]])], spiking=True)
    steps = torch.tensor([[0.01], [0.1 / 127]])
    assert torch.allclose(found[0].weight, steps * torch.tensor([[127, 1, -63], [-127, 76, 0]]))
    # Of spikes the sum is in steps of the weights, and so is the bias.
    assert found[0].bias.tolist() == pytest.approx([0.02, 0.0])


def test_spikes_are_added_as_they_are_and_other_values_are_rounded() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([[0.3, 0.3], [0.1, 0.2]]))
    found = rounded(net, [torch.tensor([[1.0, 3.0]])], spiking=True)
    assert isinstance(found[0], nn.Linear)
    assert isinstance(found[1], nn.Sequential)
    assert torch.equal(net[0].weight, torch.tensor([[0.3, 0.3], [0.1, 0.2]]))  # left as it is
    dense = rounded(net, [torch.tensor([[1.0, 3.0]])])
    assert isinstance(dense[0], nn.Sequential)  # type: ignore[index]


def test_a_norm_folds_into_what_was_rounded() -> None:
    torch.manual_seed(0)
    layer, norm = nn.Linear(4, 3, bias=False), nn.BatchNorm1d(3)
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([0.3, -2.0, 1.1]))
        assert norm.running_var is not None
        norm.running_var.copy_(torch.tensor([0.5, 2.0, 1.0]))
    x = torch.ones(2, 4)
    net = nn.Sequential(layer, norm).eval()
    gain = norm.weight / (norm.running_var + norm.eps).sqrt()
    folded = nn.Linear(4, 3, bias=False)
    with torch.no_grad():
        folded.weight.copy_(layer.weight * gain[:, None])
    a = rounded(net, [x], spiking=True)(x)
    b = rounded(nn.Sequential(folded), [x], spiking=True)(x)
    assert torch.allclose(a, b, atol=1e-6)


def test_weights_of_recurrent_neurons_of_norse_are_rounded() -> None:
    norse = pytest.importorskip("norse.torch")
    net = norse.LIFRecurrentCell(3, 4)
    x = (torch.rand(2, 3) < 0.5).float()
    found = rounded(net, [x], spiking=True)
    for weight in (found.input_weights, found.recurrent_weights):
        step = weight.abs().amax(1, keepdim=True) / 127
        assert torch.allclose((weight / step).round() * step, weight, atol=1e-6)


class Beside(nn.Module):
    """Uses its layer's weight without calling it."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.layer.weight.T


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (nn.GRU(3, 2), "weight_ih_l0 of GRU has no rule"),
        (nn.Bilinear(3, 3, 2), "weight of Bilinear has no rule"),
        (Beside(), "calibration must reach every layer, got no input for .'layer'."),
    ],
)
def test_what_cannot_be_rounded_is_named(net: nn.Module, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rounded(net, [torch.ones(4, 3)])


def test_bits_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="bits must be 2 to 8, got 9"):
        rounded(nn.Linear(2, 2), [torch.ones(1, 2)], bits=9)
