"""``spikefuse doctor --gpu``: are the kernels right on this GPU, and how long do they take."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any

import torch
from rich.console import Console

from experiments.gpu.timing import Clock, Sizes, device_clock, event_pairs, neuron_pairs
from spikefuse.kernels.gpu import dispatch, launch, requirements
from spikefuse.kernels.gpu.parity import CHECKS, Mismatch, Target

DENSITIES = (0.005, 0.02, 0.05, 0.1)


def examine_gpu(console: Console) -> dict[str, Any] | None:
    """Parity and times of this machine's GPU, to attach to a report; None if it cannot run.

    What is missing is said in one line.
    """
    reason = requirements.missing()
    if reason is not None:
        console.print(f"gpu: {reason}", markup=False, highlight=False, soft_wrap=True)
        return None
    target = Target(launch.current(), "cuda")
    found = examined(target, device_clock(), Sizes(), DENSITIES)
    render(found, console)
    return found


def examined(
    target: Target, clock: Clock, sizes: Sizes, densities: tuple[float, ...]
) -> dict[str, Any]:
    """Every check of the parity suite, then the times."""
    parity = {name: _checked(name, target) for name in CHECKS}
    return {
        "machine": _machine(target.device),
        "parity": parity,
        "times": _times(target.device, clock, sizes, densities),
        "spikingjelly": _spikingjelly(target.device, clock, sizes),
        "healthy": all(result == "as its reference" for result in parity.values()),
    }


def render(found: dict[str, Any], console: Console) -> None:
    """The same as lines."""
    for name, result in found["parity"].items():
        console.print(f"  {name}: {result}", markup=False, highlight=False, soft_wrap=True)
    for row in found["times"]:
        console.print(
            f"  {row['name']} at {100 * row['density']:g} %: {row['ours_us']:.1f} us, "
            f"dense {row['dense_us']:.1f} us",
            highlight=False,
        )
    told = found["spikingjelly"]
    text = told if isinstance(told, str) else f"{told['lif_us']:.1f} us for lif"
    console.print(f"  spikingjelly: {text}", markup=False, highlight=False, soft_wrap=True)


def _checked(name: str, target: Target) -> str:
    """What a check says; whatever a launch raises is a finding, not the end."""
    check, cases = CHECKS[name]
    for case in cases:
        try:
            check(target, case)
        except Mismatch as mismatch:
            return f"{mismatch}, at {case}"
        except Exception as error:  # CUDA's errors have many types
            return f"{type(error).__name__}: {error}, at {case}"
    return "as its reference"


def _machine(device: str) -> dict[str, Any]:
    """What was examined."""
    packages: dict[str, str | None] = {}
    for name in ("spikefuse", "cupy-cuda12x", "cupy-cuda13x", "spikingjelly"):
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            packages[name] = None
    where = torch.device(device)
    thresholds = dispatch.thresholds_of(where)
    return {
        "device": dispatch.device_name(where),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "system": platform.platform(),
        "packages": packages,
        "thresholds": {**thresholds.share, "source": thresholds.source},
    }


def _times(
    device: str, clock: Clock, sizes: Sizes, densities: tuple[float, ...]
) -> list[dict[str, Any]]:
    """Our kernels beside torch's dense operations, measured in this run."""
    pairs = (*event_pairs(device, sizes, densities), *neuron_pairs(device, sizes))
    return [
        {
            "name": pair.name,
            "density": pair.density,
            "ours_us": clock(pair.ours),
            "dense_us": clock(pair.dense),
        }
        for pair in pairs
    ]


def _spikingjelly(device: str, clock: Clock, sizes: Sizes) -> dict[str, float] | str:
    """Its LIF neurons on the same shape, or why they were not timed."""
    if not find_spec("spikingjelly"):
        return "absent: pip install spikingjelly"
    try:
        from spikingjelly.activation_based import functional, neuron

        node = neuron.LIFNode(tau=10.0, decay_input=False, v_reset=0.0, step_mode="m").to(device)
        x = torch.randn(sizes.n_steps, sizes.n_batch, sizes.n_out, device=device)

        def run() -> None:
            functional.reset_net(node)
            node(x)

        return {"lif_us": clock(run)}
    except Exception as error:  # its releases differ in what they need
        return f"{type(error).__name__}: {error}"
