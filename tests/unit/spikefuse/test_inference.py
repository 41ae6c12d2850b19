"""Inference on events: the spikes of forward, by the fused kernels, nothing dense in between."""

import pytest
import torch
from torch import Tensor, nn

from spikefuse.encoders import ConvSpec, EncoderSpec, ModalitySpec, infer_lif, infer_readout
from spikefuse.fusion import side_by_side
from spikefuse.kernels.registry import use_backend
from spikefuse.models import FusionEvents, FusionSNN, FusionState, ModelSpec
from spikefuse.neurons import LIF, LIFParams, LIReadout
from spikefuse.spikes import SpikeBatch
from spikefuse.synapses import DelayedLinear, EventLinear

SIZES = {"vision": (13, 11, 2), "audio": (40, 1, 1), "touch": (30, 1, 1)}


def model_of(fusion: str = "concat", names: tuple[str, ...] = ("vision", "audio", "touch")):
    """Two convolutions; a convolution and delays; a linear layer."""
    torch.manual_seed(3)
    encoders = {
        "vision": EncoderSpec((ConvSpec(6, (3, 3), (2, 2)), ConvSpec(7, (3, 3), (1, 1))), 33),
        "audio": EncoderSpec((ConvSpec(4, (1, 5), (1, 2)),), 17, delays_ms=(0.0, 10.0, 25.0)),
        "touch": EncoderSpec((), 65),
    }
    modalities = tuple(ModalitySpec(n, SIZES[n], encoders[n]) for n in names)
    return FusionSNN(ModelSpec(modalities, 5, 5.0, fusion, fusion_hidden=31))


def events_of(
    n_steps: int = 12, n_batch: int = 4, density: float = 0.15, counts: bool = False
) -> dict[str, SpikeBatch]:
    generator = torch.Generator().manual_seed(9)
    inputs = {}
    for name, (width, height, polarities) in SIZES.items():
        shape = (n_steps, n_batch, width * height * polarities)
        dense = (torch.rand(shape, generator=generator) < density).float()
        if counts:
            dense *= torch.randint(1, 4, shape, generator=generator)
        inputs[name] = SpikeBatch.from_dense(dense)
    return inputs


def states(state: FusionState) -> list[Tensor]:
    parts = [t for encoder in state.encoders.values() for t in encoder]
    parts += list(state.fusion.values())
    return parts if state.readout is None else [*parts, state.readout]


