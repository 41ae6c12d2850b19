"""EventLinear: events or dense in, trained like any layer, counted and saved as a plain matrix."""

import io

import pytest
import torch

from spikefuse.cost.count import count
from spikefuse.kernels.registry import use_backend
from spikefuse.spikes import SpikeBatch
from spikefuse.synapses import EventLinear


@pytest.fixture
def spikes() -> torch.Tensor:
    torch.manual_seed(2)
    return (torch.rand(20, 4, 150) < 0.1).float()


def test_dense_events_and_both_give_one_result(spikes: torch.Tensor) -> None:
    layer, batch = EventLinear(150, 64), SpikeBatch.from_dense(spikes)
    with use_backend("numba"):
        outs = [layer(spikes), layer(batch), layer(spikes, batch)]
    assert all(torch.equal(out, outs[0]) for out in outs)
    torch.testing.assert_close(outs[0], spikes @ layer.weight, atol=1e-5, rtol=1e-5)


def test_the_event_kernel_runs(spikes: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    from spikefuse.kernels.cpu import products

    calls: list[str] = []
    for name in ("event_rows", "event_tiles"):
        original = getattr(products, name)
        monkeypatch.setattr(
            products, name, lambda *a, n=name, o=original: (calls.append(n), o(*a))[1]
        )
    EventLinear(150, 64)(SpikeBatch.from_dense(spikes))
    assert len(calls) == 1


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.Adam])
def test_training_follows_the_dense_layer(spikes: torch.Tensor, optimizer) -> None:
    """Several steps of an optimizer land where dense products land."""
    layer, dense = EventLinear(150, 20), torch.nn.Parameter(torch.empty(150, 20))
    with torch.no_grad():
        dense.copy_(layer.weight)
    batch, target = SpikeBatch.from_dense(spikes), torch.randn(20, 4, 20)
    ours, theirs = optimizer(layer.parameters(), lr=0.05), optimizer([dense], lr=0.05)
    before = layer.weight.detach().clone()
    for _ in range(5):
        for chosen, product in ((ours, lambda: layer(batch)), (theirs, lambda: spikes @ dense)):
            chosen.zero_grad()
            (product() - target).square().mean().backward()
            chosen.step()
    torch.testing.assert_close(layer.weight, dense, atol=1e-5, rtol=1e-4)
    assert float((layer.weight.detach() - before).abs().max()) > 1e-3


def test_the_state_is_the_plain_matrix_and_loading_is_seen(spikes: torch.Tensor) -> None:
    first, second = EventLinear(150, 64), EventLinear(150, 64)
    batch = SpikeBatch.from_dense((torch.rand(40, 8, 150) < 0.3).float())
    with torch.no_grad():
        second(batch)  # packs the weight that loading replaces
        file = io.BytesIO()
        torch.save(first.state_dict(), file)
        file.seek(0)
        state = torch.load(file, weights_only=True)
        assert list(state) == ["weight"]
        assert state["weight"].shape == (150, 64)
        assert state["weight"].is_contiguous()
        second.load_state_dict(state)
        assert torch.equal(second(batch), first(batch))


def test_operations_are_counted_from_the_weight(spikes: torch.Tensor) -> None:
    layer = EventLinear(150, 64)
    with torch.no_grad():
        layer.weight[:, ::2] = 0
    counts = count(layer, SpikeBatch.from_dense(spikes))
    assert counts.totals["effective_acs"] == int(spikes.sum()) * 32
    assert counts.totals["weight_reads"] == int(spikes.sum()) * 64


def test_gradient_reaches_the_layer_before(spikes: torch.Tensor) -> None:
    layer, dense = EventLinear(150, 64), spikes.requires_grad_()
    layer(dense).sum().backward()
    expected = layer.weight.detach().sum(1).expand_as(spikes)
    torch.testing.assert_close(dense.grad, expected, atol=1e-5, rtol=1e-5)
