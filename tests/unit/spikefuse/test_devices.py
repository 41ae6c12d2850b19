"""What runs in a forward pass makes its tensors where its inputs lie, never on the host by default.

A source scan, as a host-only machine cannot tell: there the default device is always right.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import spikefuse

ROOT = Path(spikefuse.__file__).parent
FACTORIES = {
    *("arange", "as_tensor", "empty", "eye", "full", "linspace", "ones", "rand", "randint"),
    *("randn", "randperm", "tensor", "zeros"),
}
PLACES = ("fusion", "kernels", "models", "neurons", "synapses", "encoders/spiking.py")
# What stays on the host: modules and edges before `.to`, a counter that the host reads, numbers,
# and parts of operations that have no other backend than the host's.
ON_THE_HOST = {
    *("__init__", "all_to_all", "one_to_one", "random", "random_out", "spread_logit"),
    *("recurrent_weight", "fusion/energy_gate.py:_windows", "fusion/late.py:set_temperature"),
    *("synapses/cross.py:_grouped", "kernels/binning.py:accumulate_events"),
    *("kernels/buffers.py:empty", "kernels/fixed.py:_state"),
    *("kernels/scans.py:per_neuron", "kernels/spike_bits.py:lanes"),
}


def homeless(text: str) -> Iterator[tuple[str, int, str]]:
    """Function, line and factory of every tensor that is made without a device."""
    for function in ast.walk(ast.parse(text)):
        if not isinstance(function, ast.FunctionDef):
            continue
        source = ast.get_source_segment(text, function) or ""
        if ".numpy(" in source or "buffers." in source:
            continue  # a part that only the host runs
        for call in ast.walk(function):
            if (
                isinstance(call, ast.Call)
                and isinstance(call.func, ast.Attribute)
                and isinstance(call.func.value, ast.Name)
                and call.func.value.id == "torch"
                and call.func.attr in FACTORIES
                and all(keyword.arg != "device" for keyword in call.keywords)
            ):
                yield function.name, call.lineno, call.func.attr


def files() -> list[Path]:
    """The code that a forward pass runs on any device."""
    found = []
    for place in PLACES:
        path = ROOT / place
        found += [path] if path.is_file() else sorted(path.rglob("*.py"))
    return [path for path in found if "cpu" not in path.parts and "parity" not in path.parts]


def test_the_scan_sees_a_tensor_without_a_device() -> None:
    text = (
        "def f(x):\n    return x + torch.arange(3)\n\ndef g(x):\n    return torch.ones(2, device=d)"
    )
    assert list(homeless(text)) == [("f", 2, "arange")]


def test_tensors_are_made_beside_the_inputs() -> None:
    assert len(files()) > 50
    wrong = []
    for path in files():
        name = path.relative_to(ROOT).as_posix()
        for function, line, factory in homeless(path.read_text(encoding="utf-8")):
            if not {function, f"{name}:{function}"} & ON_THE_HOST:
                wrong.append(f"{name}:{line} {factory} in {function}")
    assert wrong == [], "\n".join(wrong)
