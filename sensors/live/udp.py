"""Events over UDP, in and out."""

from __future__ import annotations

import socket
import struct
import sys
import time
from collections.abc import Iterator
from typing import Literal

import numpy as np

from sensors.live.packets import format_by_name
from sensors.live.source import Epoch
from spikefuse._types import StructuredArray
from spikefuse.errors import DataError
from spikefuse.runtime.buffer import Chunk
from spikefuse.runtime.outcomes import Outcomes

_LARGEST = 65_535  # bytes of a UDP payload, more than any
# Few, so that of two sensors with a backlog neither gets far ahead of the other.
_PACKETS_AT_ONCE = 16
_KERNEL_BYTES = 4 << 20  # asked for; the kernel may give less
# SO_TIMESTAMPNS of Linux, which the socket module does not name: a packet comes with the time at
# which the kernel got it, as seconds and nanoseconds.
_STAMP, _STAMP_LAYOUT = 35, "@ll"
_NO_TIME = 1 << 60  # no clock counts so many microseconds; an offset and a time still fit 64 bits
_WAITED_AT_MOST_S = 60.0  # a wall clock that was set meanwhile tells anything


class UdpSource:
    """Events that other programs send to a port of this machine.

    A packet that does not hold whole events of the format is one outcome ``malformed packet`` and
    nothing else. A chunk holds at most 16 packets; what comes faster waits in the kernel's buffer,
    which drops what does not fit.

    Parameters
    ----------
    modality : str
    port : int
        0 takes a free one; see `port`.
    packets : str
        Name of the format, see `sensors.live.packets`.
    host : str
        Address to listen at; only this machine by default.
    zero : "arrival" or "sent"
        The first event's time becomes that of its arrival, or times are believed as sent. Without
        times in the packets it is their arrival. On Linux that is when the kernel got the packet,
        on other systems when it was read.
    epoch : Epoch, optional
        When arrivals count from; shared by the sources of a stream. Its own first packet by
        default.
    wait_ms : float
        How long to wait for a packet before giving way to other sources.
    outcomes : Outcomes, optional

    Raises
    ------
    ValueError
        If an argument is out of range.
    DataError
        If the port cannot be had.
    """

    live = True

    def __init__(
        self,
        modality: str,
        port: int,
        packets: str = "t64_x16_y16_on8",
        host: str = "127.0.0.1",
        zero: Literal["arrival", "sent"] = "arrival",
        epoch: Epoch | None = None,
        wait_ms: float = 2.0,
        outcomes: Outcomes | None = None,
    ) -> None:
        if zero not in ("arrival", "sent"):
            raise ValueError(f"zero must be 'arrival' or 'sent', got {zero!r}")
        if not 0 <= port < 1 << 16:
            raise ValueError(f"port must lie in [0, 65535], got {port}")
        if not wait_ms > 0:
            raise ValueError(f"wait_ms must be positive, got {wait_ms}")
        self.modality, self._format = modality, format_by_name(packets)
        self.outcomes = outcomes if outcomes is not None else Outcomes()
        self._offset_us: int | None = 0 if zero == "sent" else None
        self._last_us: int | None = None
        self._epoch = epoch if epoch is not None else Epoch()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _KERNEL_BYTES)
        if sys.platform == "linux":
            self._socket.setsockopt(socket.SOL_SOCKET, _STAMP, 1)
        try:
            self._socket.bind((host, port))
        except OSError as error:
            self._socket.close()
            raise DataError(f"port must be free, got {host}:{port}: {error}") from error
        self._socket.settimeout(wait_ms * 1e-3)
        self._open = True

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._socket.getsockname()[1])

    def chunks(self) -> Iterator[Chunk | None]:
        """A chunk of what has come, or None; until the source is closed."""
        while self._open:
            yield self.receive()

    def receive(self) -> Chunk | None:
        """What has come since the last call."""
        parts: list[StructuredArray] = []
        for n in range(_PACKETS_AT_ONCE):
            try:
                packet, waited_s = self._packet(socket.MSG_DONTWAIT if n else 0)
            except (TimeoutError, BlockingIOError):
                break
            except OSError:  # closed meanwhile
                self._open = False
                break
            try:
                parts.append(self._placed(self._format.decode(packet), waited_s))
            except DataError as error:
                self.outcomes.note(self.modality, "malformed packet", detail=str(error))
        if not parts:
            return None
        events = np.concatenate(parts)
        return Chunk(self.modality, events, int(events["t"].max()))

    def close(self) -> None:
        """Give the port back."""
        self._open = False
        self._socket.close()

    def _packet(self, flags: int) -> tuple[bytes, float]:
        """A packet, and for how long it has waited to be read."""
        if sys.platform != "linux":
            return self._socket.recv(_LARGEST, flags), 0.0
        room = socket.CMSG_SPACE(struct.calcsize(_STAMP_LAYOUT))
        packet, notes, _, _ = self._socket.recvmsg(_LARGEST, room, flags)
        for level, kind, stamp in notes:
            if (level, kind) == (socket.SOL_SOCKET, _STAMP):
                seconds, nanoseconds = struct.unpack(_STAMP_LAYOUT, stamp)
                waited_s = time.time() - seconds - nanoseconds * 1e-9
                return packet, min(max(waited_s, 0.0), _WAITED_AT_MOST_S)
        return packet, 0.0

    def _placed(self, events: StructuredArray, waited_s: float) -> StructuredArray:
        # The first packet of all sources makes their zero, whether its times are used or not.
        arrived_us = self._epoch.now_us(waited_s)
        if not self._format.timed:
            events["t"] = arrived_us
            return events
        if self._format.record["t"].itemsize == 4:
            # Such times begin again after 71.6 minutes: they are the nearest to those before.
            half = 1 << 31
            last_us = int(events["t"][0]) if self._last_us is None else self._last_us
            since = events["t"] - last_us
            events["t"] = last_us + (since + half) % (2 * half) - half
            self._last_us = int(events["t"][-1])
        # A time that nothing can be reckoned with moves nothing: the buffer counts it as outside.
        usable = (events["t"] < _NO_TIME) & (events["t"] > -_NO_TIME)
        if self._offset_us is None and usable.any():
            self._offset_us = arrived_us - int(events["t"][usable][0])
        if self._offset_us:
            events["t"][usable] += self._offset_us
        return events


class UdpSender:
    """Send events, or records as JSON, to a port.

    Parameters
    ----------
    host : str
    port : int
    packets : str
        Format of events.
    events_per_packet : int
        100 as Faery does: 1,300 bytes, which fit an Ethernet frame.
    """

    def __init__(
        self,
        host: str,
        port: int,
        packets: str = "t64_x16_y16_on8",
        events_per_packet: int = 100,
    ) -> None:
        if events_per_packet < 1:
            raise ValueError(f"events_per_packet must be >= 1, got {events_per_packet}")
        self._format, self._n = format_by_name(packets), events_per_packet
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._to = (host, port)

    def send(self, events: StructuredArray) -> int:
        """Events of `EVENT_DTYPE`; the number of packets."""
        starts = range(0, len(events), self._n)
        for start in starts:
            self.send_bytes(self._format.encode(events[start : start + self._n]))
        return len(starts)

    def send_bytes(self, packet: bytes) -> None:
        """Any packet."""
        self._socket.sendto(packet, self._to)

    def close(self) -> None:
        """Give the socket back."""
        self._socket.close()
