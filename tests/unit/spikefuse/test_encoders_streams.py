"""Encoded spikes as event streams: binning gives them back."""

import pytest
import torch

from spikefuse.encoders.delta import encode_delta
from spikefuse.encoders.streams import to_streams
from spikefuse.errors import EventError
from spikefuse.kernels.binning import bin_events
from spikefuse.spikes import SpikeBatch


@pytest.mark.parametrize("dt_ms", [0.001, 0.3, 1.0, 2.5, 4.03])
@pytest.mark.parametrize("size", [(4, 3, 2), (24, 1, 1), (6, 4, 1)])
def test_binning_gives_the_spikes_back(dt_ms: float, size: tuple[int, int, int]) -> None:
    generator = torch.Generator().manual_seed(1)
    dense = torch.randint(0, 9, (40, 3, 24), generator=generator).sub(6).clamp(min=0).float()
    streams = to_streams(SpikeBatch.from_dense(dense), dt_ms, size, "touch")
    assert {(s.sensor_size, s.modality) for s in streams} == {(size, "touch")}
    assert torch.equal(bin_events(streams, dt_ms, n_steps=40).to_dense(), dense)


def test_a_delta_coded_signal_has_polarities() -> None:
    signal = torch.tensor([[1.0, 0.0], [1.0, -2.0]])[:, None]  # [T=2, B=1, N=2]
    stream = to_streams(encode_delta(signal, 1.0)[0], 1.5, (2, 1, 2), "touch")[0]
    assert stream.events.tolist() == [(0, 0, 0, True), (1500, 1, 0, False), (1500, 1, 0, False)]
    assert stream.duration_us == 3000


def test_silence_and_no_samples() -> None:
    silent = SpikeBatch.from_dense(torch.zeros(3, 2, 4))
    assert [len(s) for s in to_streams(silent, 1.0, (4, 1, 1), "a")] == [0, 0]
    assert to_streams(SpikeBatch.from_dense(torch.zeros(3, 0, 4)), 1.0, (4, 1, 1), "a") == []


def test_refusals() -> None:
    spikes = SpikeBatch.from_dense(torch.full((1, 1, 4), 1.5))
    with pytest.raises(EventError, match=r"must have 4 addresses in all, got \(4, 1, 2\)"):
        to_streams(spikes, 1.0, (4, 1, 2), "a")
    with pytest.raises(EventError, match=r"amplitudes must be whole and positive, got 1\.5"):
        to_streams(spikes, 1.0, (4, 1, 1), "a")
    with pytest.raises(ValueError, match=r"dt_ms must be at least 0\.001"):
        to_streams(spikes, 0.0005, (4, 1, 1), "a")
