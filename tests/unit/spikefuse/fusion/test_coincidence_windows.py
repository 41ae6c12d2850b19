"""Coincidence windows and the two operators with delays: pairs by hand, gradients, options."""

import copy
import math

import pytest
import torch

from spikefuse.fusion import build
from spikefuse.fusion.pairs import ordered_pairs
from spikefuse.fusion.windows import CoincidenceWindow
from spikefuse.kernels.compaction import compact
from spikefuse.kernels.fan import Fan
from spikefuse.synapses.cross import DELAY_UNIT_MS

SIZES = {"vision": 12, "audio": 8, "touch": 5}
WINDOWS = [
    (window, saturating)
    for window in ("gaussian", "box", "exponential")
    for saturating in (False, True)
]


def trains(n_steps: int, *sizes: int, density: float = 0.15, seed: int = 0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [(torch.rand(n_steps, 2, n, generator=generator) < density).float() for n in sizes]


def single(window: str, delay_ms: float, width_ms: float, **options) -> CoincidenceWindow:
    """One address of each, weights of one."""
    unit = CoincidenceWindow(1, 1, 1, 1.0, window=window, delay_max_ms=30.0, **options).eval()
    with torch.no_grad():
        unit.opening.fill_(1.0)
        unit.counting.fill_(1.0)
        unit.log_width.fill_(math.log(width_ms))
        if unit.delay is not None:
            unit.delay.fill_(delay_ms / DELAY_UNIT_MS)
    return unit


@pytest.mark.parametrize("same_step", [False, True])
@pytest.mark.parametrize(("delay", "width"), [(0, 3), (10, 4), (2, 5)])
def test_a_box_counts_pairs_by_hand(delay: int, width: int, same_step: bool) -> None:
    a, b = trains(80, 1, 1)
    with torch.no_grad():
        found, _ = single("box", delay, width, same_step=same_step)(a, b)
    for sample in range(2):
        times_a = a[:, sample, 0].nonzero().flatten().tolist()
        times_b = b[:, sample, 0].nonzero().flatten().tolist()
        lags = [tb - ta for tb in times_b for ta in times_a]
        expected = sum(abs(lag - delay) <= width and lag >= (0 if same_step else 1) for lag in lags)
        assert float(found[:, sample].sum()) == expected


@pytest.mark.parametrize("window", ["gaussian", "exponential"])
def test_a_pair_weighs_what_the_window_says(window: str) -> None:
    a, b = torch.zeros(40, 1, 1), torch.zeros(40, 1, 1)
    a[5], b[18] = 1, 1
    found = single(window, 10.0, 4.0)(a, b)[0].detach()
    exact = math.exp(-0.5 * (3 / 4) ** 2) if window == "gaussian" else math.exp(-13 / 4)
    assert float(found.sum()) == pytest.approx(exact, rel=1e-5)
    closed = single(window, 10.0, 4.0, saturating=True)(a, b)[0].detach()
    assert float(closed.sum()) == pytest.approx(1 - math.exp(-exact), rel=1e-5)


@pytest.mark.parametrize(("window", "saturating"), WINDOWS)
def test_chunks_and_inference_equal_the_whole(window: str, saturating: bool) -> None:
    torch.manual_seed(0)
    options = {"window": window, "saturating": saturating, "units": 4}
    operator = build("coincidence", SIZES, 10, dt_ms=2.0, **options).eval()
    spikes = dict(zip(SIZES, trains(30, *SIZES.values()), strict=True))
    with torch.no_grad():
        whole, _ = operator(spikes)
        state, parts = None, []
        for first, end in ((0, 1), (1, 20), (20, 30)):
            chunk = {k: compact(x[first:end]) for k, x in spikes.items()}
            out, state = operator.infer(chunk, state)
            parts.append(out.to_dense())
    assert torch.equal(torch.cat(parts), whole)


@pytest.mark.parametrize(("window", "saturating"), WINDOWS)
def test_gradients_reach_weights_delay_and_width(window: str, saturating: bool) -> None:
    torch.manual_seed(0)
    unit = CoincidenceWindow(3, 4, 5, 1.0, window=window, saturating=saturating, delay_max_ms=20.0)
    unit.set_anneal(0.5)
    a, b = trains(60, 3, 4)
    probe = torch.randn(60, 2, 5)
    grads = []
    for module, dtype in ((unit, torch.float32), (_doubled(unit), torch.float64)):
        found, _ = module(a.to(dtype), b.to(dtype))
        names, leaves = zip(*module.named_parameters(), strict=True)
        grads.append(torch.autograd.grad((found * probe.to(dtype)).sum(), leaves))
    for name, ours, exact in zip(names, *grads, strict=True):
        assert float(exact.abs().max()) > 0, name
        assert float((ours - exact).abs().max()) <= 1e-5 * float(exact.abs().max()), name


def _doubled(unit: CoincidenceWindow) -> CoincidenceWindow:
    return copy.deepcopy(unit).double()


def test_counts_by_hand() -> None:
    unit = single("box", 3.0, 2.0)  # lags 1 to 5
    a, b = torch.zeros(9, 2, 1), torch.zeros(9, 2, 1)
    a[2, 0], a[4, 1], b[5, 0] = 1, 1, 2
    paths = unit.count_paths((a, b), None, "shared")
    opening, counting = paths[".open"], paths[".count"]
    assert (opening.spikes_routed, opening.effective_acs, opening.state_writes) == (2, 10, 10)
    assert (counting.spikes_routed, counting.effective_acs) == (2, 2)
    assert (counting.effective_macs, counting.state_reads) == (1, 1)  # one row with events


@pytest.mark.parametrize("name", ["cross_synapse", "coincidence"])
def test_pairs_by_option_pay_for_themselves(name: str) -> None:
    operator = build(name, SIZES, 12, pairs=("vision>audio", "touch>audio"))
    spikes = dict(zip(SIZES, trains(20, *SIZES.values()), strict=True))
    paths = operator.count_operations(spikes).by_path
    crossing = {k: p.modality for k, p in paths.items() if ">" in k and not k.startswith("mix")}
    if name == "cross_synapse":
        assert crossing == {"cross.vision>audio": "vision", "cross.touch>audio": "touch"}
    else:
        assert crossing == {
            "windows.vision>audio.open": "vision",
            "windows.vision>audio.count": "audio",
            "windows.touch>audio.open": "touch",
            "windows.touch>audio.count": "audio",
        }
    assert set(operator.delays_ms()) == {"vision>audio", "touch>audio"}
    operator.set_anneal(0.25)
    with pytest.raises(ValueError, match=r"pairs must be different ones of \[.*got \['a>b'\]"):
        build(name, SIZES, 12, pairs=("a>b",))


def test_two_directions_count_a_pair_of_one_step_once() -> None:
    operator = build("coincidence", SIZES, 12)
    for a, b in ordered_pairs(list(SIZES)):
        both = [operator.windows[f"{x}>{y}"].same_step for x, y in ((a, b), (b, a))]
        assert sorted(both) == [False, True]


def test_one_modality_is_a_plain_layer() -> None:
    for name in ("cross_synapse", "coincidence"):
        operator = build(name, {"vision": 6}, 4)
        out, state = operator({"vision": trains(5, 6)[0]})
        assert out.shape == (5, 2, 4)
        assert set(state) == {"hidden"}


def test_refusals() -> None:
    with pytest.raises(ValueError, match="window must be gaussian, box or exponential, got 'x'"):
        CoincidenceWindow(1, 1, 1, 1.0, window="x")
    with pytest.raises(ValueError, match=r"width_ms must be two widths that rise .* at most 32\.0"):
        CoincidenceWindow(1, 1, 1, 1.0, width_ms=(8.0, 2.0))
    with pytest.raises(ValueError, match=r"edge_ms must be positive"):
        CoincidenceWindow(1, 1, 1, 0.0)
    with pytest.raises(ValueError, match="fan must join 2 addresses to 1 units"):
        CoincidenceWindow(2, 1, 1, 1.0, fan=Fan.one_to_one(2))
    with pytest.raises(ValueError, match="fan must be None with an exponential window"):
        CoincidenceWindow(2, 1, 2, 1.0, window="exponential", fan=Fan.one_to_one(2))
    with pytest.raises(ValueError, match="units must be at least 1, got 0"):
        build("coincidence", SIZES, 4, units=0)
    with pytest.raises(ValueError, match=r"density must lie in \(0, 1\], got 0"):
        build("cross_synapse", SIZES, 4, density=0)
    with pytest.raises(ValueError, match="n_out must be at least one for each of 3 modalities"):
        build("cross_synapse", SIZES, 2)
