"""Convolutional and delayed encoders through their fused kernels: equal to forward, in chunks."""

import pytest
import torch

from spikefuse.encoders import EncoderSpec, ModalitySpec, SpikingEncoder
from spikefuse.encoders.spec import ConvSpec
from spikefuse.kernels import registry
from spikefuse.neurons import LIFParams
from spikefuse.spikes import SpikeBatch

CONV = EncoderSpec(convs=(ConvSpec(8, (3, 3), (2, 2)),), hidden=24)
DELAYED = EncoderSpec(hidden=24, delays_ms=(40.0, 0.0, 10.0))


def make(spec: EncoderSpec) -> tuple[SpikingEncoder, SpikeBatch]:
    torch.manual_seed(4)
    encoder = SpikingEncoder(ModalitySpec("seen", (17, 15, 2), spec), LIFParams(), 10.0).eval()
    return encoder, SpikeBatch.from_dense((torch.rand(14, 3, 510) < 0.05).float())


@pytest.mark.parametrize(("spec", "kernel"), [(CONV, "conv_lif"), (DELAYED, "delayed_lif")])
def test_infer_runs_fused_and_equals_forward(
    spec: EncoderSpec, kernel: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder, events = make(spec)
    names: list[str] = []
    real = registry.kernel
    monkeypatch.setattr(
        registry, "kernel", lambda op, b, name: (names.append(name), real(op, b, name))[1]
    )
    with registry.use_backend("numba"):
        out, state = encoder.infer(events)
        assert kernel in names
        assert "lif_forward" not in names
        with torch.no_grad():
            expected, state_expected = encoder(events)
    assert 0.01 < expected.mean() < 0.9
    assert torch.equal(out.to_dense(), expected)
    assert len(state) == len(state_expected)
    for a, b in zip(state, state_expected, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("spec", [CONV, DELAYED])
def test_chunks_equal_the_whole(spec: EncoderSpec) -> None:
    encoder, events = make(spec)
    with registry.use_backend("numba"):
        whole, last = encoder.infer(events)
        state, parts = None, []
        for chunk in torch.split(events.to_dense(), [1, 2, 11]):
            out, state = encoder.infer(SpikeBatch.from_dense(chunk), state)
            parts.append(out.to_dense())
    assert torch.equal(torch.cat(parts), whole.to_dense())
    assert state is not None
    for a, b in zip(state, last, strict=True):
        assert torch.equal(a, b)
