"""A search: its file, what is proposed and told, and that nothing is lost when a process dies."""

import json
import multiprocessing
import os
from pathlib import Path

import pytest
import tiny_run

from experiments.sweeps import trial as trials
from experiments.sweeps.journal import JOURNAL, JournalLock
from experiments.sweeps.search import ATTEMPTS, Search, begin_search
from experiments.sweeps.space import Choice, Range, load_space, parse_space, settings_of
from spikefuse.errors import ConfigError, DataError

pytest.importorskip("optuna", reason="no Optuna: pip install 'spikefuse[sweep]'")

SPACE = {
    "search": {"model": "snn", "seed": 3},
    "space": {
        "model": {
            "fusion_hidden": {"low": 4, "high": 64, "log": True},
            "fusion": ["concat", "late"],
        },
        "train.learning_rate": {"low": 1e-3, "high": 1e-1, "log": True},
    },
}


def begun(folder: Path, **search: object) -> Path:
    tables = {**SPACE, "search": SPACE["search"] | search}
    begin_search(folder, tiny_run.tiny(), parse_space(tables))
    return folder


def figures(accuracy: float, energy_pj: float | None, latency_ms: float) -> dict:
    return {"accuracy": accuracy, "energy_pj": energy_pj, "latency_ms": latency_ms, "reason": "why"}


def test_a_file_says_ranges_and_choices(tmp_path: Path) -> None:
    path = tmp_path / "space.toml"
    path.write_text(
        "[search]\nobjectives = ['accuracy', 'energy']\n"
        "[space]\nmodel.fusion_hidden = {low = 4, high = 64, log = true}\n"
        "'train.learning_rate' = {low = 0.001, high = 0.1}\n"
        "model.fusion = ['concat', 'late']\nmodel.vision.convs = [[], []]\n"
    )
    with pytest.raises(ConfigError, match="convs must list distinct"):
        load_space(path)
    path.write_text(path.read_text().replace("[[], []]", "[[]]"))
    space = load_space(path)
    assert space.search.objectives == ("accuracy", "energy")
    assert space.axes == {
        "model.fusion_hidden": Range(4, 64, True),
        "model.fusion": Choice(('"concat"', '"late"')),
        "model.vision.convs": Choice(("[]",)),
        "train.learning_rate": Range(0.001, 0.1),
    }
    assert space.axes["model.fusion_hidden"].whole
    assert not space.axes["train.learning_rate"].whole
    values = {"model.fusion": '"late"', "train.learning_rate": 1e-05, "model.fusion_hidden": 7}
    config = tiny_run.tiny(*settings_of(values))
    assert (config.model.fusion, config.model.fusion_hidden) == ("late", 7)
    assert config.train.learning_rate == 1e-05


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({}, r"must hold tables \[space\]"),
        ({"space": {}}, "at least one key"),
        ({"space": {"a": {"low": 2, "high": 1}}}, "space.a must be a list"),
        ({"space": {"a": {"low": 0, "high": 1, "log": True}}}, "space.a must be a list"),
        ({"space": {"a": 3}}, "space.a must be a list"),
        ({"space": {"a": [1]}, "search": {"sampler": "magic"}}, "search.sampler is wrong"),
        ({"space": {"a": [1]}, "search": {"models": "snn"}}, "search.models is wrong"),
        ({"space": {"a": [1]}, "search": {"objectives": []}}, "search.objectives must be some"),
    ],
)
def test_a_wrong_file_is_refused(tables: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_space(tables)


def test_mistakes_are_found_before_anything_runs(tmp_path: Path) -> None:
    base = tiny_run.tiny()
    wrong_key = {"space": {"model": {"fusion_hiden": [1, 2]}}}
    wrong_end = {"space": {"data": {"digits": {"event_drop": {"low": 0.5, "high": 7.0}}}}}
    for i, (tables, message) in enumerate(
        [(wrong_key, "nearest valid key"), (wrong_end, "event_drop")]
    ):
        with pytest.raises(ConfigError, match=message):
            begin_search(tmp_path / str(i), base, parse_space(tables))
        assert not (tmp_path / str(i) / "search.json").exists()
    with pytest.raises(ConfigError, match="model must be one of"):
        begun(tmp_path / "a", model="snn_touch")
    begun(tmp_path / "b")
    begun(tmp_path / "b")  # the same again goes on
    with pytest.raises(ConfigError, match="of the same search"):
        begun(tmp_path / "b", seed=4)
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "mine.txt").write_text("x")
    with pytest.raises(ConfigError, match="new or empty folder"):
        begun(tmp_path / "c")


