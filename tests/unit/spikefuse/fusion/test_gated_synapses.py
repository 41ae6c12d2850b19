"""Gated cross-modal synapses: nothing at first, everything once open."""

import math

import pytest
import torch
from torch import Tensor

from spikefuse.cost import count
from spikefuse.encoders import EncoderSpec, ModalitySpec
from spikefuse.fusion import build
from spikefuse.fusion.cross_synapse import CrossSynapseFusion
from spikefuse.models import FusionSNN, ModelSpec, start_from_unimodal
from spikefuse.synapses.cross import CrossSynapses

SIZES = {"vision": 20, "audio": 14}


def operator(**options) -> CrossSynapseFusion:
    torch.manual_seed(0)
    built = build("cross_synapse", SIZES, 16, dt_ms=5.0, delay_max_ms=40.0, **options)
    assert isinstance(built, CrossSynapseFusion)
    return built.eval()


def inputs() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(2)
    return {m: (torch.rand(40, 3, n, generator=generator) < 0.2).float() for m, n in SIZES.items()}


@pytest.mark.parametrize("training", [False, True])
@torch.no_grad()
def test_a_new_gate_leaves_every_population_to_its_own_modality(training: bool) -> None:
    gated = operator(gated=True).train(training)
    alone = operator(pairs=())
    alone.load_state_dict(gated.state_dict(), strict=False)
    assert gated.gates() == {"vision>audio": 0.0, "audio>vision": 0.0}
    assert torch.equal(gated(inputs())[0], alone(inputs())[0])
    assert gated(inputs())[0].any()


def fused_and_unimodal() -> tuple[FusionSNN, dict[str, FusionSNN]]:
    torch.manual_seed(1)
    parts = {m: ModalitySpec(m, (n, 1, 1), EncoderSpec((), 12)) for m, n in SIZES.items()}
    unimodal = {m: FusionSNN(ModelSpec((p,), 4, 5.0, "concat", 8)).eval() for m, p in parts.items()}
    both, options = tuple(parts.values()), {"gated": True}
    spec = ModelSpec(both, 4, 5.0, "cross_synapse", 16, fusion_options=options)
    return FusionSNN(spec).eval(), unimodal


@torch.no_grad()
def test_a_fused_model_starts_as_the_unimodal_ones() -> None:
    fused, unimodal = fused_and_unimodal()
    unimodal["audio"].readout.log_gain.add_(0.7)
    expected = {m: one({m: inputs()[m]}) for m, one in unimodal.items()}
    found = start_from_unimodal(fused, unimodal)(inputs())
    assert torch.equal(found.hidden, torch.cat([out.hidden for out in expected.values()], 2))
    assert all(out.hidden.any() for out in expected.values())
    together = torch.stack([out.scores for out in expected.values()]).sum(0)
    torch.testing.assert_close(found.scores, together, rtol=1e-4, atol=1e-5)


def test_what_does_not_fit_together_is_refused() -> None:
    fused, unimodal = fused_and_unimodal()
    with pytest.raises(ValueError, match="fused must have fusion 'cross_synapse', got 'concat'"):
        start_from_unimodal(unimodal["vision"], unimodal)
    with pytest.raises(ValueError, match=r"unimodal must hold \['vision', 'audio'\], got"):
        start_from_unimodal(fused, {"vision": unimodal["vision"]})
    swapped = {"vision": unimodal["audio"], "audio": unimodal["vision"]}
    with pytest.raises(ValueError, match="must be a model of 'vision' alone"):
        start_from_unimodal(fused, swapped)


@torch.no_grad()
def test_an_open_gate_scales_the_weights() -> None:
    gated, plain = operator(gated=True), operator()
    plain.load_state_dict(gated.state_dict(), strict=False)
    for name, path in gated.cross.items():
        path.gate.fill_(math.atanh(0.5))
        plain.cross[name].weight.mul_(0.5)
    assert gated.gates()["audio>vision"] == pytest.approx(0.5)
    expected = plain(inputs())[0]
    assert torch.equal(gated(inputs())[0], expected)
    assert not torch.equal(operator(pairs=())(inputs())[0], expected)
    assert gated.count_operations(inputs()) == plain.count_operations(inputs())


def test_a_shut_gate_costs_no_operation_and_can_open() -> None:
    gated = operator(gated=True)
    path = count(gated, inputs()).by_path["cross.vision>audio"]
    assert path.effective_acs == 0
    assert path.dense_macs > 0
    gated.train()(inputs())[0].sum().backward()
    for part in gated.cross.values():
        assert part.gate.grad is not None
        assert part.gate.grad != 0
        assert not part.weight.grad.any()  # nothing gets through yet


def test_the_gates_gradient_is_that_of_finite_differences() -> None:
    torch.manual_seed(3)
    layer = CrossSynapses(6, 5, 2.0, delay_max_ms=20.0, gated=True).eval()
    x = (torch.rand(20, 2, 6) < 0.3).float()
    assert layer.gate is not None
    with torch.no_grad():
        layer.gate.fill_(0.4)
    weighing = torch.randn(20, 2, 5)
    (found,) = torch.autograd.grad((layer(x)[0] * weighing).sum(), layer.gate)
    ends = []
    for step in (-1e-2, 1e-2):
        with torch.no_grad():
            layer.gate.fill_(0.4 + step)
            ends.append(float((layer(x)[0] * weighing).double().sum()))
    assert float(found) == pytest.approx((ends[1] - ends[0]) / 2e-2, rel=1e-3)
