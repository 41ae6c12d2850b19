"""Models in whole numbers: an int64 walk as oracle, what is refused, and training behind it."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from spikefuse.cost import count
from spikefuse.encoders.spec import ConvSpec, EncoderSpec, ModalitySpec
from spikefuse.errors import ConfigError
from spikefuse.kernels.compaction import compact
from spikefuse.models import FusionSNN, ModelSpec, running_mean
from spikefuse.models.fixed_point import AwareSNN, fixed_point
from spikefuse.neurons import ALIF, ALIFParams, FixedFormat, LIFParams
from spikefuse.spikes import SpikeBatch

WHOLE = ["early", "concat", "late", "current_sum", "cross_residual", "latent", "cross_synapse"]


def model_of(fusion: str = "concat", **encoder: object) -> FusionSNN:
    torch.manual_seed(0)
    audio = EncoderSpec((), 12, **encoder)  # type: ignore[arg-type]
    vision = EncoderSpec((ConvSpec(3, (3, 3), (2, 2)),), 12)
    return FusionSNN(
        ModelSpec(
            (ModalitySpec("vision", (7, 7, 2), vision), ModalitySpec("audio", (9, 1, 1), audio)),
            n_classes=4,
            dt_ms=10.0,
            fusion=fusion,
            fusion_hidden=14,
        )
    )


def events_of(seed: int = 0, n_steps: int = 15) -> dict[str, SpikeBatch]:
    g = torch.Generator().manual_seed(seed)
    dense = {
        "vision": (torch.rand(n_steps, 3, 98, generator=g) < 0.1).float() * 2,
        "audio": (torch.rand(n_steps, 3, 9, generator=g) < 0.3).float(),
    }
    return {name: compact(spikes) for name, spikes in dense.items()}


def walk(drive: np.ndarray, decay: Tensor, neurons: nn.Module, form: FixedFormat) -> np.ndarray:
    """Spikes of one layer in Python's own integers, [T, B, N]."""
    share = neurons.share
    theta, shift = (
        getattr(neurons, k).repeat_interleave(share).tolist() for k in ("threshold", "shift")
    )
    b = (torch.sigmoid(decay).detach().double() * 2**form.decay_bits).round().long()
    b = b.repeat_interleave(share).tolist()
    most = 2 ** (form.state_bits - 1) - 1
    spikes = np.zeros_like(drive)
    for row in range(drive.shape[1]):
        for n in range(drive.shape[2]):
            v = 0
            for t in range(len(drive)):
                left = abs(v) * b[n] // 2**form.decay_bits
                v = (left if v > 0 else -left) + int(drive[t, row, n]) * 2 ** shift[n]
                v = max(-most, min(most, v))
                if v > theta[n]:
                    spikes[t, row, n], v = 1, v - theta[n]
    return spikes


@pytest.mark.parametrize("form", [FixedFormat(), FixedFormat(4, 12), FixedFormat(6, 16, 8, 3)])
def test_a_network_equals_a_walk_in_integers(form: FixedFormat) -> None:
    model, events = model_of(), events_of()
    fixed = fixed_point(model, form)

    def weight(name: str) -> np.ndarray:
        values = fixed.get_parameter(name).detach().numpy()
        assert np.array_equal(values, np.round(values))
        assert np.abs(values).max() <= 2 ** (form.weight_bits - 1) - 1
        return values.astype(np.int64)

    image = events["vision"].to_dense().long().numpy().reshape(-1, 2, 7, 7)
    kernel = weight("encoders.vision.synapses.0.weight")
    maps = np.zeros((len(image), 3, 3, 3), np.int64)
    for i in range(3):
        for j in range(3):
            patch = image[:, :, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3]
            maps[:, :, i, j] = np.tensordot(patch, kernel, ([1, 2, 3], [1, 2, 3]))
    see, hear = model.encoders["vision"], model.encoders["audio"]
    seen = walk(
        maps.reshape(15, 3, 27),
        see.neurons[0].beta_logit,
        fixed.encoders["vision"].neurons[0],
        form,
    )
    seen = walk(
        seen @ weight("encoders.vision.synapses.1.weight"),
        see.neurons[1].beta_logit,
        fixed.encoders["vision"].neurons[1],
        form,
    )
    heard = walk(
        events["audio"].to_dense().long().numpy() @ weight("encoders.audio.synapses.0.weight"),
        hear.neurons[0].beta_logit,
        fixed.encoders["audio"].neurons[0],
        form,
    )
    drive = seen @ weight("fusion.fusion_synapses.vision.weight")
    drive = drive + heard @ weight("fusion.fusion_synapses.audio.weight")
    fused = walk(drive, model.fusion.hidden.beta_logit, fixed.fusion.hidden, form)
    out = fixed.infer(events)
    assert fused.sum() > 20
    assert np.array_equal(out.hidden.to_dense().numpy(), fused)


