"""Networks of snnTorch and Norse as encoders: equal to the library's own loop, state outside."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import norse.torch as norse
import pytest
import snntorch
import torch
from torch import Tensor, nn

from spikefuse.cost import count
from spikefuse.encoders import EncoderSpec, ModalitySpec, freeze, infer_encoder
from spikefuse.encoders.protocol import Encoder
from spikefuse.encoders.samples import choose_samples, put_samples, take_samples
from spikefuse.interop.encoders import WrappedEncoder, wrap_norse, wrap_snntorch
from spikefuse.models import FusionSNN, ModelSpec
from spikefuse.spikes import SpikeBatch

N_STEPS, N_BATCH, N_IN, N_OUT = 14, 3, 18, 7


def spikes(density: float = 0.4, n: int = N_IN) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    return (torch.rand(N_STEPS, N_BATCH, n, generator=generator) < density).float()


def linear(n_in: int, n_out: int) -> nn.Linear:
    """Weights at which neurons with a threshold of 1 fire."""
    layer = nn.Linear(n_in, n_out, bias=False)
    nn.init.normal_(layer.weight, 0.1, 2.0 / math.sqrt(n_in))
    return layer


def leaky_net(**options: Any) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        linear(N_IN, 11),
        snntorch.Synaptic(alpha=0.6, beta=0.8, **options),
        nn.Sequential(
            linear(11, N_OUT), snntorch.Leaky(beta=0.9, reset_mechanism="zero", **options)
        ),
    )


def recurrent_net() -> nn.Sequential:
    torch.manual_seed(0)
    first = snntorch.RLeaky(beta=0.8, linear_features=11)
    last = snntorch.RSynaptic(alpha=0.5, beta=0.8, all_to_all=False, V=0.3)
    middle = snntorch.Alpha(alpha=0.7, beta=0.5)
    return nn.Sequential(linear(N_IN, 11), first, linear(11, 9), middle, linear(9, N_OUT), last)


def run_leaky(net: nn.Sequential, x: Tensor) -> Tensor:
    """snnTorch's tutorials: initialise, then a loop over time."""
    fc1, lif1, (fc2, lif2) = net
    syn, mem1 = lif1.reset_mem()
    mem2 = lif2.reset_mem()
    out = []
    for step in x:
        first, syn, mem1 = lif1(fc1(step), syn, mem1)
        second, mem2 = lif2(fc2(first), mem2)
        out.append(second)
    return torch.stack(out)


def run_recurrent(net: nn.Sequential, x: Tensor) -> Tensor:
    fc1, lif1, fc2, lif2, fc3, lif3 = net
    spk1, mem1 = lif1.reset_mem()
    exc, inh, mem2 = lif2.reset_mem()
    spk3, syn3, mem3 = lif3.reset_mem()
    out = []
    for step in x:
        spk1, mem1 = lif1(fc1(step), spk1, mem1)
        spk2, exc, inh, mem2 = lif2(fc2(spk1), exc, inh, mem2)
        spk3, syn3, mem3 = lif3(fc3(spk2), spk3, syn3, mem3)
        out.append(spk3)
    return torch.stack(out)


def norse_net() -> nn.Module:
    torch.manual_seed(0)
    p = norse.LIFParameters(v_th=torch.tensor(0.3))
    box = norse.LIFBoxParameters(v_th=torch.tensor(0.2), tau_mem_inv=torch.tensor(200.0))
    return norse.SequentialState(
        linear(N_IN, 11),
        norse.LIFCell(p),
        norse.SequentialState(linear(11, 9), norse.LIFRecurrentCell(9, 9, p=p)),
        linear(9, N_OUT),
        norse.LIFBoxCell(box),
    )


def run_norse(net: nn.Module, x: Tensor) -> Tensor:
    state = None
    out = []
    for step in x:
        z, state = net(step, state)
        out.append(z)
    return torch.stack(out)


class Case(NamedTuple):
    encoder: WrappedEncoder
    run: Callable[[Any, Tensor], Tensor]
    expected: Tensor


CASES: dict[str, Any] = {
    "leaky": (leaky_net, run_leaky, wrap_snntorch),
    "recurrent": (recurrent_net, run_recurrent, wrap_snntorch),
    "norse": (norse_net, run_norse, wrap_norse),
}


@pytest.fixture(params=list(CASES))
def case(request: pytest.FixtureRequest) -> Case:
    """A wrapped network, and what the library's own loop makes of `spikes`."""
    make, run, wrap = CASES[request.param]
    net = make()
    with torch.no_grad():
        expected = run(net, spikes())
    assert 0.02 < expected.mean() < 0.7
    return Case(wrap(net, N_IN, N_OUT), run, expected)


