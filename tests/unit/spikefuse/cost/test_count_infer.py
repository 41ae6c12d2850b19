"""Counts of inference are those of a forward pass, taken from the fused kernels that ran."""

import pytest
import torch
from torch import Tensor, nn

from spikefuse.cost import Counter, count
from spikefuse.cost import counter as counting
from spikefuse.encoders import ConvSpec, EncoderSpec, ModalitySpec
from spikefuse.fusion import OPERATORS
from spikefuse.kernels import registry
from spikefuse.models import FusionSNN, ModelSpec
from spikefuse.neurons import ALIF, LIF, ALIFParams, CubaLIF, CubaLIFParams, LIFParams, LIReadout
from spikefuse.spikes import SpikeBatch
from spikefuse.synapses import EventLinear

SIZES = {"vision": (9, 8, 2), "audio": (24, 1, 1)}
SPECS = {
    "vision": EncoderSpec((ConvSpec(3, (3, 3), (2, 2)),), 12),
    "audio": EncoderSpec((), 10, delays_ms=(0.0, 10.0, 25.0)),
}


def model_of(fusion: str = "concat", encoders=None, **audio) -> FusionSNN:
    torch.manual_seed(3)
    specs = SPECS | ({"audio": EncoderSpec(hidden=10, **audio)} if audio else {})
    modalities = tuple(ModalitySpec(name, SIZES[name], specs[name]) for name in SIZES)
    return FusionSNN(ModelSpec(modalities, 4, 5.0, fusion, fusion_hidden=11), encoders)


def events_of(n_steps: int = 14, seed: int = 9) -> dict[str, SpikeBatch]:
    generator = torch.Generator().manual_seed(seed)
    inputs = {}
    for name, (width, height, polarities) in SIZES.items():
        shape = (n_steps, 3, width * height * polarities)
        dense = (torch.rand(shape, generator=generator) < 0.1).float()
        dense[:2] = 0  # neurons rest at first
        inputs[name] = SpikeBatch.from_dense(
            dense * torch.randint(1, 4, shape, generator=generator)
        )
    return inputs


@pytest.mark.parametrize("fusion", OPERATORS)
def test_every_operator_counts_the_same_by_inference(fusion: str) -> None:
    model, inputs = model_of(fusion), events_of()
    forward, infer = count(model, inputs), count(model, inputs, infer=True)
    assert infer.by_path == forward.by_path
    assert (infer.n_samples, infer.uncounted) == (3, ())
    assert infer.effective_acs > 0
    idle = infer.totals["neuron_updates_idle"]
    assert 0 < idle < infer.totals["neuron_updates_active"] + idle


class Wrapped(nn.Module):
    """An encoder of any of our neurons, without an ``infer`` of its own."""

    batch_dim = 1

    def __init__(self, neurons: nn.Module) -> None:
        super().__init__()
        self.n_out = 10
        self.synapse, self.neurons = EventLinear(24, 10, gain=3.0), neurons

    def forward(self, spikes: SpikeBatch | Tensor, state=None):
        out: tuple[Tensor, object] = self.neurons(self.synapse(spikes), state)
        return out


@pytest.mark.parametrize("recurrent", [False, True])
@pytest.mark.parametrize("kind", ["LIF", "CubaLIF", "ALIF"])
def test_every_kind_of_neuron_counts_the_same_by_inference(kind: str, recurrent: bool) -> None:
    neurons = {
        "LIF": lambda: LIF(10, LIFParams(), 5.0, recurrent=recurrent),
        "CubaLIF": lambda: CubaLIF(10, CubaLIFParams(), 5.0, recurrent=recurrent),
        "ALIF": lambda: ALIF(10, ALIFParams(), 5.0, recurrent=recurrent),
    }[kind]()
    model, inputs = model_of(encoders={"audio": Wrapped(neurons)}), events_of()
    forward, infer = count(model, inputs), count(model, inputs, infer=True)
    assert infer.by_path == forward.by_path
    assert infer.by_path["encoders.audio.neurons"].spikes_fired > 0


