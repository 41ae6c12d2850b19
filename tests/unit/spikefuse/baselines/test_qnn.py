"""The quantised twin: where spike counts are its activations, and where they are not."""

import math
from dataclasses import replace

import pytest
import torch

from spikefuse.baselines import QNNTwin, bits_for, reasons_against
from spikefuse.baselines.qnn import SpikeCount, counts_agree
from spikefuse.cost import count
from spikefuse.kernels.neurons import lif_scan
from spikefuse.models import FusionSNN, ModelSpec
from spikefuse.neurons import LIFParams

IF = LIFParams(tau_mem_ms=math.inf, learn_tau=False)


def fired(current: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Spike counts and last membranes of non-leaky neurons with soft reset."""
    spikes, v = lif_scan(current, 1.0, 1.0, reset="subtract")
    return spikes.sum(0), v


@pytest.mark.parametrize(("n_steps", "bits"), [(1, 1), (3, 2), (4, 3), (7, 3), (15, 4), (255, 8)])
def test_bits_of_steps(n_steps: int, bits: int) -> None:
    assert bits_for(n_steps) == bits


def test_a_constant_current_is_counted_exactly() -> None:
    torch.manual_seed(0)
    # Multiples of 1 / 64 are exact, so ties at the threshold are met as well.
    current = torch.randint(-64, 128, (1, 3, 400)).float() / 64
    for n_steps in (1, 4, 15):
        counts, _ = fired(current.repeat(n_steps, 1, 1))
        assert torch.equal(counts, SpikeCount(n_steps, 1.0)(current[0] * n_steps))


def test_two_layers_agree_where_inputs_are_even() -> None:
    """Rate code in, and a second layer that fires after it has heard the first one out."""
    torch.manual_seed(1)
    n_steps, x = 16, torch.randint(0, 17, (8, 30)).float()  # sixteenths are exact
    first, second = (torch.randint(-8, 9, shape).float() / 32 for shape in ((30, 40), (40, 20)))
    hidden, _ = fired((x @ first / n_steps).repeat(n_steps, 1, 1))
    out, _ = fired((hidden @ second / n_steps).repeat(n_steps, 1, 1))
    activation = SpikeCount(n_steps, 1.0)
    assert torch.equal(hidden, activation(x @ first))
    assert torch.equal(out, activation(activation(x @ first) @ second))
    assert len(out.unique()) > 5


def test_residual_charge_tells_where_counts_must_agree() -> None:
    torch.manual_seed(2)
    n_steps = 12
    current = torch.randint(-48, 64, (n_steps, 50, 200)).double() / 64
    counts, v = fired(current)
    twin = SpikeCount(n_steps, 1.0)(current.sum(0))
    agree = counts_agree(counts, v, 1.0, n_steps)
    assert torch.equal(counts[agree], twin[agree])
    assert 0.2 < agree.double().mean() < 0.98
    # And nowhere else: the condition is not only sufficient.
    assert (counts[~agree] != twin[~agree]).all()


def test_a_spiking_network_with_one_step_is_its_twin(spec: ModelSpec) -> None:
    """In one step nothing can come too late: the whole network agrees, layer for layer."""
    torch.manual_seed(0)
    spec = replace(spec, lif=IF)
    model = FusionSNN(spec).eval()
    twin = QNNTwin(spec, 1).with_weights_of(model).eval()
    assert twin.equivalent
    assert twin.bits == 1
    spikes = {
        name: (torch.rand(1, 6, n) < 0.4).float() for name, n in (("vision", 128), ("audio", 9))
    }
    out, sums = model(spikes), twin.sums(spikes)
    for name, encoder in twin.encoders.items():
        assert torch.equal(encoder(sums[name]), out.encoded[name][0])
    assert torch.equal(twin.fused(sums), out.hidden[0])
    assert 0 < out.hidden.mean() < 1


def test_a_network_of_many_steps_agrees_at_its_first_layer_and_mostly_behind(
    spec: ModelSpec,
) -> None:
    torch.manual_seed(0)
    spec = replace(spec, lif=IF)
    model, n_steps = FusionSNN(spec).eval(), 7
    twin = QNNTwin(spec, n_steps).with_weights_of(model).eval()
    frame = {
        name: (torch.rand(1, 6, n) < 0.3).float() for name, n in (("vision", 128), ("audio", 9))
    }
    spikes = {name: x.repeat(n_steps, 1, 1) for name, x in frame.items()}
    sums = twin.sums(spikes)
    synapse, neurons = model.encoders["vision"].synapses[0], model.encoders["vision"].neurons[0]
    first = neurons(synapse(spikes["vision"]))[0].sum(0)
    expected = twin.encoders["vision"][:2](sums["vision"]).flatten(1)
    assert (first == expected).float().mean() > 0.99  # float32 totals near a threshold
    fused = model(spikes).hidden.sum(0)
    same = (fused == twin.fused(sums)).float().mean()
    assert 0.3 < same < 1.0


@pytest.mark.parametrize(
    ("changed", "n_steps", "reason"),
    [
        ({"lif": LIFParams()}, 7, "leak"),
        ({"lif": replace(IF, learn_tau=True)}, 7, "leak"),
        ({"lif": replace(IF, reset="zero")}, 7, "reset to zero"),
        ({"lif": IF}, 256, "9 bits"),
        ({"lif": IF, "fusion": "coincidence"}, 7, "coincidence"),
    ],
)
def test_what_is_not_equivalent_says_why(
    changed: dict[str, object], n_steps: int, reason: str, spec: ModelSpec
) -> None:
    twin = QNNTwin(replace(spec, **changed), n_steps)
    assert not twin.equivalent
    assert len(twin.not_equivalent) == 1
    assert reason in twin.not_equivalent[0]
    assert reasons_against(replace(spec, lif=IF), 255) == ()


def test_delays_and_recurrence_are_named(spec: ModelSpec) -> None:
    part = spec.modalities[1]
    for change, reason in (({"delays_ms": (0.0, 20.0)}, "delays"), ({"recurrent": True}, "later")):
        other = replace(part, encoder=replace(part.encoder, **change))
        found = reasons_against(replace(spec, lif=IF, modalities=(other,)), 7)
        assert len(found) == 1
        assert reason in found[0]


def test_the_twin_is_trained_and_counted(spec: ModelSpec) -> None:
    torch.manual_seed(0)
    twin = QNNTwin(spec, 7)
    sums = {
        "vision": torch.randint(0, 3, (4, 2, 8, 8)).float(),
        "audio": torch.randint(0, 6, (4, 1, 1, 9)).float(),
    }
    optimizer = torch.optim.Adam(twin.parameters(), 1e-2)
    labels = torch.arange(4)
    losses = []
    for _ in range(150):
        loss = torch.nn.functional.cross_entropy(twin(sums), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    counts = count(twin, sums)
    assert counts.totals["effective_macs"] > 0
    activations = twin.fused(sums)
    assert torch.equal(activations, activations.round())
    assert activations.min() >= 0
    assert activations.max() <= 7
