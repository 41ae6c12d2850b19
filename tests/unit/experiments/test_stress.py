"""The stress suite: changed inputs, and measures of hand-made answers."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from experiments.config import Config
from experiments.evaluation.evaluate import count_batch
from experiments.loading.batches import Batch
from experiments.stress.conditions import (
    CLEAN,
    NOISES,
    all_dropped,
    drift,
    foreign,
    noise,
    noise_levels,
    offset,
)
from experiments.stress.plan import plan
from experiments.stress.rows import foreign_class, means_of, right, rows_of
from experiments.stress.run import Stressed, respond
from experiments.stress.suite import FAMILIES, describe
from experiments.stress.swaps import Donors, choose_donors, scrambled, swapped
from experiments.training.learners import build_learner
from spikefuse.errors import ConfigError
from spikefuse.events import EventStream, MultiStream
from tests.stress_made import SIZES, donors_of, made_by_hand, small_config, small_samples


@pytest.fixture
def samples(make_stream) -> list[MultiStream]:
    return small_samples(make_stream)


@pytest.fixture
def donors(samples) -> Donors:
    return donors_of(samples)


@pytest.fixture
def hand_made(donors) -> Stressed:
    return made_by_hand(donors)


def _same(a: MultiStream, b: MultiStream) -> bool:
    return all(np.array_equal(a[m].events, b[m].events) for m in SIZES)


def test_severity_zero_of_every_condition_is_the_clean_sample(samples, donors) -> None:
    names = tuple(SIZES)
    zero = [noise(m, k, 0.0) for m in SIZES for k in NOISES if noise_levels(k, SIZES[m])]
    zero += [all_dropped(names, 0.0), offset("audio", 0.0, names), drift("audio", 0.0)]
    assert len(zero) > 10
    for condition in zero:
        for i, sample in enumerate(samples):
            assert _same(condition.change(sample, i, 0), sample), condition.name


def test_every_other_condition_changes_what_it_says_and_nothing_else(samples, donors) -> None:
    conditions = plan(FAMILIES, SIZES, donors)
    assert [c.name for c in conditions].count(CLEAN) == 1
    assert len({c.name for c in conditions}) == len(conditions)
    for condition in conditions[1:]:
        changed = [condition.change(s, i, 0) for i, s in enumerate(samples)]
        for name in SIZES:
            moved = any(
                not np.array_equal(a[name].events, b[name].events)
                for a, b in zip(changed, samples, strict=True)
            )
            if name not in condition.touched:
                assert not moved, condition.name
            elif len(condition.touched) == 1:
                assert moved, condition.name
        for after in changed:
            for stream in after.streams.values():
                assert stream.duration_us <= 50_000 * 1.0001
                EventStream(stream.events, stream.sensor_size, stream.duration_us, stream.modality)


def test_changes_depend_on_seed_and_place_alone(samples) -> None:
    once, again = noise("vision", "drop", 0.5), noise("vision", "drop", 0.5)
    first = once.change(samples[3], 3, 7)
    assert _same(first, again.change(samples[3], 3, 7))
    assert not _same(first, once.change(samples[3], 3, 8))
    assert not _same(first, once.change(samples[3], 4, 7))
    # What a higher level keeps, a lower one kept as well: they share their draws.
    more = noise("vision", "drop", 0.75).change(samples[3], 3, 7)
    kept = {tuple(e) for e in first["vision"].events.tolist()}
    assert {tuple(e) for e in more["vision"].events.tolist()} <= kept


def test_donors_are_of_the_asked_class_another_recording_and_have_enough_events(rng) -> None:
    counts = rng.integers(50, 200, 60)
    labels, sources = np.arange(60) % 3, np.array([f"r{i // 2}" for i in range(60)])
    for same in (True, False):
        chosen = choose_donors(counts, labels, sources, same, rng)
        assert ((labels[chosen] == labels) == same).all()
        assert (sources[chosen] != sources).all()
        fits = (labels[:, None] == labels) == same
        fits &= sources[:, None] != sources
        possible = (fits & (counts >= counts[:, None])).any(1)
        assert (counts[chosen] >= counts)[possible].all()


def test_without_another_recording_a_sample_is_its_own_donor(rng) -> None:
    one = np.array([5]), np.array([0]), np.array(["a"])
    assert choose_donors(*one, True, rng).tolist() == [0]


def test_pairs_of_one_class_are_refused_where_another_class_is_asked_for(samples) -> None:
    of_two = donors_of(samples[:2])
    assert of_two.foreign_class("audio", 0).tolist() == [1, 0]
    with pytest.raises(ConfigError, match=r"two classes or more .* got 1 of class 0"):
        donors_of(samples[:1]).foreign_class("audio", 0)


def test_a_swap_keeps_the_number_of_events_and_takes_the_donors(make_stream, rng) -> None:
    own, donor = make_stream(40), make_stream(90)
    found = swapped(own, donor, rng)
    assert len(found) == 40
    assert {tuple(e) for e in found.events.tolist()} <= {tuple(e) for e in donor.events.tolist()}
    assert (np.diff(found.events["t"]) >= 0).all()
    assert len(swapped(donor, own, rng)) == 40
    random = scrambled(donor, rng)
    assert len(random) == 90
    EventStream(random.events, random.sensor_size, random.duration_us, "vision")


def test_a_foreign_modality_leaves_the_other(samples, donors) -> None:
    changed = foreign("audio", False, donors).change(samples[2], 2, 0)
    assert np.array_equal(changed["vision"].events, samples[2]["vision"].events)
    assert len(changed["audio"]) <= len(samples[2]["audio"])
    assert changed.label == samples[2].label


@pytest.mark.parametrize("model", ["snn", "dense"])
def test_a_response_is_what_the_evaluation_of_a_run_finds(samples, model: str) -> None:
    config = small_config()
    learner = build_learner(model, config, SIZES, 0, 3)
    learner.model.eval()
    found = respond([learner], samples, config, None)
    with torch.no_grad():
        scores = learner.anytime_scores(samples, learner.anytime_ms(config.cost.windows_ms))
    assert np.array_equal(found.answers[0], scores.argmax(2).numpy())
    logs = torch.log_softmax(scores[-1].double(), 1).numpy()
    np.testing.assert_allclose(found.log_probs[0], logs, atol=1e-12)
    batch = Batch(samples, torch.tensor([s.label for s in samples]))
    assert found.counts.by_path == count_batch(learner, batch, config, None).by_path
    assert found.times_ms[-1] == 50.0


def test_measures_of_hand_made_answers(hand_made) -> None:
    found = describe(hand_made, small_config(), FAMILIES, 3, 0)["measures"]["snn"]
    absent = found["missing"]
    assert absent["vision"]["accuracy"]["value"] == pytest.approx(1 / 3)
    assert absent["vision"]["retention"]["value"] == pytest.approx(1 / 3)
    assert absent["vision"]["no_harm"]["reference"] == "snn_audio"
    assert absent["vision"]["no_harm"]["value"] == pytest.approx(1 / 3 - 1 / 2)
    assert absent["audio"]["no_harm"]["value"] == pytest.approx(1 / 2)
    used = found["imbalance"]
    assert used["utilisation"]["vision"]["value"] == pytest.approx(2 / 3)
    assert used["utilisation"]["audio"]["value"] == 0
    assert used["difference"]["value"] == pytest.approx(2 / 3)
    # 1 but for the last level, 1/2, by trapezoids over 0, 0.25, 0.5, 0.75, 0.95.
    curve = found["noise"]["vision"]["drop"]
    assert curve["area"]["value"] == pytest.approx((0.75 + 0.2 * 0.75) / 0.95)
    assert curve["relative_area"]["value"] == curve["area"]["value"]
    # From 100 ms, 1, to 200 ms, 1/2: 0.95 at 110 ms; on the left side nothing falls.
    late = found["misalignment"]["audio"]
    assert late["half_width_ms"]["value"] == pytest.approx((110 + 200) / 2)
    assert late["half_width_ms"]["censored"]
    assert late["asymmetry_ms"]["value"] == pytest.approx((110 - 200) / 2)
    said = found["consistency"]
    assert said["agreement"]["vision and all"]["value"] == 1
    assert said["agreement"]["vision and audio"]["value"] == pytest.approx(1 / 3)
    assert said["jensen_shannon_bits"]["vision and all"]["value"] == pytest.approx(0)
    won = said["incongruent"]["swap/vision/other"]
    assert won["answers_foreign"]["value"] == 1
    assert won["answers_rest"]["value"] == 0
    assert won["foreign_share"]["value"] == 1
    assert said["incongruent"]["swap/audio/other"]["foreign_share"]["value"] == 0
    cause = found["intervention"]
    assert cause["vision"]["effect_of_content"]["value"] == 1
    assert cause["vision"]["follows_donor"]["value"] == 1
    assert cause["audio"]["effect_of_content"]["value"] == 0
    curve = found["anytime"][CLEAN]
    assert [f["value"] for f in curve["accuracy"]] == pytest.approx([1 / 3, 1.0])
    assert curve["accuracy"][1]["interval"] == pytest.approx([1.0, 1.0])
    assert curve["mean_accuracy"]["value"] == pytest.approx(2 / 3)
    assert curve["ms_to_95_percent"] == {"value": 50.0, "interval": [50.0, 50.0]}


def test_gain_of_hand_made_answers_is_in_d_prime(hand_made) -> None:
    from analysis.stress_measures import d_prime_of

    found = describe(hand_made, small_config(), ["gain"], 3, 0)["measures"]["snn"]["gain"]
    whole, half = d_prime_of(np.array([1.0, 0.5]), 3, 12)
    assert found["trained"]["gain"][0]["value"] == pytest.approx(whole - half)
    assert found["trained"]["over_independent"][0]["value"] == pytest.approx(
        whole - np.sqrt(2) * half
    )
    assert found["trained"]["slope"]["value"] is None  # no level differs from another
    assert found["own"]["gain"][0]["value"] == pytest.approx(0.0)


def test_a_model_untouched_is_not_listed_and_other_models_share_draws(hand_made) -> None:
    found = describe(hand_made, small_config(), ["missing", "noise"], 3, 0)
    touched = found["conditions"]["noise/vision/drop/0.5"]["models"]
    assert list(touched) == ["snn", "snn_vision"]
    assert set(found["measures"]["snn_vision"]) == {"noise"}
    means = means_of(hand_made, 0)
    first = means["snn_vision"].draws[right(CLEAN)]
    assert np.array_equal(first, means["snn_audio"].draws[right(CLEAN)])


def test_same_seed_same_numbers(hand_made) -> None:
    first, again = (describe(hand_made, small_config(), FAMILIES, 3, 0) for _ in range(2))
    assert first == again
    rows = rows_of(hand_made, "snn")
    assert rows[foreign_class("swap/vision/other")].tolist() == [[1.0] * 12]


def test_tables_and_figures_hold_what_was_measured(hand_made, tmp_path) -> None:
    from analysis.figures.stress import draw_stress
    from analysis.stress_tables import figure_text, markdown_tables, stress_tables

    found = describe(hand_made, small_config(), FAMILIES, 3, 0)
    tables = {table.title: table for table in stress_tables(found)}
    assert len(tables) == 9
    costs = [row[1] for row in tables["What inputs other than noisy ones cost"].rows]
    assert {"clean", "missing/audio", "offset/audio/-200", "offset/audio/200"} <= set(costs)
    assert {"drift/audio/200000", "gain/drop/0.85", "swap/vision/same"} <= set(costs)
    assert not {"offset/audio/100", "gain/drop/0.85/only_audio", "gain/drop/0.3"} & set(costs)
    for table in tables.values():
        assert all(len(row) == len(table.header) for row in table.rows)
    missing = tables["A missing modality"].rows[0]
    assert missing[:2] == ("SNN fusion", "vision")
    assert missing[2] == figure_text(found["measures"]["snn"]["missing"]["vision"]["accuracy"])
    assert missing[2].startswith("0.333 [")
    late = tables["Misalignment"].rows[0]
    assert late[2].startswith("at least 155")
    text = markdown_tables(found)
    assert "Incongruent pairs" in text
    assert all(note in text for note in found["notes"])
    written = draw_stress(found, tmp_path)
    assert [path.name for path in written if path.suffix == ".png"] == [
        "stress_noise.png",
        "stress_offset.png",
        "stress_gain.png",
    ]
    lines = (tmp_path / "stress_offset.csv").read_text().splitlines()
    assert lines[0] == "panel,curve,x,value,low,high"
    assert lines[1].startswith("audio late by (ms),SNN fusion,-200.0,1.0")


def test_families_that_were_left_out_leave_no_rows(hand_made, tmp_path) -> None:
    from analysis.figures.stress import draw_stress
    from analysis.stress_tables import stress_tables

    found = describe(hand_made, small_config(), ["intervention"], 3, 0)
    assert [t.title for t in stress_tables(found)] == [
        "Interventions: content exchanged, number of events kept",
        "What inputs other than noisy ones cost",
    ]
    assert draw_stress(found, tmp_path) == []


def test_weakened_pairs_are_noted_where_there_are_some(hand_made) -> None:
    def notes(stressed: Stressed, *families: str) -> str:
        return " ".join(describe(stressed, small_config(), families, 3, 0)["notes"])

    assert "weakened" in notes(hand_made, "missing", "consistency")
    assert "weakened" not in notes(hand_made, "missing", "intervention")
    one = "snn_vision"
    responses, learners = ({one: x[one]} for x in (hand_made.responses, hand_made.learners))
    alone = replace(hand_made, responses=responses, learners=learners)
    assert "weakened" not in notes(alone, *FAMILIES)


def test_wrong_names_are_refused_before_anything_runs(tmp_path) -> None:
    from experiments.config import to_toml
    from experiments.stress.suite import run_stress

    with pytest.raises(ConfigError, match="RUN must be a run directory"):
        run_stress(tmp_path, None)
    (tmp_path / "config.toml").write_text(to_toml(Config()))
    with pytest.raises(ConfigError, match=r"--only must be of missing, .*, got 'mising'"):
        run_stress(tmp_path, None, only=["mising"])
    with pytest.raises(ConfigError, match="--limit must be at least 1, got 0"):
        run_stress(tmp_path, None, limit=0)
    with pytest.raises(ConfigError, match=r"--models must be of \[.*\], got 'cnn'"):
        run_stress(tmp_path, None, models=["cnn"])
