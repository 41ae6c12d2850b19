"""Learnable delays: taps of unit sum, gradients by finite differences, rounding at inference."""

import math

import pytest
import torch

from spikefuse.kernels.compaction import compact
from spikefuse.kernels.fan import Fan
from spikefuse.synapses.cross import DELAY_UNIT_MS, CrossSynapses, annealed, gaussian_taps


def layer_of(**options) -> CrossSynapses:
    torch.manual_seed(1)
    return CrossSynapses(4, 3, 2.0, delay_max_ms=40.0, fan_in=2, **options)


def test_taps_are_the_gaussian_of_unit_sum() -> None:
    delay = torch.tensor([0.0, 3.3, 11.0, 20.0], dtype=torch.float64)
    for sigma in (0.5, 2.0, 30.0):
        taps, first = gaussian_taps(delay, sigma, 20)
        assert bool((first >= 0).all())
        assert bool((first + taps.shape[1] - 1 <= 20).all())
        for d, row, at in zip(delay.tolist(), taps, first.tolist(), strict=True):
            exact = [math.exp(-0.5 * ((at + k - d) / sigma) ** 2) for k in range(len(row))]
            expected = torch.tensor(exact, dtype=torch.float64) / sum(exact)
            torch.testing.assert_close(row, expected)
            missed = sum(math.exp(-0.5 * ((k - d) / sigma) ** 2) for k in range(21)) - sum(exact)
            assert missed < 1e-3 * sum(exact)


def test_gradient_of_the_delay_equals_finite_differences() -> None:
    delay = torch.tensor([4.3, 9.6], dtype=torch.float64, requires_grad=True)
    probe = torch.randn(30, dtype=torch.float64)

    def value(d: torch.Tensor) -> torch.Tensor:
        taps, first = gaussian_taps(d, 1.5, 20)
        lags = first[:, None].long() + torch.arange(taps.shape[1])
        return (taps * probe[lags]).sum()

    assert torch.autograd.gradcheck(value, delay)


def test_width_falls_geometrically_over_three_quarters() -> None:
    assert [round(annealed(f, 50, 0.5), 6) for f in (0, 0.375, 0.75, 1)] == [50, 5, 0.5, 0.5]
    layer = layer_of(sigma_ms=(50.0, 0.5))
    assert layer.sigma_steps() == 0.5  # a quarter of a step would leave no gradient
    layer.set_anneal(0)
    assert layer.sigma_steps() == 25
    with pytest.raises(ValueError, match=r"fraction must lie in \[0, 1\], got 1\.5"):
        layer.set_anneal(1.5)


def test_at_inference_an_event_arrives_after_the_nearest_whole_delay() -> None:
    layer = CrossSynapses(2, 2, 2.0, delay_max_ms=40.0, fan=Fan.one_to_one(2)).eval()
    with torch.no_grad():
        layer.delay.copy_(torch.tensor([12.7, 90.0]) / DELAY_UNIT_MS)
        layer.weight.copy_(torch.tensor([0.5, -2.0]))
    x = torch.zeros(30, 1, 2)
    x[3] = 1
    current, pending = layer(compact(x))
    expected = torch.zeros(30, 1, 2)
    expected[3 + 6, 0, 0], expected[3 + 20, 0, 1] = 0.5, -2.0
    assert torch.equal(current, expected)
    assert not pending.any()
    assert layer.delays_ms().tolist() == pytest.approx([12.7, 40.0])


def test_training_and_rounded_paths_deliver_the_same_charge() -> None:
    layer = layer_of()
    x = (torch.rand(50, 2, 4) < 0.2).float()
    spread, rounded = (torch.cat(layer.train(mode)(x)).sum(0) for mode in (True, False))
    torch.testing.assert_close(spread, rounded)


def test_at_the_end_of_training_the_forward_pass_is_the_one_of_inference() -> None:
    layer = layer_of()
    x = (torch.rand(50, 2, 4) < 0.2).float()
    rounded = layer.eval()(x)[0]
    layer.train().set_anneal(0.89)
    assert not torch.allclose(layer(x)[0], rounded)
    layer.set_anneal(0.9)
    settled = layer(x)[0]
    torch.testing.assert_close(settled, rounded)
    # The delay keeps the gradient of the Gaussian.
    (settled * torch.randn(50, 2, 3)).sum().backward()
    assert float(layer.delay.grad.abs().max()) > 0


