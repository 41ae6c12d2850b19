"""Delayed synapses with their neurons: bit for bit the parts, in chunks as in one piece."""

import pytest
import torch
from torch import Tensor

from spikefuse.kernels import registry
from spikefuse.kernels.fused_delay import arrivals_ref, fused_delayed_lif, fused_delayed_lif_ref
from spikefuse.kernels.neurons import lif_scan_ref
from spikefuse.kernels.products import event_matmul
from spikefuse.spikes import SpikeBatch

Case = tuple[SpikeBatch, Tensor, tuple[int, ...], Tensor, Tensor]
SHAPES = [(9, 3, 37, 20), (1, 1, 1, 1), (7, 2, 31, 64), (5, 1, 40, 130), (6, 4, 65, 33)]


def case(
    shape: tuple[int, int, int, int],
    delays: tuple[int, ...] = (0, 4, 2),
    density: float = 0.3,
    counts: bool = False,
) -> Case:
    generator = torch.Generator().manual_seed(5)
    n_steps, n_batch, n_in, n_out = shape
    on = (torch.rand(n_steps, n_batch, n_in, generator=generator) < density).float()
    if counts:
        on *= torch.randint(1, 4, on.shape, generator=generator)
    weight = torch.randn(n_in, len(delays) * n_out, generator=generator)
    beta, threshold = torch.rand(2, n_out, generator=generator)
    return SpikeBatch.from_dense(on), weight, delays, beta, threshold + 0.2


