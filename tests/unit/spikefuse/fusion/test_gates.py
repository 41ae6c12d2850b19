"""The two gates: weights that follow reliability, and branches that do no work when shut."""

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from spikefuse.fusion import build
from spikefuse.fusion.dispersion import Dispersion
from spikefuse.fusion.energy_gate import EnergyGateFusion
from spikefuse.fusion.uncertainty_gate import UncertaintyGateFusion
from spikefuse.spikes import SpikeBatch

N = 101


def cue(
    sigma: float, n_batch: int = 64, n_steps: int = 300, noise: float = 0.0, seed: int = 0
) -> Tensor:
    """Spikes at places drawn around 0.1 with deviation sigma, one in five steps; uniform noise."""
    generator = torch.Generator().manual_seed(seed)
    place = 0.1 + sigma * torch.randn(n_steps, n_batch, generator=generator)
    address = ((place + 1) * (N - 1) / 2).round().clamp(0, N - 1).long()
    fires = (torch.rand(n_steps, n_batch, generator=generator) < 0.2).float()
    spikes = torch.zeros(n_steps, n_batch, N).scatter_(2, address[..., None], fires[..., None])
    uniform = torch.rand(n_steps, n_batch, N, generator=generator) < noise / N
    return torch.maximum(spikes, uniform.float())


def gate(**options) -> UncertaintyGateFusion:
    torch.manual_seed(0)
    built = build("uncertainty_gate", {"vision": N, "audio": N}, 8, tau_ms=1000.0, **options)
    assert isinstance(built, UncertaintyGateFusion)
    return built


@pytest.mark.parametrize(("vision", "audio"), [(0.05, 0.05), (0.05, 0.1), (0.2, 0.1), (0.06, 0.18)])
@torch.no_grad()
def test_weights_follow_the_inverse_variance(vision: float, audio: float) -> None:
    weights, _ = gate().weights({"vision": cue(vision, seed=1), "audio": cue(audio, seed=2)})
    expected = vision**-2 / (vision**-2 + audio**-2)
    found = float(weights["vision"][-1].mean())
    assert found == pytest.approx(expected, rel=0.1)
    assert float(1 - found) == pytest.approx(1 - expected, rel=0.1)


@torch.no_grad()
def test_a_noisier_modality_never_weighs_more() -> None:
    seen = [
        float(
            gate()
            .weights({"vision": cue(0.1, seed=1), "audio": cue(0.1, noise=noise, seed=2)})[0][
                "audio"
            ][-1]
            .mean()
        )
        for noise in (0.0, 0.02, 0.05, 0.1, 0.2, 0.5, 2.0)
    ]
    assert all(later < earlier for earlier, later in pairwise(seen)), seen
    assert seen[0] == pytest.approx(0.5, abs=0.05)
    assert seen[-1] < 0.1


@torch.no_grad()
def test_a_silent_modality_falls_to_the_prior() -> None:
    spikes = {"vision": cue(0.1), "audio": torch.zeros(300, 64, N)}
    weights, _ = gate().weights(spikes)
    prior = 1 / float(torch.linspace(-1, 1, N).var(unbiased=False))
    assert float(weights["audio"][-1].mean()) == pytest.approx(prior / (prior + 0.1**-2), rel=0.15)


@torch.no_grad()
def test_precision_by_hand() -> None:
    layer = Dispersion(5, tau_ms=50.0, dt_ms=1.0, prior_weight=2.0)  # places -1, -.5, 0, .5, 1
    spikes = torch.zeros(4, 1, 5)
    spikes[0, 0, 1] = spikes[1, 0, 2] = spikes[3, 0, 4] = 1
    precision, _ = layer(spikes)
    ages, places = [3, 2, 0], [-0.5, 0.0, 1.0]
    w = [math.exp(-age / 50.0) for age in ages]
    n, q = sum(w), sum(x * x for x in w)
    mean = sum(x * c for x, c in zip(w, places, strict=True)) / n
    freedom = n - q / n
    variance = sum(x * (c - mean) ** 2 for x, c in zip(w, places, strict=True)) / freedom
    expected = freedom / (freedom + 2) / variance + 2 / (freedom + 2) / 0.5
    assert float(precision[3, 0]) == pytest.approx(expected, rel=1e-5)
    assert float(precision[0, 0]) == pytest.approx(1 / 0.5, rel=1e-5)  # one spike has no spread


@torch.no_grad()
def test_above_noise_takes_off_what_random_addresses_would_give() -> None:
    spikes = cue(0.1, 8, 100)
    plain, _ = Dispersion(N, 1000.0, 1.0)(spikes)
    above, _ = Dispersion(N, 1000.0, 1.0, above_noise=True)(spikes)
    widest = float(torch.linspace(-1, 1, N).var(unbiased=False))
    # All but the prior's part loses 1 / widest; before the second spike there is only the prior.
    n = spikes.sum(2).cumsum(0)
    torch.testing.assert_close(above[n < 2], plain[n < 2], rtol=1e-3, atol=0)
    lost = (plain - above)[-1] * widest
    decay = math.exp(-1 / 1000.0)
    weights = decay ** torch.arange(99, -1, -1.0)[:, None] * spikes.sum(2)
    freedom = weights.sum(0) - weights.square().sum(0) / weights.sum(0)
    torch.testing.assert_close(lost, freedom / (freedom + 1), rtol=1e-3, atol=1e-4)
    noise = (torch.rand(300, 8, N, generator=torch.Generator().manual_seed(1)) < 0.01).float()
    assert float(Dispersion(N, 1000.0, 1.0, above_noise=True)(noise)[0][-1].mean()) < 0.1 / widest


