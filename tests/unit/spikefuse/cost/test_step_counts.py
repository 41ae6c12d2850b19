"""Counts by step and sample: summed they are the counts of `count`, at every step."""

import pytest
import torch
from torch import nn

from spikefuse.cost import count
from spikefuse.cost.step_counts import count_steps
from spikefuse.encoders.spec import ConvSpec, EncoderSpec, ModalitySpec
from spikefuse.fusion import OPERATORS
from spikefuse.models import FusionSNN, ModelSpec
from spikefuse.models.fixed_point import fixed_point
from spikefuse.neurons import ALIF, ALIFParams, CubaLIF, CubaLIFParams, FixedFormat, LIFParams
from spikefuse.spikes import SpikeBatch
from spikefuse.synapses import EventLinear, SpikeTrace

T, B = 7, 3
SIZES = {"vision": (6, 6, 2), "audio": (8, 1, 1)}


def model_of(fusion: str, **encoder: object) -> FusionSNN:
    torch.manual_seed(0)
    vision = EncoderSpec(hidden=12, **encoder)  # type: ignore[arg-type]
    parts = (
        ModalitySpec("vision", SIZES["vision"], vision),
        ModalitySpec("audio", SIZES["audio"], EncoderSpec(hidden=10)),
    )
    return FusionSNN(ModelSpec(parts, 4, 5.0, fusion, 11, LIFParams(), 20.0, {}))


def events(n_steps: int = T) -> dict[str, SpikeBatch]:
    generator = torch.Generator().manual_seed(1)
    full = {
        name: (torch.rand(T, B, w * h * p, generator=generator) < 0.3).float()
        for name, (w, h, p) in SIZES.items()
    }
    full["audio"][2, 1, 3] = 2.0  # two events in a step
    return {name: SpikeBatch.from_dense(x[:n_steps]) for name, x in full.items()}


@pytest.mark.parametrize("fusion", [name for name in OPERATORS if name != "energy_gate"])
def test_the_first_steps_count_what_a_run_of_them_counts(fusion: str) -> None:
    model = model_of(fusion)
    found = count_steps(model, events())
    for n_steps in (1, 4, T):
        assert found.until(n_steps).by_path == count(model, events(n_steps)).by_path


def test_convolutions_count_by_step_with_their_borders() -> None:
    model = model_of("concat", convs=(ConvSpec(3, (3, 3), (1, 1)),))
    found = count_steps(model, events())
    assert found.until(3).by_path == count(model, events(3)).by_path


@pytest.mark.parametrize(
    "neurons",
    [
        CubaLIF(9, CubaLIFParams(), 1.0),
        CubaLIF(9, CubaLIFParams(), 1.0, recurrent=True),
        ALIF(9, ALIFParams(), 1.0),
    ],
)
def test_neurons_with_more_state_count_by_step(neurons: nn.Module) -> None:
    class Net(nn.Module):
        batch_dim = 1

        def __init__(self) -> None:
            super().__init__()
            self.synapse, self.neurons = EventLinear(8, 9), neurons
            self.trace = SpikeTrace(5.0, 1.0)

        def forward(self, inputs: dict[str, SpikeBatch]) -> torch.Tensor:
            fired = self.neurons(self.synapse(inputs["audio"]))[0]
            trace: torch.Tensor = self.trace(fired)[0]
            return trace

    torch.manual_seed(0)
    net = Net()
    found = count_steps(net, events())
    for n_steps in (2, T):
        assert found.until(n_steps).by_path == count(net, events(n_steps)).by_path


def test_whole_number_models_count_by_step() -> None:
    model = fixed_point(model_of("concat"), FixedFormat(8, 24))
    found = count_steps(model, events())
    for n_steps in (3, T):
        assert found.until(n_steps).by_path == count(model, events(n_steps)).by_path


def test_a_sample_counts_as_it_does_alone() -> None:
    model, x = model_of("uncertainty_gate"), events()
    alone = {name: SpikeBatch.from_dense(part.to_dense()[:, 1:2]) for name, part in x.items()}
    found, one = count_steps(model, x), count_steps(model, alone)
    for path, table in one.by_path.items():
        for field, values in table.items():
            assert torch.equal(found.of(path, field)[:, 1:2], values)


def test_layers_that_run_window_by_window_are_refused() -> None:
    with pytest.raises(ValueError, match="must run once over all steps"):
        count_steps(model_of("energy_gate"), events())
