"""Latency: queues against a simulation, quantiles against draws, steps by hand."""

import numpy as np
import pytest
import torch

from spikefuse._types import FloatArray
from spikefuse.cost import count
from spikefuse.cost.chip import populations_of, step_time
from spikefuse.cost.energy import energy
from spikefuse.cost.latency import (
    backlog_ms,
    finish_ms,
    in_time,
    layer_ticks,
    quantile_with_phase,
    sliding_ms,
    step_times,
    stft_delay_ms,
    time_ms,
    tumbling_ms,
)
from spikefuse.cost.pricing import Reuse
from spikefuse.cost.profile import load_profile
from spikefuse.cost.step_counts import StepCounts, count_steps, steps_of_runs
from spikefuse.cost.step_energy import step_energy_pj
from spikefuse.encoders.spec import EncoderSpec, ModalitySpec
from spikefuse.errors import ProfileError
from spikefuse.models import FusionSNN, ModelSpec
from spikefuse.neurons import LIFParams
from spikefuse.opcounts import OpCounts, PathCounts
from spikefuse.spikes import SpikeBatch

LOIHI = load_profile("loihi1_davies2018")
T, B = 6, 4


def fused_model() -> tuple[FusionSNN, dict[str, SpikeBatch]]:
    torch.manual_seed(0)
    sizes = {"vision": (6, 6, 2), "audio": (8, 1, 1)}
    parts = tuple(ModalitySpec(n, s, EncoderSpec(hidden=12)) for n, s in sizes.items())
    model = FusionSNN(ModelSpec(parts, 4, 5.0, "concat", 11, LIFParams(), 20.0, {}))
    x = {
        n: SpikeBatch.from_dense((torch.rand(T, B, w * h * p) < 0.3).float())
        for n, (w, h, p) in sizes.items()
    }
    return model, x


def two_layers() -> StepCounts:
    """Two steps of one sample: 3 + 5 spikes in, 20 each; 10 neurons, then 2."""

    def column(*values: int) -> torch.Tensor:
        return torch.tensor(values)[:, None]

    neurons = {
        "neuron_updates_active": column(4, 10),
        "neuron_updates_idle": column(6, 0),
        "spikes_fired": column(1, 2),
        "state_reads": column(10, 10),
        "state_writes": column(10, 10),
    }
    readout = {
        "neuron_updates_active": column(0, 2),
        "neuron_updates_idle": column(2, 0),
        "state_reads": column(2, 2),
        "state_writes": column(2, 2),
    }
    return StepCounts(
        {
            "a.synapse": {"effective_acs": column(60, 100), "spikes_routed": column(3, 5)},
            "a.neurons": neurons,
            "b.synapse": {"effective_acs": column(2, 4), "spikes_routed": column(1, 2)},
            "b.neurons": readout,
        },
        {
            "a.synapse": PathCounts(weight_words=80),
            "a.neurons": PathCounts(state_words=10),
            "b.synapse": PathCounts(weight_words=20),
            "b.neurons": PathCounts(state_words=2),
        },
        (2, 1),
    )


def test_the_time_of_each_step_by_hand() -> None:
    found = step_times(two_layers(), LOIHI)
    soma = np.array([4 * 8.4 + 6 * 5.3, 10 * 8.4])
    messages = np.array([60 * 3.5 + 3 * 2.1, 100 * 3.5 + 5 * 2.1])
    assert found.by_bound["value"][:, 0] == pytest.approx((113 + soma + messages) * 1e-3)
    assert found.by_bound["low"][:, 0] == pytest.approx((113 + np.maximum(soma, messages)) * 1e-3)
    assert found.by_bound["high"][:, 0] == pytest.approx((465 + soma + messages) * 1e-3)
    assert found.busiest == "a.neurons"


def test_the_mean_step_of_a_layer_that_is_always_busiest_is_that_of_the_mean_counts() -> None:
    steps = two_layers()
    mean = step_time(steps.until(2), LOIHI, 2)
    assert step_times(steps, LOIHI).by_bound["value"].mean() == pytest.approx(mean.high_us)


