"""What a CUDA graph can hold: no call between launches makes the host wait for the device."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from spikefuse.encoders import ConvSpec, EncoderSpec, ModalitySpec
from spikefuse.kernels.gpu import launch
from spikefuse.kernels.gpu.ops import coincidence, conv, cross, events, products, scans
from spikefuse.models import FusionSNN, ModelSpec

from .rungs import shared_emulator

_WAITS = {"_local_scalar_dense", "nonzero", "is_nonzero", "equal", "masked_select", "unique"}


class NoWaiting(TorchDispatchMode):
    """Refuses every operation of torch that reads the device back.

    ``tolist`` of a tensor of the host is none, so it is refused by itself.
    """

    def __enter__(self) -> Any:
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(torch.Tensor, "tolist", self.refuse)
        return super().__enter__()

    def __exit__(self, *reason: Any) -> None:
        self.patch.undo()
        super().__exit__(*reason)

    @staticmethod
    def refuse(_: torch.Tensor) -> None:
        raise AssertionError("the host waits for the device in tolist")

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        name = function.overloadpacket.__name__
        if name in _WAITS:
            raise AssertionError(f"the host waits for the device in {name}")
        return function(*args, **(kwargs or {}))


@pytest.fixture(autouse=True)
def _emulated() -> Iterator[None]:
    with launch.using(shared_emulator("in order")):
        yield


def spikes(*shape: int) -> torch.Tensor:
    return (torch.rand(*shape, generator=torch.Generator().manual_seed(1)) < 0.3).float()


def test_the_guard_sees_a_read_back() -> None:
    with pytest.raises(AssertionError, match="the host waits"), NoWaiting():
        int(torch.ones(1))
    batch = events.compact(spikes(2, 2, 5))
    with pytest.raises(AssertionError, match="the host waits"), NoWaiting():
        events.compact(batch.to_dense())


def test_products_and_their_gradients_never_wait() -> None:
    x, weight, grad = spikes(3, 2, 9), torch.randn(9, 5), torch.randn(3, 2, 5)
    batch = events.compact(x)
    given = (batch.indptr, batch.index, batch.value)
    with NoWaiting():
        for dense_too in (False, True):
            for source in ((x, None, None, None), (None, *given)):
                products.product(*source, weight, None, None, [3, 2, 9], dense_too)
                products.weight_gradient(*source, grad, [3, 2, 9], dense_too)
        products.input_gradient(grad, weight, batch.indptr, batch.index)


def test_convolutions_and_their_gradients_never_wait() -> None:
    x, weight, grad = spikes(2, 2, 20), torch.randn(3, 1, 2, 2), torch.randn(2, 2, 36)
    batch = events.compact(x)
    shape, sizes = [2, 2, 20], ([1, 4, 5], [1, 1], [0, 0])
    with NoWaiting():
        for dense_too in (False, True):
            for source in (
                (x, None, None, None),
                (None, batch.indptr, batch.index, batch.value),
            ):
                conv.convolved(*source, weight, None, None, shape, *sizes, dense_too)
                conv.weight_gradient(*source, grad, shape, *sizes, [3, 1, 2, 2], dense_too)
        conv.input_gradient(grad, weight, batch.indptr, batch.index, *sizes)


def test_scans_and_their_gradients_never_wait() -> None:
    x, beta, weight = torch.randn(18, 2, 6), torch.full((6,), 0.8), torch.randn(6, 6)
    table = torch.stack([beta] * 5)
    how = (False, False, "arctan", 2.0)
    with NoWaiting():
        out, v, saved = scans.lif_forward(x, beta, torch.ones(()), None, *how, True)
        scans.lif_backward(out, v, x, beta, torch.ones(()), saved, *how, True, True)
        for matrix in (None, weight):
            out, i, v, a, saved = scans.neuron_forward(
                x, matrix, table, None, None, None, None, *how, True
            )
            scans.neuron_backward(
                out, i, v, a, x, matrix, table, None, out, saved, *how, True, True
            )
        trace, v = scans.li_forward(x, beta, beta, None)
        scans.li_backward(trace, v, x, beta, beta, None, trace)


def test_coincidence_and_delays_never_wait() -> None:
    x, window = spikes(4, 2, 6), torch.randn(4, 2, 3)
    events.delay_dense(x, [0, -2], [2, 4], 4)  # its table goes to the device once
    with NoWaiting():
        coincidence.gated(x, None, None, None, torch.randn(6, 3), window, [4, 2, 6], True)
        coincidence.traced(
            x, torch.randn(6, 3), x, torch.randn(6, 3), torch.rand(3), None, True, False
        )
        events.delay_dense(x, [0, -2], [2, 4], 4)


def test_sparse_synapses_and_their_gradients_never_wait() -> None:
    x, taps = spikes(4, 2, 6), torch.randn(12, 3)
    first = torch.arange(12, dtype=torch.int32) % 4
    edges = (torch.arange(7, dtype=torch.int32) * 2, torch.arange(12, dtype=torch.int32) % 5)
    batch = events.compact(x)
    with NoWaiting():
        for source in ((x, None, None, None), (None, batch.indptr, batch.index, batch.value)):
            out = cross.scattered(*source, taps, first, *edges, None, [4, 2, 6], 5, 6)
            cross.gradients(out, *source, taps, first, *edges, [4, 2, 6], True, True)


def test_no_code_above_a_launch_reads_back_but_where_a_batch_says_its_size() -> None:
    reads = re.compile(r"\.item\(|\.tolist\(|\.cpu\(|synchronize\(|\.nonzero\(|\.numpy\(")
    for module in (coincidence, conv, cross, events, products, scans):
        assert reads.findall(inspect.getsource(module)) == []


def test_no_module_keeps_state_in_buffers() -> None:
    """Data-parallel replicas broadcast buffers: a state there would be one sample's for all."""
    vision = ModalitySpec("vision", (8, 8, 2), EncoderSpec((ConvSpec(3, (3, 3), (2, 2)),), 12))
    recurrent = EncoderSpec((), 10, 0.0, (0.0, 20.0), recurrent=True)
    model = FusionSNN(ModelSpec((vision, ModalitySpec("audio", (9, 1, 1), recurrent)), 5, 10.0))
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    model.train()
    model({"vision": spikes(12, 3, 128), "audio": spikes(12, 3, 9)})
    after = dict(model.named_buffers())
    assert after.keys() == before.keys()
    for name, buffer in after.items():
        assert torch.equal(buffer, before[name]), name
        assert 3 not in buffer.shape, f"{name} looks like a state of 3 samples"
