"""NVIDIA's compilers take every kernel for every architecture, within budgets that leave room."""

from __future__ import annotations

from pathlib import Path

import pytest

from spikefuse.kernels.gpu import launch, sources

from . import toolchain
from .toolchain import ARCHITECTURES

# Registers of a thread: 64 keep 1024 threads on a multiprocessor of 65536.
MAX_REGISTERS = 64
MAX_STATIC_SHARED_BYTES = 48 * 1024

needs_nvcc = pytest.mark.skipif(toolchain.nvcc() is None, reason=toolchain.why_no_nvcc())
needs_nvrtc = pytest.mark.skipif(toolchain.nvrtc() is None, reason=toolchain.why_no_nvrtc())
ELF = b"\x7fELF"


@needs_nvrtc
@pytest.mark.parametrize("family", sources.families())
def test_nvrtc_compiles_for_one_architecture(family: str) -> None:
    cubin = toolchain.nvrtc_cubin(family, 90)
    assert cubin.startswith(ELF)
    for kernel in sources.kernels(family):
        assert kernel.encode() in cubin


@pytest.mark.slow
@needs_nvrtc
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("family", sources.families())
def test_nvrtc_compiles_for_every_architecture(family: str, architecture: int) -> None:
    assert toolchain.nvrtc_cubin(family, architecture).startswith(ELF)


@pytest.mark.slow
@needs_nvcc
@pytest.mark.parametrize("family", sources.families())
def test_nvcc_gives_no_warning_and_kernels_keep_their_budgets(family: str, tmp_path: Path) -> None:
    usage = toolchain.nvcc_usage(family, ARCHITECTURES, tmp_path)
    shipped = {(name, sm) for name in sources.kernels(family) for sm in ARCHITECTURES}
    assert {(u.kernel, u.architecture) for u in usage} == shipped
    over = [
        u
        for u in usage
        if u.stack_bytes
        or u.spilled_bytes
        or u.registers > MAX_REGISTERS
        or u.shared_bytes > MAX_STATIC_SHARED_BYTES
    ]
    assert over == []


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_cupys_nvrtc_compiles_what_the_launcher_asks_for(architecture: int) -> None:
    pytest.importorskip("cupy", reason="CuPy is not installed: pip install 'spikefuse[cuda13]'")
    for family in sources.families():
        assert launch.cubin(family, architecture).startswith(ELF)
