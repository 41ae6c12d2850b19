"""Inference on the emulated backend: the CPU backend's spikes, events from layer to layer."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from spikefuse.encoders import ConvSpec, EncoderSpec, ModalitySpec
from spikefuse.errors import BackendError
from spikefuse.kernels import compact, use_backend
from spikefuse.kernels.fused import fused_event_lif
from spikefuse.kernels.gpu import launch
from spikefuse.models import FusionEvents, FusionSNN, FusionState, ModelSpec
from spikefuse.neurons.lif import LIFParams
from spikefuse.spikes import SpikeBatch

from .rungs import shared_emulator

PLAIN = EncoderSpec((), 24, 0.0)
CONV = EncoderSpec((ConvSpec(3, (3, 3), (2, 2)),), 20)
# Encoders, fusion, and the kernels that the variant is there for.
VARIANTS: dict[str, tuple[EncoderSpec, EncoderSpec, str, str]] = {
    "linear, concat": (PLAIN, PLAIN, "concat", "sf_lif_forward"),
    "convolutions": (CONV, PLAIN, "current_sum", "sf_conv_forward_f32"),
    "delayed": (PLAIN, EncoderSpec((), 24, 0.0, (0.0, 10.0, 30.0)), "concat", "sf_lif_forward"),
    "recurrent": (
        EncoderSpec((), 20, 0.0, recurrent=True),
        PLAIN,
        "concat",
        "sf_recurrent_forward_f32",
    ),
    "cross-modal synapses": (PLAIN, PLAIN, "cross_synapse", "sf_cross_forward"),
    "coincidence": (PLAIN, PLAIN, "coincidence", "sf_coincidence_f32"),
    "uncertainty gate": (PLAIN, PLAIN, "uncertainty_gate", "sf_lif_forward"),
    "late": (PLAIN, PLAIN, "late", "sf_li_forward"),
}


def model_of(variant: str) -> FusionSNN:
    """A tiny fusion model in evaluation, always with the same weights."""
    vision, audio, fusion, _ = VARIANTS[variant]
    torch.manual_seed(3)
    parts = (ModalitySpec("vision", (8, 8, 2), vision), ModalitySpec("audio", (9, 1, 1), audio))
    return FusionSNN(ModelSpec(parts, 5, 10.0, fusion, 22, LIFParams())).eval()


def inputs_of() -> dict[str, SpikeBatch]:
    """Events of 18 steps."""
    random = torch.Generator().manual_seed(4)
    sizes = {"vision": 128, "audio": 9}
    return {
        name: compact((torch.rand(18, 2, n, generator=random) < 0.25).float())
        for name, n in sizes.items()
    }


def infer(variant: str, backend: str, state: FusionState | None = None) -> FusionEvents:
    """The model's answer on a backend."""
    with use_backend(backend):
        return model_of(variant).infer(inputs_of(), state)


@pytest.mark.parametrize("variant", VARIANTS)
def test_inference_gives_the_spikes_of_the_cpu(variant: str) -> None:
    want = infer(variant, "numba")
    want_next = infer(variant, "numba", want.state)
    emulator = shared_emulator("in order")
    before = emulator.n_launches.get(VARIANTS[variant][3], 0)
    with launch.using(emulator):
        got = infer(variant, "cuda")
        got_next = infer(variant, "cuda", got.state)
    assert emulator.n_launches.get(VARIANTS[variant][3], 0) > before
    for ours, cpus in ((got, want), (got_next, want_next)):
        same_spikes(ours.hidden, cpus.hidden)
        for name, spikes in cpus.encoded.items():
            same_spikes(ours.encoded[name], spikes)
        torch.testing.assert_close(ours.scores, cpus.scores, rtol=0, atol=1e-5)


def test_a_layer_asked_for_by_argument_runs_on_the_backend_or_not_at_all() -> None:
    spikes, weight = inputs_of()["audio"], torch.randn(9, 30)
    with pytest.raises(BackendError, match="cannot run fused_layer here"):
        fused_event_lif(spikes, weight, 0.9, 1.0, backend="cuda")
    emulator = shared_emulator("in order")
    before = emulator.n_launches.get("sf_lif_forward", 0)
    with launch.using(emulator):
        got, v = fused_event_lif(spikes, weight, 0.9, 1.0, backend="cuda")
    assert emulator.n_launches["sf_lif_forward"] == before + 1
    want, want_v = fused_event_lif(spikes, weight, 0.9, 1.0, backend="numba")
    same_spikes(got, want)
    assert torch.equal(v, want_v)


def same_spikes(got: Any, want: SpikeBatch) -> None:
    """Equal events, of which there are some."""
    assert want.n_events > 0
    assert torch.equal(got.indptr, want.indptr)
    assert torch.equal(got.index, want.index)
