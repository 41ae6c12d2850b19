"""The cochlea behind the Heidelberg spiking data sets: membrane, hair cells, bushy cells."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np

from sensors.basilar_membrane import BasilarMembrane
from sensors.cochlea_counts import heidelberg_counts
from sensors.cochlea_model import checked_wave, rms_gain, spike_events
from spikefuse._types import Float32Array, Int64Array, StructuredArray
from spikefuse.events import EventStream
from spikefuse.opcounts import PathCounts

ComplexArray = np.ndarray[Any, np.dtype[np.complex64]]


@dataclass(frozen=True)
class ShdParams:
    """Parameters of the cochlea of the Heidelberg spiking data sets.

    The defaults are those of Cramer et al. (membrane, bushy cells) and Meddis (hair cells).

    Parameters
    ----------
    n_channels : int
        Places along the membrane; channel 0 is at the stapes (high frequencies).
    level_rms : float
        Root mean square to which `ShdCochlea.encode` brings a whole waveform.
    membrane : BasilarMembrane
    a, b, g, y, loss, recovery, x, h : float
        The hair cell's A, B, g, y, l, r, x and h, rates per second; its free pool holds 1.
    n_fibres : int
        Nerve fibres that converge on a bushy cell.
    tau_mem_s, tau_syn_s : float
        Time constants of a bushy cell.
    dead_s : float
        Dead time of fibres and of bushy cells.
    weight_per_s : float
        What the synaptic current of all fibres firing once adds to the membrane per second; the
        cell fires at 1.
    causal : bool
        False as published: the membrane's phase has the sign of waves ``exp(-i w t)``, but the
        transform back is that of ``exp(+i w t)``, so its response runs backwards in time and
        spikes precede the sound by up to 80 ms in the lowest channels. True turns it round.
    seed : int
    """

    n_channels: int = 700
    level_rms: float = 0.3
    membrane: BasilarMembrane = field(default_factory=BasilarMembrane)
    a: float = 5.0
    b: float = 300.0
    g: float = 2000.0
    y: float = 5.05
    loss: float = 2500.0
    recovery: float = 6580.0
    x: float = 66.3
    h: float = 50000.0
    n_fibres: int = 40
    tau_mem_s: float = 1e-3
    tau_syn_s: float = 5e-4
    dead_s: float = 1e-3
    weight_per_s: float = 13e3
    causal: bool = False
    seed: int = 123

    def __post_init__(self) -> None:
        if self.n_channels < 2:
            raise ValueError(f"n_channels must be >= 2, got {self.n_channels}")
        if not 1 <= self.n_fibres <= 255:
            raise ValueError(f"n_fibres must lie in [1, 255], got {self.n_fibres}")
        for name in (
            *("level_rms", "a", "b", "g", "y", "loss", "recovery", "x", "h"),
            *("tau_mem_s", "tau_syn_s", "dead_s", "weight_per_s"),
        ):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")


@dataclass(frozen=True, eq=False)
class ShdState:
    """What the cochlea remembers between two chunks.

    Parameters
    ----------
    sample_rate : int
    gain : float
    heard : float32 array [n]
        Samples of the block that is not full yet.
    pools : float32 array [3, n_padded]
        Transmitter in the free pool, the cleft and the reprocessing store.
    fired : uint8 array [n_channels, dead]
        Fibres that fired in each of the last samples.
    cells : float32 array [2, n_channels]
        Membrane and synaptic current of the bushy cells.
    waits : int array [2, n_channels]
        Fibres that are ready, and samples until a cell integrates again.
    seeds : uint64 array [n_channels]
        Counters of the random numbers.
    n_done : int
        Samples after the membrane (at half the rate) that the cells have seen.
    n_heard : int
        Samples heard.
    """

    sample_rate: int
    gain: float
    heard: Float32Array
    pools: Float32Array
    fired: np.ndarray[Any, np.dtype[np.uint8]]
    cells: Float32Array
    waits: Int64Array
    seeds: np.ndarray[Any, np.dtype[np.uint64]]
    n_done: int = 0
    n_heard: int = 0


class ShdCochlea:
    r"""Basilar membrane, Meddis hair cells and bushy cells, as published in [1]_.

    The membrane (`BasilarMembrane`) is a filter for each place, applied block by block
    (overlap-save, at half the sample rate as the published chain does). Its velocity :math:`v`
    opens the hair cell's membrane, :math:`k = g (v + A)^+ / (v + A + B)`, through which transmitter
    leaves the free pool :math:`q` for the cleft :math:`c`, is lost or taken up into the store
    :math:`w`, and returns [2]_ [3]_:

    .. math::
        \dot q = y (1 - q)^+ - k q + x w, \quad
        \dot c = k q - (l + r) c, \quad
        \dot w = r c - x w.

    Each of ``n_fibres`` nerve fibres fires with the rate :math:`h c` unless it is refractory; how
    many do is drawn from the binomial distribution of the fibres that are ready. Their spikes
    drive a leaky integrate-and-fire bushy cell through an exponential synapse.

    Parameters
    ----------
    params : ShdParams

    References
    ----------
    .. [1] Cramer, Stradmann, Schemmel and Zenke, "The Heidelberg spiking data sets for the
       systematic evaluation of spiking neural networks", IEEE TNNLS 33(7), 2022,
       doi:10.1109/TNNLS.2020.3044364.
    .. [2] Meddis, "Simulation of mechanical to neural transduction in the auditory receptor",
       JASA 79(3), 1986.
    .. [3] Meddis, "Simulation of auditory-neural transduction: further studies", JASA 83(3), 1988.
    """

    def __init__(self, params: ShdParams | None = None) -> None:
        self.params = params if params is not None else ShdParams()

    @property
    def n_channels(self) -> int:
        """Channels, from the stapes (high frequency) to the apex (low)."""
        return self.params.n_channels

    def gain(self, wave: np.ndarray[Any, Any]) -> float:
        """Factor that brings the waveform to ``level_rms``."""
        return rms_gain(wave, self.params.level_rms)

    def encode(
        self,
        wave: np.ndarray[Any, Any],
        sample_rate: int,
        modality: str = "audio",
        gain: float | None = None,
    ) -> EventStream:
        """Spikes of a waveform.

        Parameters
        ----------
        wave : float array [n]
        sample_rate : int
            In hertz.
        modality : str
        gain : float, optional
            Factor before the membrane. By default the level is normalised and a Hann window laid
            over the whole waveform, as the data sets' authors did.

        Returns
        -------
        EventStream
            Sensor size ``(n_channels, 1, 1)``, channel in ``x`` from the stapes on.

        Raises
        ------
        DataError
            If the waveform is empty, not 1-d or not finite.
        ValueError
            If the sample rate is too low for the dead time to span a sample.
        """
        samples = checked_wave(wave)
        if gain is None:
            gain = self.gain(samples)
            samples = samples * np.hanning(len(samples)).astype(np.float32)
        state = self.start(sample_rate, gain)
        events, state = self.advance(samples, state)
        events = np.concatenate([events, self.finish(state)])
        duration_us = max(round(1e6 * len(samples) / sample_rate), 1)
        events = events[events["t"] < duration_us]
        return EventStream(events, (self.n_channels, 1, 1), duration_us, modality)

    def start(self, sample_rate: int, gain: float = 1.0) -> ShdState:
        """A cochlea at rest; see `advance`."""
        from sensors._numba.cochlea import LANES

        p, n = self.params, self.n_channels
        dead = round(p.dead_s * sample_rate / 2)
        if dead < 1:
            raise ValueError(f"sample_rate must be > {1 / p.dead_s:g} Hz, got {sample_rate}")
        k = p.g * p.a / (p.a + p.b)
        cleft = p.y * k / (p.loss * k + p.y * (p.loss + p.recovery))
        pools = np.array([cleft * (p.loss + p.recovery) / k, cleft, cleft * p.recovery / p.x])
        _, past, _ = _block(sample_rate, p.causal)
        return ShdState(
            sample_rate,
            gain,
            np.zeros(2 * past, np.float32),
            np.repeat(pools[:, None], -(-n // LANES) * LANES, axis=1).astype(np.float32),
            np.zeros((n, dead), np.uint8),
            np.zeros((2, n), np.float32),
            np.stack([np.full(n, p.n_fibres), np.zeros(n, np.int64)]),
            np.random.default_rng(p.seed).integers(0, 2**64, n, np.uint64),
        )

    def advance(
        self, wave: np.ndarray[Any, Any], state: ShdState
    ) -> tuple[StructuredArray, ShdState]:
        """Spikes of the next samples of a stream; however it is cut, they are the same.

        Parameters
        ----------
        wave : float array [n]
            May be empty.
        state : ShdState
            From `start` or the call before; it is not changed.

        Returns
        -------
        events : structured array of `EVENT_DTYPE`
            On the stream's clock. They come a block at a time (0.17 s of sound), as the membrane
            looks ahead.
        state : ShdState

        Raises
        ------
        DataError
            If the waveform is not 1-d or not finite.
        """
        samples = checked_wave(wave, may_be_empty=True) * np.float32(state.gain)
        size, past, hop = _block(state.sample_rate, self.params.causal)
        heard = np.concatenate([state.heard, samples])
        state = replace(
            state,
            pools=state.pools.copy(),
            fired=state.fired.copy(),
            cells=state.cells.copy(),
            waits=state.waits.copy(),
            seeds=state.seeds.copy(),
            n_heard=state.n_heard + len(samples),
        )
        transfer = _transfer(self.params, state.sample_rate)
        parts = [spike_events(np.zeros(0, np.int64), np.zeros(0, np.int64))]
        while len(heard) >= 2 * size:
            velocity = _velocity(heard[: 2 * size], transfer)[:, past : past + hop]
            parts.append(self._fire(self._chance(velocity, state), state))
            heard = heard[2 * hop :]
            state = replace(state, n_done=state.n_done + hop)
        return np.concatenate(parts), replace(state, heard=heard)

    def finish(self, state: ShdState) -> StructuredArray:
        """Spikes of the last samples, as if silence followed."""
        size, _, hop = _block(state.sample_rate, self.params.causal)
        n_left = state.n_heard // 2 - state.n_done
        n_blocks = max(-(-n_left // hop), 0)
        missing = 2 * (size + hop * (n_blocks - 1)) - len(state.heard)
        events, _ = self.advance(np.zeros(max(missing, 0) if n_blocks else 0), state)
        end_us = 1e6 * state.n_heard / state.sample_rate
        rest: StructuredArray = events[events["t"] < end_us]
        return rest

    def frontend_counts(self, n_samples: int, sample_rate: float) -> PathCounts:
        """Operations of this cochlea as a digital circuit (`sensors.cochlea_counts`).

        How many fibres fire where any does is not counted: few samples need it.

        Parameters
        ----------
        n_samples : int
            Audio samples of one recording; its last block counts in full.
        sample_rate : float
            In hertz.

        Raises
        ------
        ValueError
            If ``n_samples`` is negative or the rate too low.
        """
        if n_samples < 0 or not sample_rate > 1 / self.params.dead_s:
            raise ValueError(
                f"n_samples must be >= 0 and sample_rate > {1 / self.params.dead_s:g} Hz, got "
                f"{n_samples} and {sample_rate}"
            )
        rate = round(sample_rate)
        size, _, hop = _block(rate, self.params.causal)
        dead = round(self.params.dead_s * rate / 2)
        return heidelberg_counts(self.n_channels, n_samples, size, hop, dead)

    def _chance(self, velocity: Float32Array, state: ShdState) -> Float32Array:
        """Chance that a fibre fires in each sample, ``[n_channels, n]``; updates the pools."""
        from sensors._numba.cochlea import hair_cells

        p = self.params
        dt = 2 / state.sample_rate
        steps = [p.g * dt, p.y * dt, (p.loss + p.recovery) * dt, p.recovery * dt, p.x * dt]
        padded = np.zeros((state.pools.shape[1], velocity.shape[1]), np.float32)
        padded[: len(velocity)] = velocity
        chance = np.empty_like(padded)
        hair_cells(
            padded,
            np.array([*steps, p.h * dt, p.a], np.float32),
            np.float32(p.b),
            state.pools,
            chance,
        )
        return chance[: len(velocity)]

    def _fire(self, chance: Float32Array, state: ShdState) -> StructuredArray:
        """Bushy cells' spikes; updates the state's arrays."""
        from sensors._numba.cochlea import bushy_cells

        p = self.params
        dt = 2 / state.sample_rate
        dead = state.fired.shape[1]
        # A cell fires at most once in its dead time.
        most = len(chance) * (chance.shape[1] // dead + 1)
        times, channels = np.empty(most, np.int64), np.empty(most, np.int64)
        n = bushy_cells(
            chance,
            dead,
            np.exp([-dt / p.tau_mem_s, -dt / p.tau_syn_s]).astype(np.float32),
            np.float32(p.weight_per_s / p.n_fibres * dt),
            state.n_done,
            state.fired,
            state.cells,
            state.waits,
            state.seeds,
            times,
            channels,
        )
        return spike_events((times[:n] * (1e6 * dt)).astype(np.int64), channels[:n])


def _block(sample_rate: int, causal: bool) -> tuple[int, int, int]:
    """Block length, samples of the past in it, and samples that it yields, at half the rate.

    Responses are shorter than 80 ms to one side and 5 ms to the other, within 1e-4 of their
    energy; a block of 0.17 s leaves the middle half of it untouched by its ends.
    """
    size = 1 << int(np.ceil(np.log2(0.17 * sample_rate / 2)))
    short = size // 32
    return size, size // 2 - short if causal else short, size // 2


@lru_cache(maxsize=4)
def _transfer(params: ShdParams, sample_rate: int) -> ComplexArray:
    """Velocity of each place for each frequency of a block, ``[n_channels, size + 1]``."""
    size, _, _ = _block(sample_rate, params.causal)
    frequencies = np.linspace(0.0, sample_rate / 2, size + 1)
    transfer = params.membrane.velocity(frequencies, params.n_channels)
    if params.causal:
        transfer = transfer.conj()
    return np.ascontiguousarray(transfer, dtype=np.complex64)


def _velocity(samples: Float32Array, transfer: ComplexArray) -> Float32Array:
    """The membrane's velocity at half the sample rate, ``[n_channels, size]``."""
    from scipy.fft import irfft, rfft

    from sensors._numba.cochlea import fold

    size = len(samples) // 2
    folded = np.empty((len(transfer), size // 2 + 1), np.complex64)
    fold(rfft(samples), transfer, folded)
    velocity: Float32Array = irfft(folded, size, axis=1)
    return velocity
