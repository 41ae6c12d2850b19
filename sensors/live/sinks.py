"""Where decisions go: lines of JSON, datagrams of JSON, a function."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, TextIO

from sensors.live.udp import UdpSender
from spikefuse.runtime.outcomes import Outcomes

Record = Mapping[str, Any]


class Sink(Protocol):
    """Takes records as they come."""

    def write(self, record: Record) -> None:
        """One record."""
        ...

    def close(self) -> None:
        """No more come."""
        ...


class JsonLines:
    """A record a line, flushed at once so that a pipe sees it in time.

    Parameters
    ----------
    to : Path, str or text file
        A path is appended to; "-" is standard output.
    """

    def __init__(self, to: Path | str | TextIO) -> None:
        self._own = isinstance(to, (Path, str)) and str(to) != "-"
        if isinstance(to, (Path, str)):
            self._file: TextIO = (
                Path(to).open("a", encoding="utf-8")  # noqa: SIM115 - closed by close()
                if self._own
                else sys.stdout
            )
        else:
            self._file = to

    def write(self, record: Record) -> None:
        """One line."""
        self._file.write(json.dumps(record, allow_nan=False) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close what was opened here."""
        if self._own:
            self._file.close()


class UdpJson:
    """A record a datagram.

    One that the system does not take, as without a network, is one outcome ``unsent``.

    Parameters
    ----------
    address : str
        ``HOST:PORT``, or a port of this machine.
    outcomes : Outcomes, optional

    Raises
    ------
    ValueError
        If the address is none, or no such host is known.
    """

    def __init__(self, address: str, outcomes: Outcomes | None = None) -> None:
        host, _, port = address.rpartition(":")
        if not port.isdigit() or not 0 < int(port) < 1 << 16:
            raise ValueError(f"address must be HOST:PORT or PORT, got {address!r}")
        try:
            known = socket.getaddrinfo(host or "127.0.0.1", int(port), socket.AF_INET)
        except (OSError, UnicodeError) as error:
            raise ValueError(
                f"address must be of a host with an IPv4 address, got {address!r}: {error}"
            ) from error
        self._outcomes = outcomes if outcomes is not None else Outcomes()
        self._sender = UdpSender(str(known[0][4][0]), int(port))

    def write(self, record: Record) -> None:
        """One datagram; nobody needs to listen."""
        try:
            self._sender.send_bytes(json.dumps(record, allow_nan=False).encode())
        except OSError as error:
            self._outcomes.note("decisions", "unsent", detail=str(error))

    def close(self) -> None:
        """Give the socket back."""
        self._sender.close()


class Call:
    """Calls a function with every record.

    Parameters
    ----------
    function : callable
    """

    def __init__(self, function: Callable[[Record], None]) -> None:
        self._function = function

    def write(self, record: Record) -> None:
        """One call."""
        self._function(record)

    def close(self) -> None:
        """Nothing is open."""
