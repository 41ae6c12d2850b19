"""Convolution with its neurons: bit for bit the convolution, the scan and the conversion."""

import pytest
import torch
from torch import Tensor

from spikefuse.kernels import registry
from spikefuse.kernels.conv import event_conv2d
from spikefuse.kernels.fused_conv import fused_conv_lif, fused_conv_lif_ref
from spikefuse.kernels.neurons import lif_scan_ref
from spikefuse.spikes import SpikeBatch

# (T, B), in_shape, channels, kernel, stride, padding: few and many channels, maps below 8 cells.
CASES = [
    ((5, 3), (2, 9, 11), 8, (3, 3), (2, 2), (1, 1)),
    ((4, 2), (1, 6, 5), 5, (3, 2), (1, 1), (0, 0)),
    ((1, 1), (1, 1, 1), 1, (1, 1), (1, 1), (0, 0)),
    ((6, 2), (3, 12, 12), 16, (5, 5), (3, 2), (2, 1)),
    ((3, 2), (2, 3, 3), 20, (3, 3), (1, 1), (0, 0)),
]


def given(case: tuple, density: float = 0.2, counts: bool = False) -> dict:
    rows, in_shape, channels, kernel, stride, padding = case
    generator = torch.Generator().manual_seed(3)
    n_in = in_shape[0] * in_shape[1] * in_shape[2]
    on = (torch.rand(*rows, n_in, generator=generator) < density).float()
    if counts:
        on *= torch.randint(1, 4, on.shape, generator=generator)
    weight = torch.randn(channels, in_shape[0], *kernel, generator=generator)
    down, across = (
        (in_shape[1 + i] + 2 * padding[i] - kernel[i]) // stride[i] + 1 for i in range(2)
    )
    beta, threshold = torch.rand(2, channels * down * across, generator=generator)
    return {
        "spikes": SpikeBatch.from_dense(on),
        "weight": weight,
        "in_shape": in_shape,
        "stride": stride,
        "padding": padding,
        "beta": beta,
        "threshold": threshold + 0.2,
    }


@pytest.mark.parametrize("reset", ["zero", "subtract"])
@pytest.mark.parametrize("counts", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_equals_the_separate_operations_bit_for_bit(case: tuple, counts: bool, reset: str) -> None:
    made = given(case, counts=counts)
    v0 = torch.randn(case[0][1], len(made["beta"]))
    kept = v0.clone()
    out, v = fused_conv_lif(**made, reset=reset, v0=v0, backend="numba")
    current = event_conv2d(
        made["spikes"], made["weight"], made["in_shape"], made["stride"], made["padding"],
        backend="numba",
    )  # fmt: skip
    spikes, v_expected = lif_scan_ref(current, made["beta"], made["threshold"], reset=reset, v0=v0)
    assert torch.equal(out.to_dense(), spikes)
    assert torch.equal(v, v_expected)
    assert torch.equal(v0, kept)
    SpikeBatch(out.indptr, out.index, None, out.shape)  # every check passes


def test_silent_steps_between_events_only_decay() -> None:
    dense = torch.zeros(4, 1, 9)
    dense[0, 0, 4] = 1.0
    out, v = fused_conv_lif(
        SpikeBatch.from_dense(dense), torch.full((1, 1, 3, 3), 0.5), (1, 3, 3), 0.5, 1.0,
        padding=(1, 1), backend="numba",
    )  # fmt: skip
    assert out.n_events == 0
    assert v.flatten().tolist() == [0.5**4] * 9


@pytest.mark.parametrize("backend", ["numba", "reference"])
def test_one_event_fires_where_its_tap_is_large(backend: str) -> None:
    dense = torch.zeros(1, 1, 9)
    dense[0, 0, 4] = 1.0
    weight = torch.zeros(1, 1, 3, 3)
    weight[0, 0, 0, 2] = 2.0  # position (i, j) hears (i - 1, j + 1): so (2, 0) hears the centre
    out, _ = fused_conv_lif(
        SpikeBatch.from_dense(dense), weight, (1, 3, 3), 0.5, 1.0, padding=(1, 1), backend=backend
    )
    assert out.index.tolist() == [6]


@pytest.mark.parametrize("rows", [(0, 2), (3, 0)])
def test_nothing_in_nothing_out(rows: tuple[int, int]) -> None:
    made = given((rows, *CASES[0][1:]))
    out, v = fused_conv_lif(**made, backend="numba")
    assert out.n_events == 0
    assert out.shape == (*rows, len(made["beta"]))
    assert v.shape == (rows[1], len(made["beta"]))
    assert v.abs().sum() == 0


def test_the_kernel_runs_by_default_and_full_inputs_go_dense(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names: list[str] = []
    real = registry.kernel
    monkeypatch.setattr(
        registry, "kernel", lambda op, b, name: (names.append(name), real(op, b, name))[1]
    )
    large = ((40, 8), (2, 34, 34), 16, (5, 5), (2, 2), (2, 2))
    fused_conv_lif(**given(large, 0.01))
    assert names == ["conv_lif", "count_spikes", "list_spikes"]
    names.clear()
    fused_conv_lif(**given(large, 1.0))
    assert "conv_lif" not in names
    assert "lif_forward" in names


def test_the_reference_agrees_to_rounding() -> None:
    made = given(CASES[0])
    v = fused_conv_lif(**made, backend="numba")[1]
    torch.testing.assert_close(v, fused_conv_lif_ref(**made)[1], atol=1e-5, rtol=1e-5)


def test_opcheck_and_compile() -> None:
    made = given(CASES[1])
    batch = made["spikes"]
    args = (
        batch.indptr, batch.index, None, made["weight"], made["beta"], made["threshold"], None,
        [4, 2], [1, 6, 5], [1, 1], [0, 0], False, "numba",
    )  # fmt: skip
    torch.library.opcheck(torch.ops.spikefuse.fused_conv_lif.default, args)

    def run(weight: Tensor) -> Tensor:
        return torch.ops.spikefuse.fused_conv_lif(*args[:3], weight, *args[4:])[1] * 2

    compiled = torch.compile(run, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(args[3]), run(args[3]))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"weight": torch.zeros(8, 1, 3, 3)}, "weight must be"),
        ({"v0": torch.zeros(3, 3)}, "v0 must be"),
        ({"beta": torch.zeros(3)}, "beta must be a number"),
        ({"reset": "none"}, "reset must be"),
        ({"weight": torch.zeros(8, 2, 3, 3, requires_grad=True)}, "must not ask for a gradient"),
    ],
)
def test_refusals(change: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        fused_conv_lif(**(given(CASES[0]) | change))
