"""Several runs under stress as one, their summary, and the study that writes it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from experiments.stress.conditions import FAMILIES
from experiments.stress.pooled import pooled
from experiments.stress.rows import means_of, right
from experiments.stress.run import Stressed
from experiments.stress.suite import Suite, describe
from experiments.studies import stress_summary as study
from spikefuse.errors import ConfigError
from tests.stress_made import donors_of, made_by_hand, small_config, small_samples


@pytest.fixture
def hand_made(make_stream) -> Stressed:
    return made_by_hand(donors_of(small_samples(make_stream)))


def test_pooled_runs_are_their_samples_one_after_the_other(hand_made) -> None:
    twice = pooled([hand_made, hand_made])
    assert len(twice.labels) == 24
    one, two = (means_of(tested, 0)["snn"] for tested in (hand_made, twice))
    assert one.value == pytest.approx(two.value)
    # Groups that are in both runs are resampled together: twice the samples tell no more.
    keys = [right("noise/vision/drop/0.95")]
    widths = [np.diff(m.figure(lambda a: a[..., 0], keys)["interval"])[0] for m in (one, two)]
    assert widths[1] == pytest.approx(widths[0], abs=0.1)


def test_runs_that_were_asked_otherwise_are_not_pooled(hand_made) -> None:
    fewer = replace(hand_made, responses={"snn": hand_made.responses["snn"]})
    with pytest.raises(ConfigError, match=r"same models, got \['snn', 'snn_vision'"):
        pooled([hand_made, fewer])
    with pytest.raises(ConfigError, match=r"other conditions"):
        pooled([hand_made, replace(hand_made, conditions={})])


def test_the_summary_has_a_row_for_every_measure_and_says_what_costs_most(hand_made) -> None:
    from analysis.stress_summary import stress_summary
    from analysis.stress_tables import figure_text

    found = describe(hand_made, small_config(), FAMILIES, 3, 0)
    table = stress_summary(found, {"snn": "`concat`"})
    assert table.header == ("", "`concat`")
    rows = {row[0]: row[1] for row in table.rows}
    assert len(rows) == len(table.rows)
    absent = found["measures"]["snn"]["missing"]["vision"]
    assert rows["without vision: retention"] == figure_text(absent["retention"])
    assert rows["vision, drop: accuracy at 0.95"].startswith("0.500 [")
    assert rows["audio late: half-width (ms)"].startswith("at least 155")
    assert rows["effect of the content of vision"].startswith("+1.000")
    assert rows["evidence time p50, least .. most"].startswith("25 ms (`")
    assert "Jensen-Shannon, vision and audio (bits)" in rows


def test_a_cell_has_a_fold_a_speaker_and_a_seed_of_its_own() -> None:
    plan = study.PLANS["nmnist_fsdd"]
    cells = [study.configs_of(plan, cell)["concat"] for cell in range(plan.n_cells)]
    assert [c.seeds for c in cells] == [(i,) for i in range(plan.n_cells)]
    assert [c.data.fold for c in cells] == list(range(plan.n_cells))
    assert len({c.data.test_speaker for c in cells}) == plan.n_cells
    assert {"snn", "snn_late", "dense"} <= set(cells[0].models)


def test_the_study_pools_its_cells_and_writes_one_table(hand_made, tmp_path, monkeypatch) -> None:
    plan = study.Plan("demo", "late", n_cells=2)
    asked: list[list[tuple[str, str, str]]] = []
    names = {"snn": "concat"}

    def run_models(chosen, reporter, families, limit) -> Suite:
        asked.append([(c.run.parent.name, c.model, c.called) for c in chosen])
        tested = replace(
            hand_made,
            responses={names.get(m, m): r for m, r in hand_made.responses.items()},
            learners={names.get(m, m): r for m, r in hand_made.learners.items()},
        )
        return Suite(tested, small_config(), 3, {"of_test_pairs": 20, "synthetic_speech": True})

    monkeypatch.setattr(study, "run_models", run_models)
    for cell in range(2):
        (tmp_path / f"cell{cell}" / "concat").mkdir(parents=True)
        (tmp_path / f"cell{cell}" / "concat" / "result.json").write_text("{}")
    configs = [{"concat": small_config()} for _ in range(2)]

    class Quiet:
        def stage(self, text: str) -> None: ...

        def progress(self, done: int, total: int, text: str) -> None: ...

    found = study.stress_cells(plan, tmp_path, configs, 12, Quiet())
    assert asked[0][:2] == [("cell0", "snn", "concat"), ("cell0", "snn_late", "late")]
    assert [row[0] for row in asked[1]] == ["cell1"] * 5
    assert (found["n_pairs"], found["of_test_pairs"], found["cells"]) == (24, 40, 2)
    text = study.page_table(found, plan)
    assert text.startswith("24 of 40 test pairs; 2 runs of one seed")
    assert "|  | `concat` |" in text
    page = Path(tmp_path / "page.md")
    page.write_text("<!-- stress nmnist_fsdd -->\n<!-- /stress nmnist_fsdd -->\n")
    (tmp_path / "nmnist_fsdd").mkdir()
    (tmp_path / "stress.json").rename(tmp_path / "nmnist_fsdd" / "stress.json")
    words = ["--data", "nmnist_fsdd", "--runs", str(tmp_path), "--stored", "--document", str(page)]
    study.main(words)
    assert text in page.read_text()


def test_stored_tables_need_a_stored_suite(tmp_path, capsys) -> None:
    with pytest.raises(SystemExit):
        study.main(["--data", "s1", "--runs", str(tmp_path), "--stored"])
    assert "must hold s1/stress.json with --stored" in capsys.readouterr().err
