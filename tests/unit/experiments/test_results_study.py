"""The results study: every family from data to tables, on a few samples."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from experiments.config import AugmentConfig, load_config
from experiments.loading.data import load_data
from experiments.studies.results import words
from experiments.studies.results.cells import Budget, Cells, as_plain, config_of_seed, from_plain
from experiments.studies.results.data import Rows, Sensed, varied
from experiments.studies.results.differences import FEW, Difference, differences
from experiments.studies.results.families import PARTS, TRIALS, build, families
from experiments.studies.results.pricing import (
    Result,
    default_profiles,
    gathered,
    priced,
    ratio_to_snn,
)
from experiments.studies.results.tables import StudyTables
from experiments.studies.results.training import batches, fit
from experiments.training.learners import build_learner
from spikefuse.baselines import event_frames
from spikefuse.opcounts import OpCounts, PathCounts
from spikefuse.pages import placed

SOME = ("snn", "dense_concat", "dense_gru", "twin", "camera_gated")


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Cells:
    small = ["data.digits.n_train=40", "data.digits.n_validation=20", "data.digits.n_test=20"]
    config = load_config("demo", small)
    folder = tmp_path_factory.mktemp("results")
    sensed = Sensed(load_data(config.data, cache_dir=folder / "cache"), config, folder)
    spec = build_learner("snn", config, sensed.data.sensor_sizes, 0).model.spec
    made = Cells(folder / "embedded", spec, lambda _: sensed, Budget(1, 1), n_trials=1)
    made.folder.mkdir()
    for name in SOME:
        made.tested(families()[name], 0)
    made.sized(families()["snn"], 0.5, 0)
    made.samples(0)
    return made


def test_every_family_has_a_part_and_as_many_parameters_as_its_spiking_rival(cells: Cells) -> None:
    sensed = cells.load(0)
    sizes = {
        name: build(family, sensed, cells.spec, TRIALS[0], 1.0, 0).n_parameters
        for name, family in families().items()
    }
    assert {family.part for family in families().values()} == set(PARTS)
    for name, family in families().items():
        alone = "" if len(family.modalities) > 1 else f"_{family.modalities[0]}"
        assert sizes[name] == pytest.approx(sizes[f"snn{alone}"], rel=0.05)


def test_frames_are_those_of_the_events_and_true_frames_those_of_the_recording(
    cells: Cells,
) -> None:
    sensed = cells.load(0)
    pairs = np.array(sensed.data.fixed_pairs["test"][:3])
    rows = Rows("test", pairs, np.zeros_like(pairs))
    streams = [sensed.data.splits["test"]["vision"][i].stream for i in pairs[:, 0]]
    read = sensed.frames({"vision": 50.0})(rows)["vision"]
    torch.testing.assert_close(read, event_frames(streams, 50.0, 400.0))
    assert sensed.pictures(("vision",))(rows)["vision"].shape == (3, 1, 34, 34)
    sums = sensed.sums(("audio",))(rows)["audio"]
    assert float(sums.max()) <= sensed.n_steps
    again = Sensed(sensed.data, sensed.config, sensed.kept)
    torch.testing.assert_close(
        again.pictures(("audio",))(rows)["audio"], sensed.pictures(("audio",))(rows)["audio"]
    )


def test_spectrograms_are_standardised_on_the_training_part(cells: Cells) -> None:
    sensed = cells.load(0)
    n = len(sensed.data.splits["train"]["audio"])
    pairs = np.repeat(np.arange(n)[:, None], 2, axis=1)
    found = sensed._pictures["train"]["audio"]
    assert found.shape[0] == len(pairs)
    np.testing.assert_allclose(found.mean((0, 2)), 0.0, atol=1e-4)
    np.testing.assert_allclose(found.std((0, 2)), 1.0, atol=1e-3)


def test_augmentation_moves_a_picture_and_a_spectrogram() -> None:
    picture = np.zeros((9, 9), np.float32)
    picture[4, 4] = 1.0
    settings = AugmentConfig(shift_px=2, time_stretch=0.0, channel_shift=0)
    moved = [varied(picture, "vision", settings, np.random.default_rng(i)) for i in range(20)]
    assert all(m.sum() == 1.0 for m in moved)
    assert len({tuple(np.argwhere(m)[0]) for m in moved}) > 5
    same = varied(picture, "audio", settings, np.random.default_rng(0))
    np.testing.assert_array_equal(same, picture)


def test_training_repeats(cells: Cells) -> None:
    sensed = cells.load(0)

    def run() -> float:
        made = build(families()["twin"], sensed, cells.spec, TRIALS[0], 1.0, 0)
        fit(made.model, made.feed, sensed.data, sensed.config, TRIALS[0], 0, 1)
        return float(sum(p.detach().double().sum() for p in made.model.parameters()))

    assert run() == run()


def test_batches_hold_the_labels_of_their_pairs(cells: Cells) -> None:
    data = cells.load(0).data
    for rows, labels in batches(data, "test", data.fixed_pairs["test"], 8):
        for column, recordings in enumerate(data.splits["test"].values()):
            assert [recordings[i].label for i in rows.pairs[:, column]] == labels.tolist()


def test_a_stored_cell_is_not_made_again(cells: Cells) -> None:
    path = cells.folder / "twin-seed0.json"
    before = path.read_bytes()
    cells.tested(families()["twin"], 0)
    assert path.read_bytes() == before
    none = replace(cells, stored=True)
    assert none.tested(families()["dense_late"], 0) is None


def test_counts_come_back_from_a_file_as_they_were() -> None:
    paths = {"a": PathCounts(effective_acs=3, kind="dense", modality="audio", weight_words=7)}
    counts = OpCounts(paths, 5)
    assert from_plain(json.loads(json.dumps(as_plain(counts)))) == counts


def test_every_front_end_is_counted(cells: Cells) -> None:
    results = gathered(replace(cells, stored=True), [0])
    ends = {
        name: {p for p in result.counts(True).by_path if p.startswith("frontend")}
        for name, result in results.items()
    }
    assert ends["snn"] == {"frontend.audio.cochlea"}
    assert ends["camera_gated"] == {"frontend.audio.log_mel"}
    assert ends["twin"] == {
        "frontend.audio.cochlea",
        "frontend.audio.framing",
        "frontend.vision.framing",
    }


def test_tables_hold_every_family_under_every_profile_that_prices_it(cells: Cells) -> None:
    results = gathered(replace(cells, stored=True), [0])
    tables = StudyTables(results, cells.load(0).config).by_mark("embedded")
    page = (Path(__file__).parents[3] / "docs" / "results.md").read_text()
    page = placed(page, tables)
    for name in SOME:
        assert page.count(f"| `{name}` |") >= 5
    for profile in default_profiles():
        assert f"**{profile}**" in page
    assert "loihi1_davies2018 prices event-driven layers only" in page
    assert "**not equivalent**" in page


def test_ratios_price_the_same_counts_as_energies(cells: Cells) -> None:
    results, config = gathered(replace(cells, stored=True), [0]), cells.load(0).config
    found = ratio_to_snn(results, "dense_concat", "horowitz_45nm_int8", config, "none")
    assert found is not None
    snn, dense = (
        priced(results[name], "horowitz_45nm_int8", config, "none")
        for name in ("snn", "dense_concat")
    )
    assert dense.dynamic_pj is not None
    assert snn.dynamic_pj is not None
    assert dense.with_sensors_pj is not None
    assert snn.with_sensors_pj is not None
    assert found.dynamic.nominal == pytest.approx(dense.dynamic_pj / snn.dynamic_pj)
    assert found.total.nominal == pytest.approx(dense.with_sensors_pj / snn.with_sensors_pj)
    assert ratio_to_snn(results, "dense_concat", "loihi1_nahuku", config, "none") is None


def test_a_model_differs_from_itself_by_nothing(cells: Cells) -> None:
    snn = gathered(replace(cells, stored=True), [0])["snn"]
    (found,) = differences({"snn": snn, "twin": snn}, 99).values()
    assert found == Difference(0.0, (0.0, 0.0), 1.0)
    assert differences({"twin": snn}) == {}


def _answers(name: str, wrong: range, n_speakers: int = 2) -> Result:
    """A family that is wrong on some of 40 pictures, whoever speaks and whatever the seed."""
    shown = [i // n_speakers for i in range(40 * n_speakers)]
    correct = "".join("0" if picture in wrong else "1" for picture in shown)
    clusters = ([str(i) for i in shown], [str(i % n_speakers) for i in range(len(shown))])
    runs = [{"seed": seed, "correct": correct} for seed in range(5)]
    return Result(families()[name], runs, {}, {}, [clusters] * 5)


def _compared(n_wrong: int, n_rivals: int) -> dict[str, Result]:
    """A spiking model, wrong on one picture; a rival on so many others; the rest as the first."""
    snn, rival, *rest = list(families())[: n_rivals + 1]
    assert snn == "snn"
    same = {name: _answers(name, range(1)) for name in (snn, *rest)}
    return {snn: same.pop(snn), rival: _answers(rival, range(1, 1 + n_wrong)), **same}


def _said(n_wrong: int, n_rivals: int) -> str:
    results = _compared(n_wrong, n_rivals)
    return words._accuracy(results["snn"], differences(results, 1999))


def test_a_difference_that_its_own_interval_shows_is_not_decided_among_many() -> None:
    alone, many, large = (
        differences(_compared(*case), 1999)["snn_vision"] for case in ((8, 1), (8, 17), (25, 17))
    )
    assert alone.gap == many.gap == pytest.approx(7 / 40)
    assert alone.interval == many.interval
    assert alone.decided
    assert many.decided_alone
    assert not many.decided
    assert many.p_value == pytest.approx(17 * alone.p_value)
    assert large.decided


def test_who_is_ahead_is_said_after_holm_with_the_number_of_comparisons() -> None:
    assert "It is ahead of `snn_vision` (+17.5)" in _said(8, 1)
    said = _said(8, 17)
    assert "17 comparisons" in said
    assert "ahead of" not in said
    assert "alone leaves out 0: `snn_vision` (+17.5). Not told apart: `snn_audio`" in said
    assert "It is ahead of `snn_vision` (+60.0)" in _said(25, 17)


def test_a_loss_is_said_as_one() -> None:
    results = _compared(25, 1)
    snn = replace(results["snn_vision"], family=families()["snn"])
    turned = {"snn": snn, "snn_vision": results["snn"]}
    assert "It **loses** to `snn_vision` (-60.0)" in words._accuracy(snn, differences(turned, 1999))


def test_few_speakers_and_seeds_are_warned_of() -> None:
    assert "**2 speakers and 5 seeds are few**" in _said(8, 1)
    assert "**5 seeds are few**" in words._accuracy(_answers("snn", range(1), FEW), {})


def test_a_seed_of_real_recordings_has_a_fold_and_a_speaker_of_its_own() -> None:
    config = load_config("nmnist_fsdd", ["data.root=x"])
    found = [config_of_seed(config, seed, ("a", "b")).data for seed in range(6)]
    assert [(d.fold, d.test_speaker) for d in found[:3]] == [(0, "a"), (1, "b"), (2, "a")]
    assert found[5].fold == 0