def test_the_statistic_counts_its_moments_and_evaluations() -> None:
    spikes = {"vision": cue(0.1, 2, 20), "audio": cue(0.3, 2, 20, seed=3)}
    counts = gate().count_operations(spikes).by_path
    for name, x in spikes.items():
        started = (x.sum(2).cumsum(0) > 0).sum()
        path = counts[f"dispersion.{name}"]
        assert path.effective_acs == 4 * int(x.sum())
        assert path.effective_macs == 8 * int(started)
        assert path.neuron_updates_active == 4 * int(started)
        assert path.modality == name
        assert counts[f"gains.{name}"].effective_macs == 8 * int((x.sum(2) > 0).sum())


def test_the_statistic_refuses_bad_memories() -> None:
    with pytest.raises(ValueError, match="tau_ms must be positive and finite, got 0"):
        Dispersion(3, 0.0, 1.0)
    with pytest.raises(ValueError, match="prior_weight must be positive and finite, got -1"):
        Dispersion(3, 1.0, 1.0, prior_weight=-1)


def energy_gate(bias: tuple[float, ...], weight: float = 0.0) -> EnergyGateFusion:
    torch.manual_seed(1)
    built = build("energy_gate", {"vision": 30, "audio": 20}, 16, dt_ms=5.0, window_ms=20.0)
    assert isinstance(built, EnergyGateFusion)
    with torch.no_grad():
        built.gate_bias.copy_(torch.tensor(bias))
        built.gate_synapse.weight.fill_(weight)
    return built


def inputs(n_steps: int = 30) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(2)
    return {
        name: (torch.rand(n_steps, 3, n, generator=generator) < 0.3).float()
        for name, n in (("vision", 30), ("audio", 20))
    }


def test_a_shut_branch_does_no_work() -> None:
    spikes = inputs()
    shut, opened = energy_gate((1.0, -1.0)), energy_gate((1.0, 1.0))
    counts = shut.count_operations(spikes).by_path
    path = counts["fusion_synapses.audio"]
    assert path.effective_acs == path.spikes_routed == path.weight_reads == 0
    for key, counted in opened.count_operations(spikes).by_path.items():
        if key == "fusion_synapses.audio":
            assert counted.effective_acs == 16 * int(spikes["audio"].sum())
        elif key == "fusion_synapses.vision":
            assert counted == counts[key]
    alone = {"vision": spikes["vision"], "audio": torch.zeros_like(spikes["audio"])}
    with torch.no_grad():
        assert torch.equal(shut(spikes)[0], opened(alone)[0])


def test_gates_shut_by_the_past_and_open_again() -> None:
    operator, spikes = energy_gate((0.2, 0.2), weight=-2.0), inputs(80)
    gates = operator.gates(spikes)
    assert gates[:4].all()  # nothing has fired yet
    switched = gates.diff(dim=0).any(2).any(1).nonzero().flatten() + 1
    assert len(switched) > 2
    assert all(int(step) % 4 == 0 for step in switched)  # whole windows
    assert gates[4:].any()
    assert not gates.all()
    counts = operator.count_operations(spikes).by_path
    for m, name in enumerate(("vision", "audio")):
        passed = int((spikes[name] * gates[..., m : m + 1]).sum())
        path = counts[f"fusion_synapses.{name}"]
        assert path.spikes_routed == passed < int(spikes[name].sum())
        assert path.effective_acs == 16 * passed
    events = {name: SpikeBatch.from_dense(x) for name, x in spikes.items()}
    assert operator.count_operations(events).by_path == counts


def test_active_updates_carry_over_windows() -> None:
    operator, spikes = energy_gate((1.0, 1.0)), inputs()
    spikes = {name: x * (torch.arange(30) < 3)[:, None, None] for name, x in spikes.items()}
    path = operator.count_operations(spikes).by_path["hidden"]
    reference = build("concat", operator.n_in, 16, dt_ms=5.0)
    reference.load_state_dict(
        {k: v for k, v in operator.state_dict().items() if not k.startswith("gate")}
    )
    assert path == reference.count_operations(spikes).by_path["hidden"]
    assert path.neuron_updates_active > 3 * 3 * 16  # membranes decay long after the input


def test_training_shuts_a_branch_that_a_cost_is_put_on() -> None:
    operator, spikes = energy_gate((0.3, 0.3)), inputs()
    optimizer = torch.optim.SGD([operator.gate_bias], lr=0.5)
    target = operator({"vision": spikes["vision"], "audio": 0 * spikes["audio"]})[0].detach()
    for _ in range(30):
        out, _ = operator(spikes)
        loss = (out.mean((0, 1)) - target.mean((0, 1))).square().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert operator.gate_bias[1] < 0 < operator.gate_bias[0]


def test_windows_shorter_than_a_step_are_refused() -> None:
    with pytest.raises(ValueError, match=r"window_ms must be at least one step of 5.0, got 1"):
        build("energy_gate", {"vision": 2}, 3, dt_ms=5.0, window_ms=1)