@pytest.mark.parametrize("fusion", WHOLE)
def test_forward_inference_and_the_aware_model_agree_bit_for_bit(fusion: str) -> None:
    model, events = model_of(fusion, recurrent=True, delays_ms=(0.0, 20.0)), events_of()
    fixed, aware = fixed_point(model), AwareSNN(model).eval()
    found = fixed(events)
    for other in (fixed.infer(events), aware(events), aware.infer(events)):
        assert torch.equal(other.scores, found.scores)
    assert torch.equal(fixed.infer(events).hidden.to_dense(), found.hidden)


def on_the_grid(fusion: str) -> FusionSNN:
    """Weights of k / 64 and neurons without leak: float arithmetic is exact, too."""
    model = model_of(fusion).eval()
    for name, parameter in model.named_parameters():
        values = parameter.data
        if name.endswith("beta_logit"):
            values.fill_(30.0)
        elif name.endswith("weight"):
            values.copy_(torch.randint(-127, 128, values.shape) / 64)
            values.select(min(1, values.ndim - 1), 0).fill_(127 / 64)
            values.select(0, 0).fill_(127 / 64)
    return model


@pytest.mark.parametrize("fusion", WHOLE)
def test_what_is_on_the_grid_already_is_left_as_it_is(fusion: str) -> None:
    model, events = on_the_grid(fusion), events_of()
    assert model(events).hidden.sum() > 20
    assert torch.equal(fixed_point(model)(events).hidden, model(events).hidden)


@pytest.mark.parametrize("fusion", WHOLE)
def test_on_the_grid_the_straight_through_gradient_is_that_of_the_float_model(fusion: str) -> None:
    model, events = on_the_grid(fusion), events_of()
    weight = torch.randn(model(events).hidden.shape)
    gradients = []
    for network in (model, AwareSNN(model).eval()):
        model.zero_grad()
        (network(events).hidden * weight).sum().backward()
        gradients.append({k: p.grad for k, p in model.named_parameters() if p.grad is not None})
    exact, through = gradients
    moved = [name for name, grad in exact.items() if bool(grad.abs().sum() > 0)]
    assert sum(name.endswith("weight") for name in moved) >= (1 if fusion == "early" else 3)
    for name in moved:
        assert torch.allclose(through[name], exact[name], rtol=1e-3, atol=1e-4), name


@pytest.mark.parametrize("fusion", WHOLE)
def test_eight_bits_come_close_to_the_float_model(fusion: str) -> None:
    model, events = model_of(fusion).eval(), events_of()
    exact, near = model(events), fixed_point(model)(events)
    assert (exact.hidden != near.hidden).float().mean() < 0.06
    assert (exact.scores - near.scores).abs().mean() < 0.25 * exact.scores.abs().mean()


@pytest.mark.parametrize(
    "fusion", ["uncertainty_gate", "energy_gate", "qk_attention", "coincidence"]
)
def test_operators_that_are_no_whole_sums_are_refused_by_name(fusion: str) -> None:
    with pytest.raises(ConfigError, match=f"got '{fusion}'"):
        fixed_point(model_of(fusion))