@torch.no_grad()
def test_spikes_equal_the_librarys_own_loop(case: Case) -> None:
    encoder, _, expected = case
    assert isinstance(encoder, Encoder)
    assert torch.equal(encoder(spikes())[0], expected)
    assert torch.equal(encoder(SpikeBatch.from_dense(spikes()))[0], expected)
    events, _ = infer_encoder(encoder, SpikeBatch.from_dense(spikes()), None)
    assert torch.equal(events.to_dense(), expected)


@torch.no_grad()
def test_the_state_is_a_value(case: Case) -> None:
    encoder, _, expected = case
    before = {k: v.clone() for k, v in encoder.state_dict().items()}
    first, state = encoder(spikes()[:5])
    for _ in range(2):  # a state that was used is not used up
        second, _ = encoder(spikes()[5:], state)
        assert torch.equal(torch.cat([first, second]), expected)
    assert all(torch.equal(v, before[k]) for k, v in encoder.state_dict().items())
    none, same = encoder(spikes()[:0], state)
    assert none.shape == (0, N_BATCH, N_OUT)
    assert same is state


@torch.no_grad()
def test_samples_can_be_run_apart(case: Case) -> None:
    encoder, _, expected = case
    x, some = spikes(), torch.tensor([0, 2])
    _, state = encoder(x[:5])
    part, after = encoder(x[5:, some], take_samples(encoder, state, some))
    assert torch.equal(part, expected[5:, some])
    _, whole = encoder(x[5:], state)
    joined = put_samples(encoder, state, some, after, N_BATCH)
    chosen = choose_samples(encoder, torch.tensor([True, False, True]), whole, state)
    again = (encoder(x, joined)[0], encoder(x, chosen)[0])
    assert torch.equal(*again)


def test_gradients_equal_the_librarys_own(case: Case) -> None:
    encoder, run, _ = case
    parameters = list(encoder.parameters())
    found = torch.autograd.grad(encoder(spikes())[0].sum(), parameters, allow_unused=True)
    own = run(encoder.net, spikes()).sum()
    expected = torch.autograd.grad(own, parameters, allow_unused=True)
    assert found[0] is not None
    assert found[0].any()
    for a, b in zip(found, expected, strict=True):
        assert (a is None) == (b is None)
        if a is not None and b is not None:
            torch.testing.assert_close(a, b)


@torch.no_grad()
def test_hidden_state_of_snntorch_stays_where_it_was() -> None:
    net, x = leaky_net(init_hidden=True), spikes()
    expected = run_leaky(leaky_net(), x)
    for layer in net.modules():
        if isinstance(layer, snntorch.Leaky | snntorch.Synaptic):
            layer.reset_mem()
    net(x[0])
    held = net[1].mem.clone()
    encoder = wrap_snntorch(net, N_IN, N_OUT)
    assert torch.equal(encoder(x)[0], expected)
    assert torch.equal(net[1].mem, held)
    assert net[1].init_hidden


@torch.no_grad()
def test_convolutions_and_networks_with_time() -> None:
    torch.manual_seed(0)
    convolution = nn.Conv2d(2, 4, 3, bias=False)
    nn.init.normal_(convolution.weight, 0.1, 0.5)
    net = nn.Sequential(convolution, snntorch.Leaky(beta=0.8))
    x = spikes(n=50)
    found, _ = wrap_snntorch(net, 50, 36, (2, 5, 5))(x)
    expected, mem = [], net[1].reset_mem()
    for step in x.view(N_STEPS, N_BATCH, 2, 5, 5):
        out, mem = net[1](convolution(step), mem)
        expected.append(out.flatten(1))
    assert torch.equal(found, torch.stack(expected))
    assert found.any()
    p = norse.LIFParameters(v_th=torch.tensor(0.1))
    timed = norse.SequentialState(norse.Lift(convolution), norse.LIF(p))
    whole, _ = timed(x.view(N_STEPS, N_BATCH, 2, 5, 5))
    encoder = wrap_norse(timed, 50, 36, (2, 5, 5), has_time=True)
    first, state = encoder(x[:6])
    second, _ = encoder(x[6:], state)
    assert torch.equal(torch.cat([first, second]), whole.flatten(2))
    assert whole.any()


