"""Spectrograms, against a transform that counts as it goes."""

import numpy as np
import pytest

from spikefuse.work import Work, fft_work, mel_work, stft_work


def counted_fft(x: np.ndarray) -> tuple[np.ndarray, int, int]:
    """A radix-2 transform that counts its complex products and sums."""
    n = len(x)
    if n == 1:
        return x, 0, 0
    even, p0, s0 = counted_fft(x[::2])
    odd, p1, s1 = counted_fft(x[1::2])
    turned = odd * np.exp(-2j * np.pi * np.arange(n // 2) / n)
    return (
        np.concatenate([even + turned, even - turned]),
        p0 + p1 + n // 2,
        s0 + s1 + n,
    )


@pytest.mark.parametrize("n", [4, 16, 128])
def test_transforms_equal_one_that_counts(n: int) -> None:
    x = np.random.default_rng(0).normal(size=n)
    found, products, sums = counted_fft(x.astype(complex))
    assert np.allclose(found, np.fft.fft(x))
    work = fft_work(n, 1, real=False)
    assert (work.macs, work.acs) == (4 * products, 2 * sums)
    # A real transform is one of half the points, and as many pairs untangled as n / 4.
    _, products, sums = counted_fft(x[::2].astype(complex))
    real = fft_work(n, 3, real=True)
    assert real.macs == 3 * (4 * products + n)
    assert real.acs == 3 * (2 * sums + 2 * n)


def test_a_spectrogram_is_a_window_a_transform_and_a_power_per_frame() -> None:
    torch = pytest.importorskip("torch")
    wave, n_fft, hop = 1000, 64, 24
    for centred in (True, False):
        columns = torch.stft(
            torch.zeros(wave),
            n_fft,
            hop,
            center=centred,
            return_complex=True,
            window=torch.ones(n_fft),
        ).shape[1]
        frame = n_fft + fft_work(n_fft, 1, real=True).macs + 2 * (n_fft // 2 + 1)
        assert stft_work(wave, n_fft, hop, centred).macs == columns * frame
    bands = mel_work(10, n_taps=90, n_bands=20)
    assert bands.macs == 10 * (90 + 20)
    both = (stft_work(wave, n_fft, hop) + bands).path("frontend", "audio")
    assert both.effective_macs == stft_work(wave, n_fft, hop).macs + bands.macs
    assert (both.kind, both.modality) == ("frontend", "audio")
    assert both.bytes_moved > 0


def test_work_adds_in_one_memory() -> None:
    joined = Work(macs=2, words=5) + Work(macs=1, acs=4, words=3).times(2)
    assert (joined.macs, joined.acs, joined.words) == (4, 8, 5)


@pytest.mark.parametrize("n", [0, 2, 12, -8])
def test_transforms_are_of_powers_of_two(n: int) -> None:
    with pytest.raises(ValueError, match=rf"n must be a power of two >= 4, got {n}"):
        fft_work(n, 1, real=True)


def test_frames_must_fit_the_wave() -> None:
    with pytest.raises(ValueError, match="n_fft must not exceed the 30 samples there are, got 64"):
        stft_work(30, 64, 8, centred=False)
    with pytest.raises(ValueError, match="hop and n_samples must be at least 1, got 0 and 30"):
        stft_work(30, 16, 0)
