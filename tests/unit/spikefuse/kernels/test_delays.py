"""Delays move every spike by the right number of steps, lose none, and can be cut in pieces."""

import pytest
import torch

from spikefuse.errors import BackendError
from spikefuse.kernels import registry
from spikefuse.kernels.compaction import compact
from spikefuse.kernels.delays import delay, delay_ref

# (N, steps, sizes)
GROUPS = [
    (7, [2], None),
    (7, [0], None),
    (6, [3, 0, 1], [1, 3, 2]),
    (6, [0, 4, 2, 2], [2, 0, 3, 1]),
    (5, [0, 1, 2, 9, 1], None),
    (33, [1, 5], [32, 1]),
    (129, [3, 0, 2], [64, 1, 64]),
]


def spikes_of(n: int, rows: tuple[int, int] = (6, 3), graded: bool = False) -> torch.Tensor:
    generator = torch.Generator().manual_seed(n)
    hits = torch.rand(*rows, n, generator=generator) < 0.4
    values = torch.randn(*rows, n, generator=generator) if graded else torch.ones(*rows, n)
    return torch.where(hits, values, 0.0)


def by_hand(x: torch.Tensor, per_address: list[int]) -> torch.Tensor:
    """One cell at a time."""
    out = torch.zeros_like(x)
    for n, d in enumerate(per_address):
        for t in range(d, x.shape[0]):
            out[t, :, n] = x[t - d, :, n]
    return out


def per_address(n: int, steps: list[int], sizes: list[int] | None) -> list[int]:
    sizes = sizes or ([n] if len(steps) == 1 else [1] * n)
    return [d for d, size in zip(steps, sizes, strict=True) for _ in range(size)]


@pytest.mark.parametrize(("n", "steps", "sizes"), GROUPS)
@pytest.mark.parametrize("graded", [False, True])
@pytest.mark.parametrize("rows", [(6, 3), (1, 1), (12, 1), (0, 2), (3, 0)])
def test_each_spike_arrives_when_it_should(n, steps, sizes, graded, rows) -> None:
    x = spikes_of(n, rows, graded)
    expected = by_hand(x, per_address(n, steps, sizes))
    out, history = delay(x, steps, sizes, backend="numba")
    assert torch.equal(out, expected)
    assert torch.equal(delay_ref(x, steps, sizes)[0], expected)
    padded = torch.cat([torch.zeros(max(steps), *x.shape[1:]), x])
    assert torch.equal(history, padded[len(x) :])
    events, rest = delay(compact(x), steps, sizes, backend="numba")
    assert torch.equal(events.to_dense(), expected)
    assert torch.equal(rest.to_dense(), history)
    type(events)(events.indptr, events.index, events.value, events.shape)  # the skipped checks
    type(rest)(rest.indptr, rest.index, rest.value, rest.shape)


@pytest.mark.parametrize(("n", "steps", "sizes"), GROUPS)
@pytest.mark.parametrize("as_events", [False, True])
@pytest.mark.parametrize("backend", ["numba", "reference"])
def test_in_pieces_as_in_one(n, steps, sizes, as_events, backend) -> None:
    x = spikes_of(n, (11, 2))
    whole, last = delay(x, steps, sizes, backend=backend)
    pieces, history = [], None
    for piece in x.split([1, 4, 2, 4]):
        given = compact(piece) if as_events else piece
        out, history = delay(given, steps, sizes, history, backend=backend)
        pieces.append(out.to_dense() if as_events else out)
    assert torch.equal(torch.cat(pieces), whole)
    assert torch.equal(history.to_dense() if as_events else history, last)


