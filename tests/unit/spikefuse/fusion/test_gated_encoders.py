"""An energy gate before encoders: a shut modality is not encoded, and every path agrees on it."""

import math

import pytest
import torch
from torch import Tensor

from spikefuse.cost import count
from spikefuse.encoders import ConvSpec, EncoderSpec, ModalitySpec
from spikefuse.encoders.spiking import SpikingEncoder
from spikefuse.fusion.events import among_samples, of_samples, one_after_another, steps_of
from spikefuse.models import FusionSNN, FusionState, ModelSpec
from spikefuse.neurons import LIFParams
from spikefuse.spikes import SpikeBatch

SIZES = {"vision": (6, 6, 2), "audio": (12, 1, 1)}
ENCODERS = {
    "vision": EncoderSpec((ConvSpec(3, (3, 3), (2, 2)),), 14, dropout=0.0, recurrent=True),
    "audio": EncoderSpec((), 10, dropout=0.0, delays_ms=(0.0, 5.0, 15.0), recurrent=True),
}


def model_of(bias: tuple[float, float] = (0.2, 0.2), weight: float | None = None) -> FusionSNN:
    """A model whose gates, at a weight given, know nothing but their bias and the fused rate."""
    torch.manual_seed(1)
    parts = tuple(ModalitySpec(m, SIZES[m], ENCODERS[m]) for m in SIZES)
    options = {"window_ms": 20.0}
    model = FusionSNN(ModelSpec(parts, 4, 5.0, "energy_gate", 16, fusion_options=options)).eval()
    gate = model.fusion
    with torch.no_grad():
        gate.gate_bias.copy_(torch.tensor(bias))
        if weight is not None:
            gate.gate_synapse.weight.fill_(weight)
    return model


def inputs(n_steps: int = 42, n_batch: int = 3) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(2)
    density = torch.tensor([0.02, 0.1, 0.3]).repeat(n_batch)[:n_batch, None]
    return {
        name: (torch.rand(n_steps, n_batch, math.prod(size), generator=generator) < density).float()
        for name, size in SIZES.items()
    }


def as_events(x: dict[str, Tensor]) -> dict[str, SpikeBatch]:
    return {name: SpikeBatch.from_dense(part) for name, part in x.items()}


def gates_of(model: FusionSNN, x: dict[str, Tensor]) -> Tensor:
    """The gates that the model itself sets, read off the fusion layer fed with what it encoded."""
    with torch.no_grad():
        return model.fusion.gates(model(x).encoded)


def flat(state: FusionState) -> list[Tensor]:
    found: list[Tensor] = [*state.fusion.values()]
    for encoder in state.encoders.values():
        for part in encoder:
            found += list(part) if isinstance(part, tuple) else [part]
    return found


def test_a_shut_encoder_does_nothing_but_decay() -> None:
    x = inputs()
    counts = count(model_of((1.0, -1.0), 0.0), x).by_path
    audio = {k: c for k, c in counts.items() if c.modality == "audio"}
    assert audio.keys() == {"fusion_synapses.audio"} or all(
        c.effective_acs == c.spikes_routed == c.weight_reads == c.neuron_updates_active == 0
        for c in audio.values()
    )
    opened = count(model_of((1.0, 1.0), 0.0), x).by_path
    assert opened["encoders.audio.synapses.0.synapses"].effective_acs > 0
    for key, counted in opened.items():
        if counted.modality == "vision":
            assert counts[key] == counted


def test_work_grows_with_open_windows_alone() -> None:
    model, x = model_of(weight=-2.0), inputs()
    gates = gates_of(model, x)
    opened = gates[..., 1]
    assert 0.1 < opened.mean() < 0.9
    assert (opened.sum(1) == 1).any() or (opened.sum(1) == 2).any()  # samples differ
    by_path = count(model, x).by_path
    first = by_path["encoders.audio.synapses.0.synapses"]
    assert first.spikes_routed == int((x["audio"].sum(2) * opened).sum())
    neurons = by_path["encoders.audio.neurons.0"]
    assert neurons.neuron_updates_active + neurons.neuron_updates_idle == 10 * int(opened.sum())
    decays = by_path["encoders.audio.decay"]
    updates = decays.neuron_updates_active + decays.neuron_updates_idle
    assert 0 < updates < 10 * int((1 - opened).sum())  # one a window, not one a step


