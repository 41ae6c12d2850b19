"""Operations of the cochleas for streams: counted by hand, against an instrumented run."""

from dataclasses import replace

import numpy as np
import pytest

from sensors.cochlea import Cochlea, CochleaParams
from sensors.cochlea_gammatone import GammatoneCochlea, GammatoneParams
from sensors.cochlea_shd import ShdCochlea, ShdParams, _block
from spikefuse.cost import energy
from spikefuse.opcounts import OpCounts
from spikefuse.work import fft_work


def test_gammatone_by_hand() -> None:
    """Two channels, 64 samples at 8 kHz: int(8000 / 3000) = 2 samples a frame, 32 frames."""
    counts = GammatoneCochlea(GammatoneParams(n_channels=2, f_max_hz=3000)).frontend_counts(
        64, 8000, n_spikes=3
    )
    # (5 + 3 x 4 for the filter, 1 envelope) a sample, 4 a frame, 4 a spike, the gain.
    assert counts.effective_macs == 2 * 64 * 18 + 2 * 32 * 4 + 3 * 4 + 64
    assert counts.effective_acs == 2 * 64 * 2 + 2 * 32 * 4 + 3 * 5
    assert counts.state_reads == counts.state_writes == 2 * 64 * 9 + 2 * 32 * 2
    assert counts.bytes_moved == 4 * (counts.state_reads + counts.state_writes)
    assert counts.state_words == 2 * 11
    assert (counts.kind, counts.modality) == ("frontend", "audio")


def test_gammatone_frames_and_state_are_those_that_run() -> None:
    cochlea = GammatoneCochlea(GammatoneParams(n_channels=3, f_max_hz=3000))
    n = 1001
    frames = cochlea.envelope(np.zeros(n), 8000)
    state = cochlea.start(8000)
    without = cochlea.frontend_counts(n, 8000)
    assert without.effective_macs == 3 * n * 18 + frames.size * 4 + n
    # Nine words of a filter, voltage and dead time for each channel.
    assert without.state_words == 3 * (state.filters.shape[1] + 2)


def test_gammatone_is_priced_like_the_default_cochlea() -> None:
    """The same filters as the recipes' cochlea: within a tenth of its count per channel."""
    ours = GammatoneCochlea(GammatoneParams(n_channels=64, f_max_hz=3500))
    default = Cochlea(CochleaParams())
    left, right = (c.frontend_counts(8000, 8000).effective_macs for c in (ours, default))
    assert left == pytest.approx(right, rel=0.15)


def test_real_transform_by_hand() -> None:
    """Eight points: four complex points make two stages of two butterflies, and two pairs."""
    work = fft_work(8, 1, real=True)
    assert work.macs == 4 * (2 * 2) + 4 * 2
    assert work.acs == 4 * 4 + 8 * 2
    assert work.reads == work.writes == 4 * 4 + 4 * 2
    for bad in (0, 2, 12):
        with pytest.raises(ValueError, match="n must be a power of two >= 4"):
            fft_work(bad, 1, real=True)


def test_heidelberg_by_hand() -> None:
    """One block of the smallest kind, three channels."""
    cochlea = ShdCochlea(ShdParams(n_channels=3))
    rate = 8000
    size, _, hop = _block(rate, False)
    assert (size, hop) == (1024, 512)
    counts = cochlea.frontend_counts(2 * hop, rate)
    bins = 513
    forward, back = fft_work(2048, 1, real=True), fft_work(1024, 1, real=True)
    macs = 1024 + forward.macs + 3 * (8 * bins + back.macs + hop * (8 + 7))
    acs = forward.acs + 3 * (2 * bins + back.acs + hop * (13 + 12))
    assert (counts.effective_macs, counts.effective_acs) == (macs, acs)
    assert counts.weight_words == 3 * 2 * 1025
    # One sample more begins another block.
    assert cochlea.frontend_counts(2 * hop + 2, rate).effective_macs > 1.9 * macs
    assert cochlea.frontend_counts(0, rate).effective_macs == 0


def test_heidelberg_state_is_that_which_runs() -> None:
    params = ShdParams(n_channels=32)
    state = ShdCochlea(params).start(8000)
    words = state.pools.size + state.cells.size + state.waits.size + 2 * state.seeds.size
    ring = 32 * -(-state.fired.shape[1] // 4)
    size, _, _ = _block(8000, False)
    counts = ShdCochlea(params).frontend_counts(100, 8000)
    # Besides, a block of sound (2 x size) and one channel's transform (size).
    assert counts.state_words == words + ring + 3 * size


@pytest.mark.parametrize(
    "cochlea", [GammatoneCochlea(GammatoneParams(n_channels=4)), ShdCochlea(ShdParams())]
)
def test_a_profile_prices_them(cochlea: GammatoneCochlea | ShdCochlea) -> None:
    counts = cochlea.frontend_counts(48_000, 48_000)
    estimate = energy(OpCounts({"frontend.audio.cochlea": counts}, 1), "horowitz_45nm_int8")
    assert estimate.dynamic_pj is not None
    assert estimate.dynamic_pj > 0
    free = replace(counts, state_reads=0, state_writes=0)
    less = energy(OpCounts({"frontend.audio.cochlea": free}, 1), "horowitz_45nm_int8").dynamic_pj
    assert less is not None
    assert less < estimate.dynamic_pj


def test_refusals() -> None:
    with pytest.raises(ValueError, match="n_samples and n_spikes must be >= 0"):
        GammatoneCochlea().frontend_counts(-1, 8000)
    with pytest.raises(ValueError, match="n_samples must be >= 0 and sample_rate > 1000 Hz"):
        ShdCochlea().frontend_counts(10, 900)
