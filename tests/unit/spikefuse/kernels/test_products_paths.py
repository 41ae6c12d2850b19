"""Which path runs: kernels by sentinel, dense by cost, packed by version; custom-op contracts."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from spikefuse.kernels import crossover, launch, packing, products, registry
from spikefuse.kernels.compaction import compact
from spikefuse.kernels.products import event_matmul
from spikefuse.kernels.registry import use_backend
from spikefuse.spikes import SpikeBatch

KERNELS = ("event_tiles", "event_rows", "transpose_events", "scatter_events")


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(7)


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the kernels in the order in which they ran."""
    from spikefuse.kernels.cpu import products as kernels

    launch.simd_works()  # its probe is one of the kernels; it runs once in a process
    calls: list[str] = []
    for owner, names in ((kernels, KERNELS), (packing, ("_pack",))):
        for name in names:
            original = getattr(owner, name)

            def counted(*args, _name=name, _original=original):
                calls.append(_name)
                return _original(*args)

            monkeypatch.setattr(owner, name, counted)
    return calls


def spikes_of(shape: tuple[int, int, int], density: float) -> SpikeBatch:
    return SpikeBatch.from_dense((torch.rand(shape) < density).float())


def test_few_events_read_the_weight_as_it_lies(ran: list[str]) -> None:
    weight = torch.randn(300, 64)
    event_matmul(spikes_of((5, 4, 300), 0.02), weight)
    assert ran == ["event_rows"]


def test_many_events_pack_once_per_version(ran: list[str]) -> None:
    spikes, weight = spikes_of((50, 8, 100), 0.2), torch.randn(100, 64)
    first = event_matmul(spikes, weight)
    assert ran == ["_pack", "event_tiles"]
    event_matmul(spikes, weight)
    assert ran[2:] == ["event_tiles"]
    weight.mul_(2)
    assert torch.equal(event_matmul(spikes, weight), 2 * first)
    assert ran[3:] == ["_pack", "event_tiles"]


def test_a_parameter_in_training_is_packed_once_per_step(ran: list[str]) -> None:
    spikes = spikes_of((50, 8, 100), 0.2)
    weight = torch.nn.Parameter(torch.randn(100, 64))
    optimizer = torch.optim.SGD([weight], lr=0.1)
    for _ in range(2):
        before = weight.detach().clone()
        loss = event_matmul(spikes, weight).square().mean()
        assert torch.equal(
            event_matmul(spikes, weight), event_matmul(spikes, before, backend="numba")
        )
        ran.clear()
        loss.backward()
        assert ran[0] == "transpose_events"
        optimizer.step()
        optimizer.zero_grad()
        ran.clear()
        event_matmul(spikes, weight)
        event_matmul(spikes, weight)
        assert ran.count("_pack") == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda w: w.data.mul_(3),  # .data leaves the version counter alone
        lambda w: w.detach().numpy().__imul__(3),
        lambda w: setattr(w, "data", 3 * w.data),
        lambda w: w.requires_grad_(False).mul_(3),
    ],
)
def test_changed_weights_are_never_served_from_the_memo(change) -> None:
    spikes, weight = spikes_of((50, 8, 100), 0.2), torch.nn.Parameter(torch.randn(100, 64))
    first = event_matmul(spikes, weight, backend="numba").detach()
    change(weight)
    torch.testing.assert_close(event_matmul(spikes, weight, backend="numba").detach(), 3 * first)