def assert_same(model: FusionSNN, inputs: dict[str, SpikeBatch], state=None) -> FusionEvents:
    """Inference equals forward: spikes and membranes bit for bit, scores to rounding."""
    with torch.no_grad():
        expected = model.eval()(inputs, state)
    found = model.infer(inputs, state)
    for name, dense in expected.encoded.items():
        assert torch.equal(found.encoded[name].to_dense(), dense), name
    assert torch.equal(found.hidden.to_dense(), expected.hidden)
    torch.testing.assert_close(found.scores, expected.scores, rtol=1e-4, atol=1e-5)
    for a, b in zip(states(found.state), states(expected.state), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    return found


@pytest.mark.parametrize("counts", [False, True])
@pytest.mark.parametrize("fusion", ["concat", "late"])
def test_the_spikes_of_forward(fusion: str, counts: bool) -> None:
    # With the event kernels named, forward adds in the same order: not one bit may differ.
    with use_backend("numba"):
        found = assert_same(model_of(fusion), events_of(counts=counts))
    assert all(batch.n_events > 50 for batch in found.encoded.values())
    assert found.hidden.n_events > 50
    assert not found.scores.requires_grad


@pytest.mark.parametrize(
    ("n_steps", "n_batch", "density"), [(1, 1, 0.3), (9, 1, 0.2), (1, 3, 0.2), (6, 2, 0.0)]
)
@pytest.mark.parametrize("fusion", ["concat", "late"])
def test_small_and_silent_batches(fusion: str, n_steps: int, n_batch: int, density: float) -> None:
    with use_backend("numba"):
        found = assert_same(model_of(fusion), events_of(n_steps, n_batch, density))
    if density == 0:
        assert found.hidden.n_events == 0
        assert torch.equal(found.scores, found.scores[..., :1].expand_as(found.scores))


def test_one_modality() -> None:
    with use_backend("numba"):
        assert_same(model_of(names=("audio",)), events_of())


@pytest.mark.parametrize("fusion", ["concat", "late"])
def test_chunks_with_state_equal_the_whole(fusion: str) -> None:
    model, inputs = model_of(fusion), events_of()
    whole = model.infer(inputs)
    state, scores, hidden = None, [], []
    for first, last in ((0, 1), (1, 3), (3, 12)):
        chunk = {
            name: SpikeBatch.from_dense(batch.to_dense()[first:last])
            for name, batch in inputs.items()
        }
        out = model.infer(chunk, state)
        state = out.state
        scores.append(out.scores)
        hidden.append(out.hidden.to_dense())
    assert torch.equal(torch.cat(hidden), whole.hidden.to_dense())
    torch.testing.assert_close(torch.cat(scores), whole.scores)
    with use_backend("numba"):
        assert_same(model, inputs, state)  # a state of inference is one of forward


def out_of_band(
    events: SpikeBatch, current: Tensor, neuron: LIF, band: float = 1e-5
) -> tuple[int, int]:
    """Spikes that exact membranes contradict, and how many cells lie in the band.

    The membrane is float64 and is reset by the spikes of the run, so one decision within rounding
    of threshold does not spoil the next.
    """
    beta, p = neuron.beta().double().detach(), neuron.params
    v = torch.zeros_like(current[0])
    wrong = close = 0
    for x, s in zip(current, events.to_dense(torch.float64), strict=True):
        h = beta * v + x
        near = (h - p.threshold).abs() < band
        wrong += int((((h > p.threshold) != (s == 1)) & ~near).sum())
        close += int(near.sum())
        v = h - p.threshold * s
    return wrong, close


def test_every_spike_agrees_with_exact_membranes_outside_a_band() -> None:
    model, inputs = model_of(), events_of(30, 8)
    found = model.infer(inputs)
    n_close = n_spikes = 0
    for name in ("vision", "audio", "touch"):
        encoder = model.encoders[name]
        arriving: SpikeBatch = inputs[name]
        for i, (synapse, neuron) in enumerate(zip(encoder.synapses, encoder.neurons, strict=True)):
            exact = nn.Module.to(_copy(synapse), torch.float64)
            with use_backend("reference"), torch.no_grad():
                current = exact(arriving.to_dense(torch.float64))
            current = current[0] if isinstance(synapse, DelayedLinear) else current
            if i + 1 == len(encoder.neurons):
                events = found.encoded[name]
            else:
                with torch.no_grad():
                    events = SpikeBatch.from_dense(neuron(current.float())[0])
            wrong, close = out_of_band(events, current, neuron)
            assert wrong == 0, (name, i)
            n_close, n_spikes, arriving = n_close + close, n_spikes + events.n_events, events
    currents = [
        found.encoded[name].to_dense(torch.float64) @ synapse.weight.detach().double()
        for name, synapse in model.fusion.fusion_synapses.items()
    ]
    wrong, close = out_of_band(found.hidden, torch.stack(currents).sum(0), model.fusion.hidden)
    assert wrong == 0
    assert n_spikes > 5000
    assert n_close + close < n_spikes / 100  # the band excuses next to nothing


def _copy(module: nn.Module) -> nn.Module:
    import copy

    return copy.deepcopy(module)


def test_the_fused_kernels_run_and_nothing_is_made_dense(monkeypatch: pytest.MonkeyPatch) -> None:
    from spikefuse.kernels.cpu import products

    ran: list[str] = []
    for name in ("fused_lif", "fused_li"):
        original = getattr(products, name)

        def counted(*args, _name=name, _original=original):
            ran.append(_name)
            return _original(*args)

        monkeypatch.setattr(products, name, counted)
    model, inputs = model_of(), events_of()
    monkeypatch.setattr(SpikeBatch, "to_dense", None)
    model.infer(inputs)
    # vision and touch end in a plain linear layer, audio in delays; then the fused layer.
    assert ran == ["fused_lif"] * 3 + ["fused_li"]


def test_dropout_is_off_whatever_the_mode() -> None:
    model, inputs = model_of(), events_of()
    expected = model.eval().infer(inputs)
    found = model.train().infer(inputs)
    assert torch.equal(found.scores, expected.scores)
    assert model.training


def test_refusals() -> None:
    model, inputs = model_of(), events_of()
    with pytest.raises(ValueError, match=r"inputs must hold .*'touch'.*an absent modality"):
        model.infer({name: inputs[name] for name in ("vision", "audio")})
    dense = {name: batch.to_dense() for name, batch in inputs.items()}
    with pytest.raises(ValueError, match=r"inputs\['vision'\] must be a SpikeBatch, got Tensor"):
        model.infer(dense)
    synapse, events = EventLinear(30, 4), [inputs["touch"]]
    recurrent = LIF(4, LIFParams(), 5.0, recurrent=True)
    with pytest.raises(ValueError, match="without recurrence, got a recurrent LIF"):
        infer_lif(events, [synapse], recurrent)
    with pytest.raises(ValueError, match=r"neuron must be a LIF without .*, got LIReadout"):
        infer_lif(events, [synapse], LIReadout(4, 20.0, 5.0))
    with pytest.raises(ValueError, match="synapse must be an EventLinear, got Linear"):
        infer_lif(events, [nn.Linear(30, 4)], LIF(4, LIFParams(), 5.0))
    with pytest.raises(ValueError, match="readout must be a LIReadout, got LIF"):
        infer_readout(inputs["touch"], synapse, LIF(4, LIFParams(), 5.0))


@pytest.mark.parametrize("graded", [False, True])
def test_populations_side_by_side(graded: bool) -> None:
    generator = torch.Generator().manual_seed(1)
    parts = [(torch.rand(5, 3, n, generator=generator) < 0.3).float() for n in (4, 1, 33)]
    parts.insert(1, torch.zeros(5, 3, 2))
    if graded:
        parts[2] = parts[2] * 2
    joined = side_by_side([SpikeBatch.from_dense(part) for part in parts])
    assert torch.equal(joined.to_dense(), torch.cat(parts, dim=2))
    assert (joined.value is not None) == graded
    SpikeBatch(joined.indptr, joined.index, joined.value, joined.shape)  # the checks it skips


def test_populations_of_other_sizes_are_refused() -> None:
    one, other = (SpikeBatch.from_dense(torch.zeros(n, 2, 3)) for n in (4, 5))
    for parts in ([one, other], []):
        with pytest.raises(ValueError, match="parts must agree in steps and samples"):
            side_by_side(parts)
