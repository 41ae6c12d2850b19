"""Latency, population and phase coding against snnTorch, closed forms and hand counts."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spikefuse.encoders.latency import (
    encode_latency,
    first_spikes,
    latency_counts,
    latency_steps,
)
from spikefuse.encoders.phase import decode_phase, encode_phase, phase_counts, phase_weights
from spikefuse.encoders.population import (
    PopulationSpec,
    encode_population,
    population_activity,
    population_counts,
)
from spikefuse.spikes import SpikeBatch


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def checked(spikes: SpikeBatch) -> SpikeBatch:
    """The same through the checks that trusted batches skip."""
    return SpikeBatch(spikes.indptr, spikes.index, spikes.value, spikes.shape)


@pytest.mark.parametrize("n", [1, 31, 33])
@pytest.mark.parametrize("n_steps", [2, 40])
def test_latency_equals_snntorch(n: int, n_steps: int) -> None:
    from snntorch import spikegen

    values = torch.rand(3, n, generator=seeded(n))
    linear = spikegen.latency(
        values, num_steps=n_steps, threshold=0.2, linear=True, normalize=True, clip=True
    )
    mine = checked(encode_latency(values, n_steps, threshold=0.2))
    assert torch.equal(mine.to_dense(), linear)
    log = spikegen.latency(
        values, num_steps=n_steps, threshold=0.2, tau=9.0, bypass=True, clip=True
    )
    mine = checked(encode_latency(values, n_steps, tau_steps=9.0, threshold=0.2))
    assert torch.equal(mine.to_dense(), log)


def test_latency_by_hand() -> None:
    values = torch.tensor([[1.0, 0.5, 0.0, 0.009, 0.01]])
    assert latency_steps(values, 5).tolist() == [[0, 2, -1, -1, 4]]
    # tau ln(x / (x - theta)); the last two are at and below the threshold.
    values = torch.tensor([[1.0, 0.3, 0.25, 0.2]])
    expected = [round(10 * math.log(x / (x - 0.25))) for x in (1.0, 0.3)]
    assert expected == [3, 18]
    assert latency_steps(values, 20, tau_steps=10.0, threshold=0.25).tolist() == [[3, 18, -1, -1]]
    assert latency_steps(values, 18, tau_steps=10.0, threshold=0.25).tolist() == [[3, -1, -1, -1]]
    assert latency_steps(torch.ones(1, 1), 1).tolist() == [[0]]


@settings(max_examples=50)
@given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=30), st.integers(1, 50))
def test_one_spike_each_and_larger_is_never_later(numbers: list[float], n_steps: int) -> None:
    values = torch.tensor([numbers])
    spikes = checked(encode_latency(values, n_steps)).to_dense()[:, 0]
    fired = values[0] >= 0.01
    assert (spikes.sum(0) == fired.float()).all()
    order = values[0][fired].argsort(descending=True)
    assert (spikes.argmax(0)[fired][order].diff() >= 0).all()


def test_first_spikes_are_the_first_of_each_address() -> None:
    dense = (torch.rand(20, 3, 7, generator=seeded(1)) < 0.2).float() * 2
    spikes = SpikeBatch.from_dense(dense)
    kept, seen = first_spikes(spikes)
    expected = ((dense > 0) & ((dense > 0).cumsum(0) == 1)).float()
    assert torch.equal(checked(kept).to_dense(), expected)
    assert torch.equal(seen, (dense > 0).any(0))
    now, parts = None, []
    for part in dense.split(6):
        one, now = first_spikes(SpikeBatch.from_dense(part), now)
        parts.append(one.to_dense())
    assert torch.equal(torch.cat(parts), expected)
    nothing, unseen = first_spikes(SpikeBatch.from_dense(torch.zeros(2, 1, 3)))
    assert nothing.n_events == int(unseen.sum()) == 0


def test_latency_counts_are_the_steps_waited() -> None:
    steps = torch.tensor([[0, 4, -1]])
    counts = latency_counts(steps, 10, "vision")
    assert (counts.effective_acs, counts.effective_macs) == (1 + 5 + 10, 3)
    assert (counts.kind, counts.modality) == ("frontend", "vision")


def test_population_fields_are_those_of_bohte() -> None:
    spec = PopulationSpec(5, low=0.0, high=3.0, beta=1.5)
    assert spec.centres.tolist() == [-0.5, 0.5, 1.5, 2.5, 3.5]
    activity = population_activity(torch.tensor([[1.5, 0.0]], dtype=torch.float64), spec)
    sigma = 1 / 1.5
    expected = [
        math.exp(-((x - c) ** 2) / (2 * sigma**2))
        for x in (1.5, 0.0)
        for c in (-0.5, 0.5, 1.5, 2.5, 3.5)
    ]
    assert activity[0].tolist() == pytest.approx(expected, rel=1e-12)


def test_the_best_neuron_fires_first_and_the_value_can_be_read_back() -> None:
    spec = PopulationSpec(12, low=-1.0, high=1.0)
    values = torch.linspace(-1, 1, 21)[None]
    spikes = checked(encode_population(values, 100, spec))
    assert spikes.shape == (100, 1, 21 * 12)
    dense = spikes.to_dense()[:, 0].view(100, 21, 12)
    first = torch.where(dense.sum(0) > 0, dense.argmax(0), 1000).argmin(1)
    nearest = (values[0][:, None] - spec.centres).abs()
    assert (nearest[torch.arange(21), first] <= nearest.min(1).values + 0.02).all()
    activity = population_activity(values, spec).view(21, 12)
    mean = (activity * spec.centres).sum(1) / activity.sum(1)
    assert (mean - values[0]).abs()[2:-2].max() < 0.02
    assert population_counts(21, spec, "touch").effective_macs == 2 * 21 * 12


def test_population_activity_has_the_right_gradient() -> None:
    spec = PopulationSpec(4, 0.0, 1.0)
    values = torch.rand(2, 3, generator=seeded(2), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v: population_activity(v, spec), (values,))


@settings(max_examples=60)
@given(st.floats(0, 1, width=32), st.integers(1, 24))
def test_phase_error_is_below_the_last_bit(value: float, n_phases: int) -> None:
    spikes = encode_phase(torch.tensor([[value]]), n_phases, 1)
    decoded = decode_phase(spikes, n_phases).item()
    assert 0 <= value - decoded <= 2.0**-n_phases
    assert (value - decoded < 2.0**-n_phases) == (value < 1)


def test_phase_by_hand() -> None:
    spikes = encode_phase(torch.tensor([[0.625, 1.0, 0.0]]), 4, 2).to_dense()[:, 0]
    assert spikes.T.tolist() == [[1, 0, 1, 0] * 2, [1] * 8, [0] * 8]
    assert phase_weights(5, 4).tolist() == [0.5, 0.25, 0.125, 0.0625, 0.5]
    counts = phase_counts(3, 2, 4, "audio")
    assert (counts.effective_acs, counts.state_reads) == (24, 6)


def test_phase_of_parts_is_the_whole() -> None:
    signal = torch.rand(6, 2, 5, generator=seeded(3))
    whole = encode_phase(signal, 8).to_dense()
    parts = torch.cat([encode_phase(part, 8).to_dense() for part in signal.split(4)])
    assert torch.equal(whole, parts)
    assert (decode_phase(encode_phase(signal, 8), 8) - signal).abs().max() < 2**-8


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: encode_latency(torch.zeros(3), 5), r"values must be \[B, N\], got shape \(3,\)"),
        (lambda: encode_latency(torch.full((1, 1), -0.1), 5), r"values must lie in \[0, 1\]"),
        (lambda: encode_latency(torch.zeros(1, 1), 0), "n_steps must be a whole number >= 1"),
        (lambda: encode_latency(torch.zeros(1, 1), 5, threshold=0.0), "threshold must lie in"),
        (lambda: encode_latency(torch.zeros(1, 1), 5, tau_steps=0.0), "tau_steps must be positive"),
        (lambda: PopulationSpec(2, 0.0, 1.0), "n_neurons must be a whole number >= 3, got 2"),
        (lambda: PopulationSpec(4, 1.0, 1.0), "low must be below high, got 1.0 and 1.0"),
        (
            lambda: population_activity(torch.tensor([[2.0]]), PopulationSpec(4, 0.0, 1.0)),
            r"values must lie in \[0.0, 1.0\], got 2.0",
        ),
        (lambda: encode_phase(torch.zeros(1, 1), 25, 1), "n_phases must be at most 24, got 25"),
        (
            lambda: decode_phase(SpikeBatch.from_dense(torch.zeros(7, 1, 1)), 4),
            "spikes must be of whole periods of 4 steps, got 7",
        ),
        (
            lambda: first_spikes(SpikeBatch.from_dense(torch.zeros(2, 1, 3)), torch.zeros(1, 3)),
            r"seen must be bool \[1, 3\], got torch.float32 \(1, 3\)",
        ),
    ],
)
def test_refusals(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