def model_of(fusion: str) -> FusionSNN:
    """A snnTorch encoder, a Norse encoder and one of ours in one model."""
    torch.manual_seed(4)
    own = EncoderSpec((), 9, dropout=0.0)
    parts = tuple(ModalitySpec(m, (N_IN, 1, 1), own) for m in ("vision", "audio", "touch"))
    encoders = {
        "vision": wrap_snntorch(leaky_net(), N_IN, N_OUT),
        "audio": wrap_norse(norse_net(), N_IN, N_OUT),
    }
    return FusionSNN(ModelSpec(parts, 4, 5.0, fusion, 12), encoders).eval()


@pytest.mark.parametrize("fusion", ["concat", "energy_gate", "late"])
def test_a_model_fuses_encoders_of_three_libraries(fusion: str) -> None:
    model = model_of(fusion)
    if fusion == "energy_gate":
        with torch.no_grad():
            model.fusion.gate_synapse.weight.fill_(-2.0)
    x = dict.fromkeys(model.modalities, spikes())
    events = {name: SpikeBatch.from_dense(part) for name, part in x.items()}
    with torch.no_grad():
        expected = model(x)
    found = model.infer(events)
    torch.testing.assert_close(found.scores, expected.scores, rtol=1e-4, atol=1e-5)
    early = model.infer({m: SpikeBatch.from_dense(part[:6]) for m, part in x.items()})
    late = model.infer({m: SpikeBatch.from_dense(part[6:]) for m, part in x.items()}, early.state)
    torch.testing.assert_close(torch.cat([early.scores, late.scores]), found.scores)
    assert {m: e.shape[2] for m, e in expected.encoded.items()} == {
        "vision": N_OUT, "audio": N_OUT, "touch": 9,
    }  # fmt: skip
    trained = model.train()(x)
    torch.testing.assert_close(trained.scores, expected.scores, rtol=1e-4, atol=1e-5)
    trained.scores.square().sum().backward()
    assert all(p.grad is not None for p in model.encoders.parameters() if p.requires_grad)


def test_a_frozen_network_keeps_its_mode_and_weights() -> None:
    net = nn.Sequential(linear(N_IN, 11), nn.Dropout(0.5), snntorch.Leaky(beta=0.9))
    part = ModalitySpec("vision", (N_IN, 1, 1), EncoderSpec())
    model = FusionSNN(
        ModelSpec((part,), 4, 5.0, "concat", 12),
        {"vision": freeze(wrap_snntorch(net, N_IN, 11))},
    )
    model.train()
    assert model.training
    assert model.fusion.training
    assert not any(m.training for m in model.encoders["vision"].modules())
    model({"vision": spikes()}).scores.sum().backward()
    assert all(p.grad is None for p in model.encoders.parameters())


def test_what_cannot_be_wrapped_is_named() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lif = snntorch.Leaky(beta=0.5)

    with pytest.raises(ValueError, match=r"net must be a Sequential .* got Net"):
        wrap_snntorch(Net(), 4, 4)
    with pytest.raises(ValueError, match="in_shape must hold n_in=4 addresses"):
        wrap_norse(norse.LIFCell(), 4, 4, (2, 3))
    with pytest.raises(ValueError, match="net must yield n_out=3 addresses, got 4"):
        wrap_norse(norse.LIFCell(), 4, 3)(torch.zeros(2, 1, 4))
    with pytest.raises(ValueError, match=r"spikes must be \(T, B, 4\)"):
        wrap_norse(norse.LIFCell(), 4, 4)(torch.zeros(2, 1, 5))


@pytest.mark.parametrize("fusion", ["concat", "energy_gate"])
def test_operations_of_wrapped_networks_are_counted_or_named(fusion: str) -> None:
    """By hand: each step, every input spike times the fan-out of the first layer."""
    model, x = model_of(fusion), dict.fromkeys(("vision", "audio", "touch"), spikes())
    if fusion == "energy_gate":
        with torch.no_grad():  # vision is shut throughout
            model.fusion.gate_bias.copy_(torch.tensor([-1.0, 1.0, 1.0]))
            model.fusion.gate_synapse.weight.zero_()
    by_path = count(model, x).by_path
    sent = int(spikes().sum())
    assert by_path["encoders.audio.net.0"].effective_acs == 11 * sent
    vision = {k: c for k, c in by_path.items() if k.startswith("encoders.vision")}
    if fusion == "energy_gate":
        assert vision == {}
    else:
        assert vision["encoders.vision.net.0"].effective_acs == 11 * sent
        steps = N_STEPS * N_BATCH
        updates = [c.neuron_updates_active + c.neuron_updates_idle for c in vision.values()]
        assert sorted(u for u in updates if u) == [N_OUT * steps, 11 * steps]