def test_recurrent_synapses_load_their_own_neurons() -> None:
    counts = OpCounts(
        {
            "a": PathCounts(neuron_updates_idle=4, state_reads=4, state_words=4),
            "a.recurrent": PathCounts(effective_acs=8),
            "b": PathCounts(neuron_updates_idle=4, state_reads=4, state_words=4),
        },
        1,
    )
    assert [p.inputs for p in populations_of(counts)] == [("a.recurrent",), ()]


@pytest.mark.parametrize("load", [0.5, 0.95, 1.3])
def test_the_backlog_is_that_of_a_simulated_queue(load: float) -> None:
    rng = np.random.default_rng(0)
    closed: FloatArray = np.linspace(2.0, 400.0, 200)
    work = rng.exponential(load * 2.0, (200, 5))
    waited, done = backlog_ms(work, closed), finish_ms(work, closed)
    for sample in range(5):
        now = 0.0
        for n in range(200):
            begins = max(now, closed[n])
            now = begins + work[n, sample]
            assert waited[n, sample] == pytest.approx(begins - closed[n], abs=1e-9)
            assert done[n, sample] == pytest.approx(now)


def on_a_clock(dt_ms: float) -> FloatArray:
    return np.linspace(dt_ms, 10 * dt_ms, 10)


def test_equal_steps_have_a_backlog_in_closed_form() -> None:
    work, n = np.full((10, 1), 3.0), np.linspace(0.0, 9.0, 10)
    assert backlog_ms(work, on_a_clock(2.0))[:, 0] == pytest.approx(n)
    assert not backlog_ms(work, on_a_clock(3.0)).any()
    assert finish_ms(work, on_a_clock(5.0))[:, 0] == pytest.approx(5.0 * (n + 1) + 3.0)
    assert finish_ms(work[:3], np.array([10.0, 11.0, 50.0]))[:, 0] == pytest.approx([13, 16, 53])


def test_layers_of_modalities_are_side_by_side() -> None:
    neurons = PathCounts(neuron_updates_idle=1, state_reads=1, state_words=1)
    paths = {
        "v1": PathCounts(**{**neurons.__dict__, "modality": "vision"}),
        "v2": PathCounts(**{**neurons.__dict__, "modality": "vision"}),
        "a1": PathCounts(**{**neurons.__dict__, "modality": "audio"}),
        "fused": neurons,
        "readout": neurons,
    }
    assert layer_ticks(OpCounts(paths, 1)) == 3
    assert layer_ticks(OpCounts({"readout": neurons}, 1)) == 0


def test_quantiles_with_a_uniform_phase_agree_with_draws() -> None:
    rng = np.random.default_rng(0)
    values = rng.choice([10.0, 40.0, 45.0, 100.0], 50)
    drawn = (values[:, None] + rng.uniform(0, 30, (50, 20_000))).ravel()
    for q in (0.05, 0.5, 0.95):
        assert quantile_with_phase(values, 30.0, q) == pytest.approx(np.quantile(drawn, q), abs=0.2)


def test_quantiles_with_a_phase_in_closed_form() -> None:
    assert quantile_with_phase(np.array([10.0]), 20.0, 0.95) == pytest.approx(29.0)
    assert quantile_with_phase(np.array([10.0, 10.0]), 20.0, 0.5) == pytest.approx(20.0)
    assert quantile_with_phase(np.array([1.0, 2.0, 3.0]), 0.0, 0.5) == 2.0
    with pytest.raises(ValueError, match="span must be finite"):
        quantile_with_phase(np.array([1.0]), -1.0, 0.5)


def test_waits_for_windows_and_spectrograms() -> None:
    assert tumbling_ms(100.0) == (150.0, 200.0)
    assert sliding_ms(100.0, 20.0) == (110.0, 120.0)
    assert stft_delay_ms(400, 16_000) == 25.0
    assert stft_delay_ms(400, 16_000, centred=True) == 12.5
    with pytest.raises(ValueError, match="n_fft and sample_rate must be at least 1"):
        stft_delay_ms(0, 16_000)


