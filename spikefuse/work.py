"""Work of loops without events: front ends, and spectrograms in them or inside a network."""

from __future__ import annotations

from dataclasses import dataclass, replace

from spikefuse.opcounts import PathCounts, PathKind


@dataclass(frozen=True)
class Work:
    """Operations, and words read and written.

    Parameters
    ----------
    macs, acs : int
    reads, writes : int
        Words of working memory.
    weights : int
        Words of constant tables read.
    words : int
        Working memory that is needed.
    """

    macs: int = 0
    acs: int = 0
    reads: int = 0
    writes: int = 0
    weights: int = 0
    words: int = 0

    def times(self, n: int) -> Work:
        """This, ``n`` times in the same memory."""
        return Work(
            self.macs * n,
            self.acs * n,
            self.reads * n,
            self.writes * n,
            self.weights * n,
            self.words,
        )

    def __add__(self, other: Work) -> Work:
        """Both, one after the other in the same memory."""
        return Work(
            self.macs + other.macs,
            self.acs + other.acs,
            self.reads + other.reads,
            self.writes + other.writes,
            self.weights + other.weights,
            max(self.words, other.words),
        )

    def path(self, kind: PathKind, modality: str, weight_words: int = 0) -> PathCounts:
        """As the counts of a path whose constant tables hold ``weight_words`` words."""
        return PathCounts(
            effective_acs=self.acs,
            effective_macs=self.macs,
            dense_macs=self.macs,
            weight_reads=self.weights,
            state_reads=self.reads,
            state_writes=self.writes,
            state_words=self.words,
            weight_words=weight_words,
            kind=kind,
            modality=modality,
        ).with_bytes()


def fft_work(n: int, n_values: int, real: bool) -> Work:
    r"""Transforms of ``n`` points by radix 2, ``n_values`` of them in all.

    .. math:: \tfrac{m}{2} \log_2 m \text{ butterflies of 4 products and 4 sums},
              \quad m = n \text{ or, for real points, } n/2

    A butterfly is one complex product and two complex sums; a real transform untangles ``n / 4``
    pairs after it by one complex product and four complex sums.

    Parameters
    ----------
    n : int
        A power of two, at least 4.
    n_values : int
        How many transforms.
    real : bool

    Raises
    ------
    ValueError
        If ``n`` is no power of two, or below 4.

    References
    ----------
    Cooley and Tukey, "An algorithm for the machine calculation of complex Fourier series",
    Mathematics of Computation 19 (1965).
    """
    if n < 4 or n & (n - 1):
        raise ValueError(f"n must be a power of two >= 4, got {n}")
    points = n // 2 if real else n
    butterflies = points // 2 * (points.bit_length() - 1)
    work = Work(macs=4, acs=4, reads=4, writes=4, weights=2).times(butterflies)
    if real:
        work += Work(macs=4, acs=8, reads=4, writes=4, weights=2).times(n // 4)
    return replace(work, words=2 * points).times(n_values)


def stft_work(n_samples: int, n_fft: int, hop: int, centred: bool = True) -> Work:
    """A short-time Fourier transform: window, transform, power of every bin.

    Parameters
    ----------
    n_samples : int
        Of the wave.
    n_fft, hop : int
        Length of a frame, a power of two, and the step to the next.
    centred : bool
        Whether frames start half a frame before the wave, as in `torch.stft`.

    Raises
    ------
    ValueError
        If a length is not positive, or the frame is longer than the wave.
    """
    if hop < 1 or n_samples < 1:
        raise ValueError(f"hop and n_samples must be at least 1, got {hop} and {n_samples}")
    padded = n_samples + (2 * (n_fft // 2) if centred else 0)
    if padded < n_fft:
        raise ValueError(f"n_fft must not exceed the {padded} samples there are, got {n_fft}")
    n_frames = 1 + (padded - n_fft) // hop
    window = Work(macs=n_fft, reads=n_fft, writes=n_fft, weights=n_fft)
    n_bins = n_fft // 2 + 1
    power = Work(macs=2 * n_bins, reads=2 * n_bins, writes=n_bins)
    return (window + fft_work(n_fft, 1, real=True) + power).times(n_frames)


def mel_work(n_frames: int, n_taps: int, n_bands: int) -> Work:
    """Mel bands of power spectra and the logarithm of each from a table.

    Parameters
    ----------
    n_frames : int
    n_taps : int
        Filter weights other than zero, over all bands.
    n_bands : int
    """
    bands = Work(macs=n_taps, reads=n_taps, writes=n_bands, weights=n_taps, words=n_bands)
    logarithm = Work(macs=n_bands, reads=n_bands, writes=n_bands)
    return (bands + logarithm).times(n_frames)
