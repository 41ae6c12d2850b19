"""Each thing that a machine can lack is named, with what to type."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from importlib import resources

import pytest
import torch

from spikefuse.errors import BackendError
from spikefuse.kernels import lif_scan
from spikefuse.kernels.gpu import requirements
from spikefuse.kernels.gpu.requirements import Machine, what_misses

WHOLE = Machine(torch=13000, cupy=13020, driver=13010, nvrtc=13000, capability=90)
LACKING = [
    ({"torch": 0}, "torch is built without CUDA: pip install torch --index-url"),
    ({"cupy": 0}, "cupy is not installed: pip install 'spikefuse[cuda13]'"),
    ({"broken": "ImportError: x"}, "does not import (ImportError: x): pip install 'spikefuse["),
    ({"cupy": 12090}, "pip uninstall cupy-cuda12x && pip install 'spikefuse[cuda13]'"),
    ({"torch": 12080}, "pip uninstall cupy-cuda13x && pip install 'spikefuse[cuda12]'"),
    ({"driver": 0}, "no NVIDIA driver is loaded"),
    ({"driver": 12040}, "driver is too old: it knows CUDA 12.4, torch needs 13.0"),
    ({"nvrtc": 0}, "NVRTC is not installed: pip install 'cuda-toolkit[nvrtc,cudart]==13.*'"),
    ({"capability": 0}, "torch sees no CUDA device"),
    ({"capability": 70}, "compute capability 7.0, the kernels need 7.5"),
]


@pytest.mark.parametrize(("change", "said"), LACKING)
def test_what_is_missing_is_said_with_what_to_type(change: dict[str, int], said: str) -> None:
    reason = what_misses(dataclasses.replace(WHOLE, **change))
    assert reason is not None
    assert said in reason
    assert "\n" not in reason


def test_a_whole_machine_lacks_nothing() -> None:
    assert what_misses(WHOLE) is None


def test_the_backends_error_carries_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requirements, "missing", lambda: "no NVIDIA driver is loaded")
    with pytest.raises(BackendError, match="cuda: it needs inputs on cuda, got cpu"):
        lif_scan(torch.zeros(1, 1, 1), 0.5, 1.0, backend="cuda")
    from spikefuse.kernels import registry

    assert registry.why_not("lif_scan", "cuda", "cuda") == "no NVIDIA driver is loaded"
    assert registry.choose("lif_scan", None, "cuda") == "reference"


def test_spikefuse_and_its_operations_do_without_cupy() -> None:
    code = (
        "import sys; sys.modules['cupy'] = None\n"
        "import spikefuse, torch\n"
        "from spikefuse.kernels import lif_scan, registry\n"
        "lif_scan(torch.zeros(2, 1, 3), 0.5, 1.0)\n"
        "table = registry.table()\n"
        "assert table['lif_scan']['cuda'] != 'on', table\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_kernels_and_headers_are_resources_of_the_package() -> None:
    names = {part.name for part in resources.files("spikefuse.kernels.gpu").iterdir()}
    assert {"common.cuh", "neuron.cuh", "products.cu", "lif.cu"} <= names
