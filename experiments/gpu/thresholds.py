"""Measures up to which share of active inputs events win on this GPU: the table of dispatch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tomli_w
import torch
from rich.console import Console

from experiments.files import write_text
from experiments.gpu.timing import Clock, Sizes, device_clock, event_pairs
from spikefuse.errors import BackendError
from spikefuse.kernels.gpu import dispatch, requirements

DENSITIES = (0.0025, 0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32)


def calibrate(console: Console) -> dict[str, Any]:
    """Measure this machine's GPU and keep its thresholds in the user's table.

    Raises
    ------
    BackendError
        If there is no GPU that the kernels run on; it says what is missing.
    """
    reason = requirements.missing()
    if reason is not None:
        raise BackendError(f"nothing to calibrate: {reason}")
    device = torch.device("cuda", torch.cuda.current_device())
    shares = measured(str(device), device_clock(), Sizes(), DENSITIES)
    name, path = dispatch.device_name(device), dispatch.table_path()
    keep(path, name, shares)
    for operation, share in shares.items():
        console.print(f"{name}: {operation} by events up to {100 * share:g} %", highlight=False)
    console.print(f"table: {path}", highlight=False, soft_wrap=True)
    return {"device": name, "table": str(path), "thresholds": shares}


def measured(
    device: str, clock: Clock, sizes: Sizes, densities: tuple[float, ...]
) -> dict[str, float]:
    """The largest density at which events win, with all of the lower ones, by operation.

    The forward pass and the gradient of the weight share a threshold, so their times are added.
    """
    times: dict[str, dict[float, list[float]]] = {}
    for pair in event_pairs(device, sizes, densities):
        sums = times.setdefault(pair.operation, {}).setdefault(pair.density, [0.0, 0.0])
        sums[0] += clock(pair.ours)
        sums[1] += clock(pair.dense)
    return {operation: _crossing(found) for operation, found in times.items()}


def keep(path: Path, device: str, shares: dict[str, float]) -> None:
    """Write a device's thresholds into the table beside those of others."""
    table: dict[str, Any] = {**dispatch.read_table(path), device: shares}
    write_text(path, tomli_w.dumps(table))
    dispatch.forget()


def _crossing(times: dict[float, list[float]]) -> float:
    """Largest density up to which the first time is the smaller; 0 where it never is."""
    share = 0.0
    for density, (ours, dense) in sorted(times.items()):
        if ours > dense:
            break
        share = density
    return share
