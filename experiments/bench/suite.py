"""Groups of rows, and a run of one group: machine, bandwidth, every row, as plain values."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

import numpy as np
import torch

from experiments.bench.counting_rows import counting_rows
from experiments.bench.event_rows import event_rows
from experiments.bench.floor import bandwidth
from experiments.bench.layer_rows import layer_rows
from experiments.bench.machine import describe_machine
from experiments.bench.network_rows import network_rows
from experiments.bench.neuron_rows import neuron_rows
from experiments.bench.product_rows import product_rows
from experiments.bench.rows import Row, Rows, Setting, run_row
from experiments.bench.sensor_rows import sensor_rows
from experiments.bench.stream_rows import stream_rows

SCHEMA = 1


def _kernel_rows(setting: Setting) -> Iterator[Row]:
    """Products, then what makes and moves events."""
    return chain(product_rows(setting), event_rows(setting))


GROUPS: dict[str, Rows] = {
    "kernels": _kernel_rows,
    "layers": layer_rows,
    "network": network_rows,
    "neurons": neuron_rows,
    "sensors": sensor_rows,
    "counting": counting_rows,
    "stream": stream_rows,
}


def run_group(
    group: str,
    setting: Setting,
    on_row: Callable[[dict[str, Any]], None],
    wanted: Callable[[str], bool] = lambda name: True,
) -> dict[str, Any]:
    """Run the rows of one group on one thread.

    Parameters
    ----------
    group : str
        One of `GROUPS`.
    setting : Setting
    on_row : function
        Called with every result.
    wanted : function of a row's name
        Rows to run.
    """
    if group not in GROUPS:
        raise ValueError(f"group must be one of {sorted(GROUPS)}, got {group!r}")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    rng = np.random.default_rng(setting.seed)
    try:
        result: dict[str, Any] = {
            "schema": SCHEMA,
            "group": group,
            "machine": describe_machine(),
            "setting": {
                "rounds": setting.rounds,
                "quick": setting.quick,
                "least_ms": setting.least_ms,
                "seed": setting.seed,
                "peers": sorted(setting.peers),
                "data": "real" if setting.data_root is not None else "synthetic",
            },
            "bandwidth": bandwidth(setting.rounds, setting.least_ms, rng),
            "rows": [],
        }
        for row in GROUPS[group](setting):
            if wanted(row.name):
                result["rows"].append(run_row(row, setting, rng))
                on_row(result["rows"][-1])
        return result
    finally:
        torch.set_num_threads(threads)
