"""Active updates that the kernels tell, against the plain reference and a walk."""

import pytest
import torch

from spikefuse.kernels.activity import active_states
from spikefuse.kernels.fused import fused_event_li, fused_event_lif
from spikefuse.kernels.fused_conv import fused_conv_lif
from spikefuse.kernels.fused_delay import arrivals_ref, fused_delayed_lif
from spikefuse.kernels.neurons import active_updates_ref, lif_scan
from spikefuse.kernels.readout import li_scan
from spikefuse.kernels.recurrent import recurrent_lif_scan
from spikefuse.kernels.watching import ActiveUpdates
from spikefuse.spikes import SpikeBatch


def spikes_of(n_steps: int = 9, n_batch: int = 3, n: int = 20, density: float = 0.1) -> SpikeBatch:
    generator = torch.Generator().manual_seed(4)
    return SpikeBatch.from_dense(
        (torch.rand(n_steps, n_batch, n, generator=generator) < density).float()
    )


def walk(current: torch.Tensor, beta: float, v: torch.Tensor | None = None) -> int:
    """Neuron-steps of LIF neurons, threshold 1, reset to zero, with a state or an input."""
    found = 0
    for b in range(current.shape[1]):
        for n in range(current.shape[2]):
            level = 0.0 if v is None else float(v[b, n])
            for t in range(current.shape[0]):
                x = float(current[t, b, n])
                found += level != 0 or x != 0
                level = beta * level + x
                level = 0.0 if level > 1 else level
    return found


@pytest.mark.parametrize("n", [5, 130])
@pytest.mark.parametrize("reset", ["zero", "subtract"])
def test_a_lif_scan_tells_what_the_reference_counts(n: int, reset) -> None:
    current = torch.randn(12, 3, n) * (torch.rand(12, 3, n) < 0.1)
    beta = torch.rand(n)
    with ActiveUpdates() as found:
        lif_scan(current, beta, 0.5, reset=reset, backend="numba")
    assert found.n == active_updates_ref(current, beta, 0.5, reset)
    assert 0 < found.n < current.numel()


def test_a_recurrent_scan_tells_its_recurrent_input_too() -> None:
    current = torch.zeros(3, 1, 2)
    current[0, 0, 0] = 2.0  # fires at once; its spike drives the other one a step later
    weight = torch.tensor([[0.0, 0.4], [0.0, 0.0]])
    with ActiveUpdates() as found:
        recurrent_lif_scan(current, 0.9, 1.0, weight, backend="numba")
    assert found.n == 1 + 2


def test_a_readout_is_active_from_its_first_input_on() -> None:
    current = torch.zeros(6, 2, 3)
    current[2, 0, 1], current[3, 0, 1] = 1.0, -1.0
    start = torch.zeros(2, 3)
    start[1, 2] = 0.5
    with ActiveUpdates() as found:
        li_scan(current, 0.9, start, backend="numba")
    assert found.n == 4 + 6


@pytest.mark.parametrize("n_out", [7, 64, 90])
def test_fused_layers_tell_what_a_walk_counts(n_out: int) -> None:
    spikes = spikes_of()
    weight = torch.randn(20, n_out)
    weight[:, ::2] = 0.0  # these neurons never have an input
    v0 = torch.zeros(3, n_out)
    v0[0, 0] = 0.5
    current = spikes.to_dense() @ weight
    with ActiveUpdates() as found:
        fused_event_lif(spikes, weight, 0.9, 1.0, v0=v0, backend="numba")
    assert found.n == walk(current, 0.9, v0)
    with ActiveUpdates() as found:
        fused_event_li(spikes, weight, 0.9, v0=v0, backend="numba")
    assert found.n == int((((current != 0).cumsum(0) > 0) | (v0 != 0)).sum())


def test_delayed_and_convolutional_layers_tell_what_a_walk_counts() -> None:
    spikes = spikes_of()
    weight = torch.randn(20, 3 * 10)
    with ActiveUpdates() as found:
        fused_delayed_lif(spikes, weight, (0, 2, 5), 0.9, 1.0, backend="numba")
    current, _ = arrivals_ref(spikes.to_dense() @ weight, (0, 2, 5))
    assert found.n == walk(current, 0.9)
    maps, kernel = spikes_of(n=32, density=0.03), torch.randn(3, 2, 3, 3)
    with ActiveUpdates() as found:
        fused_conv_lif(maps, kernel, (2, 4, 4), 0.9, 1.0, padding=(1, 1), backend="numba")
    dense = torch.nn.functional.conv2d(maps.to_dense().view(-1, 2, 4, 4), kernel, padding=1)
    assert found.n == walk(dense.view(9, 3, -1), 0.9)
    assert found.n < dense.numel()


def test_nothing_is_told_by_the_reference_or_outside_of_the_context() -> None:
    current = torch.ones(2, 1, 3)
    watcher = ActiveUpdates()
    with watcher:
        lif_scan(current, 0.9, 1.0, backend="reference")
    assert watcher.n is None
    lif_scan(current, 0.9, 1.0, backend="numba")
    assert watcher.n is None


def test_the_inner_of_two_watchers_is_told() -> None:
    current = torch.ones(2, 1, 3)
    with ActiveUpdates() as outer:
        with ActiveUpdates() as inner:
            lif_scan(current, 0.9, 2.0, backend="numba")
        lif_scan(current[:1], 0.9, 2.0, backend="numba")
    assert (outer.n, inner.n) == (3, 6)


def test_other_states_are_told_as_counted_apart() -> None:
    from spikefuse.kernels.synaptic import cuba_lif_scan

    current = torch.randn(8, 2, 5) * (torch.rand(8, 2, 5) < 0.2)
    with ActiveUpdates() as found:
        cuba_lif_scan(current, 0.7, 0.9, 1.0, backend="numba")
    expected = active_states(current, 0.7, 0.9, 1.0, 0.0, 0.0, reset="zero", backend="reference")
    assert found.n == expected
