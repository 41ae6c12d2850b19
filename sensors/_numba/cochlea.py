"""The cochleas' loops: gammatone bank, leaky spikes, hair cells, nerve fibres and bushy cells.

Serial and float32. State arrays are updated in place: the callers pass copies. Channels run in
lockstep, `LANES` at a time, because a channel alone is one long chain of dependent operations.
There are no bounds checks here: the callers validate.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

Floats = npt.NDArray[np.float32]
Complexes = npt.NDArray[np.complex64]
Words = npt.NDArray[np.uint64]
Longs = npt.NDArray[np.int64]

_cached = njit(nogil=True, cache=True, error_model="numpy", boundscheck=False)
LANES = 32
_ZERO, _HALF, _ONE = np.float32(0), np.float32(0.5), np.float32(1)
# Keeps decaying filter states away from denormal numbers, which are slow; far below any sound.
_FLOOR = np.float32(1e-20)


@_cached
def gammatone(
    wave: Floats,  # [n]
    poles: Floats,  # [2, C] real and imaginary part; C is a multiple of LANES
    gain: Floats,  # [C] of the four stages together
    share: np.float32,  # of the way that the envelope goes in one sample
    every: int,
    left: int,  # samples until the next frame
    state: Floats,  # [C / LANES, 9, LANES]
    frames: Floats,  # [n_frames, C]
) -> None:
    """Envelope of every ``every``-th sample: four complex one-poles, rectifier, one-pole."""
    for block in range(len(state)):
        low = block * LANES
        a, b = poles[0, low : low + LANES].copy(), poles[1, low : low + LANES].copy()
        g = gain[low : low + LANES].copy()
        r0, i0 = state[block, 0].copy(), state[block, 1].copy()
        r1, i1 = state[block, 2].copy(), state[block, 3].copy()
        r2, i2 = state[block, 4].copy(), state[block, 5].copy()
        r3, i3 = state[block, 6].copy(), state[block, 7].copy()
        e = state[block, 8].copy()
        wait, k = left, 0
        for t in range(len(wave)):
            x = wave[t] + _FLOOR
            for c in range(LANES):
                u = a[c] * r0[c] - b[c] * i0[c] + g[c] * x
                v = a[c] * i0[c] + b[c] * r0[c]
                r0[c], i0[c] = u, v
                u += a[c] * r1[c] - b[c] * i1[c]
                v += a[c] * i1[c] + b[c] * r1[c]
                r1[c], i1[c] = u, v
                u += a[c] * r2[c] - b[c] * i2[c]
                v += a[c] * i2[c] + b[c] * r2[c]
                r2[c], i2[c] = u, v
                u += a[c] * r3[c] - b[c] * i3[c]
                v += a[c] * i3[c] + b[c] * r3[c]
                r3[c], i3[c] = u, v
                e[c] += share * (max(u, _ZERO) - e[c])
            wait -= 1
            if wait == 0:
                wait = every
                frames[k, low : low + LANES] = e
                k += 1
        state[block, 0], state[block, 1] = r0, i0
        state[block, 2], state[block, 3] = r1, i1
        state[block, 4], state[block, 5] = r2, i2
        state[block, 6], state[block, 7] = r3, i3
        state[block, 8] = e


@_cached
def leaky_spikes(
    rate: Floats,  # [n_frames, C] input current, in thresholds per second
    tau_s: float,
    dead_s: float,
    frame_s: float,
    first: int,  # number of the first frame
    voltage: npt.NDArray[np.float64],  # [C]
    ready_s: npt.NDArray[np.float64],  # [C] when the dead time ends
    times_s: npt.NDArray[np.float64],
    channels: Longs,
    at: Longs,  # [2] the frame and the channel to go on with
) -> int:
    """Spikes of ``dv/dt = -v / tau + rate``, exact in time: ``v`` resets to 0 at 1.

    Returns the number of spikes; stops before a channel whose spikes may not fit.
    """
    n = 0
    most = int(frame_s / dead_s) + 2 if dead_s > 0 else 0
    for k in range(at[0], len(rate)):
        start = (first + k) * frame_s
        end = start + frame_s
        for c in range(at[1], rate.shape[1]):
            room = most if dead_s > 0 else int(rate[k, c] * frame_s) + 2
            if n + room > len(times_s):
                at[0], at[1] = k, c
                return n
            now = max(start, ready_s[c])
            goal = rate[k, c] * tau_s
            v = voltage[c]
            while now < end:
                stay = tau_s * np.log((goal - v) / (goal - 1.0)) if goal > 1.0 else np.inf
                if now + stay >= end:
                    v = goal + (v - goal) * np.exp((now - end) / tau_s)
                    break
                now += stay
                times_s[n], channels[n] = now, c
                n += 1
                v = 0.0
                now += dead_s
                ready_s[c] = now
            voltage[c] = v
        at[1] = 0
    at[0] = len(rate)
    return n


@_cached
def fold(spectrum: Complexes, transfer: Complexes, out: Complexes) -> None:
    """Spectrum of each channel at half the sample rate, aliases included: ``[C, N / 2 + 1]``."""
    n_channels, n_bins = out.shape
    top = len(spectrum) - 1
    for c in range(n_channels):
        for k in range(n_bins):
            high = transfer[c, top - k] * spectrum[top - k]
            out[c, k] = (transfer[c, k] * spectrum[k] + high.conjugate()) * _HALF


@_cached
def hair_cells(
    velocity: Floats,  # [C, n]; C is a multiple of LANES
    steps: Floats,  # [7] per sample: g, y, l + r, r, x and h; then A
    b: np.float32,
    state: Floats,  # [3, C] free pool, cleft and reprocessing store
    chance: Floats,  # [C, n]
) -> None:
    """Meddis's transmitter pools: the chance that a fibre fires in each sample."""
    n_channels, n = velocity.shape
    g, y, lost, taken, x, h, a = steps
    moved, told = np.empty((n, LANES), np.float32), np.empty((n, LANES), np.float32)
    for low in range(0, n_channels, LANES):
        for c in range(LANES):
            for t in range(n):
                moved[t, c] = velocity[low + c, t]
        q, cleft = state[0, low : low + LANES].copy(), state[1, low : low + LANES].copy()
        w = state[2, low : low + LANES].copy()
        for t in range(n):
            for c in range(LANES):
                s = max(moved[t, c] + a, _ZERO)
                eject = g * s / (s + b) * q[c]
                back = x * w[c]
                fresh = max(y * (_ONE - q[c]), _ZERO)
                w[c] = max(w[c] + taken * cleft[c] - back, _ZERO)
                q[c] = max(q[c] + fresh - eject + back, _ZERO)
                cleft[c] = max(cleft[c] + eject - lost * cleft[c], _ZERO)
                told[t, c] = h * cleft[c]
        state[0, low : low + LANES], state[1, low : low + LANES] = q, cleft
        state[2, low : low + LANES] = w
        for c in range(LANES):
            for t in range(n):
                chance[low + c, t] = told[t, c]


