"""Latency by profile, energy up to each answer and exits, on a small untrained run."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from experiments.config import Config, CostConfig, DataConfig, EncoderConfig, ModelConfig
from experiments.evaluation.evaluate import describe_energy, evaluate, first_final
from experiments.evaluation.exit_front import describe_exit
from experiments.evaluation.latency import add_latency, describe_energy_by_time, describe_profile
from experiments.evaluation.timeline import Timeline, Traced, pooled, trace
from experiments.evaluation.waits import HOST, Setting, work_of
from experiments.loading.data import PairedData
from experiments.training.learners import Learner, build_learner
from sensors.clock import ClockPolicy
from sensors.recordings import Recording
from spikefuse.cost.latency import finish_ms

LOIHI, INT8 = "loihi1_davies2018", "horowitz_45nm_int8"
CONFIG = Config(
    data=DataConfig(duration_ms=50.0, dt_ms=5.0),
    model=ModelConfig(
        vision=EncoderConfig(hidden=12), audio=EncoderConfig(hidden=10), fusion_hidden=11
    ),
    cost=CostConfig(
        frame_vision_ms=10.0,
        frame_audio_ms=5.0,
        windows_ms=(10.0, 20.0),
        latency_repeats=3,
        deadlines_ms=(20.0, 100.0),
    ),
)
CASES = ("snn", "dense")


@pytest.fixture
def data(make_stream: Any) -> PairedData:
    sizes = {"vision": (8, 6, 2), "audio": (16, 1, 1)}
    splits = {
        split: {
            name: [
                Recording(make_stream(150, size, modality=name), i % 10, f"{i}", f"{i}")
                for i in range(20)
            ]
            for name, size in sizes.items()
        }
        for split in ("train", "validation", "test")
    }
    pairs = tuple((i, i) for i in range(20))
    return PairedData(
        splits,
        {"validation": pairs, "test": pairs},
        ClockPolicy(50.0),
        {"sha256": ""},
        False,
        False,
        (),
        (),
    )


def setting_of(
    name: str, data: PairedData, config: Config = CONFIG
) -> tuple[Setting, list[Traced], Learner]:
    learner = build_learner(name, config, data.sensor_sizes, 0)
    traced = [trace(learner, data, config)]
    return Setting(learner, pooled([t.test for t in traced]), config, 0.5), traced, learner


@pytest.mark.parametrize("name", CASES)
def test_the_answer_at_the_end_costs_what_the_whole_costs(name: str, data: PairedData) -> None:
    setting, _, learner = setting_of(name, data)
    whole = describe_energy(learner, evaluate(learner, data, CONFIG), CONFIG)
    found = describe_energy_by_time(setting)
    for profile in CONFIG.cost.profiles:
        for metric in ("dynamic_pj", "with_sensors_pj"):
            if whole[profile][metric] is None:
                assert found[profile][metric] is None
                assert found[profile]["reason"] == whole[profile]["reason"]
                continue
            last = found[profile][f"single_{metric}"][-1]
            assert last == pytest.approx(whole[profile][metric], rel=1e-9)
            assert (np.diff(found[profile][metric]) > 0).all()


def test_a_dense_model_pays_for_every_answer(data: PairedData) -> None:
    charges = setting_of("dense", data)[0].timeline.charges[INT8]
    assert charges.energy_pj is not None
    assert charges.single_pj is not None
    assert charges.energy_pj[0] == pytest.approx(charges.single_pj[0])
    assert (charges.energy_pj[1:] > charges.single_pj[1:]).all()


def test_answers_by_changes_cost_less_than_runs_on_every_window(data: PairedData) -> None:
    charges = setting_of("dense", data)[0].timeline.charges[INT8]
    assert charges.energy_pj is not None
    assert charges.delta_pj is not None
    assert (np.diff(charges.delta_pj, axis=0) > 0).all()
    assert (charges.delta_pj[-1] < charges.energy_pj[-1]).all()


def test_models_that_read_frame_after_frame_pay_for_new_frames(data: PairedData) -> None:
    config = replace(CONFIG, model=replace(CONFIG.model, dense_fusion="gru"))
    setting, _, learner = setting_of("dense", data, config)
    charges = setting.timeline.charges["horowitz_45nm_fp32"]
    assert charges.delta_pj is None
    assert charges.energy_pj is not None
    whole = describe_energy(learner, evaluate(learner, data, config), config)
    # The answer of every frame costs a readout; the frames are encoded once.
    spent = charges.energy_pj[-1].mean()
    assert 1.0 <= spent / whole["horowitz_45nm_fp32"]["dynamic_pj"] < 3.0


def test_encoders_behind_a_gate_are_said_to_have_no_steps(data: PairedData) -> None:
    config = replace(CONFIG, model=replace(CONFIG.model, fusion="energy_gate"))
    setting, traced, learner = setting_of("snn", data, config)
    model: dict[str, Any] = {"latency": {"compute_ms": 0.5}, "anytime": {}}
    add_latency(model, learner, traced, config)
    assert "must run once" in model["anytime"]["energy"][INT8]["reason"]
    assert model["latency"]["by_profile"][LOIHI]["p50_ms"] is None
    assert model["latency"]["by_profile"][HOST]["p50_ms"] is not None
    assert setting.timeline.charges[INT8].energy_pj is None


def test_seeds_stand_side_by_side(data: PairedData) -> None:
    traced = setting_of("snn", data)[1][0].test
    both = pooled([traced, traced])
    assert both.answers.shape == (10, 40)
    charges = both.charges[LOIHI]
    assert charges.energy_pj is not None
    assert charges.step_us is not None
    assert charges.energy_pj.shape == charges.step_us["value"].shape == (10, 40)


@pytest.mark.parametrize(("name", "profile"), [("snn", LOIHI), ("snn", HOST), ("dense", HOST)])
def test_the_parts_add_up_to_the_latency(name: str, profile: str, data: PairedData) -> None:
    setting, _, _ = setting_of(name, data)
    found = describe_profile(setting, profile, first_final(setting.timeline.answers))
    parts = found["components"]
    total = sum(parts[key] for key in ("window_ms", "preprocessing_ms", "decision_ms"))
    total += parts["sensing_ms"]["value"] + parts["compute_ms"]["value"]
    assert total == pytest.approx(found["mean_ms"])
    assert found["low"]["p50_ms"] <= found["p50_ms"] <= found["high"]["p50_ms"]
    assert found["deadlines"][0]["right_in_time"] <= found["deadlines"][0]["in_time"]
    assert found["free_running"]


def test_a_profile_without_times_says_so_and_keeps_the_rest(data: PairedData) -> None:
    setting, _, _ = setting_of("snn", data)
    index = first_final(setting.timeline.answers)
    found = describe_profile(setting, INT8, index)
    assert found["p50_ms"] is None
    assert "publishes no times" in found["reasons"]["compute"]
    assert found["without_compute"]["p50_ms"] >= np.median(setting.timeline.times_ms[index])
    dense = describe_profile(setting_of("dense", data)[0], LOIHI, index * 0)
    assert "event-driven layers only" in dense["reasons"]["compute"]


def test_layers_in_a_row_cost_a_step_each_on_one_clock(data: PairedData) -> None:
    setting, _, _ = setting_of("snn", data)
    work = work_of(setting, LOIHI)
    assert not isinstance(work, str)
    assert work.ticks == 2  # encoder, fused layer, readout
    last = np.full(20, 9)
    done = finish_ms(work.work_ms["value"], setting.timeline.times_ms)[-1]
    assert work.answered_ms(last, "value") == pytest.approx(done + 2 * 5.0)
    low = work.work_ms["low"].astype(float)
    done = finish_ms(low, setting.timeline.times_ms)[-1]
    assert work.answered_ms(last, "low") == pytest.approx(done + 2 * low[-1])


def test_the_later_onset_counts(data: PairedData) -> None:
    setting, _, _ = setting_of("snn", data)
    line = replace(setting.timeline, onset_ms=np.tile([0.0, 7.0], (20, 1)))
    index = np.full(20, 9)
    found = describe_profile(replace(setting, timeline=line), HOST, index)
    assert found["from_later_onset"]["p50_ms"] == pytest.approx(found["p50_ms"] - 7.0)
    early = describe_profile(replace(setting, timeline=line), HOST, index * 0)
    assert early["from_later_onset"]["share_before"] == 1.0
    silent = replace(setting.timeline, onset_ms=np.full((20, 2), np.nan))
    found = describe_profile(replace(setting, timeline=silent), HOST, index)
    assert "from_later_onset" not in found


@pytest.mark.parametrize("name", CASES)
def test_the_last_exit_is_the_answer_at_the_end(name: str, data: PairedData) -> None:
    setting, traced, _ = setting_of(name, data)
    found = describe_exit(setting, traced)
    assert found["mean_ms"][-1] == setting.timeline.times_ms[-1]
    last = setting.timeline.answers[-1] == setting.timeline.labels
    assert found["accuracy"][-1] == last.mean() == found["chosen"]["full_accuracy"]
    whole = describe_energy_by_time(setting)[INT8]["dynamic_pj"][-1]
    assert found["energy"][INT8]["dynamic_pj"][-1] == pytest.approx(whole)
    assert (np.diff(found["energy"][INT8]["dynamic_pj"]) >= 0).all()
    assert found["chosen"]["theta_by_seed"][0] in found["thetas"]


def test_the_threshold_is_chosen_on_validation(data: PairedData) -> None:
    setting, traced, _ = setting_of("snn", data)
    sure = np.zeros((10, 20, 10))
    labels = np.arange(20) % 10
    sure[:, np.arange(20), labels] = 9.0  # right and sure at once
    line = Timeline(setting.timeline.times_ms, labels, sure, traced[0].test.onset_ms, {})
    found = describe_exit(setting, [Traced(line, traced[0].test)])
    assert found["chosen"]["theta_by_seed"] == [0.1]
    assert found["validation"]["accuracy"][0] == 1.0


def test_a_model_gets_its_entries(data: PairedData) -> None:
    _, traced, learner = setting_of("snn", data)
    model: dict[str, Any] = {"latency": {"compute_ms": 0.5}, "anytime": {}}
    add_latency(model, learner, traced, CONFIG)
    assert list(model["latency"]["by_profile"]) == [*CONFIG.cost.profiles, HOST]
    assert len(model["anytime"]["energy"][LOIHI]["dynamic_pj"]) == 10
    assert len(model["exit"]["thetas"]) == len(model["exit"]["latency"][LOIHI])
