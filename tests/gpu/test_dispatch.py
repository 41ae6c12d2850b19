"""Events or dense: by the share of active inputs, a table per device, and no table at all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from spikefuse.errors import ConfigError
from spikefuse.kernels import compact
from spikefuse.kernels.gpu import dispatch, launch
from spikefuse.kernels.gpu.ops import products

from .rungs import shared_emulator

HOST = torch.device("cpu")


@pytest.fixture(autouse=True)
def table(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A user's table, not there yet."""
    monkeypatch.setenv("SPIKEFUSE_GPU_TABLE", str(tmp_path / "gpu.toml"))
    dispatch.forget()
    yield tmp_path / "gpu.toml"
    dispatch.forget()


def test_without_a_measurement_a_careful_estimate_decides() -> None:
    thresholds = dispatch.thresholds_of(HOST)
    assert thresholds.source == "paper estimate"
    cells = 10 * 4 * 1000
    most = int(thresholds.share["product"] * cells)
    assert not dispatch.dense_wins(most, [10, 4, 1000], 64, HOST)
    assert dispatch.dense_wins(most + 1, [10, 4, 1000], 64, HOST)


def test_an_unknown_number_of_events_is_dense() -> None:
    assert dispatch.dense_wins(None, [10, 4, 1000], 64, HOST)


def test_a_measured_table_goes_before_the_estimate(table: Path) -> None:
    table.write_text('[host]\nproduct = 0.25\nconv = 0.0\n["another GPU"]\nproduct = 0\nconv = 1\n')
    assert dispatch.thresholds_of(HOST).source == "measured"
    assert not dispatch.dense_wins(250, [1, 1, 1000], 8, HOST)
    assert dispatch.dense_wins(251, [1, 1, 1000], 8, HOST)
    assert dispatch.dense_wins(1, [1, 1, 1000], 8, HOST, "conv")


@pytest.mark.parametrize(
    "text",
    [
        "[host]\nproduct = 2.0\nconv = 0.1",
        "[host]\nproduct = 0.1",
        "host = 1",
        "[",
        "[host]\nproduct = true\nconv = 0",
    ],
)
def test_a_damaged_table_is_refused_by_name(table: Path, text: str) -> None:
    table.write_text(text)
    with pytest.raises(ConfigError, match=r"gpu\.toml"):
        dispatch.thresholds_of(HOST)


def test_products_take_events_below_the_threshold_and_a_dense_product_above(table: Path) -> None:
    table.write_text("[host]\nproduct = 0.1\nconv = 0.1\n")
    emulator = shared_emulator("in order")
    random = torch.Generator().manual_seed(0)
    weight = torch.randn(40, 24, generator=random)
    for density, launches in ((0.02, 1), (0.5, 0)):
        x = (torch.rand(4, 3, 40, generator=random) < density).float()
        batch = compact(x)
        events = (batch.indptr, batch.index, batch.value)
        before = emulator.n_launches.get("sf_gather_wide4_f32", 0)
        with launch.using(emulator):
            out = products.product(x, *events, weight, None, None, [4, 3, 40], True)
        assert emulator.n_launches.get("sf_gather_wide4_f32", 0) - before == launches
        torch.testing.assert_close(out, x @ weight)
