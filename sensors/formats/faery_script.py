"""Decode one event file with faery. Runs as a script in a process of its own.

On some damaged files faery aborts its process (a panic at the border to Python); then only this
one is lost.
"""

from __future__ import annotations

import sys
from importlib import import_module

import numpy as np


def decode(path: str, kind: str, width: str, height: str, out: str) -> None:
    """Write the events of ``path`` to the ``.npy`` file ``out`` and print the sensor's size.

    Parameters
    ----------
    path, out : str
    kind : str
        Of faery's decoder.
    width, height : str
        Of the sensor; read from the file where it says.
    """
    stream = import_module("faery").events_stream_from_file(
        path,
        file_type=kind,
        dimensions_fallback=(int(width), int(height)),
    )
    layout = np.dtype([("t", "<u8"), ("x", "<u2"), ("y", "<u2"), ("p", "?")])
    parts = [np.zeros(0, layout)]
    for packet in stream:
        part = np.zeros(len(packet), layout)
        for name, theirs in (("t", "t"), ("x", "x"), ("y", "y"), ("p", "on")):
            part[name] = packet[theirs]
        parts.append(part)
    np.save(out, np.concatenate(parts))
    print(*stream.dimensions())


if __name__ == "__main__":
    decode(*sys.argv[1:])
