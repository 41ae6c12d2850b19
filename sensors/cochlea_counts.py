"""What the cochleas for streams cost as digital circuits, counted from the loops that run.

A product with or without its sum is one multiply-accumulate, and so are a division and a look-up
in a table with interpolation; sums, differences, comparisons and bitwise operations are
accumulates. Constants stay in registers; state is read and written at every update.
"""

from __future__ import annotations

from dataclasses import replace

from spikefuse.opcounts import PathCounts
from spikefuse.work import Work, fft_work

# Gammatone, per channel and sample: the first complex one-pole takes 3 + 2 products (its input is
# scaled), the other three 2 + 2 each, the envelope one; rectifier and difference.
GAMMATONE_SAMPLE = Work(macs=5 + 3 * 4 + 1, acs=2, reads=9, writes=9)
# Per channel and frame: power law from a table, scaling to a rate, the goal of the leaky
# integrator, its decay; rest, floor, distance from the goal, threshold. Voltage and dead time.
GAMMATONE_FRAME = Work(macs=4, acs=4, reads=2, writes=2)
# Per spike: the time to it (quotient, logarithm from a table, time constant), the decay after it.
GAMMATONE_SPIKE = Work(macs=4, acs=5)

# Meddis's pools, per channel and sample at half the rate: three products for what leaves the free
# pool (one is a division), one each for what returns, is made, taken up, lost, and for the chance.
HAIR_CELL_SAMPLE = Work(macs=8, acs=13, reads=3, writes=3)
# Fibres and bushy cell: two products and four sums of the random number, its scaling, the chance of
# silence, two decays and the weight. State: membrane, current, fibres ready, wait, two words of
# counter, and the ring of fibres that fired.
BUSHY_SAMPLE = Work(macs=7, acs=12, reads=7, writes=7)
# Two complex products and their sum for each frequency (halving is free), the transfer read twice.
FOLD_BIN = Work(macs=8, acs=2, reads=4, writes=2, weights=4)


def gammatone_counts(
    n_channels: int, n_samples: int, samples_per_frame: int, n_spikes: int
) -> PathCounts:
    """Operations of `GammatoneCochlea` for ``n_samples`` audio samples and its ``n_spikes``.

    Parameters
    ----------
    n_channels, n_samples, n_spikes : int
    samples_per_frame : int
        Audio samples for each value of the drive.
    """
    n_frames = n_samples // samples_per_frame
    work = Work(macs=n_samples)  # the gain
    work += GAMMATONE_SAMPLE.times(n_channels * n_samples)
    work += GAMMATONE_FRAME.times(n_channels * n_frames)
    work += GAMMATONE_SPIKE.times(n_spikes)
    return replace(work, words=11 * n_channels).path("frontend", "audio")


def heidelberg_counts(
    n_channels: int, n_samples: int, size: int, hop: int, dead: int
) -> PathCounts:
    """Operations of `ShdCochlea` for ``n_samples`` audio samples.

    Parameters
    ----------
    n_channels, n_samples : int
    size, hop : int
        A block and what it yields, in samples at half the rate.
    dead : int
        Samples of dead time at half the rate.
    """
    n_half = n_samples // 2
    n_blocks = -(-n_half // hop)
    per_channel = FOLD_BIN.times(size // 2 + 1) + fft_work(size, 1, real=True)
    work = Work(macs=n_samples)  # the gain
    work += (fft_work(2 * size, 1, real=True) + per_channel.times(n_channels)).times(n_blocks)
    # Whole blocks pass through the cells, the last one filled up with silence.
    work += (HAIR_CELL_SAMPLE + BUSHY_SAMPLE).times(n_channels * n_blocks * hop)
    cells = 3 + 6 + -(-dead // 4)  # fibres that fired are bytes
    state = n_channels * cells + 2 * size + size
    weights = 2 * n_channels * (size + 1)
    return replace(work, words=state).path("frontend", "audio", weights)
