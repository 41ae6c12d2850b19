"""When the dispatcher may be left out, and what happens where the SIMD kernels do not compile."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from spikefuse.errors import BackendError
from spikefuse.events import EventStream
from spikefuse.kernels import eager, registry
from spikefuse.kernels.binning import bin_events
from spikefuse.kernels.compaction import compact, compact_ref
from spikefuse.kernels.conv import event_conv2d, event_conv2d_ref


def test_a_gradient_is_watched_only_where_it_is_recorded() -> None:
    plain, wanted = torch.zeros(2), torch.zeros(2, requires_grad=True)
    assert eager.nobody_watches(plain, None)
    assert not eager.nobody_watches(plain, wanted)
    with torch.no_grad():
        assert eager.nobody_watches(plain, wanted)


def test_transforms_and_fake_tensors_watch() -> None:
    seen = []
    torch.vmap(lambda x: seen.append(eager.nobody_watches(torch.zeros(1))) or x)(torch.zeros(2))
    assert seen == [False]
    with FakeTensorMode():
        assert not eager.nobody_watches(torch.zeros(2))


def test_a_tracer_watches() -> None:
    assert not eager.tracing()
    traced = torch.compile(lambda x: x + eager.tracing(), fullgraph=True, backend="eager")
    assert traced(torch.zeros(1)).item() == 1


def test_who_named_a_backend() -> None:
    assert eager.left_to_us(None)
    assert not eager.left_to_us("numba")
    with registry.use_backend("reference"):
        assert not eager.left_to_us(None)


def test_where_nothing_compiles_the_reference_takes_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eager, "simd_works", lambda: False)
    monkeypatch.setattr(registry, "kernel", None)  # any use of a kernel would fail
    dense = (torch.rand(20, 4, 2312) < 0.01).float()
    weight = torch.randn(8, 2, 5, 5)
    assert torch.equal(compact(dense).index, compact_ref(dense).index)
    out = event_conv2d(dense, weight, (2, 34, 34), (2, 2))
    assert torch.equal(out, event_conv2d_ref(dense, weight, (2, 34, 34), (2, 2)))
    assert bin_events([EventStream.empty((2, 2, 1), 5_000, "vision")], 1.0).n_events == 0
    with pytest.raises(BackendError, match=r"compact here: the SIMD kernels do not compile here"):
        compact(dense, backend="numba")
