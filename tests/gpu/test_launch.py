"""The launch layer above CuPy: which kernel, with what, where; CuPy itself is made up here."""

from __future__ import annotations

import sys
import types
from typing import Any

import numpy as np
import pytest
import torch

from spikefuse.errors import BackendError
from spikefuse.kernels.gpu import launch, requirements, sources

SIGNATURE = sources.kernels("lif")["sf_lif_forward"]


class Context:
    """A device or stream that is entered and left."""

    def __init__(self, log: list[Any], *what: Any) -> None:
        self.log, self.what = log, what
        self.attributes = {"MaxSharedMemoryPerBlockOptin": 1000}

    def __enter__(self) -> Context:
        self.log.append(("enter", *self.what))
        return self

    def __exit__(self, *error: object) -> None:
        self.log.append(("leave", *self.what))


class OnDevice(torch.Tensor):
    """A tensor that says it lies on the second GPU."""

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return torch.device("cuda", 1)


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """CuPy that writes down what it is told."""
    told: list[Any] = []

    def function(*launched: Any, **options: Any) -> None:
        told.append(("run", *launched, options))

    cupy, cuda = types.ModuleType("cupy"), types.ModuleType("cupy.cuda")
    cuda.Device = lambda index: Context(told, "device", index)  # type: ignore[attr-defined]
    cuda.Stream = types.SimpleNamespace(  # type: ignore[attr-defined]
        from_external=lambda stream: Context(told, "stream", *stream.__cuda_stream__())
    )
    cupy.cuda = cuda  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    monkeypatch.setitem(sys.modules, "cupy.cuda", cuda)
    monkeypatch.setattr(launch, "_function", lambda *key: (function, 1000))
    monkeypatch.setattr(
        torch.cuda, "current_stream", lambda index: types.SimpleNamespace(cuda_stream=7000 + index)
    )
    return told


def arguments(**changed: Any) -> list[Any]:
    """What `sf_lif_forward` takes, on the second GPU."""

    def tensor(*shape: int) -> torch.Tensor:
        return torch.zeros(*shape).as_subclass(OnDevice)

    given = {
        "x": tensor(2, 3, 4),
        "beta": tensor(4),
        "theta": tensor(4),
        "subtract": True,
        "v": tensor(3, 4),
        "spikes": tensor(2, 3, 4),
        "saved": None,
        "T": 2,
        "B": 3,
        "N": 4,
    }
    assert list(given) == [p.name for p in SIGNATURE.parameters]
    return list({**given, **changed}.values())


def run(given: list[Any], grid: sources.Size = (1, 1, 1), **options: Any) -> None:
    launch.CupyLauncher()("lif", "sf_lif_forward", grid, (256, 1, 1), given, **options)


def test_a_launch_enters_the_tensors_device_and_torchs_stream(log: list[Any]) -> None:
    given = arguments()
    run(given)
    assert log[:2] == [("enter", "device", 1), ("enter", "stream", 0, 7001)]
    assert log[3:] == [("leave", "stream", 0, 7001), ("leave", "device", 1)]
    _, grid, block, raw, options = log[2]
    assert (grid, block, options) == ((1, 1, 1), (256, 1, 1), {"shared_mem": 0})
    assert raw[0] == given[0].data_ptr()
    assert raw[6] == 0  # an absent array is a null pointer, not a null parameter
    assert [type(raw[i]) for i in (3, 7, 8, 9)] == [np.int32] * 4
    assert list(raw[7:]) == [2, 3, 4]


def test_tensors_elsewhere_are_refused_before_the_launch(log: list[Any]) -> None:
    with pytest.raises(ValueError, match=r"must be on one CUDA device, got \['cpu', 'cuda:1'\]"):
        run(arguments(beta=torch.zeros(4)))
    assert log == []


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"T": 2.0}, "T of sf_lif_forward must be int, got float"),
        ({"T": 2**31}, "T of sf_lif_forward must fit 32 bits"),
        ({"x": torch.zeros(2, dtype=torch.float64)}, "must be contiguous torch.float32"),
        ({"x": torch.zeros(4, 2).t()}, "must be contiguous"),
    ],
)
def test_arguments_that_do_not_fit_the_signature_are_refused(
    log: list[Any], changed: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        run(arguments(**changed))
    assert log == []


def test_grids_and_shared_memory_that_no_gpu_has_are_refused(log: list[Any]) -> None:
    with pytest.raises(ValueError, match="grid of sf_lif_forward"):
        run(arguments(), grid=(1, 2**16, 1))
    with pytest.raises(ValueError, match="grid of sf_lif_forward"):
        run(arguments(), grid=(0, 1, 1))
    with pytest.raises(ValueError, match=r"block of sf_lif_forward must hold 1 to \d+ threads"):
        launch.CupyLauncher()("lif", "sf_lif_forward", (1, 1, 1), (2048, 1, 1), arguments())
    with pytest.raises(BackendError, match="needs 2000 bytes of shared memory, this GPU has 1000"):
        run(arguments(), shared_bytes=2000)
    assert not [entry for entry in log if entry[0] == "run"]


def test_a_stand_in_lasts_as_long_as_its_block(monkeypatch: pytest.MonkeyPatch) -> None:
    def stand_in(*launched: Any, **options: Any) -> None:
        pass

    assert not launch.emulated()
    with launch.using(stand_in):
        assert launch.current() is stand_in

    def fail() -> None:
        raise KeyError

    with pytest.raises(KeyError), launch.using(stand_in):
        fail()
    assert not launch.emulated()
    launch._cupy.cache_clear()
    monkeypatch.setattr(requirements, "missing", lambda: "no NVIDIA driver is loaded")
    with pytest.raises(BackendError, match="cannot run here: no NVIDIA driver is loaded"):
        launch.current()