def test_times_of_a_profile_come_in_milliseconds() -> None:
    assert time_ms(LOIHI, "t_sync", "high") == pytest.approx(465e-6)
    with pytest.raises(ProfileError, match="t_latency"):
        time_ms(LOIHI, "t_latency")


def test_a_late_answer_is_not_right_in_time() -> None:
    found = in_time(np.array([10.0, 20.0, 30.0]), np.array([True, False, True]), [20.0, 5.0])
    assert found[0] == {"deadline_ms": 20.0, "in_time": 2 / 3, "right_in_time": 1 / 3}
    assert found[1]["in_time"] == 0.0


@pytest.mark.parametrize(
    "profile", ["loihi1_davies2018", "loihi1_nahuku", "horowitz_45nm_int8", "yan2024_22nm"]
)
def test_energies_of_steps_add_up_to_the_energy_of_the_whole(profile: str) -> None:
    model, x = fused_model()
    found, reason = step_energy_pj(count_steps(model, x), profile)
    assert found is not None
    assert reason is None
    whole = energy(count(model, x), profile).dynamic_pj
    assert float(found.sum(0).mean()) == pytest.approx(whole, rel=1e-12)
    assert bool((found > 0).all())
    first = {n: SpikeBatch.from_dense(e.to_dense()[:2]) for n, e in x.items()}
    assert float(found[:2].sum(0).mean()) == pytest.approx(
        energy(count(model, first), profile).dynamic_pj, rel=1e-12
    )


def test_a_profile_without_a_price_says_why() -> None:
    steps = two_layers()
    assert step_energy_pj(steps, "jetson_orin_nano_bound")[0] is None
    assert "event-driven" in str(step_energy_pj(steps, "jetson_orin_nano_bound")[1])
    dense = StepCounts({"x": {}}, {"x": PathCounts(kind="dense")}, (1, 1))
    assert "event-driven layers only" in str(step_energy_pj(dense, LOIHI)[1])


@pytest.mark.parametrize("reuse", ["ideal", "none"])
def test_weights_of_a_dense_layer_are_paid_once_a_sample_or_at_every_step(reuse: Reuse) -> None:
    memory = PathCounts(weight_words=100, kind="dense")
    reads = torch.full((3, 2), 80)
    steps = StepCounts({"x": {"weight_reads": reads}}, {"x": memory}, (3, 2))
    found, _ = step_energy_pj(steps, "horowitz_45nm_fp32", reuse=reuse)
    assert found is not None
    words = found / found[0, 0] * 80
    assert words[:, 0].tolist() == pytest.approx([80, 20, 0] if reuse == "ideal" else [80, 80, 80])
    whole = energy(steps.until(3), "horowitz_45nm_fp32", reuse=reuse).dynamic_pj
    assert float(found.sum(0).mean()) == pytest.approx(whole, rel=1e-12)


def test_steps_of_single_runs_are_those_that_the_layers_tell() -> None:
    model, x = fused_model()
    dense = {n: e.to_dense() for n, e in x.items()}
    runs = [
        [
            count(model, {n: SpikeBatch.from_dense(d[:t, b : b + 1]) for n, d in dense.items()})
            for t in range(1, T + 1)
        ]
        for b in range(B)
    ]
    found, told = steps_of_runs(runs), count_steps(model, x)
    assert found.memories == told.memories
    assert found.shape == told.shape
    for name, table in told.by_path.items():
        assert set(found.by_path[name]) == set(table)
        assert all(torch.equal(found.by_path[name][f], values) for f, values in table.items())
    assert found.until(T).by_path == count(model, x).by_path


def test_runs_that_are_no_steps_of_one_another_are_refused() -> None:
    one = OpCounts({"x": PathCounts(effective_acs=3)}, 1)
    less = OpCounts({"x": PathCounts(effective_acs=1)}, 1)
    with pytest.raises(ValueError, match="must not fall"):
        steps_of_runs([[one, less]])
    with pytest.raises(ValueError, match="of one length"):
        steps_of_runs([[one], [one, one]])
    with pytest.raises(ValueError, match="of one sample each"):
        steps_of_runs([[OpCounts(one.by_path, 2)]])