def test_other_neurons_and_encoders_are_refused_by_name() -> None:
    model = model_of()
    model.encoders["audio"].neurons[0] = ALIF(12, ALIFParams(), 10.0)
    with pytest.raises(ConfigError, match=r"encoders.audio.neurons.0 of ALIF"):
        fixed_point(model)

    class Foreign(nn.Linear):
        n_out = 12

    model = FusionSNN(model_of().spec, {"audio": Foreign(9, 12)})
    with pytest.raises(ConfigError, match=r"'audio'.* of Foreign"):
        fixed_point(model)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"weight_bits": 1}, "weight_bits must be 2 to 8, got 1"),
        ({"state_bits": 33}, "state_bits must be 8 to 32, got 33"),
        ({"headroom": 0.5}, "headroom"),
    ],
)
def test_widths_out_of_range_are_refused(change: dict[str, float], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        replace(FixedFormat(), **change)


def test_a_run_in_two_parts_equals_the_whole() -> None:
    fixed, events = fixed_point(model_of("latent", recurrent=True)), events_of()
    dense = {name: part.to_dense() for name, part in events.items()}
    first = fixed.infer({name: compact(part[:6]) for name, part in dense.items()})
    second = fixed.infer({name: compact(part[6:]) for name, part in dense.items()}, first.state)
    whole = fixed.infer(events).scores
    assert torch.equal(torch.cat([first.scores, second.scores]), whole)


@pytest.mark.parametrize("fusion", ["concat", "latent"])
def test_counts_are_those_of_the_spikes_that_ran(fusion: str) -> None:
    fixed, events = fixed_point(model_of(fusion, recurrent=fusion == "latent")), events_of()
    out, counts = fixed(events), count(fixed, events)
    paths = counts.by_path
    assert paths["fusion.hidden"].spikes_fired == int(out.hidden.sum())
    readout = fixed.readout_synapse
    assert readout is not None
    fan = (readout.weight != 0).sum(1)
    assert paths["readout_synapse"].effective_acs == int((out.hidden * fan).sum())
    hidden = paths["fusion.hidden"]
    assert hidden.neuron_updates_active + hidden.neuron_updates_idle == out.hidden.numel()
    assert set(paths) == set(count(model_of(fusion, recurrent=fusion == "latent"), events).by_path)


def test_narrow_states_take_their_bits_from_the_weights_and_never_silence_a_threshold() -> None:
    fixed = fixed_point(model_of(), FixedFormat(8, 8))
    hidden = fixed.fusion.hidden
    assert int(hidden.threshold.max()) <= 127 // 16 + 1
    assert int(hidden.threshold.min()) >= 1
    assert int(hidden.shift.max()) <= 1


def test_training_behind_the_rounding_moves_what_rounds() -> None:
    model = model_of()
    model = FusionSNN(replace(model.spec, lif=LIFParams(tau_mem_ms=30.0)))
    aware, events = AwareSNN(model, FixedFormat(weight_bits=3)), events_of()
    labels = torch.tensor([0, 1, 2])
    optimizer = torch.optim.Adam(aware.parameters(), 1e-2)
    losses = []
    aware.eval()
    for _ in range(30):
        scores = running_mean(aware(events).scores)[-1]
        loss = nn.functional.cross_entropy(scores, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]
    deployed = running_mean(aware.deployed().infer(events).scores)[-1]
    assert torch.equal(deployed, running_mean(aware(events).scores)[-1])
    assert len(set(aware.deployed().fusion.fusion_synapses["audio"].weight.flatten().tolist())) <= 7


def test_dropout_in_training_is_rounded_and_its_gradient_reaches_every_weight() -> None:
    model = model_of()
    aware = AwareSNN(model).train()
    aware(events_of()).scores.square().sum().backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in model.parameters())