@pytest.mark.parametrize("convs", [(), (ConvSpec(2, (1, 5), (1, 2)),)])
@pytest.mark.parametrize("options", [{}, {"recurrent": True}, {"delays_ms": (0.0, 5.0)}])
def test_every_kind_of_encoder_counts_the_same_by_inference(convs: tuple, options: dict) -> None:
    model, inputs = model_of(convs=convs, **options), events_of()
    assert count(model, inputs, infer=True).by_path == count(model, inputs).by_path


def test_a_run_in_two_chunks_counts_what_one_run_does() -> None:
    model, inputs = model_of().eval(), events_of()
    whole = count(model, inputs, infer=True)
    state = None
    with Counter(model, batch_dim=1) as counter:
        for first, last in ((0, 5), (5, 14)):
            chunk = {
                name: SpikeBatch.from_dense(spikes.to_dense()[first:last])
                for name, spikes in inputs.items()
            }
            state = model.infer(chunk, state).state
    assert counter.counts(3).by_path == whole.by_path


def test_the_fused_kernels_are_counted_and_nothing_is_scanned_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fetched: list[str] = []
    real = registry.kernel

    def fetch(op: str, backend: str, name: str):
        fetched.append(name)
        return real(op, backend, name)

    def slow(*_args):
        raise AssertionError("active updates were counted by another scan")

    model, inputs = model_of(), events_of()
    monkeypatch.setattr(registry, "kernel", fetch)
    monkeypatch.setattr(SpikeBatch, "to_dense", slow)
    monkeypatch.setattr(counting, "active_updates_of", slow)
    for layer in (LIF, LIReadout):
        monkeypatch.setattr(layer, "count_active", slow)
        monkeypatch.setattr(layer, "forward", slow)
    found = count(model, inputs, infer=True)
    assert found.by_path["readout"].neuron_updates_active > 0
    assert {"conv_lif", "delayed_lif"} <= set(fetched)
    assert not {"lif_forward", "lif_active", "li_forward", "scan_forward"} & set(fetched)


@pytest.mark.parametrize("recurrent", [False, True])
def test_a_training_step_is_counted_on_its_own_scans(
    monkeypatch: pytest.MonkeyPatch, recurrent: bool
) -> None:
    model, inputs = model_of(recurrent=recurrent).train(), events_of()
    for encoder in model.encoders.values():
        encoder.dropout.p = 0.0  # it would scale the spikes
    expected = count(model, inputs)

    def slow(*_args):
        raise AssertionError("active updates were counted by another scan")

    for layer in (LIF, LIReadout):
        monkeypatch.setattr(layer, "count_active", slow)
    monkeypatch.setattr("spikefuse.cost.neuron_rules._active_recurrent", slow)
    with Counter(model, batch_dim=1) as counter:
        model(inputs).scores.sum().backward()
    assert counter.counts(3).by_path == expected.by_path


def test_the_reference_is_counted_as_well() -> None:
    model, inputs = model_of(), events_of(6)
    expected = count(model, inputs)
    with registry.use_backend(registry.REFERENCE):
        assert count(model, inputs, infer=True).by_path == expected.by_path
        assert count(model, inputs).by_path == expected.by_path


def test_infer_is_left_as_it_was() -> None:
    model, inputs = model_of(), events_of(4)
    expected = model.infer(inputs)
    own = lambda: None  # noqa: E731
    model.fusion.infer = own
    with Counter(model, batch_dim=1):
        assert model.infer is not FusionSNN.infer
    assert "infer" not in vars(model)
    assert model.fusion.infer is own
    del model.fusion.infer
    with Counter(model, batch_dim=1) as counter:
        again = model.infer(inputs)
    assert torch.equal(again.scores, expected.scores)
    before = counter.counts(3)
    model.infer(inputs)  # outside of the context
    assert counter.counts(3) == before


def test_a_model_without_inference_is_refused() -> None:
    with pytest.raises(ValueError, match="model must have infer to be run by it, got a Linear"):
        count(nn.Linear(2, 2), torch.ones(1, 2), infer=True)
