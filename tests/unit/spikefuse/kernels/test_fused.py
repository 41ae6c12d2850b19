"""Fused layers: bit for bit the product, the scan and the conversion; against dense with a band."""

import time

import numpy as np
import pytest
import torch
from torch import Tensor

from spikefuse.errors import BackendError
from spikefuse.kernels.fused import (
    fused_event_li,
    fused_event_lif,
    fused_event_lif_ref,
)
from spikefuse.kernels.neurons import li_scan_ref, lif_scan_ref
from spikefuse.kernels.products import event_matmul
from spikefuse.spikes import SpikeBatch

# (T, B, n_in, n_out): words of 32 and 64 bits and their neighbours, one of everything.
SHAPES = [
    (6, 3, 37, 20),
    (1, 1, 1, 1),
    (9, 2, 31, 16),
    (4, 1, 32, 33),
    (5, 4, 33, 65),
    (3, 2, 65, 64),
    (12, 2, 150, 130),
    (7, 3, 40, 31),
]


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(11)


def random_batch(shape: tuple[int, ...], density: float, counts: bool = False) -> SpikeBatch:
    on = (torch.rand(shape) < density).float()
    return SpikeBatch.from_dense(on * torch.randint(1, 4, shape) if counts else on)


def stepwise(
    sources: list[SpikeBatch], weights: list[Tensor], *neuron, reset: str, v0: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Products in event order, added source by source, then the scan of the definition."""
    currents = [event_matmul(s, w, backend="numba") for s, w in zip(sources, weights, strict=True)]
    return lif_scan_ref(sum(currents[1:], currents[0]), *neuron, reset=reset, v0=v0)


@pytest.mark.parametrize("counts", [False, True])
@pytest.mark.parametrize("reset", ["zero", "subtract"])
@pytest.mark.parametrize("shape", SHAPES)
def test_lif_equals_product_and_scan_bit_for_bit(
    shape: tuple[int, int, int, int], reset: str, counts: bool
) -> None:
    n_steps, n_batch, n_in, n_out = shape
    batch = random_batch(shape[:3], 0.3, counts)
    weight = torch.randn(n_in, n_out)
    neuron = (torch.rand(n_out), torch.rand(n_out) + 0.2)
    v0 = torch.randn(n_batch, n_out)
    kept = v0.clone()
    spikes, v_last = fused_event_lif(batch, weight, *neuron, reset=reset, v0=v0, backend="numba")
    expected, v_expected = stepwise([batch], [weight], *neuron, reset=reset, v0=v0)
    assert torch.equal(spikes.to_dense(), expected)
    assert torch.equal(v_last, v_expected)
    assert torch.equal(v0, kept)
    assert spikes.shape == (n_steps, n_batch, n_out)
    # The list itself is well formed: a SpikeBatch built from it passes every check.
    SpikeBatch(spikes.indptr, spikes.index, None, spikes.shape)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("beta", [0.9, None])
def test_readout_equals_product_and_scan_bit_for_bit(
    shape: tuple[int, int, int, int], beta: float | None
) -> None:
    decay = torch.rand(shape[3]) if beta is None else beta
    batch, weight = random_batch(shape[:3], 0.3), torch.randn(shape[2], shape[3])
    v0 = torch.randn(shape[1], shape[3])
    trace, v_last = fused_event_li(batch, weight, decay, v0=v0, backend="numba")
    expected, v_expected = li_scan_ref(event_matmul(batch, weight, backend="numba"), decay, v0)
    assert torch.equal(trace, expected)
    assert torch.equal(v_last, v_expected)


@pytest.mark.parametrize("counts", [False, True])
@pytest.mark.parametrize("n_out", [16, 70])
def test_sources_are_summed(n_out: int, counts: bool) -> None:
    sizes = (40, 7, 65)
    sources = [random_batch((8, 3, n), 0.3, counts and n == 7) for n in sizes]
    weights = [torch.randn(n, n_out) * 0.3 for n in sizes]
    spikes, v_last = fused_event_lif(sources, weights, 0.9, 1.0, backend="numba")
    expected, v_expected = stepwise(sources, weights, 0.9, 1.0, reset="zero", v0=None)
    assert torch.equal(spikes.to_dense(), expected)
    assert torch.equal(v_last, v_expected)
    assert 0 < spikes.density < 1
    trace, _ = fused_event_li(sources, weights, 0.9, backend="numba")
    currents = [event_matmul(s, w, backend="numba") for s, w in zip(sources, weights, strict=True)]
    assert torch.equal(trace, li_scan_ref(currents[0] + currents[1] + currents[2], 0.9)[0])


@pytest.mark.parametrize("changed", [0, 1])
def test_a_changed_weight_of_one_source_is_seen(changed: int) -> None:
    sources = [random_batch((8, 3, n), 0.3) for n in (20, 30)]
    weights = [torch.randn(n, 16) * 0.3 for n in (20, 30)]
    for _ in range(2):
        trace, _ = fused_event_li(sources, weights, 0.9, backend="numba")
        currents = [
            event_matmul(s, w, backend="numba") for s, w in zip(sources, weights, strict=True)
        ]
        assert torch.equal(trace, li_scan_ref(currents[0] + currents[1], 0.9)[0])
        weights[changed].mul_(-2)
    swapped, _ = fused_event_li(sources[::-1], weights[::-1], 0.9, backend="numba")
    torch.testing.assert_close(
        swapped, fused_event_li(sources, weights, 0.9, backend="reference")[0]
    )


def test_a_network_agrees_with_dense_torch_outside_the_band() -> None:
    """Three layers against dense products; a neuron once within eps of threshold is left out."""
    torch.manual_seed(3)
    batch = random_batch((30, 4, 200), 0.05)
    weights = [torch.randn(200, 100) * 0.3, torch.randn(100, 80) * 0.25]
    events, dense = batch, batch.to_dense()
    n_out_of_band = 0
    for weight in weights:
        events, _ = fused_event_lif(events, weight, 0.9, 1.0, backend="numba")
        near = torch.zeros(4, weight.shape[1], dtype=torch.bool)
        v, out = torch.zeros(4, weight.shape[1]), []
        for x in (dense @ weight).unbind(0):
            v = 0.9 * v + x
            near |= (v - 1.0).abs() < 1e-5
            fired = v > 1.0
            out.append(torch.where(near, events.to_dense()[len(out)], fired.float()))
            v = torch.where(fired, 0.0, v)
        n_out_of_band += int(near.sum())
        dense = torch.stack(out)
        assert torch.equal(events.to_dense(), dense)
        assert 0.01 < events.density < 0.5
    assert n_out_of_band <= 0.02 * 4 * 180


def test_chunks_with_carried_state_equal_one_run() -> None:
    dense = (torch.rand(20, 3, 50) < 0.1).float()
    weight = torch.randn(50, 40) * 0.5
    whole, v_whole = fused_event_lif(SpikeBatch.from_dense(dense), weight, 0.8, 1.0)
    parts, v = [], None
    for chunk in (dense[:7], dense[7:8], dense[8:8], dense[8:]):
        spikes, v = fused_event_lif(SpikeBatch.from_dense(chunk), weight, 0.8, 1.0, v0=v)
        parts.append(spikes.to_dense())
    assert torch.equal(torch.cat(parts), whole.to_dense())
    assert torch.equal(v, v_whole)


@pytest.mark.parametrize("n_out", [1, 33, 64])
def test_empty_stream_decays_the_membrane(n_out: int) -> None:
    batch = SpikeBatch.from_dense(torch.zeros(3, 2, 5))
    v0 = torch.full((2, n_out), 0.8)
    spikes, v = fused_event_lif(batch, torch.randn(5, n_out), 0.5, 1.0, v0=v0, backend="numba")
    assert spikes.n_events == 0
    assert torch.equal(v, torch.full((2, n_out), 0.1))
    trace, _ = fused_event_li(batch, torch.randn(5, n_out), 0.5, v0=v0, backend="numba")
    assert torch.equal(trace[:, 0, 0], torch.tensor([0.4, 0.2, 0.1]))


@pytest.mark.parametrize(
    ("drive", "fires"), [(1.0, False), (float(np.nextafter(np.float32(1), 2)), True)]
)
def test_a_membrane_at_threshold_does_not_fire(drive: float, fires: bool) -> None:
    batch = SpikeBatch.from_dense(torch.ones(1, 1, 1))
    spikes, _ = fused_event_lif(batch, torch.full((1, 1), drive), 0.9, 1.0, backend="numba")
    assert spikes.n_events == fires


def test_interspike_interval_in_closed_form() -> None:
    """Constant drive w, decay b, reset to zero: the n-th step reaches w (1 - b^n) / (1 - b)."""
    beta, drive = 0.9, 0.15
    spikes, _ = fused_event_lif(
        SpikeBatch.from_dense(torch.ones(60, 1, 1)), torch.full((1, 1), drive), beta, 1.0
    )
    period = int(np.ceil(np.log(1 - (1 - beta) / drive) / np.log(beta)))
    assert spikes.rows().tolist() == list(range(period - 1, 60, period))


def test_reference_backend_is_the_definition() -> None:
    batch, weight = random_batch((6, 2, 30), 0.3), torch.randn(30, 20)
    spikes, v = fused_event_lif(batch, weight, 0.9, 1.0, backend="reference")
    expected, v_expected = fused_event_lif_ref(batch, weight, 0.9, 1.0)
    assert torch.equal(spikes.index, expected.index)
    assert torch.equal(v, v_expected)
    double, _ = fused_event_lif(batch, weight.double(), 0.9, 1.0)
    assert double.shape == spikes.shape
    with pytest.raises(BackendError, match=r"it needs float32, got torch\.float64"):
        fused_event_lif(batch, weight.double(), 0.9, 1.0, backend="numba")


def test_the_fused_kernels_run(monkeypatch: pytest.MonkeyPatch) -> None:
    from spikefuse.kernels.cpu import products

    calls: list[str] = []
    for name in ("fused_lif", "fused_li", "event_tiles", "event_rows"):
        original = getattr(products, name)
        monkeypatch.setattr(
            products, name, lambda *a, n=name, o=original: (calls.append(n), o(*a))[1]
        )
    batch, weight = random_batch((6, 2, 30), 0.3), torch.randn(30, 20)
    fused_event_lif(batch, weight, 0.9, 1.0)
    fused_event_li(batch, weight, 0.9)
    assert calls == ["fused_lif", "fused_li"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weight": torch.zeros(4, 2)}, r"weight must be \[3, 2\]"),
        ({"weight": [torch.zeros(3, 2)] * 2}, "weight must be one per source"),
        ({"spikes": torch.zeros(2, 2, 3)}, "spikes must be SpikeBatch, got Tensor"),
        ({"spikes": [], "weight": []}, "at least one"),
        ({"beta": torch.zeros(3)}, r"beta must be a number or \[2\], got \(3,\)"),
        ({"threshold": torch.zeros(1, 2)}, r"threshold must be a number or \[2\]"),
        ({"v0": torch.zeros(2, 3)}, r"v0 must be \[2, 2\]"),
        ({"reset": "none"}, "reset must be 'zero' or 'subtract', got 'none'"),
        (
            {"weight": torch.zeros(3, 2, requires_grad=True)},
            r"weight\[0\] must not ask for a gradient",
        ),
        ({"beta": torch.zeros(2, requires_grad=True)}, "beta must not ask for a gradient"),
    ],
)
def test_refusals(change: dict[str, object], message: str) -> None:
    arguments: dict[str, object] = {
        "spikes": SpikeBatch.from_dense(torch.zeros(2, 2, 3)),
        "weight": torch.zeros(3, 2),
        "beta": 0.9,
        "threshold": 1.0,
    }
    with pytest.raises(ValueError, match=message):
        fused_event_lif(**(arguments | change))


def test_sources_of_other_length_are_refused() -> None:
    sources = [SpikeBatch.from_dense(torch.zeros(n, 2, 3)) for n in (2, 3)]
    with pytest.raises(ValueError, match="spikes must all be of 2 steps and 2 samples"):
        fused_event_lif(sources, [torch.zeros(3, 2)] * 2, 0.9, 1.0)


def test_parameters_are_welcome_without_gradients() -> None:
    weight = torch.nn.Parameter(torch.randn(3, 2))
    with torch.no_grad():
        fused_event_lif(SpikeBatch.from_dense(torch.ones(2, 2, 3)), weight, 0.9, 1.0)


@pytest.mark.slow
def test_time_grows_linearly_with_events() -> None:
    """Processor time of product and fused layer against the number of events: R2 above 0.98."""
    weight = torch.randn(2312, 512) * 0.05
    densities = np.linspace(0.01, 0.2, 8)
    batches = [random_batch((100, 16, 2312), float(d)) for d in densities]
    for run in (
        lambda b: event_matmul(b, weight, backend="numba"),
        lambda b: fused_event_lif(b, weight, 0.9, 1.0, backend="numba"),
    ):
        times = np.full((7, len(batches)), np.inf)
        order = np.random.default_rng(0)
        for row in times:
            for i in order.permutation(len(batches)):
                start = time.process_time()
                run(batches[i])
                row[i] = time.process_time() - start
        n_events = np.array([b.n_events for b in batches])
        assert np.corrcoef(n_events, np.median(times, axis=0))[0, 1] ** 2 > 0.98