@pytest.mark.parametrize("train", [False, True])
def test_in_pieces_as_in_one(train) -> None:
    layer = layer_of().train(train)
    layer.set_anneal(0.3)
    x = (torch.rand(40, 2, 4) < 0.2).float()
    whole, last = layer(x)
    parts, pending = [], None
    for piece in x.split([1, 30, 9]):
        out, pending = layer(piece, pending)
        parts.append(out)
    assert torch.equal(torch.cat(parts), whole)
    assert torch.equal(pending, last)


@pytest.mark.parametrize(("groups", "n"), [("edge", 6), ("target", 3), ("source", 4), ("all", 1)])
def test_groups_share_a_delay_and_its_gradient(groups, n) -> None:
    layer = layer_of(groups=groups)
    assert layer.delay.shape == (n,)
    layer.set_anneal(0.2)
    x = (torch.rand(60, 3, 4) < 0.3).float()
    (layer(x)[0] * torch.randn(60, 3, 3)).sum().backward()
    assert bool((layer.delay.grad != 0).all())
    assert bool((layer.weight.grad != 0).all())


def test_a_delay_beyond_its_bound_still_has_a_gradient() -> None:
    layer = CrossSynapses(1, 1, 1.0, delay_max_ms=10.0)
    layer.set_anneal(0.5)
    with torch.no_grad():
        layer.delay.fill_(-0.5)
    x = torch.zeros(30, 1, 1)
    x[2] = 1
    current, _ = layer(x)
    (-current[8]).sum().backward()  # more current later: the delay must grow
    assert float(layer.delay.grad) < 0


def test_frozen_delays_and_checkpoints() -> None:
    layer = layer_of(learn_delays=False)
    assert not layer.delay.requires_grad
    torch.manual_seed(7)
    other = CrossSynapses(4, 3, 2.0, delay_max_ms=40.0, fan_in=2)
    other.load_state_dict(layer.state_dict())
    x = (torch.rand(20, 2, 4) < 0.3).float()
    assert torch.equal(other.eval()(x)[0], layer.eval()(x)[0])


def test_fans_of_equal_fan_out() -> None:
    torch.manual_seed(0)
    fan = Fan.random_out(30, 20, 6)
    pairs = fan.source() * 20 + fan.target
    assert torch.bincount(fan.source(), minlength=30).tolist() == [6] * 30
    assert len(pairs.unique()) == fan.n_edges == 180


def test_delays_start_where_asked() -> None:
    near = CrossSynapses(20, 30, 1.0, delay_max_ms=60.0, start_ms=6.0).delays_ms()
    assert 4.0 < float(near.max()) <= 6.0
    assert float(CrossSynapses(20, 30, 1.0, delay_max_ms=60.0).delays_ms().max()) > 50.0


def test_refusals() -> None:
    with pytest.raises(ValueError, match=r"start_ms must lie in \[0, 10\.0\], got 11\.0"):
        CrossSynapses(2, 2, 1.0, delay_max_ms=10.0, start_ms=11.0)
    with pytest.raises(ValueError, match=r"fan_out must lie in \[1, 2\], got 3"):
        Fan.random_out(2, 2, 3)
    with pytest.raises(ValueError, match="delay_max_ms must be >= 0 and dt_ms positive"):
        CrossSynapses(2, 2, 1.0, delay_max_ms=-1.0)
    with pytest.raises(ValueError, match=r"sigma_ms must be two positive widths, got \(5, 0\)"):
        CrossSynapses(2, 2, 1.0, sigma_ms=(5, 0))
    with pytest.raises(ValueError, match=r"groups must be one of .*, got 'layer'"):
        CrossSynapses(2, 2, 1.0, groups="layer")
    with pytest.raises(ValueError, match="fan must join 2 to 3 neurons, got 2 to 2"):
        CrossSynapses(2, 3, 1.0, fan=Fan.one_to_one(2))
