"""Models as graphs: the same spikes, scores and operations in every form."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from spikefuse.cost import count
from spikefuse.encoders.spec import ConvSpec, EncoderSpec, ModalitySpec
from spikefuse.errors import ConfigError
from spikefuse.interop.nir import NirNetwork, Node, from_nir, to_nir
from spikefuse.interop.nir.lowering import lower
from spikefuse.models import FusionSNN
from spikefuse.models.spec import ModelSpec
from spikefuse.neurons import ALIF, LIF, ALIFParams, LIFParams, LIReadout
from spikefuse.synapses import EventConv2d, EventLinear, SpikeDelay, SpikePool

CONVS = (ConvSpec(3, (3, 3), (2, 2)),)


def fused(seed: int = 0, convs: tuple[ConvSpec, ...] = CONVS, **changed: Any) -> FusionSNN:
    torch.manual_seed(seed)
    spec = ModelSpec(
        modalities=(
            ModalitySpec("vision", (8, 8, 2), EncoderSpec(convs=convs, hidden=12)),
            ModalitySpec("audio", (20, 1, 1), EncoderSpec(hidden=10)),
        ),
        n_classes=4,
        dt_ms=2.0,
        fusion_hidden=14,
        lif=LIFParams(reset="zero"),
    )
    return FusionSNN(replace(spec, **changed)).eval()


def inputs(seed: int = 1) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        "vision": (torch.rand(60, 2, 128, generator=generator) < 0.1).float(),
        "audio": (torch.rand(60, 2, 20, generator=generator) < 0.3).float(),
    }


@pytest.mark.parametrize("profile", ["portable", "snntorch", "native"])
@pytest.mark.parametrize("reset", ["zero", "subtract"])
@pytest.mark.parametrize("fusion", ["concat", "current_sum", "early"])
@torch.no_grad()
def test_a_graph_gives_the_models_spikes_and_scores(fusion: str, reset: Any, profile: Any) -> None:
    model = fused(fusion=fusion, lif=LIFParams(reset=reset))
    if fusion == "current_sum":
        for layer in model.fusion.fusion_synapses.values():
            layer.log_gain += torch.linspace(-1, 1, 14)
    network = lower(model, profile, None, 1.0)
    out = model(inputs())
    sent, _ = network.run(inputs())
    assert out.hidden.sum() > 50
    assert torch.equal(sent["fusion_lif"], out.hidden)
    torch.testing.assert_close(sent["readout"], out.scores, atol=1e-5, rtol=1e-5)


def test_many_events_at_once_pass_the_relays() -> None:
    model, x = fused(), inputs()
    x["audio"] *= 3  # a step of several events of one address
    network = lower(model, "portable", None, 1.0)
    assert torch.equal(network.run(x)[0]["fusion_lif"], model(x).hidden)


def test_a_native_graph_executes_what_the_model_does() -> None:
    model, x = fused(), inputs()
    network = from_nir(to_nir(model, "native"))
    ours, theirs = count(model, x).totals, count(network, x).totals
    for kind in ("effective_acs", "effective_macs", "neuron_updates_active", "spikes_routed"):
        assert theirs[kind] == ours[kind], kind


def test_a_graph_serves_as_an_encoder() -> None:
    model = fused(convs=())
    encoder = model.encoders["audio"]
    chain = nn.Sequential(encoder.synapses[0], encoder.neurons[0])
    network = from_nir(to_nir(chain, in_shape=(20,)))
    again = FusionSNN(model.spec, {"audio": network})
    again.load_state_dict(model.state_dict(), strict=False)
    out, x = again.eval()(inputs()), inputs()
    assert torch.equal(out.encoded["audio"], model(x).encoded["audio"])
    assert out.encoded["audio"].sum() > 50


def test_gradients_reach_the_weights_of_a_graph() -> None:
    network = from_nir(to_nir(fused(convs=()), "native"))
    network(inputs())[0].sum().backward()
    grad = network.nodes["vision_synapse_0"].layer.weight.grad
    assert grad is not None
    assert grad.abs().sum() > 0


PARAMS = LIFParams(reset="zero")
WITHOUT_FORM = [
    (lambda: fused(fusion="late"), "portable", None, "no node for what it computes"),
    (lambda: fused(fusion="qk_attention"), "native", None, "no node for what it computes"),
    (
        lambda: nn.Sequential(EventLinear(4, 3), ALIF(3, ALIFParams(), 1.0)),
        "native",
        (4,),
        "got ALIF",
    ),
    (
        lambda: nn.Sequential(EventConv2d((1, 6, 6), 2, (3, 2), (1, 1)), LIF(40, PARAMS, 1.0)),
        "portable",
        (1, 6, 6),
        "kernels must be square",
    ),
    (
        lambda: nn.Sequential(EventConv2d((1, 6, 6), 2, (3, 3), (1, 1)), LIF(32, PARAMS, 1.0)),
        "native",
        (1, 6, 6),
        "share their decay over a map",
    ),
    (lambda: nn.Sequential(SpikePool((1, 6, 6), (2, 2))), "portable", (1, 6, 6), "snnTorch has no"),
    (lambda: nn.Sequential(EventLinear(4, 3)), "portable", None, "in_shape must be given"),
    (lambda: nn.Linear(4, 3), "portable", (4,), "got Linear"),
    (lambda: lower(fused(), "native", None, 1.0), "portable", None, "must have one input"),
    (lambda: fused(), "norse", None, "profile must be one of"),
]


@pytest.mark.parametrize(
    ("make", "profile", "shape", "reason"), WITHOUT_FORM, ids=[case[-1] for case in WITHOUT_FORM]
)
def test_what_has_no_form_is_refused_with_the_reason(
    make: Any, profile: str, shape: Any, reason: str
) -> None:
    with pytest.raises(ConfigError, match=reason):
        to_nir(make(), profile, in_shape=shape, allow_lossy=True)


@pytest.mark.parametrize("profile", ["portable", "snntorch", "native"])
def test_neurons_without_synapses_in_front_are_scaled_all_the_same(profile: Any) -> None:
    torch.manual_seed(0)
    alike = LIFParams(reset="zero", tau_spread=1.0, threshold=0.4)
    net = nn.Sequential(LIF(6, alike, 1.0), LIReadout(6, 20.0, 1.0, gain=1.5))
    x = (torch.rand(40, 1, 6) < 0.5).float()
    wanted = net[1](net[0](x)[0])[0]
    assert wanted.max() > 0.5
    found, _ = from_nir(to_nir(net, profile, in_shape=(6,)))(x)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


def test_synapses_that_are_scaled_for_neurons_lead_nowhere_else() -> None:
    nodes = [
        Node("a", EventLinear(4, 3), ("input",), (3,)),
        Node("cells", LIF(3, LIFParams(reset="zero"), 1.0), ("a",), (3,)),
    ]
    network = NirNetwork({"input": (4,)}, nodes, ["cells", "a"], 1.0)
    with pytest.raises(ConfigError, match="lead nowhere else"):
        to_nir(network, "native")


@pytest.mark.parametrize("loop", [False, True])
def test_neurons_that_forget_nothing_or_all_come_back(loop: bool) -> None:
    torch.manual_seed(0)
    keeps, forgets = LIF(5, PARAMS, 1.0, recurrent=loop), LIF(3, PARAMS, 1.0)
    keeps.beta_logit.data.fill_(torch.inf)
    forgets.beta_logit.data[0] = -torch.inf
    net = nn.Sequential(EventLinear(6, 5, 2.0), keeps, EventLinear(5, 3, 3.0), forgets)
    x = (torch.rand(60, 1, 6) < 0.3).float()
    first = forgets(net[2](keeps(net[0](x))[0]))[0]
    assert first.sum() > 5
    back = from_nir(to_nir(net, "native", in_shape=(6,)))
    assert torch.equal(back(x)[0], first)
    with pytest.raises(ConfigError, match="below 1"):
        to_nir(net, "portable", in_shape=(6,))


def test_a_delay_and_pooling_come_back() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(
        SpikeDelay([0, 2], [8, 10]),
        SpikePool((2, 3, 3), (2, 2), (1, 1)),
        EventLinear(8, 5, 3.0),
        LIF(5, PARAMS, 1.0),
    )
    network = from_nir(to_nir(net, "native", in_shape=(2, 3, 3)))
    x = (torch.rand(40, 2, 18) < 0.2).float()
    first = net[3](net[2](net[1](net[0](x)[0])))[0]
    assert first.sum() > 10
    assert torch.equal(network(x)[0], first)