@pytest.mark.parametrize(("n", "steps", "sizes"), GROUPS)
def test_gradients_are_those_of_the_reference(n, steps, sizes) -> None:
    x = spikes_of(n, graded=True).requires_grad_()
    before = torch.randn(max(steps), 3, n, requires_grad=True)
    for history in (None, before):
        inputs = [x] if history is None else [x, history]
        grads = []
        for run in (lambda *a: delay(*a, backend="numba"), delay_ref):
            out, rest = run(x, steps, sizes, history)
            generator = torch.Generator().manual_seed(1)
            weights = [torch.randn(o.shape, generator=generator) for o in (out, rest)]
            loss = (out * weights[0]).sum() + (rest * weights[1]).sum()
            grads.append(torch.autograd.grad(loss, inputs))
        assert all(torch.equal(a, b) for a, b in zip(*grads, strict=True))


def test_strided_input() -> None:
    x = spikes_of(10, graded=True)[:, :, ::2]
    assert torch.equal(delay(x, [1, 3], [2, 3], backend="numba")[0], by_hand(x, [1, 1, 3, 3, 3]))


def test_mixed_values_of_history_and_spikes() -> None:
    graded, binary = compact(spikes_of(4, (2, 1), graded=True)), compact(spikes_of(4, (3, 1)))
    for history, spikes in ((graded, binary), (compact(torch.ones(2, 1, 4)), graded)):
        out, _ = delay(spikes, [2, 1], [2, 2], history, backend="numba")
        expected, _ = delay_ref(spikes.to_dense(), [2, 1], [2, 2], history.to_dense())
        assert torch.equal(out.to_dense(), expected)


def test_kernels_run_by_themselves_and_not_for_the_reference(monkeypatch) -> None:
    fetched = []
    original = registry.kernel
    monkeypatch.setattr(
        registry, "kernel", lambda *names: fetched.append(names[2]) or original(*names)
    )
    x = spikes_of(6)
    events = compact(x, backend="reference")
    with registry.use_backend("reference"):
        delay(x, [2])
        delay(events, [2])
    assert fetched == []
    delay(spikes_of(32), [2])
    delay(x, [0, 1, 2, 0, 1, 2])
    delay(events, [2])
    assert fetched[:2] == ["shift_groups", "shift_addresses"]
    assert fetched[2:] == ["transpose_events", "count_moved", "place_moved"]


def test_opcheck_and_torch_compile() -> None:
    x = spikes_of(6, graded=True).requires_grad_()
    torch.library.opcheck(
        torch.ops.spikefuse.delay.default, (x, [-3, 0, -1], [1, 3, 2], 6, "numba")
    )
    compiled = torch.compile(
        lambda s: delay(s, [3, 0, 1], [1, 3, 2])[0] * 2, fullgraph=True, backend="aot_eager"
    )
    out = compiled(x)
    assert torch.equal(out, 2 * delay_ref(x, [3, 0, 1], [1, 3, 2])[0])
    (grad,) = torch.autograd.grad(out.sum(), x)
    (expected,) = torch.autograd.grad(2 * delay_ref(x, [3, 0, 1], [1, 3, 2])[0].sum(), x)
    assert torch.equal(grad, expected)


def test_refusals() -> None:
    x = spikes_of(6)
    with pytest.raises(ValueError, match=r"spikes must be \[T, B, N\], got shape \(6, 3\)"):
        delay(x[..., 0], [1])
    with pytest.raises(
        ValueError, match=r"steps must be at least one delay of 0 or more, got \[-1"
    ):
        delay(x, [-1])
    with pytest.raises(
        ValueError, match=r"sizes must be 2 group sizes that sum to 6, got \[2, 3\]"
    ):
        delay(x, [1, 2], [2, 3])
    with pytest.raises(
        ValueError, match=r"steps must be 1 or 6 delays where sizes is not giv.*t 2"
    ):
        delay(x, [1, 2])
    with pytest.raises(ValueError, match=r"history must be of shape \(2, 3, 6\), got \(1, 3, 6\)"):
        delay(x, [2], None, x[:1])
    with pytest.raises(ValueError, match=r"history must be a Tensor, got SpikeBatch"):
        delay(x, [6], None, compact(x))  # type: ignore[type-var]
    with pytest.raises(BackendError, match=r"cannot run delay here: it needs float32, got torch.f"):
        delay(x.double(), [1], backend="numba")