def test_one_changed_element_is_seen_by_the_version() -> None:
    """The sample of the memo does not hold this element; the counter alone tells."""
    spikes, weight = SpikeBatch.from_dense(torch.ones(4, 5, 100)), torch.zeros(100, 64)
    for expected in (0.0, 1.0):
        weight[0, 1] = expected
        out = event_matmul(spikes, weight, backend="numba")
        assert out.sum() == 20 * expected
    assert 1 % (weight.numel() // 1024 | 1) != 0


def test_a_new_weight_at_an_old_address_is_a_new_weight() -> None:
    spikes = spikes_of((50, 8, 100), 0.2)
    for _ in range(5):  # the allocator hands the same block out again
        weight = torch.randn(100, 64)
        dense = spikes.to_dense() @ weight
        torch.testing.assert_close(event_matmul(spikes, weight, backend="numba"), dense)
        del weight


def test_inference_tensors_are_packed_anew(ran: list[str]) -> None:
    spikes = spikes_of((50, 8, 100), 0.2)
    with torch.inference_mode():
        weight = torch.randn(100, 64)
        first = event_matmul(spikes, weight)
        weight.mul_(2)
        assert torch.equal(event_matmul(spikes, weight), 2 * first)
    assert ran.count("_pack") == 2


@pytest.mark.parametrize("made", [True, False])
def test_full_input_takes_the_dense_product_unless_a_backend_is_named(
    ran: list[str], made: bool
) -> None:
    dense = (torch.rand(20, 8, 128) < 0.9).float()
    batch, weight = SpikeBatch.from_dense(dense), torch.randn(128, 128)
    inputs = (dense, batch) if made else (batch, None)
    out = event_matmul(inputs[0], weight, events=inputs[1])
    assert ran == ([] if made else ["scatter_events"])
    assert torch.equal(out, dense @ weight)
    ran.clear()
    event_matmul(inputs[0], weight, events=inputs[1], backend="numba")
    assert "event_tiles" in ran
    ran.clear()
    with use_backend("numba"):
        event_matmul(inputs[0], weight, events=inputs[1])
    assert "event_tiles" in ran


def test_gradient_of_full_input_is_dense_too(ran: list[str]) -> None:
    dense = (torch.rand(20, 8, 128) < 0.9).float()
    weight = torch.randn(128, 128, requires_grad=True)
    event_matmul(dense, weight).sum().backward()
    assert ran == []
    torch.testing.assert_close(weight.grad, dense.sum((0, 1))[:, None].expand(128, 128))


def test_crossover_grows_with_density_and_shrinks_with_conversion() -> None:
    shape = [100, 32, 2312]
    cells = 100 * 32 * 2312
    wins = [crossover.dense_wins(int(d * cells), shape, 512, made=True) for d in (0.1, 0.5, 0.7)]
    assert wins == [False, False, True]
    assert not crossover.dense_wins(int(0.5 * cells), shape, 512, made=False)
    assert crossover.dense_wins(cells, shape, 512, made=False)
    assert not crossover.silent_wins(int(0.6 * cells), shape, 512)
    assert crossover.silent_wins(int(0.8 * cells), shape, 512)
    assert crossover.skips(torch.full((50, 8, 128), 2.0), 256)
    assert not crossover.skips(torch.ones(50, 8, 128), 256)  # nothing is silent: one sum serves all
    assert not crossover.skips(torch.zeros(50, 8, 512), 512)
    assert crossover.tiny([1, 1, 64], 64, known=True)
    assert not crossover.tiny(shape, 512, known=False)
    assert crossover.tiny([10, 3, 500], 100, known=False)
    assert not crossover.tiny([10, 3, 500], 100, known=True)


@pytest.mark.parametrize("density", [0.6, 0.95, 1.0])
def test_nearly_full_binary_events_are_summed_by_the_silent_inputs(
    density: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = torch.Generator().manual_seed(3)
    dense = (torch.rand(40, 16, 513, generator=generator) < density).float()
    dense[0], dense[1] = 0.0, 1.0  # a silent row and a full one
    weight = torch.randn(513, 272, generator=generator)
    listed: list[int] = []
    original = products.product_kernel

    def spied(op: str, backend: str, name: str) -> Any:
        if name == "silent_cells":
            listed.append(1)
        return original(op, backend, name)

    monkeypatch.setattr(products, "product_kernel", spied)
    out = event_matmul(compact(dense), weight)
    assert len(listed) == (density > 0.9)
    assert torch.allclose(out, dense @ weight, atol=2e-3)
    graded = dense * 2.0
    assert torch.allclose(event_matmul(compact(graded), weight), graded @ weight, atol=4e-3)
    assert len(listed) == (density > 0.9)  # graded events have no silent form


@pytest.mark.parametrize("shape", [(1, 1, 700), (1, 1, 17), (10, 4, 96), (3, 2, 31), (35, 32, 64)])
@pytest.mark.parametrize("n_out", [1, 10, 512])
def test_a_small_dense_input_takes_one_pass_or_the_dense_product(
    shape: tuple[int, int, int], n_out: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = torch.Generator().manual_seed(4)
    weight = torch.randn(shape[2], n_out, generator=generator)
    ran: list[bool] = []
    kernel = registry.kernel

    def spied(op: str, backend: str, name: str) -> Any:
        function = kernel(op, backend, name)
        if name != "small_product":
            return function

        def counted(*arguments: Any) -> bool:
            ran.append(function(*arguments))
            return ran[-1]

        return counted

    monkeypatch.setattr(registry, "kernel", spied)
    for density in (0.0, 0.05, 1.0):
        for scale in (1.0, -2.5):
            dense = scale * (torch.rand(shape, generator=generator) < density).float()
            assert torch.allclose(event_matmul(dense, weight), dense @ weight, atol=1e-3)
    if n_out == 512 and shape in ((1, 1, 700), (10, 4, 96)):
        assert ran[:2] == [True, True]
        assert ran[-1] is False
    ran.clear()
    event_matmul(torch.zeros(shape), weight, backend="numba")
    event_matmul(torch.zeros(shape), weight.requires_grad_())
    assert not ran  # neither an explicit backend nor a gradient takes it


def test_a_dense_input_written_again_is_converted_again() -> None:
    """The events found in a forward pass belong to its own backward pass only."""
    dense, weight = torch.zeros(4, 2, 20), torch.randn(20, 16, requires_grad=True)
    buffer = dense.numpy()
    for address in (3, 7):
        buffer[:] = 0
        buffer[:, :, address] = 1
        out = event_matmul(dense, weight, backend="numba")
        assert torch.equal(out, weight.detach()[address].expand(4, 2, 16))
        (grad,) = torch.autograd.grad(out.sum(), weight)
        assert torch.equal(grad.nonzero()[:, 0].unique(), torch.tensor([address]))


def test_a_dense_input_is_converted_once_for_both_passes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[int] = []
    original = products.compact
    monkeypatch.setattr(products, "compact", lambda x: (calls.append(1), original(x))[1])
    dense = (torch.rand(9, 3, 40) < 0.1).float().requires_grad_()
    weight = torch.nn.Parameter(torch.randn(40, 32))
    event_matmul(dense, weight, backend="numba").sum().backward()
    assert len(calls) == 1
    events = SpikeBatch.from_dense(dense)
    event_matmul(dense, weight, events=events, backend="numba").sum().backward()
    assert len(calls) == 1


@pytest.mark.parametrize("form", ["dense", "events", "both"])
def test_opcheck(form: str) -> None:
    dense = (torch.rand(3, 2, 20) < 0.3).float().requires_grad_(form != "events")
    batch, weight = SpikeBatch.from_dense(dense), torch.randn(20, 17, requires_grad=True)
    csr = (None, None, None) if form == "dense" else (batch.indptr, batch.index, batch.value)
    active = (batch.indptr, batch.index) if form == "both" else (None, None)
    first = None if form == "events" else dense
    args = (first, *csr, weight, *active, [3, 2, 20], False, "numba")
    torch.library.opcheck(torch.ops.spikefuse.event_matmul.default, args)
    grad = torch.randn(3, 2, 17)
    torch.library.opcheck(
        torch.ops.spikefuse.event_matmul_dweight.default,
        (None if first is None else first.detach(), *csr, grad, [3, 2, 20], False, "numba"),
    )
    torch.library.opcheck(
        torch.ops.spikefuse.event_matmul_dspikes.default,
        (grad, weight.detach(), batch.indptr, batch.index, "numba"),
    )


@pytest.mark.parametrize("backend", ["numba", None])
def test_compiles_as_one_graph(backend: str | None) -> None:
    dense = (torch.rand(30, 4, 100) < 0.1).float().requires_grad_()
    weight = torch.randn(100, 128, requires_grad=True)

    def doubled(x: Tensor, w: Tensor) -> Tensor:
        return 2 * event_matmul(x, w, backend=backend)

    out = torch.compile(doubled, fullgraph=True, backend="aot_eager")(dense, weight)
    assert torch.equal(out, doubled(dense, weight))
    grads = torch.autograd.grad(out.sum(), (dense, weight))
    exact = torch.autograd.grad((2 * dense @ weight).sum(), (dense, weight))
    for got, expected in zip(grads, exact, strict=True):
        torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("n_columns", [1, 16, 17, 48, 64, 100])
@pytest.mark.parametrize("width", packing.WIDTHS)
def test_packed_tiles_hold_the_matrix(width: int, n_columns: int) -> None:
    matrix = torch.randn(9, n_columns)
    table = packing.table_of(matrix, 0, width=width)
    tiles = table.flat.reshape(-1, 9, width)
    flat = np.concatenate(list(tiles), axis=1)
    assert np.array_equal(flat[:, :n_columns], matrix.numpy())
    assert not flat[:, n_columns:].any()
    assert table.flat.ctypes.data % 64 == 0


def test_tile_width_follows_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "_l2_bytes", lambda: 1 << 20)
    monkeypatch.setattr(packing, "_widest", lambda: 64)
    assert [packing.tile_width(n, 512) for n in (700, 4096, 8192, 16384, 40000)] == [
        64,
        64,
        32,
        16,
        64,
    ]
    assert [packing.tile_width(700, n) for n in (1, 16, 17, 33, 100)] == [16, 16, 32, 64, 64]


def test_a_failing_intrinsic_is_announced_and_plain_loops_take_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from spikefuse.kernels.cpu import products as kernels
    from spikefuse.kernels.cpu import products_plain

    def broken(*args: object) -> None:
        raise NotImplementedError("no such instruction")

    monkeypatch.setattr(kernels, "event_rows", broken)
    monkeypatch.setattr(kernels, "event_rows", broken)
    launch.simd_works.cache_clear()
    try:
        with pytest.warns(RuntimeWarning, match="plain loops take over"):
            chosen = launch.product_kernel("event_matmul", "numba", "event_rows")
        assert chosen is products_plain.event_rows
        dense = (torch.rand(6, 2, 30) < 0.3).float()
        batch, weight = SpikeBatch.from_dense(dense), torch.randn(30, 32)
        out = event_matmul(batch, weight, backend="numba")
        torch.testing.assert_close(out, dense @ weight)
    finally:
        launch.simd_works.cache_clear()