def test_training_evaluation_and_inference_agree() -> None:
    model, x = model_of(weight=-2.0), inputs()
    with torch.no_grad():
        expected = model(x)
    trained = model.train()(x)
    assert trained.scores.requires_grad
    found = model.infer(as_events(x))
    for other in (trained, found):
        torch.testing.assert_close(other.scores, expected.scores, rtol=1e-4, atol=1e-5)
        for a, b in zip(flat(other.state), flat(expected.state), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    for name in x:
        assert torch.equal(trained.encoded[name], expected.encoded[name])
        assert torch.equal(found.encoded[name].to_dense(), expected.encoded[name])
    assert (gates_of(model, x).repeat_interleave(1, 0)[..., 0] == 0).any()


@pytest.mark.parametrize("cut", [3, 16, 18])
def test_chunks_with_state_equal_the_whole(cut: int) -> None:
    model, x = model_of(weight=-2.0), inputs()
    early = {name: part[:cut] for name, part in x.items()}
    late = {name: part[cut:] for name, part in x.items()}
    with torch.no_grad():
        whole, first = model(x), model(early)
        second = model(late, first.state)
    torch.testing.assert_close(torch.cat([first.scores, second.scores]), whole.scores)
    inferred = model.infer(as_events(late), model.infer(as_events(early)).state)
    torch.testing.assert_close(inferred.scores, second.scores, rtol=1e-4, atol=1e-5)
    for a, b in zip(flat(second.state), flat(whole.state), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_samples_do_not_touch_each_other() -> None:
    model, x = model_of(weight=-2.0), inputs()
    whole = model.infer(as_events(x)).scores
    for b in range(3):
        one = {name: part[:, b : b + 1].contiguous() for name, part in x.items()}
        alone = model.infer(as_events(one)).scores
        torch.testing.assert_close(alone, whole[:, b : b + 1], rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_outputs_do_not_depend_on_later_inputs() -> None:
    model, x = model_of(weight=-2.0), inputs()
    edited = {name: torch.cat([part[:21], 1 - part[21:]]) for name, part in x.items()}
    torch.testing.assert_close(model(edited).scores[:21], model(x).scores[:21])


def test_a_gate_learns_from_what_it_kept_out() -> None:
    model, x = model_of((1.0, -0.1), 0.0).train(), inputs()
    out = model(x)
    assert out.encoded["audio"].sum() == 0
    out.scores[-1].sum().backward()
    assert model.fusion.gate_bias.grad[1] != 0


def test_every_parameter_is_trained_through_windows() -> None:
    model = model_of((0.5, 0.5)).train()
    model(inputs()).scores.square().sum().backward()
    silent = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []


@torch.no_grad()
def test_a_skipped_membrane_is_one_that_heard_nothing() -> None:
    torch.manual_seed(0)
    part = ModalitySpec("audio", (9, 1, 1), EncoderSpec((), 7, delays_ms=(0.0, 10.0)))
    encoder = SpikingEncoder(part, LIFParams(reset="zero"), 5.0).eval()
    loud = (torch.rand(6, 2, 9) < 0.3).float()
    _, before = encoder(loud)
    # Nothing under way and below threshold after a reset to zero: silence is decay alone.
    before = (before[0], torch.zeros_like(before[1]))
    _, silent = encoder(torch.zeros(4, 2, 9), before)
    skipped = encoder.skip(before, 4)
    for a, b in zip(skipped, silent, strict=True):
        torch.testing.assert_close(a, b)
    _, under_way = encoder(loud)
    assert torch.equal(encoder.skip(under_way, 1)[1][:-1], under_way[1][1:])


def test_some_samples_of_events_by_hand() -> None:
    x = inputs(5, 4)["audio"]
    events, some = SpikeBatch.from_dense(x), torch.tensor([1, 3])
    part = of_samples(events, some)
    assert isinstance(part, SpikeBatch)
    assert torch.equal(part.to_dense(), x[:, some])
    expected = torch.zeros_like(x)
    expected[:, some] = x[:, some]
    assert torch.equal(among_samples(part, some, 4).to_dense(), expected)
    graded = SpikeBatch.from_dense(2 * x[3:])
    both = one_after_another([steps_of(events, 0, 3), graded])
    assert torch.equal(both.to_dense(), torch.cat([x[:3], 2 * x[3:]]))
    SpikeBatch(both.indptr, both.index, both.value, both.shape)  # the checks of a new batch
