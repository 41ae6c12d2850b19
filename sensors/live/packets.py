"""Event packets as other programs send them over UDP: SPIF words and Faery's two records.

======================= ============================================================= ============
format                  an event, little-endian                                       of
======================= ============================================================= ============
``spif``                u32: bit 31 set, x in 30:16, polarity in 15, y in 14:0        [1]_ [2]_
``spif_time``           the same with bit 31 clear, then u32 microseconds             [1]_ [2]_
``t64_x16_y16_on8``     u64 microseconds, u16 x, u16 y, u8 polarity                   [3]_
``t32_x16_y15_on1``     u32 microseconds, u16 x, u16 with y in 15:1, polarity in 0    [3]_
======================= ============================================================= ============

References
----------
.. [1] SpiNNakerManchester/spif, spiffer/README.md, "spiffer events".
.. [2] aestream/aestream, src/output/dvs_to_udp.cpp, which sends a packet's words in the order of
   the host: little-endian on the machines that it runs on.
.. [3] aestream/faery 0.7, ``events_stream_from_array(...).to_udp``; the bytes that it sends are a
   test of this module.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from spikefuse._types import StructuredArray
from spikefuse.errors import DataError
from spikefuse.events import EVENT_DTYPE

_T64 = np.dtype([("t", "<u8"), ("x", "<u2"), ("y", "<u2"), ("on", "u1")])
_T32 = np.dtype([("t", "<u4"), ("x", "<u2"), ("y_on", "<u2")])
_SPIF = np.dtype([("word", "<u4")])
_SPIF_TIME = np.dtype([("word", "<u4"), ("t", "<u4")])
_NO_TIME = np.uint32(1 << 31)
NO_ADDRESS = -1


@dataclass(frozen=True)
class PacketFormat:
    """How events lie in a packet.

    Parameters
    ----------
    name : str
    record : dtype
        Of one event; a packet holds whole ones and nothing else.
    timed : bool
        Whether events carry their time; else it is that of their arrival.
    unpack : function
        Records to events; addresses that do not fit are `NO_ADDRESS`.
    pack : function
        Events to records.
    """

    name: str
    record: np.dtype[np.void]
    timed: bool
    unpack: Callable[[StructuredArray], StructuredArray]
    pack: Callable[[StructuredArray], StructuredArray]

    def decode(self, packet: bytes) -> StructuredArray:
        """Events of one packet, times as sent.

        Raises
        ------
        DataError
            If it does not hold whole events of this format.
        """
        if not packet or len(packet) % self.record.itemsize:
            raise DataError(
                f"a packet of {self.name} must hold events of {self.record.itemsize} bytes, got "
                f"{len(packet)} bytes"
            )
        return self.unpack(np.frombuffer(packet, self.record))

    def encode(self, events: StructuredArray) -> bytes:
        """Events of `EVENT_DTYPE` as one packet.

        Raises
        ------
        DataError
            If a time does not fit.
        """
        size = self.record["t"].itemsize if self.timed else 8
        if self.timed and len(events) and not 0 <= int(events["t"].max()) < 1 << (8 * size):
            raise DataError(
                f"times of {self.name} must fit {8 * size} bits, got {events['t'].max()}"
            )
        return self.pack(events).tobytes()


def _unpack_t64(records: StructuredArray) -> StructuredArray:
    return _events(records["t"], records["x"], records["y"], records["on"] > 0)


def _pack_t64(events: StructuredArray) -> StructuredArray:
    records = np.empty(len(events), _T64)
    for to, name in (("t", "t"), ("x", "x"), ("y", "y"), ("on", "p")):
        records[to] = events[name]
    return records


def _unpack_t32(records: StructuredArray) -> StructuredArray:
    return _events(records["t"], records["x"], records["y_on"] >> 1, records["y_on"] & 1)


def _pack_t32(events: StructuredArray) -> StructuredArray:
    records = np.empty(len(events), _T32)
    records["t"], records["x"] = events["t"], events["x"]
    records["y_on"] = (events["y"].astype(np.uint16) << 1) | events["p"]
    return records


def _unpack_spif(records: StructuredArray) -> StructuredArray:
    word = records["word"]
    timed = "t" in (records.dtype.names or ())
    if ((word & _NO_TIME == 0) != timed).any():
        expected = "times" if timed else "no times"
        raise DataError(f"words of this packet must all announce {expected}, got a mixture")
    times = records["t"] if timed else np.zeros(len(word), np.int64)
    return _events(times, (word >> 16) & 0x7FFF, word & 0x7FFF, (word >> 15) & 1)


def _pack_spif(events: StructuredArray, timed: bool) -> StructuredArray:
    records = np.empty(len(events), _SPIF_TIME if timed else _SPIF)
    word = events["x"].astype(np.uint32) << 16 | events["y"].astype(np.uint32)
    word |= events["p"].astype(np.uint32) << 15
    records["word"] = word if timed else word | _NO_TIME
    if timed:
        records["t"] = events["t"]
    return records


def _events(
    t: StructuredArray, x: StructuredArray, y: StructuredArray, on: StructuredArray
) -> StructuredArray:
    events = np.empty(len(t), EVENT_DTYPE)
    events["t"] = t.astype(np.int64)  # beyond 2^63 it is negative: outside the stream
    events["x"] = np.where(x > 0x7FFF, NO_ADDRESS, x)
    events["y"] = np.where(y > 0x7FFF, NO_ADDRESS, y)
    events["p"] = on
    return events


FORMATS = {
    f.name: f
    for f in (
        PacketFormat("t64_x16_y16_on8", _T64, True, _unpack_t64, _pack_t64),
        PacketFormat("t32_x16_y15_on1", _T32, True, _unpack_t32, _pack_t32),
        PacketFormat("spif_time", _SPIF_TIME, True, _unpack_spif, lambda e: _pack_spif(e, True)),
        PacketFormat("spif", _SPIF, False, _unpack_spif, lambda e: _pack_spif(e, False)),
    )
}


def format_by_name(name: str) -> PacketFormat:
    """The format of that name.

    Raises
    ------
    ValueError
        If there is none.
    """
    if name not in FORMATS:
        raise ValueError(f"format must be one of {sorted(FORMATS)}, got {name!r}")
    return FORMATS[name]
