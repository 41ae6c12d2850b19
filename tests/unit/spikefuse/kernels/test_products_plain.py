"""The SIMD kernels against their twins on plain loops, bit for bit."""

import numpy as np
import pytest

from spikefuse.kernels.cpu import products as simd
from spikefuse.kernels.cpu import products_plain as plain

ROWS, N_IN, BATCH = 24, 70, 4


@pytest.fixture
def events(rng: np.random.Generator):
    """CSR pointer, indices and values; some rows are empty."""
    on = rng.random((ROWS, N_IN)) < 0.2
    on[5:8] = False
    ptr = np.zeros(ROWS + 1, np.int32)
    ptr[1:] = np.cumsum(on.sum(1))
    index = np.nonzero(on)[1].astype(np.int32)
    return ptr, index, rng.standard_normal(len(index)).astype(np.float32)


def both(name: str, *shared, make):
    """Results of the two builds on their own output arrays."""
    results = []
    for build in (simd, plain):
        out = make()
        getattr(build, name)(*shared, *out)
        results.append(out)
    return results


def assert_same(results) -> None:
    for a, b in zip(*results, strict=True):
        assert np.array_equal(a.view(np.uint8), b.view(np.uint8))


@pytest.mark.parametrize("width", [16, 32, 64])
@pytest.mark.parametrize("valued", [False, True])
def test_products(events, rng: np.random.Generator, valued: bool, width: int) -> None:
    ptr, index, value = events
    n_out = 2 * width
    table = rng.standard_normal(2 * N_IN * width).astype(np.float32)
    for name, n in (("event_tiles", n_out - 3), ("event_rows", n_out)):
        results = []
        for build in (simd, plain):
            out = np.full(ROWS * n, np.nan, np.float32)
            kernel = getattr(build, name)
            scale = value if valued else None
            kernel(ptr, index, scale, table, N_IN * width, width, width, out, n)
            results.append((out,))
        assert_same(results)
        assert np.isfinite(results[0][0]).all()


@pytest.mark.parametrize("n_out", [3, 64, 200])
def test_dots(events, rng: np.random.Generator, n_out: int) -> None:
    ptr, index, _ = events
    grad = rng.standard_normal((ROWS, n_out)).astype(np.float32)
    weight = rng.standard_normal((N_IN, n_out)).astype(np.float32)
    results = both(
        "event_dots",
        ptr,
        index,
        grad,
        weight,
        make=lambda: (np.zeros((ROWS, N_IN), np.float32),),
    )
    assert_same(results)
    exact = grad.astype(np.float64) @ weight.T.astype(np.float64)
    on = results[0][0] != 0
    assert on.sum() == len(index)
    np.testing.assert_allclose(results[0][0][on], exact[on], atol=1e-4)


@pytest.mark.parametrize("subtract", [False, True])
def test_fused_layers(events, rng: np.random.Generator, subtract: bool) -> None:
    ptr, index, _ = events
    width, tiles = 64, 2
    table = rng.standard_normal(tiles * N_IN * width).astype(np.float32)
    two = np.stack([ptr, ptr])  # two sources that share one table
    base, step = np.zeros(2, np.int64), np.full(2, N_IN * width, np.int64)
    beta = rng.random(tiles * width).astype(np.float32)
    threshold = rng.random(tiles * width).astype(np.float32)
    start = rng.standard_normal((tiles, BATCH, width)).astype(np.float32)
    results = []
    for build in (simd, plain):
        v, mask = start.copy(), np.zeros((ROWS, 8), np.uint16)
        active = np.zeros((2, BATCH), np.int64)
        build.fused_lif(
            two,
            index,
            None,
            table,
            base,
            step,
            width,
            v,
            beta,
            threshold,
            subtract,
            mask,
            100,
            active[0],
            0,
            BATCH,
        )
        row_ptr = np.zeros(ROWS + 1, np.int32)
        build.count_spikes(mask.view(np.uint64), row_ptr)
        spikes = np.zeros(row_ptr[-1], np.int32)
        build.list_spikes(mask.view(np.uint64), spikes)
        level, trace = np.zeros((BATCH, 100), np.float32), np.zeros((ROWS, 100), np.float32)
        build.fused_li(
            two,
            index,
            None,
            table,
            base,
            step,
            width,
            width,
            level,
            beta[:100],
            beta[:100],
            trace,
            np.zeros((BATCH, 100), np.uint8),
            active[1],
            0,
            BATCH,
        )
        results.append((v, mask, row_ptr, spikes, level, trace, active))
    assert_same(results)
    assert (results[0][6] > 0).all()
    assert (results[0][6] <= ROWS // BATCH * 100).all()
    spikes = results[0][3]
    assert 0 < len(spikes) < ROWS * tiles * width
    # The list is the bit mask read with NumPy.
    bits = np.unpackbits(results[0][1].view(np.uint8), axis=1, bitorder="little")
    assert np.array_equal(np.nonzero(bits)[1], spikes)
