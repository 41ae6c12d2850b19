"""``python -m experiments.gpu.roofline docs/cuda.md``: the page's tables; no GPU is needed.

The roofline is a paper estimate: peaks of data sheets, and guesses where those are silent.
"""

from __future__ import annotations

import pkgutil
import sys
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import spikefuse.kernels
from spikefuse.kernels import registry
from spikefuse.kernels.gpu import sources
from spikefuse.pages import markdown_table, write_tables

_GEMM_SHARE = 0.55  # of the peak: what large dense products reach
_N_STEPS, _N_IN, _N_OUT = 50, 2312, 256
_BATCHES, _DENSITIES = (8, 128), (0.005, 0.02, 0.05, 0.1)


@dataclass(frozen=True)
class Gpu:
    """Peaks of a GPU.

    Attributes
    ----------
    name : str
    fp32_tflops, tf32_tflops : float
        Dense, from the data sheet.
    dram_tb_s : float
        From the data sheet.
    l2_tb_s : float
        A guess: data sheets do not say.
    """

    name: str
    fp32_tflops: float
    tf32_tflops: float
    dram_tb_s: float
    l2_tb_s: float


GPUS = (
    Gpu("H100 SXM", 67.0, 494.0, 3.35, 5.5),
    Gpu("RTX 4090", 82.6, 82.6, 1.008, 5.0),
    Gpu("RTX 3060", 12.7, 25.5, 0.36, 1.4),
)


def dense_us(peak_tflops: float, dram_tb_s: float, n_rows: int) -> float:
    """A dense product of ``n_rows`` by the inputs and outputs above, by arithmetic or memory."""
    arithmetic = 2e-6 * n_rows * _N_IN * _N_OUT / (_GEMM_SHARE * peak_tflops)
    moved = 4e-6 * (n_rows * (_N_IN + _N_OUT) + _N_IN * _N_OUT) / dram_tb_s
    return max(arithmetic, moved)


def gather_us(l2_tb_s: float, n_rows: int, density: float) -> float:
    """The same product by events: each reads a row of weights from the second-level cache."""
    return 4e-6 * density * n_rows * _N_IN * _N_OUT / l2_tb_s


def roofline_table() -> str:
    """Microseconds, and the share of active inputs at which both take as long."""
    header = ["GPU", "batch", "dense fp32", "dense TF32"]
    header += [f"events at {100 * d:g} %" for d in _DENSITIES]
    rows = []
    for gpu in GPUS:
        for n_batch in _BATCHES:
            n_rows = _N_STEPS * n_batch
            dense = [
                dense_us(peak, gpu.dram_tb_s, n_rows) for peak in (gpu.fp32_tflops, gpu.tf32_tflops)
            ]
            whole = gather_us(gpu.l2_tb_s, n_rows, 1.0)
            cells = [f"{_short(t)} µs (even at {100 * t / whole:.1f} %)" for t in dense]
            cells += [f"{_short(gather_us(gpu.l2_tb_s, n_rows, d))} µs" for d in _DENSITIES]
            rows.append([gpu.name, str(n_batch), *cells])
    return markdown_table(header, rows)


def kernel_table() -> str:
    """Kernels of every file, from the text that ships."""
    rows = [
        [f"`{family}.cu`", ", ".join(f"`{name}`" for name in sources.kernels(family))]
        for family in sources.families()
    ]
    return markdown_table(["file", "kernels"], rows)


def operation_table() -> str:
    """Operations with a CUDA backend, and those without."""
    for module in pkgutil.iter_modules(spikefuse.kernels.__path__, "spikefuse.kernels."):
        if not module.ispkg:
            import_module(module.name)  # which registers its operations
    absent = "no cuda kernel"
    table = registry.table()
    with_cuda = [op for op, row in table.items() if not row["cuda"].startswith(absent)]
    rows = [
        ["CUDA", ", ".join(f"`{op}`" for op in with_cuda)],
        [
            "the reference, in plain torch",
            ", ".join(f"`{op}`" for op in table if op not in with_cuda),
        ],
    ]
    return markdown_table(["on tensors of a GPU runs", "operations"], rows)


def _short(value: float) -> str:
    """Two digits: an estimate has no more."""
    return f"{float(f'{value:.2g}'):g}"


def main(page: Path) -> None:
    """Write the tables."""
    tables = {"kernels": kernel_table(), "operations": operation_table()}
    write_tables(page, {**tables, "roofline": roofline_table()})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
