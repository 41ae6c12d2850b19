"""Direct and rate coding: distribution, seeds, chunks, recoding of event streams, counts."""

import pytest
import torch
from scipy import stats

from spikefuse.encoders.direct import direct_counts, encode_direct
from spikefuse.encoders.rate import encode_rate, rate_counts, spike_probability, window_rates
from spikefuse.events import EventStream
from spikefuse.kernels.binning import bin_events
from spikefuse.spikes import SpikeBatch


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_direct_repeats_the_values_without_copying_them() -> None:
    values = torch.rand(2, 3, generator=seeded(), requires_grad=True)
    current = encode_direct(values, 5)
    assert current.shape == (5, 2, 3)
    assert current.data_ptr() == values.data_ptr()
    current.sum().backward()
    assert (values.grad == 5).all()
    varying = torch.rand(4, 2, 3, generator=seeded())
    assert encode_direct(varying) is varying


def test_rate_has_the_distribution_of_snntorch() -> None:
    from snntorch import spikegen

    values = torch.tensor([[0.0, 0.1, 0.5, 0.9, 1.0]])
    mine = encode_rate(values, 4000, generator=seeded(1)).to_dense().sum(0)[0]
    torch.manual_seed(2)
    theirs = spikegen.rate(values, num_steps=4000).sum(0)[0]
    assert mine[[0, 4]].tolist() == theirs[[0, 4]].tolist() == [0, 4000]
    for n in (1, 2, 3):
        table = [[int(k[n]), 4000 - int(k[n])] for k in (mine, theirs)]
        assert stats.chi2_contingency(table).pvalue > 1e-3
        assert stats.binomtest(int(mine[n]), 4000, float(values[0, n])).pvalue > 1e-3


def test_steps_and_addresses_are_independent() -> None:
    spikes = encode_rate(torch.full((1, 2), 0.5), 20_000, generator=seeded(3)).to_dense()[:, 0]
    a, b = spikes.T
    for first, second in ((a, b), (a[:-1], a[1:])):
        joint = int((first * second).sum())
        assert stats.binomtest(joint, len(first), 0.25).pvalue > 1e-3


def test_a_seed_is_a_train_and_chunks_are_the_whole() -> None:
    for n in (1, 5, 33):
        values = torch.rand(13, 3, n, generator=seeded(4))
        whole = encode_rate(values, generator=seeded(5)).to_dense()
        assert torch.equal(whole, encode_rate(values, generator=seeded(5)).to_dense())
        if n > 1:
            assert not torch.equal(whole, encode_rate(values, generator=seeded(6)).to_dense())
        running = seeded(5)
        parts = [encode_rate(part, generator=running).to_dense() for part in values.split(4)]
        assert torch.equal(torch.cat(parts), whole)


def test_spike_probability_is_that_of_a_poisson_process() -> None:
    rates = torch.tensor([0.0, 10.0, 1000.0], dtype=torch.float64)
    expected = [1 - stats.poisson(rate * 0.002).pmf(0) for rate in rates.tolist()]
    assert spike_probability(rates, 2.0).tolist() == pytest.approx(expected, rel=1e-12)


def test_window_rates_are_a_hand_count() -> None:
    dense = torch.zeros(5, 2, 3)
    dense[0, 0, 1], dense[1, 0, 1], dense[2, 0, 1] = 1, 2, 1
    dense[4, 1, 2] = 9
    rates = window_rates(SpikeBatch.from_dense(dense), 2, full_scale=4.0)
    expected = torch.zeros(3, 2, 3)
    expected[0, 0, 1], expected[1, 0, 1], expected[2, 1, 2] = 0.75, 0.25, 1.0
    assert torch.equal(rates, expected)


def test_an_event_stream_is_recoded_at_its_own_rate(make_stream) -> None:
    stream = make_stream(300, (5, 1, 1), 100_000)
    binned = bin_events([stream], 1.0, n_steps=100)
    rates = window_rates(binned, 100, full_scale=100.0)[0]
    assert rates.sum() * 100 == pytest.approx(300, abs=1e-3)
    recoded = encode_rate(rates, 2000, generator=seeded(7)).to_dense().sum(0)[0]
    for n in range(5):
        assert stats.binomtest(int(recoded[n]), 2000, float(rates[0, n])).pvalue > 1e-3


def test_nothing_in_is_nothing_out() -> None:
    empty = bin_events([EventStream.empty((4, 1, 1), 3000, "audio")], 1.0)
    rates = window_rates(empty, 2, 1.0)
    assert rates.shape == (2, 1, 4)
    assert encode_rate(rates, generator=seeded()).n_events == 0
    assert encode_rate(torch.zeros(0, 2, 3), generator=seeded()).shape == (0, 2, 3)


def test_strided_values_are_read_right() -> None:
    values = torch.zeros(3, 4).T[::2]  # [2, 3]
    values[1, 2] = 1.0
    assert not values.is_contiguous()
    assert encode_rate(values, 2, generator=seeded()).to_dense().nonzero().tolist() == [
        [0, 1, 2],
        [1, 1, 2],
    ]


def test_counts_are_one_comparison_for_each_value_and_step() -> None:
    counts = rate_counts(2 * 3, 5, "audio")
    assert (counts.effective_acs, counts.effective_macs, counts.state_reads) == (30, 0, 30)
    assert (counts.kind, counts.modality, counts.bytes_moved) == ("frontend", "audio", 120)
    direct = direct_counts(6, 5, "vision")
    assert (direct.effective_acs, direct.state_reads, direct.state_words) == (0, 30, 6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: encode_direct(torch.zeros(3)), r"values must be \[T, B, N\], or \[B, N\] with"),
        (lambda: encode_direct(torch.zeros(2, 3)), r"got shape \(2, 3\) and n_steps=None"),
        (lambda: encode_direct(torch.zeros(1, 2, 3), 4), r"got shape \(1, 2, 3\) and n_steps=4"),
        (lambda: encode_direct(torch.zeros(2, 3, dtype=torch.int64), 2), "must be floating point"),
        (lambda: encode_direct(torch.tensor([[torch.nan]]), 2), "values must be finite"),
        (lambda: encode_direct(torch.zeros(2, 3), 0), "n_steps must be a whole number >= 1, got 0"),
        (
            lambda: encode_rate(torch.tensor([[1.5]]), 2, generator=seeded()),
            r"values must lie in \[0, 1\], got 1.5",
        ),
        (lambda: spike_probability(torch.tensor([-1.0]), 1.0), "rate_hz must be >= 0, got -1.0"),
        (lambda: spike_probability(torch.tensor([1.0]), 0.0), "dt_ms must be positive and finite"),
    ],
)
def test_refusals(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
