"""What the `.cu` files say of themselves, and what the calls make of it."""

from __future__ import annotations

import ast
import re

import numpy as np
import pytest
import torch

from spikefuse.kernels import scans
from spikefuse.kernels.gpu import conv, products, sources
from spikefuse.kernels.gpu import scans as gpu_scans

LIF = sources.kernels("lif")["sf_lif_forward"]


def arguments(**changed: object) -> list[object]:
    """Arguments that `sf_lif_forward` takes, some of them changed."""
    x, lanes = torch.zeros(2, 1, 3), torch.zeros(3)
    given: dict[str, object] = {
        "x": x, "beta": lanes, "theta": torch.ones(3), "subtract": True, "v": torch.zeros(1, 3),
        "spikes": torch.zeros(2, 1, 3), "saved": None, "T": 2, "B": 1, "N": 3,
    }  # fmt: skip
    given.update(changed)
    return list(given.values())


def test_numbers_get_the_width_of_the_parameter() -> None:
    bound = sources.bound(LIF, arguments())  # type: ignore[arg-type]
    assert [type(b) for b in bound[3:4] + bound[7:]] == [np.int32] * 4
    assert bound[6] is None


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"T": 2.0}, "T of sf_lif_forward must be int, got float"),
        ({"T": 2**31}, "T of sf_lif_forward must fit 32 bits"),
        (
            {"x": torch.zeros(2, 1, 3, dtype=torch.float64)},
            "x of .* must be contiguous torch.float",
        ),
        ({"x": torch.zeros(3, 1, 2).transpose(0, 2)}, "got torch.float32 with strides"),
        ({"x": 1.0}, "x of sf_lif_forward must be a tensor, got float"),
    ],
)
def test_arguments_that_a_gpu_would_misread_are_refused(
    changed: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        sources.bound(LIF, arguments(**changed))  # type: ignore[arg-type]


def test_an_array_is_not_written_and_named_twice() -> None:
    x = torch.zeros(2, 1, 3)
    with pytest.raises(ValueError, match="spikes of sf_lif_forward must not be the memory of x"):
        sources.bound(LIF, arguments(x=x, spikes=x))  # type: ignore[arg-type]
    lanes = torch.ones(3)
    sources.bound(LIF, arguments(beta=lanes, theta=lanes))  # type: ignore[arg-type]


def test_a_missing_argument_is_refused() -> None:
    with pytest.raises(ValueError, match="arguments of sf_lif_forward must be 10, got 9"):
        sources.bound(LIF, arguments()[:-1])  # type: ignore[arg-type]


def test_constants_of_both_languages_agree() -> None:
    text = "".join(path.read_text() for path in sources.FOLDER.glob("*.cu*"))
    defined = dict(re.findall(r"^#define (SF_\w+) +(\d+)\b", text, re.MULTILINE))
    assert int(defined["SF_EVERY"]) == scans.CHECKPOINT_STEPS
    assert int(defined["SF_SCAN_BLOCK"]) == gpu_scans.BLOCK
    assert (32, int(defined["SF_CONV_WARPS"]), 1) == conv._BLOCK
    assert sources.kernels("lif")["sf_lif_backward"].max_threads == gpu_scans.BLOCK


def test_files_hold_kernels_and_nothing_is_parsed_past() -> None:
    for family in sources.families():
        text = (sources.FOLDER / f"{family}.cu").read_text(encoding="utf-8")
        assert len(sources.kernels(family)) == text.count("SF_KERNEL(")
        assert len(text.splitlines()) < 250
        assert max(map(len, text.splitlines())) <= 100


def test_calls_name_kernels_that_exist() -> None:
    shipped = {name for family in sources.families() for name in sources.kernels(family)}
    calls = [path for path in sources.FOLDER.glob("*.py") if path.name != "sources.py"]
    for path in calls:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and str(node.value).startswith("sf_"):
                # A name in an f-string lacks its end.
                assert any(name.startswith(str(node.value)) for name in shipped), node.value


def test_layouts_follow_the_weight() -> None:
    assert products.layout_of(torch.zeros(5, 16)) == "narrow"
    assert products.layout_of(torch.zeros(5, 72)) == "wide4"
    assert products.layout_of(torch.zeros(5, 70)) == "wide1"
    assert products.layout_of(torch.zeros(361)[1:].view(5, 72)) == "wide1"
    assert products.resident_columns(torch.zeros(2312, 64)) == 8
    assert products.resident_columns(torch.zeros(2312, 64, dtype=torch.bfloat16)) == 16
    assert products.resident_columns(torch.zeros(9000, 64)) == 0
    with pytest.raises(ValueError, match=r"weight must be float32 or bfloat16, got torch\.float64"):
        products.suffix(torch.zeros(1, dtype=torch.float64))
