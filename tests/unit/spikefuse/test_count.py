"""Counts of what ran, against a walk over every spike and weight."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from spikefuse.cost import count
from spikefuse.encoders import ConvSpec, EncoderSpec, ModalitySpec
from spikefuse.models import FusionSNN, ModelSpec
from spikefuse.opcounts import COUNT_FIELDS, OpCounts
from spikefuse.spikes import SpikeBatch
from spikefuse.synapses import EventConv2d, EventLinear


def small_model() -> FusionSNN:
    torch.manual_seed(0)
    vision = ModalitySpec(
        "vision", (8, 8, 2), EncoderSpec((ConvSpec(3, (3, 3), (2, 2)),), 6, dropout=0.5)
    )
    audio = ModalitySpec("audio", (7, 1, 1), EncoderSpec((), 5))
    return FusionSNN(ModelSpec((vision, audio), 4, 5.0, fusion_hidden=6))


def small_inputs(n_batch: int = 3, n_steps: int = 6, density: float = 0.1) -> dict:
    generator = torch.Generator().manual_seed(1)
    shape = {"vision": 128, "audio": 7}
    return {
        name: (torch.rand(n_steps, n_batch, n, generator=generator) < density).float()
        for name, n in shape.items()
    }


def walk_conv(layer: EventConv2d, spikes: torch.Tensor) -> int:
    """Accumulates of a convolution by visiting every output position and tap."""
    channels, height, width = layer.in_shape
    maps = spikes.reshape(-1, channels, height, width)
    total = 0
    for sample in maps:
        for c, y, x in sample.nonzero().tolist():
            for o in range(layer.out_shape[0]):
                for row in range(layer.out_shape[1]):
                    for column in range(layer.out_shape[2]):
                        dy = y - row * layer.stride[0] + layer.padding[0]
                        dx = x - column * layer.stride[1] + layer.padding[1]
                        inside = 0 <= dy < layer.weight.shape[2] and 0 <= dx < layer.weight.shape[3]
                        if inside and layer.weight[o, c, dy, dx] != 0:
                            total += int(sample[c, y, x])
    return total


def test_convolution_counts_equal_a_walk_over_spikes_and_taps() -> None:
    torch.manual_seed(3)
    layer = EventConv2d((2, 6, 5), 3, (3, 3), (2, 1), (1, 1))
    with torch.no_grad():
        layer.weight[torch.rand_like(layer.weight) < 0.3] = 0  # pruned weights do no work
    spikes = (torch.rand(4, 2, 60) < 0.2).float() * torch.randint(1, 3, (4, 2, 60))
    counts = count(layer, spikes)
    assert counts.totals["effective_acs"] == walk_conv(layer, spikes) > 0
    assert counts.n_samples == 2


def test_a_corner_spike_has_the_fan_out_of_a_corner() -> None:
    layer = EventConv2d((1, 5, 5), 2, (3, 3), (1, 1), (1, 1))
    spikes = torch.zeros(1, 1, 25)
    spikes[0, 0, 0] = 1
    assert count(layer, spikes).totals["effective_acs"] == 2 * 4
    assert count(layer, spikes).totals["dense_macs"] == 338  # in-bounds taps only


def test_every_layer_of_a_fusion_model_equals_brute_force() -> None:
    model = small_model().eval()
    inputs = small_inputs()
    counts = count(model, inputs)
    out = model(inputs)
    paths = counts.by_path
    for name in ("vision", "audio"):
        fused = paths[f"fusion.fusion_synapses.{name}"]
        n_spikes = int(out.encoded[name].sum())
        assert fused.effective_acs == n_spikes * 6
        assert fused.spikes_routed == n_spikes
        assert fused.modality == name
    assert paths["readout_synapse"].effective_acs == int(out.hidden.sum()) * 4
    assert paths["encoders.audio.synapses.0"].effective_acs == int(inputs["audio"].sum()) * 5
    hidden = paths["fusion.hidden"]
    assert hidden.neuron_updates_active + hidden.neuron_updates_idle == 6 * 3 * 6
    assert hidden.state_reads == hidden.state_writes == 6 * 3 * 6
    assert hidden.modality == "shared"
    first = model.encoders["vision"].synapses[0]
    walked = walk_conv(first, inputs["vision"])
    assert paths["encoders.vision.synapses.0"].effective_acs == walked


def test_zero_input_leaves_idle_updates_only() -> None:
    inputs = {name: torch.zeros_like(x) for name, x in small_inputs().items()}
    totals = count(small_model(), inputs).totals
    for name in ("effective_acs", "effective_macs", "spikes_routed", "weight_reads"):
        assert totals[name] == 0
    assert totals["neuron_updates_active"] == 0
    assert totals["neuron_updates_idle"] > 0


def test_batches_add_up_and_means_are_per_sample() -> None:
    model, inputs = small_model(), small_inputs(n_batch=4)
    whole = count(model, inputs)
    parts = OpCounts.concat(
        count(model, {name: x[:, rows] for name, x in inputs.items()})
        for rows in (slice(0, 1), slice(1, 4))
    )
    assert parts.totals == whole.totals
    assert whole.effective_acs == whole.totals["effective_acs"] / 4


def test_spike_batches_count_like_dense_tensors() -> None:
    model, inputs = small_model(), small_inputs()
    sparse = {name: SpikeBatch.from_dense(x) for name, x in inputs.items()}
    assert count(model, sparse).totals == count(model, inputs).totals


def test_graded_input_is_multiplied_and_training_mode_is_restored() -> None:
    layer = EventLinear(4, 3).train()
    counts = count(layer, torch.tensor([[[0.5, 1.0, 0.0, 2.0]]]))
    assert counts.totals["effective_macs"] == 3
    assert counts.totals["effective_acs"] == (1 + 2) * 3
    assert layer.training


@given(st.integers(1, 4), st.integers(0, 2), st.integers(1, 2), st.integers(0, 10_000))
def test_torch_layers_count_by_the_binary_rule(
    n_channels: int, padding: int, stride: int, seed: int
) -> None:
    torch.manual_seed(seed)
    conv = nn.Conv2d(2, n_channels, 3, stride=stride, padding=padding)
    x = torch.randn(2, 2, 6, 6) * (torch.rand(2, 2, 6, 6) < 0.4)
    ones = nn.functional.unfold((x != 0).double(), 3, padding=padding, stride=stride)
    expected = int(ones.sum()) * n_channels
    counts = count(conv, x)
    assert counts.totals["effective_macs"] + counts.totals["effective_acs"] == expected
    in_bounds = nn.functional.unfold(torch.ones(2, 2, 6, 6).double(), 3, 1, padding, stride)
    assert counts.totals["dense_macs"] == int(in_bounds.sum()) * n_channels
    assert counts.n_samples == 2


def test_dense_network_and_spike_input_of_a_linear_layer() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 2))
    x = torch.tensor([[1.0, 0, 0, 1, -1, 0]])
    counts = count(network, x)
    assert counts.by_path["1"].effective_acs == 3 * 4
    assert counts.by_path["3"].effective_macs == int((network[:3](x) != 0).sum()) * 2
    assert counts.totals["dense_macs"] == 6 * 4 + 4 * 2


def test_counts_cover_every_field() -> None:
    assert set(count(EventLinear(2, 2), torch.ones(1, 1, 2)).totals) == set(COUNT_FIELDS)
