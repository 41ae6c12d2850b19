"""Send on delta: its error bound, its agreement with snnTorch, chunks, counts."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spikefuse.encoders.delta import decode_delta, delta_counts, encode_delta
from spikefuse.spikes import SpikeBatch


def walk(n_steps: int, n_batch: int = 2, n: int = 3, seed: int = 0) -> torch.Tensor:
    noise = torch.randn(n_steps, n_batch, n, generator=torch.Generator().manual_seed(seed))
    return noise.cumsum(0) * 0.3


@settings(max_examples=60)
@given(
    st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=40),
    st.sampled_from([0.001, 0.1, 1.0, 7.3, 1000.0]),
)
def test_the_receiver_is_never_off_by_a_threshold(samples: list[float], threshold: float) -> None:
    signal = torch.tensor(samples)[:, None, None]
    spikes, level = encode_delta(signal, threshold)
    decoded, last = decode_delta(spikes, threshold)
    assert (signal.double() - decoded).abs().max() < threshold * (1 + 1e-9)
    assert torch.equal(level, last)


def test_snntorch_agrees_on_unit_steps_and_misses_slow_ones() -> None:
    from snntorch import spikegen

    moves = torch.randint(-1, 2, (200, 2, 3), generator=torch.Generator().manual_seed(1))
    signal = moves.float().cumsum(0)
    down, up = encode_delta(signal, 1.0)[0].to_dense().chunk(2, dim=2)
    assert torch.equal(up - down, spikegen.delta(signal, threshold=1.0, off_spike=True))
    ramp = torch.linspace(0, 10, 101)[:, None, None]
    assert spikegen.delta(ramp, threshold=1.0).sum() == 0
    assert encode_delta(ramp, 1.0)[0].to_dense().sum() == 10


def test_by_hand() -> None:
    signal = torch.tensor([0.5, 2.5, 2.0, -0.9, -1.0])[:, None, None]
    spikes, level = encode_delta(signal, 1.0)
    # Levels 0, 2, 2, 0, -1: a signal must move a whole threshold away.
    assert spikes.to_dense()[:, 0].T.tolist() == [[0, 0, 0, 2, 1], [0, 2, 0, 0, 0]]
    assert level.tolist() == [[-1]]
    assert decode_delta(spikes, 1.0)[0].flatten().tolist() == [0, 2, 2, 0, -1]


def test_a_still_signal_is_silent_after_its_first_sample() -> None:
    spikes, level = encode_delta(torch.full((50, 1, 2), 0.75), 0.25)
    assert spikes.to_dense()[0].tolist() == [[0, 0, 3, 3]]
    assert spikes.to_dense()[1:].sum() == 0
    again, _ = encode_delta(torch.full((50, 1, 2), 0.75), 0.25, level)
    assert again.n_events == 0


@pytest.mark.parametrize("size", [1, 7, 100])
@pytest.mark.parametrize("n", [1, 33])
def test_chunks_are_the_whole(size: int, n: int) -> None:
    signal = walk(100, 2, n)
    whole, whole_level = encode_delta(signal, 0.2)
    decoded, _ = decode_delta(whole, 0.2)
    level = known = None
    for start in range(0, 100, size):
        spikes, level = encode_delta(signal[start : start + size], 0.2, level)
        part, known = decode_delta(spikes, 0.2, known)
        assert torch.equal(spikes.to_dense(), whole.to_dense()[start : start + size])
        assert torch.equal(part, decoded[start : start + size])
    assert torch.equal(level, whole_level)


def test_strided_and_empty_signals() -> None:
    signal = walk(30, 3, 4)
    strided = signal.transpose(1, 2)
    assert torch.equal(
        encode_delta(strided, 0.3)[0].to_dense(),
        encode_delta(strided.contiguous(), 0.3)[0].to_dense(),
    )
    spikes, level = encode_delta(torch.zeros(0, 2, 3), 1.0)
    assert spikes.shape == (0, 2, 6)
    assert level.tolist() == [[0] * 3] * 2
    assert decode_delta(spikes, 1.0)[0].shape == (0, 2, 3)


def test_levels_stay_exact_over_long_signals() -> None:
    # A reference that added thresholds one by one in float32 would have drifted by now.
    t = np.arange(20_000)
    signal = torch.from_numpy(1000 * np.sin(t / 700)).float()[:, None, None]
    spikes, _ = encode_delta(signal, 0.1)
    decoded, _ = decode_delta(spikes, 0.1)
    assert (signal.double() - decoded).abs().max() < 0.1 * (1 + 1e-9)


def test_the_largest_moves_are_exact() -> None:
    signal = torch.tensor([8388607.0, -8388607.0, 5.0])[:, None, None]
    decoded, _ = decode_delta(encode_delta(signal, 1.0)[0], 1.0)
    assert torch.equal(decoded, signal.double())


def test_counts_are_those_of_every_sample_and_spike() -> None:
    counts = delta_counts(6, 100, 40, "audio")
    assert counts.effective_acs == 3 * 600 + 40
    assert (counts.state_reads, counts.state_writes, counts.state_words) == (1200, 40, 6)
    assert (counts.kind, counts.modality, counts.effective_macs) == ("frontend", "audio", 0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: encode_delta(torch.zeros(3, 4), 1.0), r"signal must be \[T, B, N\]"),
        (lambda: encode_delta(torch.zeros(1, 1, 1), 0.0), "threshold must be positive and finite"),
        (lambda: encode_delta(torch.full((1, 1, 1), torch.inf), 1.0), "signal must be finite"),
        (lambda: encode_delta(torch.full((1, 1, 1), 1e30), 1.0), r"must stay below 2\*\*23"),
        (
            lambda: encode_delta(torch.zeros(1, 2, 3), 1.0, torch.zeros(2, 3)),
            r"level must be int64 \[2, 3\], got torch.float32",
        ),
        (
            lambda: decode_delta(SpikeBatch.from_dense(torch.zeros(2, 1, 3)), 1.0),
            "spikes must have OFF and ON addresses, got 3 of them",
        ),
    ],
)
def test_refusals(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