@pytest.mark.parametrize("reset", ["zero", "subtract"])
@pytest.mark.parametrize("counts", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_equals_the_separate_operations_bit_for_bit(
    shape: tuple[int, int, int, int], counts: bool, reset: str
) -> None:
    batch, weight, delays, *neuron = case(shape, counts=counts)
    v0, pending = torch.randn(shape[1], shape[3]), torch.randn(4, shape[1], shape[3])
    kept = v0.clone(), pending.clone()
    out, v, left = fused_delayed_lif(
        batch, weight, delays, *neuron, reset=reset, v0=v0, pending=pending, backend="numba"
    )
    wide = event_matmul(batch, weight, backend="numba")
    current, left_expected = arrivals_ref(wide, delays, pending)
    spikes, v_expected = lif_scan_ref(current, *neuron, reset=reset, v0=v0)
    assert torch.equal(out.to_dense(), spikes)
    assert torch.equal(v, v_expected)
    assert torch.equal(left, left_expected)
    assert torch.equal(v0, kept[0])
    assert torch.equal(pending, kept[1])
    SpikeBatch(out.indptr, out.index, None, out.shape)  # every check passes


@pytest.mark.parametrize("cuts", [[1] * 12, [5, 7], [2, 10]])
def test_chunks_equal_the_whole_bit_for_bit(cuts: list[int]) -> None:
    batch, weight, delays, *neuron = case((12, 2, 20, 16), (0, 3, 1, 5))
    whole, v_whole, left_whole = fused_delayed_lif(batch, weight, delays, *neuron, backend="numba")
    v = left = None
    parts = []
    for chunk in torch.split(batch.to_dense(), cuts):
        out, v, left = fused_delayed_lif(
            SpikeBatch.from_dense(chunk), weight, delays, *neuron, v0=v, pending=left,
            backend="numba",
        )  # fmt: skip
        parts.append(out.to_dense())
    assert torch.equal(torch.cat(parts), whole.to_dense())
    assert v is not None
    assert torch.equal(v, v_whole)
    assert left is not None
    assert torch.equal(left, left_whole)


def test_one_spike_arrives_once_per_delay() -> None:
    dense = torch.zeros(8, 1, 2)
    dense[1, 0, 1] = 1.0
    weight = torch.tensor([[9.0, 9.0], [2.0, 3.0]])  # delays 0 and 4 of one neuron
    for backend in ("numba", "reference"):
        out, v, left = fused_delayed_lif(
            SpikeBatch.from_dense(dense), weight, (0, 4), 0.0, 1.0, backend=backend
        )
        assert out.to_dense().flatten().tolist() == [0, 1, 0, 0, 0, 1, 0, 0]
        assert v.item() == 0.0
        assert left.abs().sum() == 0.0


def test_currents_that_have_not_arrived_are_handed_on() -> None:
    batch = SpikeBatch.from_dense(torch.ones(1, 1, 1))
    _, _, left = fused_delayed_lif(
        batch, torch.tensor([[0.5, 0.25]]), (3, 1), 0.9, 1.0, backend="numba"
    )
    assert left.flatten().tolist() == [0.25, 0.0, 0.5]


@pytest.mark.parametrize("shape", [(0, 2, 5, 4), (4, 0, 5, 4)])
def test_nothing_in_nothing_out(shape: tuple[int, int, int, int]) -> None:
    out, v, left = fused_delayed_lif(*case(shape), backend="numba")
    assert out.n_events == 0
    assert v.abs().sum() == 0
    assert left.abs().sum() == 0
    assert out.shape == (shape[0], shape[1], 4)


def test_no_events_leave_only_the_decay() -> None:
    batch, weight, delays, beta, threshold = case((3, 2, 5, 17), density=0.0)
    v0 = torch.full((2, 17), 0.1)
    out, v, _ = fused_delayed_lif(batch, weight, delays, beta, threshold, v0=v0, backend="numba")
    assert out.n_events == 0
    torch.testing.assert_close(v, v0 * beta**3)


def test_the_automatic_choice_runs_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    names: list[str] = []
    real = registry.kernel
    monkeypatch.setattr(
        registry, "kernel", lambda op, b, name: (names.append(name), real(op, b, name))[1]
    )
    fused_delayed_lif(*case(SHAPES[0]))
    assert names == ["delayed_lif", "count_spikes", "list_spikes"]
    names.clear()
    fused_delayed_lif(*case(SHAPES[0]), backend="reference")
    assert names == []


def test_the_reference_agrees_to_rounding() -> None:
    made = case((6, 2, 20, 16), density=0.2)
    _, v, left = fused_delayed_lif(*made, backend="numba")
    _, v_ref, left_ref = fused_delayed_lif_ref(*made)
    torch.testing.assert_close(v, v_ref, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(left, left_ref, atol=1e-4, rtol=1e-4)


def operator_arguments() -> tuple:
    batch, weight, delays, beta, threshold = case((3, 2, 10, 16))
    return (
        batch.indptr, batch.index, None, weight, list(delays), beta, threshold, None, None, [3, 2],
        False, "numba",
    )  # fmt: skip


def test_opcheck_and_compile() -> None:
    args = operator_arguments()
    torch.library.opcheck(torch.ops.spikefuse.fused_delayed_lif.default, args)

    def run(weight: Tensor) -> Tensor:
        out = torch.ops.spikefuse.fused_delayed_lif(*args[:3], weight, *args[4:])
        return out[1] * 2

    compiled = torch.compile(run, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(args[3]), run(args[3]))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"delays": (0, 0, 1)}, "delays must be one or more distinct"),
        ({"weight": torch.zeros(5, 7)}, "weight must be"),
        ({"v0": torch.zeros(3, 3)}, "v0 must be"),
        ({"pending": torch.zeros(1, 2, 4)}, "pending must be of shape"),
        ({"beta": torch.zeros(3)}, "beta must be a number"),
        ({"weight": torch.zeros(5, 12, requires_grad=True)}, "must not ask for a gradient"),
    ],
)
def test_refusals(change: dict, words: str) -> None:
    names = ("spikes", "weight", "delays", "beta", "threshold")
    given = dict(zip(names, case((4, 2, 5, 4)), strict=True)) | change
    with pytest.raises(ValueError, match=words):
        fused_delayed_lif(**given)
