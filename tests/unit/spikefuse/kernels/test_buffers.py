"""The pool of result buffers: reuse, lifetime, no live alias, limits."""

import gc
import threading

import numpy as np
import pytest
import torch

from spikefuse.kernels import buffers

LARGE = (buffers.POOLED_BYTES // 4 + 5,)


@pytest.fixture(autouse=True)
def _clean_pool():
    gc.collect()
    buffers.release()
    yield
    buffers.release()


@pytest.mark.parametrize("shape", [LARGE, (3, 257, 1031), (0, 4), (2, 3), ()])
@pytest.mark.parametrize("dtype", [torch.float32, torch.int32, torch.float64])
def test_shape_type_and_alignment(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    tensor = buffers.empty(shape, dtype)
    assert tensor.shape == shape
    assert tensor.dtype == dtype
    assert tensor.is_contiguous()
    assert tensor.data_ptr() % 64 == 0 or tensor.numel() == 0
    assert torch.equal(tensor.fill_(3), torch.full(shape, 3, dtype=dtype))


def test_a_freed_block_is_used_again_and_a_live_one_is_not() -> None:
    first = buffers.empty(LARGE)
    address = first.data_ptr()
    second = buffers.empty(LARGE)
    assert second.data_ptr() != address
    assert buffers.kept_bytes() == 0
    del first
    assert buffers.kept_bytes() >= LARGE[0] * 4
    third = buffers.empty(LARGE)
    assert third.data_ptr() == address
    assert buffers.kept_bytes() == 0


@pytest.mark.parametrize(
    "alias",
    [
        lambda t: t[10:],
        lambda t: t.numpy()[3:],
        lambda t: t.untyped_storage(),
        lambda t: t.detach().requires_grad_().view(-1),
        lambda t: memoryview(t.numpy()),
    ],
)
def test_any_alias_keeps_the_block_out_of_the_pool(alias) -> None:
    tensor = buffers.empty(LARGE)
    address = tensor.data_ptr()
    held = alias(tensor)
    del tensor
    gc.collect()
    assert buffers.kept_bytes() == 0
    assert buffers.empty(LARGE).data_ptr() != address
    buffers.release()
    del held
    assert buffers.kept_bytes() > 0


def test_small_results_are_plain() -> None:
    buffers.empty((16,))
    gc.collect()
    assert buffers.kept_bytes() == 0


def test_the_pool_never_keeps_more_than_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buffers, "keep_limit", lambda: 3 * buffers.POOLED_BYTES)
    live = [buffers.empty(LARGE) for _ in range(6)]
    live.clear()
    assert 0 < buffers.kept_bytes() <= 3 * buffers.POOLED_BYTES
    # A new size drives out the leftovers of the old one.
    buffers.empty((buffers.POOLED_BYTES // 2,))
    gc.collect()
    assert buffers.kept_bytes() == buffers._block_bytes(2 * buffers.POOLED_BYTES)


def test_threads_never_share_a_block() -> None:
    wrong: list[int] = []

    def work(mark: int) -> None:
        for _ in range(50):
            tensor = buffers.empty(LARGE).fill_(mark)
            if not bool((tensor == mark).all()):
                wrong.append(mark)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_pooled_tensor_is_an_ordinary_leaf_of_autograd() -> None:
    tensor = buffers.empty((512, 1024)).fill_(2.0).requires_grad_()
    (tensor * tensor).sum().backward()
    np.testing.assert_array_equal(tensor.grad, np.full((512, 1024), 4.0))
