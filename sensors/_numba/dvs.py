"""The pixel array of the retina: every pixel of every interval in one pass, then events by time.

Serial. There are no bounds checks here: the callers validate. Arithmetic is float64, in the order
in which `sensors.dvs` states it, so that results do not depend on how many films or intervals one
call is given.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

Doubles = npt.NDArray[np.float64]
Longs = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]

_cached = njit(nogil=True, cache=True, error_model="numpy", boundscheck=False)
# An event is one number while it is sorted: time in the interval, polarity, turn, pixel.
PIXEL_BITS, TIME_BITS = 22, 34
_TURN_BITS, _DIGIT_BITS = 6, 11
_LAST_TURN = (1 << _TURN_BITS) - 1  # later events of a pixel in one interval count as this turn
_BLOCK = 512  # pixels
_TIME_AT, _OFF_AT = PIXEL_BITS + _TURN_BITS + 1, PIXEL_BITS + _TURN_BITS


@_cached
def look_up(table: Doubles, levels: Bytes, out: Doubles) -> None:
    """What ``table`` gives for each level of an 8-bit picture."""
    for i in range(len(levels)):
        out[i] = table[levels[i]]


@_cached
def low_pass(before: Doubles, share: Doubles, now: Doubles) -> None:
    """One interval of the photoreceptor: ``now`` is its target and becomes its output."""
    for i in range(len(now)):
        now[i] = before[i] + share[i] * (now[i] - before[i])


@_cached
def _look(
    now: Doubles,
    memory: Doubles,
    on_at: Doubles,
    off_at: Doubles,
    leak: Doubles,
    held: Doubles,
    fires: Bytes,
    most_per_unit: float,
) -> int:
    """Which pixels of a block fire, what each remembers before that, and room for their events."""
    room = 0
    for i in range(len(now)):
        held[i] = memory[i] - leak[0] * on_at[i] * leak[1] * 1e-6
        move = now[i] - held[i]
        fires[i] = (move >= on_at[i]) | (-move >= off_at[i])
        room += fires[i] * (np.int64(abs(move) * most_per_unit) + 2)
    return room


@_cached
def cross(
    before: Doubles,  # [P] log intensity at the interval's start
    now: Doubles,  # [P] and at its end
    memory: Doubles,  # [P] log intensity at the last event
    on_at: Doubles,  # [P]
    off_at: Doubles,  # [P]
    last_us: Doubles,  # [P] time of the last event
    start_us: float,
    end_us: float,
    leak_hz: float,
    refractory_us: float,
    most_per_unit: float,  # 1 / the smallest threshold
    first: int,
    found: Longs,  # [capacity]
    n_found: int,
) -> tuple[int, int]:
    """Crossings of the pixels from ``first`` on; stops before a block that may not fit.

    Returns the next pixel and the number of events found. A block of pixels is looked at in
    straight code first, because few of them fire.
    """
    interval = end_us - start_us
    leak = np.array([leak_hz, interval])
    held_block, fires = np.empty(_BLOCK), np.empty(_BLOCK, np.uint8)
    for low in range(first, len(now), _BLOCK):
        block = slice(low, min(low + _BLOCK, len(now)))
        room = _look(
            now[block],
            memory[block],
            on_at[block],
            off_at[block],
            leak,
            held_block,
            fires,
            most_per_unit,
        )
        if n_found + room > len(found):
            return low, n_found
        memory[block] = held_block[: block.stop - low]
        if room == 0:
            continue
        for i in range(low, block.stop):
            if fires[i - low] == 0:
                continue
            held, last = memory[i], last_us[i]
            rise = now[i] - before[i]
            for off in range(2):
                sign = -1.0 if off else 1.0
                threshold = off_at[i] if off else on_at[i]
                turn = 0
                while sign * (now[i] - held) >= threshold:
                    held += sign * threshold
                    # A crossing by leak alone, in a still scene, falls at the interval's end.
                    share = (held - before[i]) / rise if abs(rise) > 1e-12 else 1.0
                    t = start_us + min(max(share, 0.0), 1.0) * interval
                    if t - last >= refractory_us:
                        last = t
                        rank = (off << _TURN_BITS) + min(turn, _LAST_TURN)
                        since_us = np.int64(t) - np.int64(start_us)
                        found[n_found] = (since_us << _TIME_AT) + (rank << PIXEL_BITS) + i
                        n_found += 1
                    turn += 1
            memory[i], last_us[i] = held, last
    return len(now), n_found


@_cached
def _sort_digit(keys: Longs, shift: int, out: Longs) -> None:
    """One stable pass of a radix sort, by the digit from bit ``shift`` on."""
    places = np.zeros((1 << _DIGIT_BITS) + 1, np.int64)
    mask = (1 << _DIGIT_BITS) - 1
    for i in range(len(keys)):
        places[((keys[i] >> shift) & mask) + 1] += 1
    for digit in range(1 << _DIGIT_BITS):
        places[digit + 1] += places[digit]
    for i in range(len(keys)):
        digit = (keys[i] >> shift) & mask
        out[places[digit]] = keys[i]
        places[digit] += 1


@_cached
def write_sorted(found: Longs, spare: Longs, start_us: int, width: int, events: Any) -> None:
    """Events in order of time, then ON before OFF, then by turn, then by pixel."""
    latest = 0
    for i in range(len(found)):
        latest = max(latest, found[i])
    shift = PIXEL_BITS  # they come in the order of their pixels
    while latest >> shift > 0:
        _sort_digit(found, shift, spare)
        found, spare = spare, found
        shift += _DIGIT_BITS
    for i in range(len(found)):
        pixel = np.int32(found[i] & ((1 << PIXEL_BITS) - 1))
        y = pixel // np.int32(width)
        events[i].t = start_us + (found[i] >> _TIME_AT)
        events[i].x = pixel - y * np.int32(width)
        events[i].y = y
        events[i].p = (found[i] >> _OFF_AT) & 1 == 0


@_cached
def merge(events: Any, noise: Any, out: Any) -> None:
    """Both in order of time; noise comes after events of the same microsecond."""
    i = j = 0
    for k in range(len(out)):
        if j == len(noise) or (i < len(events) and events[i].t <= noise[j].t):
            out[k] = events[i]
            i += 1
        else:
            out[k] = noise[j]
            j += 1
