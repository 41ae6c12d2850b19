"""Nets of the timing study: one budget for all, and what late fusion is made of."""

from __future__ import annotations

import pytest
import torch

from experiments.studies.timing.nets import N_NEURONS, TRIALS, TimingNet
from experiments.studies.timing.tasks import TimingTask
from spikefuse.cost.count import count
from spikefuse.fusion import OPERATORS
from spikefuse.neurons import LIF
from spikefuse.spikes import SpikeBatch

N_IN = {"vision": 3, "audio": 2}


def _options(operator: str, trial: int = 0) -> dict[str, object]:
    return {k: v for k, v in TRIALS[operator][trial].items() if not k.endswith(("rate", "rate_ms"))}


def _events(seed: int = 0, n_steps: int = 40) -> dict[str, SpikeBatch]:
    torch.manual_seed(seed)
    return {
        k: SpikeBatch.from_dense((torch.rand(n_steps, 4, n) < 0.3).float()) for k, n in N_IN.items()
    }


def test_every_operator_has_three_different_trials() -> None:
    assert set(TRIALS) == set(OPERATORS)
    for trials in TRIALS.values():
        assert len(trials) == 3
        assert all(trials.count(trial) == 1 for trial in trials)


@pytest.mark.parametrize("operator", list(OPERATORS))
@pytest.mark.parametrize("trial", range(3))
def test_scores_and_gradients_of_every_trial(operator: str, trial: int) -> None:
    torch.manual_seed(1)
    net = TimingNet(operator, N_IN, 3, **_options(operator, trial))
    net.set_anneal(0.5)
    scores = net(_events())
    assert scores.shape == (4, 3)
    torch.autograd.backward(scores.square().sum())
    without = [k for k, w in net.named_parameters() if w.requires_grad and w.grad is None]
    assert not without


@pytest.mark.parametrize("operator", list(OPERATORS))
def test_operations_of_every_net_are_counted(operator: str) -> None:
    torch.manual_seed(1)
    counts = count(TimingNet(operator, N_IN, 2, **_options(operator)), _events())
    assert counts.effective_acs > 0


def test_read_out_is_of_the_operators_own_population() -> None:
    torch.manual_seed(1)
    net = TimingNet("concat", N_IN, 2)
    spikes, _ = net.fusion(_events())
    assert spikes.shape[2] == N_NEURONS
    assert net.readout is not None
    assert torch.allclose(net(_events()), net.readout(spikes.sum(0)))


def test_late_shares_the_neurons_out_and_adds_what_each_modality_says() -> None:
    torch.manual_seed(1)
    net = TimingNet("late", N_IN, 2).eval()
    sizes = [layer.beta_logit.numel() for layer in net.modules() if isinstance(layer, LIF)]
    assert sum(sizes) == N_NEURONS
    # f(v, a) + f(v', a') = f(v, a') + f(v', a) for a sum, whatever its parts.
    one, two = _events(1), _events(2)
    cross = {"vision": one["vision"], "audio": two["audio"]}
    back = {"vision": two["vision"], "audio": one["audio"]}
    assert torch.allclose(net(one) + net(two), net(cross) + net(back), atol=1e-5)
    # The same identity does not hold for a net that joins them.
    joined = TimingNet("concat", N_IN, 2).eval()
    assert not torch.allclose(joined(one) + joined(two), joined(cross) + joined(back), atol=1e-2)


def test_both_cue_tasks_see_the_same_late_layer() -> None:
    sizes = [
        sum(w.numel() for w in TimingNet("late", TimingTask(name).scene.modalities, 2).parameters())
        for name in ("xor", "redundant")
    ]
    assert sizes[0] == sizes[1]
