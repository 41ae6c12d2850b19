"""The timing study: what it trains, chooses, keeps and writes."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import ttest_1samp

import experiments.studies.timing.study as timing_study
from experiments.studies.timing.nets import TRIALS
from experiments.studies.timing.report import WHY, not_done, seed_interval, tables
from experiments.studies.timing.study import Study, TimingProtocol, chosen_trial, main, train
from experiments.studies.timing.tasks import TimingTask
from spikefuse.fusion import OPERATORS
from spikefuse.pages import write_tables

QUICK = TimingProtocol(s1_steps=2, cue_steps=2, batch=8)


def _row(task: str, trial: int, seed: int, **changes: Any) -> dict[str, Any]:
    row = {
        "task": task,
        "operator": "concat",
        "trial": trial,
        "seed": seed,
        "protocol": asdict(QUICK),
        "options": TRIALS["concat"][trial],
        "validation": 0.8,
        "test": 0.8,
        "ideal": 0.9,
        "additive": 0.5,
        "fraction": 0.7,
        "accumulates": 10.0,
        "multiplications": 0.0,
        "updates": 20.0,
        "parameters": 5,
        "cpu_s": 1.0,
    }
    return row | changes


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> TimingTask:
    monkeypatch.setattr("experiments.studies.timing.tasks._N_VALIDATION", 20)
    monkeypatch.setattr("experiments.studies.timing.tasks._N_TEST", 30)
    return TimingTask("xor")


def test_a_run_repeats_itself(small: TimingTask) -> None:
    first, second = (train(QUICK, small, "cross_synapse", 0, seed=4) for _ in range(2))
    del first["cpu_s"], second["cpu_s"]
    assert first == second
    assert json.loads(json.dumps(first)) == first  # a line of the file is the row


def test_training_tells_cues_that_one_modality_tells(small: TimingTask) -> None:
    task = TimingTask("redundant")
    reached = train(TimingProtocol(cue_steps=40), task, "concat", 2, seed=0)
    assert reached["test"] >= 0.9


def test_trial_is_chosen_at_the_first_seed_by_validation_and_for_all_offsets_at_one() -> None:
    rows = [
        _row("s1_32", 0, 0, validation=0.7, test=0.9),
        _row("s1_32", 1, 0, validation=0.8, test=0.6),
        _row("s1_32", 2, 1, validation=0.9),
        _row("s1_64", 2, 0, validation=0.99),
    ]
    assert chosen_trial(rows, "concat", "s1_64") == 1


def test_first_of_equal_trials_is_chosen() -> None:
    assert chosen_trial([_row("s2", 1, 0), _row("s2", 0, 0)], "concat", "s2") == 0


def test_runs_in_the_file_are_not_repeated(
    small: TimingTask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[int, int]] = []

    def fake(p: TimingProtocol, task: TimingTask, operator: str, trial: int, seed: int) -> Any:
        calls.append((trial, seed))
        changes = {"protocol": asdict(p), "validation": 0.5 + 0.1 * trial}
        return _row(task.name, trial, seed, **changes)

    monkeypatch.setattr(timing_study, "train", fake)
    study = Study(tmp_path / "rows.jsonl", QUICK, n_seeds=3)
    study.complete(["xor"], ["concat"])
    assert calls == [(0, 0), (1, 0), (2, 0), (2, 1), (2, 2)]
    study.complete(["xor"], ["concat"])
    assert len(calls) == 5
    assert [(row["trial"], row["seed"]) for row in study.reported()] == [(2, 0), (2, 1), (2, 2)]
    # Another protocol starts afresh and leaves the lines alone.
    Study(study.path, TimingProtocol(s1_steps=3), n_seeds=1).complete(["xor"], ["concat"])
    assert len(study.path.read_text().splitlines()) == len(calls) == 8
    assert len(study.rows()) == 5


def test_interval_over_seeds_is_students() -> None:
    values = [0.8, 0.84, 0.9]
    low, high = ttest_1samp(values, 0.0).confidence_interval(0.95)
    assert seed_interval(values) == pytest.approx((high - low) / 2)


def test_marks_of_what_is_not_done_are_means_over_seeds() -> None:
    rows = [
        _row("s3", 0, 0, fraction=0.7),
        _row("s3", 0, 1, fraction=0.95),
        _row("xor", 0, 0, test=0.94),
        _row("s2", 0, 0, fraction=0.79),
    ]
    assert not_done(rows, "concat") == ["s2", "xor"]


def test_tables_hold_the_mean_and_its_interval_and_go_into_a_page(tmp_path: Path) -> None:
    found = tables([_row("s1_32", 0, seed, test=0.71 + 0.01 * seed) for seed in range(3)])
    assert "| `concat` | 0.720 ± 0.025 |" in found["timing accuracy"]
    page = tmp_path / "page.md"
    page.write_text("".join(f"<!-- {name} -->\n<!-- /{name} -->\n" for name in found))
    write_tables(page, found)
    assert all(table in page.read_text() for table in found.values())


def test_tables_of_runs_that_are_there_need_no_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(timing_study, "train", lambda *_: pytest.fail("trained"))
    path = tmp_path / "rows.jsonl"
    row = _row("s2", 0, 0, protocol=asdict(TimingProtocol()), test=0.8125)
    path.write_text(json.dumps(row) + "\n")
    main(["--json", str(path), "--tables-only"])
    assert "| `concat` | 0.812 |" in capsys.readouterr().out


def test_every_operator_has_its_reason() -> None:
    assert set(WHY) == set(OPERATORS)
