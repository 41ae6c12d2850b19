"""Sparse delayed synapses: each event's fan-out arrives when it should, forward and backward."""

import pytest
import torch

from spikefuse.errors import BackendError
from spikefuse.kernels import registry
from spikefuse.kernels.compaction import compact
from spikefuse.kernels.cross import Fan, cross_currents, cross_currents_ref

SPAN = 7


def spikes_of(shape: tuple[int, int, int], graded: bool = False, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    hits = torch.rand(shape, generator=generator) < 0.3
    values = torch.randn(shape, generator=generator) if graded else torch.ones(shape)
    return torch.where(hits, values, 0.0)


def edges_of(n_taps: int, n_in: int = 5, n_out: int = 4) -> tuple[Fan, torch.Tensor, torch.Tensor]:
    """Edges with a repeated pair, a neuron without fan-out, and taps up to the last lag."""
    generator = torch.Generator().manual_seed(n_taps)
    counts = torch.tensor([3, 0, 2, 4, 1])[:n_in]
    ptr = torch.cat([torch.zeros(1), counts.cumsum(0)]).to(torch.int32)
    n_edges = int(ptr[-1])
    target = torch.randint(0, n_out, (n_edges,), generator=generator, dtype=torch.int32)
    target[:2] = 1
    last = SPAN - n_taps + 1
    first = torch.randint(0, last + 1, (n_edges,), generator=generator, dtype=torch.int32)
    first[0], first[1] = 0, last
    return Fan(ptr, target, n_out), torch.randn(n_edges, n_taps, generator=generator), first


def by_hand(x: torch.Tensor, taps: torch.Tensor, first: torch.Tensor, fan: Fan) -> torch.Tensor:
    """One event, one edge, one tap at a time, in float64."""
    out = torch.zeros(len(x) + SPAN, x.shape[1], fan.n_out, dtype=torch.float64)
    for t, b, i in x.nonzero().tolist():
        for q in range(int(fan.ptr[i]), int(fan.ptr[i + 1])):
            for k in range(taps.shape[1]):
                out[t + int(first[q]) + k, b, int(fan.target[q])] += float(x[t, b, i]) * taps[q, k]
    return out


@pytest.mark.parametrize("n_taps", [1, 3, 8])
@pytest.mark.parametrize("graded", [False, True])
@pytest.mark.parametrize("rows", [(12, 3), (1, 1), (0, 2), (3, 0), (2, 1)])
def test_every_edge_answers_every_event_once(n_taps, graded, rows) -> None:
    fan, taps, first = edges_of(n_taps)
    x = spikes_of((*rows, 5), graded)
    expected = by_hand(x, taps, first, fan)
    for given in (x, compact(x)):
        for backend in ("numba", "reference"):
            if backend == "reference" and 0 in rows:
                continue
            current, pending = cross_currents(given, taps, first, fan, SPAN, backend=backend)
            assert current.shape == (rows[0], rows[1], 4)
            arriving = torch.cat([current, pending])
            torch.testing.assert_close(arriving, expected.float(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("n_taps", [1, 4])
def test_in_pieces_it_gives_the_same_bits(n_taps) -> None:
    fan, taps, first = edges_of(n_taps)
    x = spikes_of((11, 2, 5), graded=True)
    whole, last = cross_currents(x, taps, first, fan, SPAN, backend="numba")
    pieces, pending = [], None
    for piece in x.split([1, 4, 2, 4]):
        out, pending = cross_currents(piece, taps, first, fan, SPAN, pending, backend="numba")
        pieces.append(out)
    assert torch.equal(torch.cat(pieces), whole)
    assert torch.equal(pending, last)


@pytest.mark.parametrize("n_taps", [1, 5])
@pytest.mark.parametrize("side", [False, True])
def test_gradients_equal_float64_autograd_of_the_reference(n_taps, side) -> None:
    fan, taps, first = edges_of(n_taps)
    inputs = [spikes_of((9, 2, 5), graded=True), taps, torch.randn(SPAN, 2, 4)]
    probe = torch.randn(9 + SPAN, 2, 4, dtype=torch.float64)
    grads = []
    for dtype, backend in ((torch.float32, "numba"), (torch.float64, "reference")):
        x, h, before = (tensor.to(dtype).requires_grad_() for tensor in inputs)
        events = compact(x) if side and backend == "numba" else None
        out = cross_currents(x, h, first, fan, SPAN, before, events=events, backend=backend)
        grads.append(torch.autograd.grad((torch.cat(out) * probe.to(dtype)).sum(), (x, h, before)))
    for ours, exact in zip(*grads, strict=True):
        assert (ours - exact).abs().max() <= 1e-5 * exact.abs().max()


def test_only_the_gradient_asked_for() -> None:
    fan, taps, first = edges_of(3)
    x = spikes_of((6, 2, 5))
    h = taps.clone().requires_grad_()
    current, _ = cross_currents(compact(x), h, first, fan, SPAN, backend="numba")
    (of_events,) = torch.autograd.grad(current.sum(), h)
    current, _ = cross_currents(x, h, first, fan, SPAN, backend="reference")
    (of_dense,) = torch.autograd.grad(current.sum(), h)
    torch.testing.assert_close(of_events, of_dense)
    y = x.clone().requires_grad_()
    cross_currents(y, taps, first, fan, SPAN, backend="numba")[0].sum().backward()
    assert y.grad is not None


def test_kernels_run_by_themselves_and_not_for_the_reference(monkeypatch) -> None:
    fetched = []
    original = registry.kernel
    monkeypatch.setattr(
        registry, "kernel", lambda *names: fetched.append(names[2]) or original(*names)
    )
    events = compact(spikes_of((6, 2, 5)), backend="reference")
    for n_taps in (1, 3):
        fan, taps, first = edges_of(n_taps)
        cross_currents(events, taps, first, fan, SPAN)
        with registry.use_backend("reference"):
            cross_currents(events, taps, first, fan, SPAN)
    assert fetched == ["scatter_edges", "scatter_taps"]


def test_opcheck_and_torch_compile() -> None:
    fan, taps, first = edges_of(3)
    x, h = spikes_of((4, 2, 5)).requires_grad_(), taps.clone().requires_grad_()
    before = torch.randn(SPAN, 2, 4, requires_grad=True)
    sizes = ([4, 2, 5], 4, SPAN, "numba")
    torch.library.opcheck(
        torch.ops.spikefuse.cross_currents.default,
        (x, None, None, None, h, first, fan.ptr, fan.target, before, *sizes),
    )
    compiled = torch.compile(
        lambda s, w: cross_currents(s, w, first, fan, SPAN)[0] * 2,
        fullgraph=True,
        backend="aot_eager",
    )
    out = compiled(x, h)
    expected = 2 * cross_currents_ref(x, h, first, fan, SPAN)[0]
    torch.testing.assert_close(out, expected)
    for ours, exact in zip(
        torch.autograd.grad(out.sum(), (x, h)),
        torch.autograd.grad(expected.sum(), (x, h)),
        strict=True,
    ):
        torch.testing.assert_close(ours, exact)


def test_random_fans_have_the_fan_in_asked_for() -> None:
    torch.manual_seed(0)
    fan = Fan.random(30, 20, 6)
    pairs = fan.source() * 20 + fan.target
    assert torch.bincount(fan.target.long(), minlength=20).tolist() == [6] * 20
    assert len(pairs.unique()) == fan.n_edges == 120
    assert bool((pairs.diff() > 0).all())
    full = Fan.random(3, 2, 3)
    assert full.source().tolist() == [0, 0, 1, 1, 2, 2]
    assert full.target.tolist() == [0, 1, 0, 1, 0, 1]


def test_refusals() -> None:
    fan, taps, first = edges_of(3)
    x = spikes_of((6, 2, 5))
    with pytest.raises(ValueError, match=r"spikes must be \[T, B, 5\], got shape \(6, 2, 4\)"):
        cross_currents(x[..., :4], taps, first, fan, SPAN)
    with pytest.raises(ValueError, match=r"taps must be \[10, K >= 1\], got shape \(9, 3\)"):
        cross_currents(x, taps[:-1], first, fan, SPAN)
    with pytest.raises(ValueError, match="first must be int32"):
        cross_currents(x, taps, first.long(), fan, SPAN)
    with pytest.raises(ValueError, match=r"first must put every tap in \[0, 6\], got 0 to 7"):
        cross_currents(x, taps, first, fan, SPAN - 1)
    with pytest.raises(ValueError, match=r"pending must be torch.float32 of shape \(7, 2, 4\)"):
        cross_currents(x, taps, first, fan, SPAN, torch.zeros(6, 2, 4))
    with pytest.raises(ValueError, match=r"spikes must be torch.float32 on cpu"):
        cross_currents(x.double(), taps, first, fan, SPAN)
    with pytest.raises(ValueError, match=r"events must be those of a dense spikes"):
        cross_currents(x, taps, first, fan, SPAN, events=compact(x[:5]))
    with pytest.raises(BackendError, match=r"it needs float32, got torch\.float64"):
        cross_currents(x.double(), taps.double(), first, fan, SPAN, backend="numba")
    with pytest.raises(ValueError, match=r"target must lie in \[0, 2\), got 3"):
        Fan(fan.ptr, torch.full_like(fan.target, 3), 2)
    with pytest.raises(ValueError, match=r"ptr must rise from 0 to 10"):
        Fan(fan.ptr[:-1], fan.target, 4)
    with pytest.raises(ValueError, match=r"fan_in must lie in \[1, 3\], got 4"):
        Fan.random(3, 2, 4)
