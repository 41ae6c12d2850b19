"""Training path of the encoders: gradients at the active cells are all the gradients there are."""

import pytest
import torch
from torch import Tensor

from spikefuse.encoders import ConvSpec, EncoderSpec, ModalitySpec, SpikingEncoder
from spikefuse.encoders import spiking as encoders
from spikefuse.kernels import registry
from spikefuse.kernels.cpu import band, conv, products
from spikefuse.neurons import LIFParams
from spikefuse.spikes import SpikeBatch

KERNELS = ((band, "lif_near"), (conv, "conv_dspikes"), (products, "event_dots"))


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the kernels of the active path, in the order in which they ran."""
    calls: list[str] = []
    for owner, name in KERNELS:
        original = getattr(owner, name)

        def counted(*args, _name=name, _original=original):
            calls.append(_name)
            return _original(*args)

        monkeypatch.setattr(owner, name, counted)
    return calls


def encoder(surrogate: str, dropout: float = 0.4, delays: tuple[float, ...] = (0.0,)):
    """Two convolutions and a linear layer, with weights that let all of them fire."""
    torch.manual_seed(4)
    convs = (ConvSpec(6, (3, 3), (2, 2)), ConvSpec(5, (3, 3), (1, 1)))
    spec = ModalitySpec("vision", (14, 12, 2), EncoderSpec(convs, 9, dropout, delays))
    return SpikingEncoder(spec, LIFParams(surrogate=surrogate), 5.0)


def events(density: float = 0.1) -> SpikeBatch:
    generator = torch.Generator().manual_seed(8)
    return SpikeBatch.from_dense((torch.rand(9, 4, 336, generator=generator) < density).float())


def gradients(model: SpikingEncoder, x: SpikeBatch | Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Hidden spikes and the gradient of every parameter; the dropout mask is always the same."""
    torch.manual_seed(6)
    model.zero_grad()
    hidden, _ = model(x)
    weight = torch.randn(hidden.shape, generator=torch.Generator().manual_seed(2))
    (hidden * weight.to(hidden.dtype)).sum().backward()
    return hidden.detach(), {n: p.grad.clone() for n, p in model.named_parameters()}


@pytest.mark.parametrize("delays", [(0.0,), (0.0, 10.0)])
@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_active_cells_give_the_gradients_of_all_cells(
    ran: list[str], monkeypatch: pytest.MonkeyPatch, dropout: float, delays: tuple[float, ...]
) -> None:
    model = encoder("triangle", dropout, delays)
    hidden, fast = gradients(model, events())
    assert sorted(ran) == ["conv_dspikes", "event_dots", "lif_near", "lif_near"]
    assert hidden.sum() > 20
    monkeypatch.setattr(encoders, "spike_sidecars", lambda *_: (None, None))
    ran.clear()
    hidden_full, full = gradients(model, events())
    assert ran == []
    assert torch.equal(hidden, hidden_full)
    for name, grad in full.items():
        assert grad.abs().max() > 0, name
        torch.testing.assert_close(fast[name], grad, rtol=1e-5, atol=1e-6 * float(grad.abs().max()))


def test_gradients_of_the_reference_in_double_precision() -> None:
    model = encoder("triangle", dropout=0.0)
    hidden, fast = gradients(model, events())
    exact = encoder("triangle", dropout=0.0).double()
    with registry.use_backend("reference"):
        hidden_exact, double = gradients(exact, events().to_dense(torch.float64))
    assert torch.equal(hidden.double(), hidden_exact)
    for name, grad in double.items():
        torch.testing.assert_close(
            fast[name].double(), grad, rtol=1e-5, atol=1e-5 * float(grad.abs().max())
        )


def test_a_surrogate_that_is_nowhere_zero_changes_nothing(ran: list[str]) -> None:
    gradients(encoder("fast_sigmoid"), events())
    assert ran == []


def test_nothing_is_prepared_without_a_gradient(ran: list[str]) -> None:
    with torch.no_grad():
        encoder("triangle")(events())
    assert ran == []


def test_very_full_spikes_keep_the_dense_path(
    ran: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoders, "_MOST_DENSE", 0.0)
    _, grads = gradients(encoder("triangle"), events())
    assert ran == []
    assert all(bool(grad.abs().max() > 0) for grad in grads.values())


def test_chunks_with_state_use_the_membranes_they_start_from(ran: list[str]) -> None:
    model = encoder("triangle", dropout=0.0)
    x = events().to_dense()
    whole, full = gradients(model, x)
    model.zero_grad()
    first, state = model(x[:4])
    second, _ = model(x[4:], state)
    hidden = torch.cat([first, second])
    weight = torch.randn(hidden.shape, generator=torch.Generator().manual_seed(2))
    (hidden * weight).sum().backward()
    assert torch.equal(hidden.detach(), whole)
    for name, p in model.named_parameters():
        torch.testing.assert_close(
            p.grad, full[name], rtol=1e-4, atol=1e-5 * float(full[name].abs().max())
        )
