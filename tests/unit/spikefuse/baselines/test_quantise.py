"""Quantised layers against plain integer arithmetic, and what training through rounding does."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from spikefuse.baselines import DENSE_OPERATORS, DenseFusion, quantised
from spikefuse.baselines.quantise import QuantConv2d, QuantLinear, integers
from spikefuse.cost import count

Make = Callable[..., DenseFusion]


def int8(x: Tensor, scale: np.ndarray) -> np.ndarray:
    """Nearest whole numbers that fit, by numpy."""
    return np.clip(np.rint(x.detach().double().numpy() / scale), -127, 127).astype(np.int8)


def scales(weight: Tensor) -> np.ndarray:
    """A step per output."""
    return weight.detach().double().numpy().reshape(len(weight), -1).__abs__().max(1) / 127


def finished(total: np.ndarray, layer: nn.Module, x_scale: float) -> Tensor:
    """32 bit sums and bias, scaled: what hardware hands on."""
    shape = (1, -1, *[1] * (total.ndim - 2))
    scale = scales(layer.weight) * x_scale
    bias = np.rint(layer.bias.detach().double().numpy() / scale).astype(np.int32)
    summed = (total + bias.reshape(shape)).astype(np.int32)
    return torch.from_numpy((summed * scale.reshape(shape)).astype(np.float32))


def test_linear_equals_integer_arithmetic_bit_for_bit() -> None:
    torch.manual_seed(0)
    layer, x = nn.Linear(700, 9), 3 * torch.randn(6, 700)
    made = quantised(layer, [x[:2]])  # what the others exceed saturates
    assert isinstance(made, QuantLinear)
    x_scale = float(x[:2].abs().max().double() / 127)
    a, w = int8(x, x_scale), int8(layer.weight, scales(layer.weight)[:, None])
    assert (np.abs(a[2:]) == 127).any()
    total = a.astype(np.int32) @ w.astype(np.int32).T
    assert torch.equal(made(x), finished(total, layer, x_scale))


def test_convolution_equals_integer_arithmetic_bit_for_bit() -> None:
    torch.manual_seed(0)
    layer, x = nn.Conv2d(3, 4, (3, 2), (2, 1), padding=1), torch.randn(2, 3, 7, 6)
    made = quantised(layer, [x])
    assert isinstance(made, QuantConv2d)
    x_scale = float(x.abs().max().double() / 127)
    a = np.pad(int8(x, x_scale).astype(np.int32), ((0, 0), (0, 0), (1, 1), (1, 1)))
    w = int8(layer.weight, scales(layer.weight)[:, None, None, None]).astype(np.int32)
    out = made(x)
    total = np.zeros(out.shape, np.int32)
    for i in range(out.shape[2]):
        for j in range(out.shape[3]):
            patch = a[:, :, 2 * i : 2 * i + 3, j : j + 2]
            total[:, :, i, j] = np.einsum("bcij,ocij->bo", patch, w)
    assert torch.equal(out, finished(total, layer, x_scale))


def test_rounding_is_to_nearest_and_saturates() -> None:
    x = torch.tensor([0.49, 0.51, 1.5, 2.5, -0.5, 900.0, -900.0], dtype=torch.float64)
    whole = integers(x, torch.tensor(1.0), 8)
    assert whole.tolist() == [0, 1, 2, 2, 0, 127, -127]


def test_the_gradient_passes_where_nothing_saturates() -> None:
    x = torch.tensor([0.4, -3.3, 8.0], requires_grad=True)
    integers(x, torch.tensor(0.5), 4).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [2.0, 2.0, 0.0]


@pytest.mark.parametrize("name", DENSE_OPERATORS)
def test_eight_bits_are_close_to_float_and_two_are_not(
    name: str, make_dense: Make, frames: dict[str, Tensor]
) -> None:
    model = make_dense(name)
    exact = model(frames).detach()
    errors = [
        float((quantised(model, [frames], bits)(frames).detach() - exact).norm() / exact.norm())
        for bits in (8, 4, 2)
    ]
    assert 0 < errors[0] < 0.03
    assert errors[0] < errors[1] < errors[2]


def test_the_model_itself_is_left_alone(make_dense: Make, frames: dict[str, Tensor]) -> None:
    model = make_dense("concat")
    before = model(frames)
    quantised(model, [frames])
    assert torch.equal(model(frames), before)


def test_training_through_rounding_beats_rounding_after_training() -> None:
    torch.manual_seed(0)
    x = torch.rand(256, 16)
    y = torch.relu(x @ torch.randn(16, 8)) @ torch.randn(8, 1)

    def loss(model: nn.Module) -> Tensor:
        return (model(x) - y).square().mean()

    def train(model: nn.Module, n_steps: int) -> nn.Module:
        optimizer = torch.optim.Adam(model.parameters(), 1e-2)
        for _ in range(n_steps):
            optimizer.zero_grad()
            loss(model).backward()
            optimizer.step()
        return model

    plain = train(nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 1)), 300)
    after = quantised(plain, [x], bits=3)
    rounded = loss(after).item()
    aware = loss(train(after, 200)).item()
    assert loss(plain).item() < aware < 0.5 * rounded


def test_what_is_rounded_to_zero_is_not_counted() -> None:
    layer = nn.Linear(3, 2, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, 0.001, 0.5], [1.0, 1.0, 1.0]]))
    x = torch.tensor([[1.0, 0.6, 0.001]])
    assert count(layer, x).totals["effective_macs"] == 6
    assert count(quantised(layer, [x]), x).totals["effective_macs"] == 3


def test_wrong_bits_and_missing_calibration_are_refused() -> None:
    with pytest.raises(ValueError, match="bits must be 2 to 8, got 9"):
        quantised(nn.Linear(2, 2), [torch.ones(1, 2)], 9)
    with pytest.raises(ValueError, match="calibration must reach every layer"):
        quantised(nn.Linear(2, 2), [])
