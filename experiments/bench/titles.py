"""Groups of rows in the order of the page; apart from the rows, so that a page needs no torch."""

from __future__ import annotations

TITLES = {
    "neurons": "Neurons",
    "kernels": "Kernels",
    "layers": "Layers",
    "network": "Networks and training",
    "sensors": "Sensors, loading and codes",
    "counting": "Counting operations",
    "stream": "Streams",
}
