"""Worked examples of the literature, recomputed with our counts, profiles and equation."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from spikefuse.baselines import QNNTwin
from spikefuse.cost import count, energy
from spikefuse.cost.profile import load_profile
from spikefuse.encoders import EncoderSpec, ModalitySpec
from spikefuse.models import FusionSNN, ModelSpec
from spikefuse.neurons import LIFParams
from spikefuse.opcounts import OpCounts, PathCounts


def dynamic_pj(path: PathCounts, profile: str, n_samples: int = 1) -> float:
    estimate = energy(OpCounts({"a": path}, n_samples), profile)
    assert estimate.dynamic_pj is not None
    return estimate.dynamic_pj


def test_w1_drone_controller_as_published() -> None:
    """Van den Berghe et al.: one synaptic event per neuron, spike messages per synapse."""
    scale = 100  # 21 % of a neuron's spikes are whole only so
    path = PathCounts(
        neuron_updates_active=(256 + 128) * scale,
        effective_acs=round(0.21 * (256 + 128) * scale),
        spikes_routed=(256 * 18 + 128 * 256 + 4 * 128) * scale,
    )
    assert dynamic_pj(path, "loihi1_davies2018", scale) == pytest.approx(97_416.7, abs=0.05)


def test_w1b_drone_controller_with_events_per_synapse() -> None:
    scale = 100
    path = PathCounts(
        neuron_updates_active=(256 + 128) * scale,
        effective_acs=round(0.21 * (256 * 128 + 128 * 4) * scale),
    )
    found = dynamic_pj(path, "loihi1_davies2018", scale)
    assert found == pytest.approx(196_040, rel=1e-5)
    assert found / 97_416.7 == pytest.approx(2.0, abs=0.02)


def test_w2_compute_only_ratio_and_the_rate_applied_twice() -> None:
    """PMC10242054, table 3: operations times 4.6 and 0.9 pJ, memory left out."""
    dense = PathCounts(effective_macs=18_390_000, kind="dense")
    once = PathCounts(effective_acs=2_510_000)
    twice = PathCounts(effective_acs=round(2_510_000 * 0.1366))
    prices = [dynamic_pj(path, "horowitz_45nm_fp32") * 1e-12 for path in (dense, twice, once)]
    assert prices[0] == pytest.approx(845.94e-7, rel=1e-5)
    assert prices[1] == pytest.approx(3.086e-7, rel=1e-3)
    assert prices[2] == pytest.approx(22.59e-7, rel=1e-3)
    # The published 273.77 comes from a rounded denominator (3.09), unrounded it is 274.1.
    assert prices[0] / 3.09e-7 == pytest.approx(273.77, abs=0.01)
    assert prices[0] / prices[2] == pytest.approx(37.4, abs=0.06)


@pytest.mark.parametrize(("spikes", "expected_mj"), [(667, 1.449), (750, 1.599)])
def test_w3_nearest_neighbours_on_pohoiki_springs(spikes: int, expected_mj: float) -> None:
    """Frady et al. measured 1.33 mJ; nothing here is fitted."""
    path = PathCounts(effective_acs=spikes * 76_800, neuron_updates_idle=76_800 * 60)
    found_mj = dynamic_pj(path, "loihi1_davies2018") * 1e-9
    assert found_mj == pytest.approx(expected_mj, abs=0.001)
    assert 0.08 < found_mj / 1.33 - 1 < 0.21


@pytest.mark.parametrize(
    ("clock_mhz", "events_per_s", "expected_uw"), [(75, 37.5e6, 476.93), (1.3, 650e3, 35.09)]
)
def test_w4_power_of_odin(clock_mhz: float, events_per_s: float, expected_uw: float) -> None:
    """Frenkel et al. state 477 and 35 uW."""
    odin = load_profile("odin_affine")
    clock = replace(odin.constants["f_clock"], value=clock_mhz)
    chip = replace(odin, constants={**odin.constants, "f_clock": clock})
    counts = OpCounts({"a": PathCounts(effective_acs=int(events_per_s))}, 1)
    estimate = energy(counts, chip, wall_time_s=1.0)
    assert estimate.with_static_pj is not None
    assert estimate.with_static_pj * 1e-6 == pytest.approx(expected_uw, abs=0.01)


def test_w5_truenorth_is_affine_and_its_average_is_no_price() -> None:
    """Akopyan et al., figure 17: the line through the ends predicts what was held out."""
    synapses = 1_048_576 * 128
    naive = []
    for rate_hz, measured_mw in ((11.58, 68), (20.07, 71), (95.93, 94)):
        counts = OpCounts({"a": PathCounts(effective_acs=round(synapses * rate_hz))}, 1)
        estimate = energy(counts, "truenorth_affine", wall_time_s=1.0)
        assert estimate.with_static_pj is not None
        assert estimate.with_static_pj * 1e-9 == pytest.approx(measured_mw, rel=0.006)
        if rate_hz == 20.07:
            assert estimate.with_static_pj * 1e-9 == pytest.approx(70.62, abs=0.01)
        naive.append(26e-12 * synapses * rate_hz * 1e3 / measured_mw - 1)
    assert naive[0] == pytest.approx(-0.41, abs=0.01)
    assert naive[2] == pytest.approx(2.56, abs=0.01)


def test_w7_docstring_of_keras_spiking(tmp_path: Path) -> None:
    """784 inputs into 128 neurons on a processor, and on a chip of their own."""
    on_cpu = PathCounts(effective_macs=100_352 + 128, kind="dense")
    assert dynamic_pj(on_cpu, "cpu_degnan2015") * 1e-12 == pytest.approx(8.64e-4, rel=1e-3)
    row = 'unit = "pJ", source = "docstring", locator = "example", seen = "code", kind = "marginal"'
    chip = tmp_path / "chip.toml"
    chip.write_text(
        '[profile]\nname = "mine"\ntitle = "mine"\nprices = "event"\nbasis = "arithmetic"\n'
        f"[constants]\ne_synop = {{ value = 100.0, {row} }}\n"
        f"e_neuron_access = {{ value = 2000.0, {row} }}\n"
    )
    on_chip = PathCounts(effective_acs=100_352, neuron_updates_active=128)
    assert dynamic_pj(on_chip, str(chip)) * 1e-12 == pytest.approx(1.029e-5, rel=1e-3)


@pytest.mark.parametrize(
    ("n_steps", "published", "ours"),
    [(1, 0.996, 1.0), (3, 1.500, 1.5), (7, 2.338, 7 / 3), (15, 3.762, 3.75)],
)
def test_w8_dense_regime_of_yan(n_steps: int, published: float, ours: float) -> None:
    """Every neuron sends a bit a step, or once as many bits as tell its spike counts apart."""
    torch.manual_seed(0)
    lif = LIFParams(tau_mem_ms=math.inf, learn_tau=False)
    modality = ModalitySpec("vision", (6, 6, 1), EncoderSpec((), 12))
    spec = ModelSpec((modality,), 4, 10.0, "concat", 11, lif)
    model, twin = FusionSNN(spec).eval(), QNNTwin(spec, n_steps).eval()
    assert twin.equivalent
    spikes = {"vision": (torch.rand(n_steps, 3, 36) < 0.5).float()}
    stepped, whole = count(model, spikes), count(twin.with_weights_of(model), twin.sums(spikes))

    layers = [path for path in stepped.by_path.values() if path.weight_words]
    # What each layer reads: dense accumulates over the fan-out, a bit of each neuron and step.
    sizes = [(36, 12), (12, 11), (11, 4)]
    reads = [path.dense_macs // fan for path, (_, fan) in zip(layers, sizes, strict=True)]
    assert reads == [3 * n_steps * n_in for n_in, _ in sizes]
    moved = [
        PathCounts(state_reads=sum(reads), kind="dense"),
        PathCounts(state_reads=sum(p.state_reads for p in whole.by_path.values()), kind="dense"),
    ]
    yan = load_profile("yan2024_22nm")
    snn_pj, qnn_pj = (
        energy(OpCounts({"a": path}, 3), replace(yan, word_bits=width)).dynamic_pj
        for path, width in zip(moved, (1, twin.bits), strict=True)
    )
    assert snn_pj == pytest.approx(n_steps * sum(n_in for n_in, _ in sizes) * 0.25)
    assert snn_pj is not None
    assert qnn_pj is not None
    assert snn_pj / qnn_pj == pytest.approx(ours)
    assert snn_pj / qnn_pj == pytest.approx(published, rel=0.005)  # theirs has arithmetic in it


@pytest.mark.parametrize(
    ("n_in", "n_out", "gpu_nj", "cpu_nj"),
    [(64, 32, 614, 17_613), (32, 32, 307, 8_806), (32, 1, 9.6, 275)],
)
def test_w9_dense_layers_of_the_lmu_paper(n_in: int, n_out: int, gpu_nj: float, cpu_nj: float):
    """Table 3 of npj s44335-024-00002-4, published to two digits."""
    path = PathCounts(effective_macs=n_in * n_out, kind="dense")
    assert dynamic_pj(path, "gpu_degnan2015") * 1e-3 == pytest.approx(gpu_nj, rel=2e-3)
    assert dynamic_pj(path, "cpu_degnan2015") * 1e-3 == pytest.approx(cpu_nj, rel=2e-3)
