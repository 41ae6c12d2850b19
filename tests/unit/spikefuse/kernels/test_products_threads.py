"""Chunks on threads: the same bits as one thread, and a pool for every process."""

import os
import threading
from itertools import pairwise

import numpy as np
import pytest
import torch

from spikefuse.kernels import threads
from spikefuse.kernels.fused import fused_event_li, fused_event_lif
from spikefuse.kernels.products import event_matmul
from spikefuse.spikes import SpikeBatch


@pytest.fixture
def three_threads(monkeypatch: pytest.MonkeyPatch):
    """Any work is worth a thread, and three may run."""
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    monkeypatch.setattr(threads, "_WORK_OF_A_THREAD", 1.0)
    yield
    torch.set_num_threads(before)


def results(batch: SpikeBatch, weight: torch.Tensor) -> list[torch.Tensor]:
    """Product, weight gradient, spikes and membranes of both fused layers."""
    w = weight.clone().requires_grad_()
    product = event_matmul(batch, w, backend="numba")
    (grad,) = torch.autograd.grad(product.square().sum(), w)
    spikes, v = fused_event_lif(batch, weight, 0.9, 1.0, backend="numba")
    trace, level = fused_event_li(batch, weight, 0.9, backend="numba")
    return [product.detach(), grad, spikes.indptr, spikes.index, v, trace, level]


@pytest.mark.parametrize("n_batch", [1, 2, 7])
@pytest.mark.parametrize("n_out", [20, 64, 130])
def test_chunks_give_the_bits_of_one_thread(three_threads, n_batch: int, n_out: int) -> None:
    torch.manual_seed(1)
    dense = (torch.rand(9, n_batch, 80) < 0.3).float()
    dense[3:6] = 0  # a cut falls between rows of the same pointer
    batch, weight = SpikeBatch.from_dense(dense), torch.randn(80, n_out)
    torch.set_num_threads(1)
    expected = results(batch, weight)
    torch.set_num_threads(3)
    for got, alone in zip(results(batch, weight), expected, strict=True):
        assert torch.equal(got, alone)


def test_large_work_really_runs_on_several_threads(
    three_threads, monkeypatch: pytest.MonkeyPatch
) -> None:
    from spikefuse.kernels.cpu import products

    torch.set_num_threads(2)
    ran: set[int] = set()
    both = threading.Barrier(2, timeout=20)
    original = products.event_tiles

    def recorded(*args):
        ran.add(threading.get_ident())
        both.wait()  # passes only if two chunks are under way at once
        return original(*args)

    monkeypatch.setattr(products, "event_tiles", recorded)
    batch = SpikeBatch.from_dense(torch.ones(40, 3, 30))
    event_matmul(batch, torch.randn(30, 64), backend="numba")
    assert len(ran) == 2


def test_small_work_stays_on_one_thread() -> None:
    torch.set_num_threads(max(2, torch.get_num_threads()))
    assert threads.chunk_count(1e6, 100) == 1
    assert threads.chunk_count(1e12, 1) == 1
    assert threads.chunk_count(1e12, 100) == torch.get_num_threads()


@pytest.mark.parametrize("n_chunks", [1, 2, 5, 40])
def test_cuts_cover_every_row_once(rng: np.random.Generator, n_chunks: int) -> None:
    lengths = rng.integers(0, 9, 33) * (rng.random(33) < 0.5)
    ptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    seen: list[int] = []
    lock = threading.Lock()

    def run(first: int, last: int) -> None:
        with lock:
            seen.extend(range(first, last))

    cuts = threads.even_cuts(ptr, n_chunks)
    threads.run_chunks(run, cuts)
    assert sorted(seen) == list(range(33))
    heaviest = max(int(ptr[b] - ptr[a]) for a, b in pairwise(cuts))
    assert heaviest <= ptr[-1] / n_chunks + 2 * lengths.max()


def test_an_error_in_a_chunk_reaches_the_caller() -> None:
    def run(first: int, last: int) -> None:
        if first == 0:
            raise ZeroDivisionError("first chunk")

    with pytest.raises(ZeroDivisionError, match="first chunk"):
        threads.run_chunks(run, [0, 1, 2])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_makes_its_own_pool() -> None:
    threads.run_chunks(lambda a, b: None, [0, 1, 2])  # the parent's pool exists
    child = os.fork()
    if child == 0:
        done: list[int] = []
        threads.run_chunks(lambda a, b: done.append(a), [0, 1, 2])
        os._exit(0 if sorted(done) == [0, 1] else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
