"""Patched paths, exchanged modalities and discrete cues: what the study measures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_run import learner_of, tiny
from typer.testing import CliRunner

from analysis.decomposition import decompose, joint_table
from experiments.cli import app
from experiments.loading.batches import batches
from experiments.loading.data import PairedData, load_data
from experiments.studies.information.__main__ import main
from experiments.studies.information.paths import path_effects, watched
from experiments.studies.information.scenes import drawn
from experiments.studies.information.tables import tables
from experiments.studies.runs import mean_and_range
from experiments.studies.timing.tasks import TimingTask
from experiments.training.learners import Learner
from spikefuse.errors import ConfigError, DataError
from spikefuse.models import FusionSNN


@pytest.fixture(scope="module")
def data() -> PairedData:
    return load_data(tiny().data)


def _learner(data: PairedData, fusion: str, *more: str) -> Learner:
    learner = learner_of(tiny(f"model.fusion={fusion}", *more), data)
    learner.model.eval()
    return learner


def _model(learner: Learner) -> FusionSNN:
    assert isinstance(learner.model, FusionSNN)
    return learner.model


@pytest.mark.parametrize(
    ("fusion", "expected"),
    [
        ("concat", {"fusion_synapses.vision": "vision", "fusion_synapses.audio": "audio"}),
        (
            "cross_synapse",
            {
                "own.vision": "vision",
                "own.audio": "audio",
                "cross.vision>audio": "vision",
                "cross.audio>vision": "audio",
            },
        ),
    ],
)
def test_paths_are_the_synapses_that_hear_one_modality(
    data: PairedData, fusion: str, expected: dict[str, str]
) -> None:
    learner = _learner(data, fusion)
    (batch,) = batches(data, "test", data.fixed_pairs["test"][:4], 4)
    with torch.no_grad(), watched(_model(learner), {}) as found:
        learner.model(learner.events(batch.samples))
    assert found == expected


@torch.no_grad()
def test_all_paths_patched_are_the_other_sample(data: PairedData) -> None:
    learner = _learner(data, "cross_synapse")
    model = _model(learner)
    one, other = (
        next(batches(data, "test", [pair], 1)).samples for pair in data.fixed_pairs["test"][:2]
    )
    foreign = model(learner.events(other))
    with watched(model, {}) as paths:
        clean = model(learner.events(one))
    patches = {path: foreign.encoded[modality] for path, modality in paths.items()}
    with watched(model, patches):
        patched = model(learner.events(one))
    torch.testing.assert_close(patched.scores, foreign.scores, rtol=0, atol=0)
    assert not torch.equal(clean.scores, foreign.scores)
    # Hooks are gone afterwards.
    torch.testing.assert_close(model(learner.events(one)).scores, clean.scores, rtol=0, atol=0)


@torch.no_grad()
def test_a_path_without_weights_causes_nothing(data: PairedData) -> None:
    learner = _learner(data, "concat")
    path = _model(learner).fusion.get_submodule("fusion_synapses.audio")
    for weight in path.parameters():
        weight.zero_()
    found = path_effects(learner, data)["fusion_synapses.audio"]
    assert found == {"source": "audio", "same": 0, "other": 0, "follows": 0}


def test_models_without_paths_to_patch_are_refused(data: PairedData) -> None:
    with pytest.raises(ConfigError, match="of two modalities"):
        path_effects(learner_of(tiny(), data, "snn_vision"), data)
    with pytest.raises(ConfigError, match="paths that read one modality"):
        path_effects(_learner(data, "energy_gate", "model.fusion_options.window_ms=40"), data)


@pytest.mark.parametrize(("task", "part"), [("xor", "synergy"), ("redundant", "redundancy")])
def test_cues_of_the_discrete_scenes_hold_one_bit_of_one_kind(task: str, part: str) -> None:
    samples, cues = drawn(TimingTask(task), 5, 600)
    assert cues is not None
    law = joint_table(*cues, samples.labels.numpy())
    assert getattr(decompose(law), part) == pytest.approx(1, abs=0.02)


def test_onsets_are_no_discrete_cues() -> None:
    assert drawn(TimingTask("s1_16"), 5, 4)[1] is None


def test_tables_say_where_no_row_is() -> None:
    assert set(tables([]).values()) == {"No such row was found."}
    assert mean_and_range([1.0, 3.0]) == "2.0 [1.0, 3.0]"
    assert mean_and_range([0.25], 2) == "0.25"


def test_tables_hold_a_row_of_each_kind() -> None:
    bound = {"bits": 1.5, "interval": [1.2, 1.8], "entropy_bits": 2.0, "by_seed": [1.4, 1.6]}
    dependence = {
        "bits": 0.0,
        "interval": [-0.1, 0.1],
        "accuracy_lost": 0.5,
        "lost_interval": [0.4, 0.6],
        "cross_entropy_lost": 0.2,
    }
    parts = {"redundancy": 0.0, "unique_first": 0.0, "unique_second": 0.0, "synergy": 1.0}
    effect = {"own.vision": {"source": "vision", "same": 0.0, "other": 0.4, "follows": 0.3}}
    run = {"run": "r", "name": "demo", "fusion": "concat", "seeds": [0, 1], "paths": [effect] * 2}
    scene = {"scene": "xor", "net": "late", "seed": 0, "parts": parts}
    rows = [
        run | {"information": {"snn": bound}, "dependence": dependence},
        scene | {"information": bound, "dependence": dependence},
    ]
    found = tables(rows)
    # Over seeds it is a range, and must not be called an interval.
    assert "[95 %]" in found["information dependence"]
    assert "[95 %]" not in found["information scenes"]
    assert "1.50 [1.20, 1.80]" in found["information runs"]
    assert "+50.0 [+40.0, +60.0]" in found["information dependence"]
    assert "40.0 [40.0, 40.0]" in found["information paths"]
    assert "`late`" in found["information scenes"]
    assert found["information parts"].splitlines()[-1].endswith("| 1.00 |")
    assert np.all([text.startswith("|") for text in found.values()])


def test_command_writes_stored_rows_between_the_marks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page, rows = tmp_path / "page.md", tmp_path / "rows.jsonl"
    page.write_text("".join(f"<!-- {name} -->\n<!-- /{name} -->\n" for name in tables([])))
    of_run = {"run": "r", "name": "demo", "fusion": "concat", "seeds": [0], "information": {}}
    other = {"scene": "s1", "kind": "concat", "seed": 0}
    rows.write_text("".join(json.dumps(row) + "\n" for row in (other, of_run)))
    main(["--json", str(rows), "--stored", "--document", str(page)])
    assert "No such row was found." in capsys.readouterr().out
    assert page.read_text().count("No such row was found.") == len(tables([]))


@pytest.mark.parametrize("study", ["information", "resolution"])
def test_a_file_without_a_row_of_the_study_is_refused(tmp_path: Path, study: str) -> None:
    path = tmp_path / "rows.jsonl"
    command = ["study", study, "--stored", "--json", str(path)]
    for text in ("", '{"scene": "s1", "kind": "concat", "seed": 0}\n', '{"run": "r"}\n', "{bad"):
        path.write_text(text)
        ran = CliRunner().invoke(app, command)
        assert isinstance(ran.exception, DataError), text
        assert "must hold rows of" in str(ran.exception)
    path.write_text("{bad\n")
    assert "line 1 of" in str(CliRunner().invoke(app, command).exception)
