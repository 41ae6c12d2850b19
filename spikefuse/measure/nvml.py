"""NVML: total energy counter of NVIDIA cards (Volta and later), through nvidia-ml-py."""

from __future__ import annotations

import importlib
from typing import Any

from spikefuse.measure.meter import Reading


class NvmlMeter:
    """Energy of one card since `start`.

    Parameters
    ----------
    device : int
        Index of the card.
    nvml : module, optional
        A stand-in for ``pynvml``; the installed one by default.

    Raises
    ------
    OSError
        If nvidia-ml-py, the driver, the card or its counter is missing.
    """

    name = "nvml"

    def __init__(self, device: int = 0, nvml: Any = None) -> None:
        if nvml is None:
            try:
                nvml = importlib.import_module("pynvml")
            except ImportError as error:
                raise OSError("nvidia-ml-py is not installed (pip install nvidia-ml-py)") from error
        self._nvml = nvml
        try:
            nvml.nvmlInit()
            self._card = nvml.nvmlDeviceGetHandleByIndex(device)
            self._begin_mj = int(nvml.nvmlDeviceGetTotalEnergyConsumption(self._card))
        except nvml.NVMLError as error:
            raise OSError(f"no energy counter of card {device}: {error}") from error

    def start(self) -> None:
        """Remember the counter."""
        self._begin_mj = int(self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._card))

    def stop(self) -> Reading:
        """Joules since `start`; the counter is in millijoule and moves about every 20 ms."""
        try:
            now = int(self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._card))
        except self._nvml.NVMLError as error:
            return Reading(None, self.name, str(error))
        spent = now - self._begin_mj
        if spent <= 0:
            return Reading(None, self.name, "the counter did not move: the window was too short")
        return Reading(spent * 1e-3, self.name)
