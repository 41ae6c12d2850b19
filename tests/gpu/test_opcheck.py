"""The operators on backend "cuda" keep torch's rules: schema, fake kernel, autograd."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

import spikefuse.kernels.coincidence  # defines its operator
import spikefuse.kernels.cross  # noqa: F401  # so does this
from spikefuse.kernels.gpu import launch
from spikefuse.kernels.gpu.ops import events

from .rungs import shared_emulator

# Autograd's registration and the fake kernel, without the slow compilation by inductor.
UTILITIES = ("test_schema", "test_autograd_registration", "test_faketensor")
NAMES = (
    *("event_matmul", "event_matmul_dweight", "event_matmul_dspikes", "lif_scan"),
    *("lif_scan_backward", "neuron_scan", "li_scan", "delay", "event_conv2d", "coincidence"),
    *("cross_currents", "cross_currents_backward"),
)
T, B, N = 5, 2, 6


@pytest.fixture(autouse=True)
def _emulated() -> Iterator[None]:
    with launch.using(shared_emulator("in order")):
        yield


def cases() -> dict[str, tuple[Any, ...]]:
    """Arguments of each operator."""
    random = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=random)

    x = (torch.rand(T, B, N, generator=random) < 0.4).float()
    with launch.using(shared_emulator("in order")):
        batch = events.compact(x)
    given = (batch.indptr, batch.index, batch.value)
    current, beta, theta = normal(T, B, N), torch.full((N,), 0.8), torch.ones(())
    how = (True, False, "arctan", 2.0)
    fan = (torch.arange(N + 1, dtype=torch.int32), torch.arange(N, dtype=torch.int32) % 3)
    lags, taps = torch.arange(N, dtype=torch.int32) % 2, normal(N, 3)
    table, maps = torch.stack([beta] * 5), ([1, 2, 3], [1, 1], [0, 0])
    return {
        "event_matmul": (
            *(x.clone().requires_grad_(), None, None, None, normal(N, 4).requires_grad_()),
            *(None, None, [T, B, N], False, "cuda"),
        ),
        "event_matmul_dweight": (x, *given, normal(T, B, 4), [T, B, N], False, "cuda"),
        "event_matmul_dspikes": (normal(T, B, 4), normal(N, 4), *given[:2], "cuda"),
        "lif_scan": (current.clone().requires_grad_(), beta, theta, None, *how, True, "cuda"),
        "lif_scan_backward": (
            *(normal(T, B, N), None, current, beta, theta, normal(1, B, N), *how, True, False),
            "cuda",
        ),
        "neuron_scan": (
            *(current.clone().requires_grad_(), normal(N, N), table, None, None, None, None),
            *(*how, True, "cuda"),
        ),
        "li_scan": (current.clone().requires_grad_(), beta, beta, None, "cuda"),
        "delay": (x.clone().requires_grad_(), [0, -1], [2, 4], T, "cuda"),
        "event_conv2d": (
            *(None, *given, normal(3, 1, 2, 2).requires_grad_(), None, None, [T, B, N]),
            *(*maps, False, "cuda"),
        ),
        "cross_currents": (
            *(x.clone().requires_grad_(), None, None, None, taps.clone().requires_grad_()),
            *(lags, *fan, normal(4, B, 3).requires_grad_(), [T, B, N], 3, 4, "cuda"),
        ),
        "cross_currents_backward": (
            *(normal(T + 4, B, 3), x, None, None, None, taps, lags, *fan),
            *([T, B, N], True, True, "cuda"),
        ),
        "coincidence": (
            *(None, *given, normal(N, 3).requires_grad_(), normal(T, B, 3), [T, B, N], False),
            "cuda",
        ),
    }


@pytest.mark.parametrize("name", NAMES)
def test_operators_keep_torchs_rules(name: str) -> None:
    operator = getattr(torch.ops.spikefuse, name).default
    torch.library.opcheck(operator, cases()[name], test_utils=UTILITIES)