@_cached
def bushy_cells(
    chance: Floats,  # [C, n]
    dead: int,  # samples, of fibres and cells
    decay: Floats,  # [2] of the membrane and of the synapse, per sample
    weight: np.float32,
    first: int,  # number of the first sample
    fired: npt.NDArray[np.uint8],  # [C, dead] fibres that fired in the last samples
    cells: Floats,  # [2, C] membrane and synaptic current
    waits: Longs,  # [2, C] available fibres, and samples until the cell integrates again
    seeds: Words,  # [C]
    times: Longs,
    channels: Longs,
) -> int:
    """Spikes of the cells: available fibres fire at random, their spikes drive leaky cells.

    A channel's fibres are alike, so only the number that fires is drawn. Each available fibre
    would draw its own number; most samples are decided by one, as no fibre fires at least where
    that number is below ``1 - n p <= (1 - p) ** n``.
    """
    n = 0
    for c in range(len(chance)):
        available, wait = waits[0, c], waits[1, c]
        v, current, seed = cells[0, c], cells[1, c], seeds[c]
        for t in range(chance.shape[1]):
            slot = (first + t) % dead
            available += fired[c, slot]
            # SplitMix64: a counter, mixed (Steele, Lea and Flood, OOPSLA 2014).
            seed += np.uint64(0x9E3779B97F4A7C15)
            z = (seed ^ (seed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            z = z ^ (z >> np.uint64(31))
            uniform = np.float64(z >> np.uint64(11)) * 2.0**-53
            p = min(np.float64(chance[c, t]), 1.0)
            hits = 0
            if uniform >= 1.0 - available * p:
                # Inverse of the binomial distribution function.
                if p >= 1.0:
                    hits = available
                else:
                    term = (1.0 - p) ** available
                    total = term
                    while uniform >= total and hits < available:
                        term *= (available - hits) * p / ((hits + 1) * (1.0 - p))
                        total += term
                        hits += 1
            fired[c, slot] = hits
            available -= hits
            spikes = v >= _ONE and wait <= 0
            v *= decay[0]
            if spikes:
                v, wait = _ZERO, dead
                times[n], channels[n] = first + t, c
                n += 1
            current = current * decay[1] + np.float32(hits)
            if wait <= 0:
                v += current * weight
            wait -= 1
        waits[0, c], waits[1, c] = available, wait
        cells[0, c], cells[1, c], seeds[c] = v, current, seed
    return n