def test_points_are_proposed_until_there_are_enough_and_the_front_is_kept(tmp_path: Path) -> None:
    search = Search(begun(tmp_path / "s"), 4)
    told = [
        figures(0.9, 5.0, 100.0), figures(0.8, 6.0, 200.0), figures(0.7, 1.0, 300.0),
        figures(0.6, None, 1.0),
    ]  # fmt: skip
    tasks = []
    for outcome in told:
        task = search.ask()
        assert task is not None
        assert 4 <= task.values["model.fusion_hidden"] <= 64
        assert 1e-3 <= task.values["train.learning_rate"] <= 1e-1
        assert task.values["model.fusion"] in ('"concat"', '"late"')
        tasks.append(task)
        search.tell(task, outcome)
    assert search.ask() is None
    assert len({task.values["train.learning_rate"] for task in tasks}) == 4
    summary = json.loads((tmp_path / "s" / "sweep.json").read_text())
    assert summary == search.summary()
    states = [(p["state"], p.get("on_front")) for p in summary["points"]]
    assert states == [("done", True), ("done", False), ("done", True), ("failed", None)]
    assert summary["points"][3]["error"] == "there is no price: why"
    assert [p["run"] for p in summary["points"]] == [f"trial-000{i}" for i in range(4)]
    search.close()
    # A later call with more points goes on, and proposes others.
    more = Search(tmp_path / "s", 5)
    new = more.ask()
    assert new is not None
    assert new.name == "trial-0004"
    assert new.values not in [task.values for task in tasks]
    more.close()


def test_the_same_seed_proposes_the_same(tmp_path: Path) -> None:
    proposed = []
    for name in ("a", "b"):
        search = Search(begun(tmp_path / name, sampler="random"), 3)
        proposed.append([search.ask().values for _ in range(3)])
        search.close()
    assert proposed[0] == proposed[1]
    assert proposed[0][0] != proposed[0][1]


def ask_and_die(folder: str) -> None:
    search = Search(Path(folder), 2)
    search.ask()
    os._exit(9)


def test_what_a_dead_process_left_is_tried_again_in_its_folder(tmp_path: Path) -> None:
    folder = begun(tmp_path / "s")
    alive = Search(folder, 2)
    mine = alive.ask()
    assert mine is not None
    context = multiprocessing.get_context("fork")
    for _ in range(ATTEMPTS):
        process = context.Process(target=ask_and_die, args=(str(folder),))
        process.start()
        process.join(60)
        assert process.exitcode == 9
    # Mine was never taken: this process lives. The other has had its attempts.
    assert alive.ask() is None
    points = alive.summary()["points"]
    assert [(p["run"], p["state"], p["attempt"]) for p in points] == [
        (mine.name, "under way", 1),
        ("trial-0001", "failed", ATTEMPTS),
    ]
    assert points[1]["error"] == f"its process died {ATTEMPTS} times"
    alive.close()
    # Let go, mine is another's: the same values, the same folder.
    other = Search(folder, 2)
    again = other.ask()
    assert again is not None
    assert (again.name, again.values, again.attempt) == (mine.name, mine.values, 2)
    other.tell(again, figures(0.5, 1.0, 1.0))
    assert other.ask() is None
    other.close()


def test_half_a_line_of_a_killed_process_is_cut_off(tmp_path: Path) -> None:
    folder = begun(tmp_path / "s")
    search = Search(folder, 3)
    search.tell(search.ask(), figures(0.5, 1.0, 1.0))
    search.close()
    with (folder / JOURNAL).open("ab") as journal:
        journal.write(b'{"op_code": 4, "worker_id": "x", "tri')
    again = Search(folder, 3)
    assert again.ask().name == "trial-0001"
    again.close()
    assert all(map(json.loads, (folder / JOURNAL).read_text().splitlines()))
    lines = (folder / JOURNAL).read_text().splitlines(keepends=True)
    (folder / JOURNAL).write_text(lines[0] + "{no JSON\n" + "".join(lines[1:]))
    with pytest.raises(DataError, match="must be the journal of a search"):
        Search(folder, 3)
    empty = tmp_path / "empty.log"
    empty.touch()
    lock = JournalLock(empty)
    assert lock.acquire()
    lock.release()
    assert empty.read_bytes() == b""


def test_a_point_whose_training_fails_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = begun(tmp_path / "s")
    arguments = ("trial-0000", {"train.learning_rate": -1.0}, str(folder / "base.toml"), "snn", "")
    outcome = trials.run_point(str(folder), *arguments)
    assert "train.learning_rate" in outcome["error"]
