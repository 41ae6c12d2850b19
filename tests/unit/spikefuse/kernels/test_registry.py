"""The registry: order of choice, no silent fallback, errors that list every candidate."""

import sys
import types

import pytest
import torch

from spikefuse.errors import BackendError
from spikefuse.kernels import registry


@pytest.fixture(autouse=True)
def _own_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two made-up operations: one with a numba kernel, one with none."""
    module = types.ModuleType("made_up_kernels")
    module.double = lambda x: 2 * x  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "made_up_kernels", module)
    monkeypatch.setattr(registry, "_KERNELS", {})
    registry.register("doubling", "numba", "made_up_kernels")


def test_automatic_takes_the_fast_kernel_and_the_reference_where_there_is_none() -> None:
    assert registry.choose("doubling", None, "cpu") == "numba"
    assert registry.choose("tripling", None, "cpu") == "reference"


def test_automatic_falls_back_where_the_inputs_are_refused() -> None:
    assert registry.choose("doubling", None, "cpu", "float64 is not compiled") == "reference"


def test_the_argument_goes_before_the_block_and_the_block_before_automatic() -> None:
    with registry.use_backend("reference"):
        assert registry.choose("doubling", None, "cpu") == "reference"
        assert registry.choose("doubling", "numba", "cpu") == "numba"
    assert registry.choose("doubling", None, "cpu") == "numba"


def test_an_explicit_backend_never_falls_back_and_the_error_lists_every_candidate() -> None:
    with pytest.raises(BackendError, match="cannot run doubling here: float64") as caught:
        registry.choose("doubling", "numba", "cpu", "float64 is not compiled")
    for part in ("reference: can run", "numba: float64", "cuda: no cuda kernel of doubling"):
        assert part in str(caught.value)
    with registry.use_backend("cuda"), pytest.raises(BackendError, match="no cuda kernel"):
        registry.choose("doubling", None, "cpu")


def test_a_kernel_runs_on_its_own_device_only() -> None:
    assert registry.why_not("doubling", "numba", "cuda") == "it needs inputs on cpu, got cuda"
    assert registry.choose("doubling", None, "cuda") == "reference"


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_missing", lambda package: f"{package} is not installed")
    assert registry.why_not("doubling", "numba", "cpu") == "numba is not installed"


def test_an_unknown_backend_is_refused() -> None:
    with pytest.raises(BackendError, match=r"backend must be one of .*, got 'tpu'"):
        registry.choose("doubling", "tpu", "cpu")
    with pytest.raises(BackendError, match="tpu"), registry.use_backend("tpu"):
        pass


def test_the_block_ends_also_after_an_error() -> None:
    with pytest.raises(RuntimeError), registry.use_backend("reference"):
        raise RuntimeError
    assert registry.choose("doubling", None, "cpu") == "numba"


def test_kernels_come_by_name_and_the_table_says_what_is_on() -> None:
    assert registry.kernel("doubling", "numba", "double")(4) == 8
    assert registry.table() == {
        "doubling": {"reference": "on", "numba": "on", "cuda": "no cuda kernel of doubling"}
    }


def test_what_was_asked_for() -> None:
    assert registry.asked() is None
    assert registry.asked("numba") == "numba"
    with registry.use_backend("reference"):
        assert registry.asked() == "reference"
        assert registry.asked("numba") == "numba"


def test_a_tracer_takes_the_choice_as_it_is() -> None:
    def step(x: torch.Tensor) -> torch.Tensor:
        return 2 * x if registry.choose("doubling", None, "cpu") == "numba" else 3 * x

    one = torch.ones(1)
    assert torch.compile(step, fullgraph=True, backend="eager")(one).item() == 2
    torch.compiler.reset()
    with registry.use_backend("reference"):
        assert torch.compile(step, fullgraph=True, backend="eager")(one).item() == 3
