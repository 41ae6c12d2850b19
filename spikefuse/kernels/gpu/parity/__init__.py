"""What every kernel is held to, on any launcher: float64 references and autograd, random shapes.

`CHECKS` names each check with the cases that it runs on. The tests run them on an emulator; an
owner of a GPU runs the same on the device.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from spikefuse.kernels.gpu.parity import (
    conv,
    cross,
    events,
    maps,
    products,
    recurrent,
    scans,
    windows,
)
from spikefuse.kernels.gpu.parity.target import Mismatch as Mismatch
from spikefuse.kernels.gpu.parity.target import Target as Target

Check = Callable[[Target, Any], None]

# Name -> check and its cases.
CHECKS: dict[str, tuple[Check, list[Any]]] = {
    "products": (products.check_products, products.SHAPES),
    "weight_gradient": (products.check_weight_gradient, products.SHAPES),
    "site_gradient": (products.check_site_gradient, products.SHAPES),
    "lif": (scans.check_lif, scans.SHAPES),
    "neuron": (scans.check_neuron, scans.SHAPES),
    "readout": (scans.check_readout, scans.SHAPES),
    "recurrent": (recurrent.check_recurrent, recurrent.SHAPES),
    "compaction": (events.check_compaction, products.SHAPES),
    "row_pointer": (events.check_row_pointer, events.ROWS),
    "transpose": (events.check_transpose, products.SHAPES),
    "delay": (events.check_delay, products.SHAPES),
    "coincidence": (windows.check_coincidence, products.SHAPES),
    "coincidence_trace": (windows.check_trace, products.SHAPES),
    "cross": (cross.check_cross, cross.CASES),
    "conv": (conv.check_conv, conv.CASES),
    "pool": (maps.check_pool, maps.CASES),
    "join": (maps.check_join, products.SHAPES),
    "bin": (maps.check_bin, maps.STREAMS),
}
