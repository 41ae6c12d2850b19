"""The study of operators: its plan, that it goes on, the pool's latency, its tables."""

import json
from pathlib import Path

import pytest

import experiments.studies.fusion as study
from analysis.noninferiority import Comparison
from analysis.operator_table import BOUND, REFERENCES, Row
from analysis.records import load_run
from experiments.config import load_config
from experiments.run import run_experiment
from spikefuse.fusion import OPERATORS


class Silent:
    """A reporter that says nothing."""

    def stage(self, text: str) -> None: ...

    def progress(self, done: int, total: int, text: str) -> None: ...


def test_a_cell_has_a_seed_a_fold_and_a_speaker_of_its_own() -> None:
    for cell in range(study.N_CELLS):
        plan = study.plan_cell(Path("data"), cell)
        assert list(plan) == [REFERENCES, *OPERATORS]
        for config in plan.values():
            assert config.seeds == (cell,)
            assert config.data.fold == cell
            assert config.data.test_speaker == study.SPEAKERS[cell % 4]
        assert plan["latent"].model.fusion == "latent"
        assert plan["latent"].models == ("snn",)
        assert set(plan[REFERENCES].models) == {"snn_vision", "snn_audio", "dense"}


def test_parts_share_the_runs_and_finished_ones_stay(tmp_path: Path, monkeypatch) -> None:
    made: list[Path] = []

    def pretend(config, folder: Path, reporter) -> None:
        made.append(folder)
        folder.mkdir(parents=True)
        (folder / "result.json").write_text("{}")

    monkeypatch.setattr(study, "run_experiment", pretend)
    monkeypatch.setattr(study, "pool_latency", lambda config, folder: {"p50_ms": 1.0})
    cells = range(study.N_CELLS)
    study.run_jobs(Path("data"), tmp_path, cells, 0, 2, Silent())
    assert len(made) == 30
    study.run_jobs(Path("data"), tmp_path, cells, 1, 2, Silent())
    assert len(set(made)) == len(made) == study.N_CELLS * (1 + len(OPERATORS))
    study.run_jobs(Path("data"), tmp_path, cells, 0, 1, Silent())
    assert len(made) == 60
    assert len(list(tmp_path.glob(f"*/{REFERENCES}/pool.json"))) == study.N_CELLS


def test_the_pool_decides_when_vision_does_if_audio_says_nothing(
    tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setenv("SPIKEFUSE_CACHE", str(tmp_path / "cache"))
    small = ["data.digits.n_train=40", "data.digits.n_validation=20", "data.digits.n_test=20"]
    tiny = ["model.vision.convs=[]", "model.vision.hidden=8", "model.audio.hidden=8"]
    fast = ["data.dt_ms=50.0", "train.epochs=1", "train.threads=1", "cost.latency_repeats=3"]
    config = load_config("demo", [*small, *tiny, *fast, "models=snn_vision,snn_audio"])
    folder = tmp_path / "run"
    run_experiment(config, folder, Silent())
    result = json.loads((folder / "result.json").read_text())
    result["models"]["snn_audio"]["calibration"]["temperature_by_seed"] = [1e7]
    (folder / "result.json").write_text(json.dumps(result))
    found = study.pool_latency(config, folder)
    vision, audio = (result["models"][f"snn_{m}"]["latency"] for m in ("vision", "audio"))
    assert found["evidence_ms"] == vision["evidence_ms"]
    step_ms = (vision["compute_ms"] + audio["compute_ms"]) / (config.data.duration_ms / 50)
    assert found["p50_ms"] == pytest.approx(vision["evidence_ms"] + step_ms)
    assert load_run(folder).scores is not None


def rows() -> list[Row]:
    """One operator and the bound."""
    comparison = Comparison(-0.012, (-0.031, 0.006), 0.21, "unresolved")
    return [
        Row(
            "latent",
            0.9444,
            (0.91, 0.98),
            (0.9, 0.9888),
            -0.012,
            (-0.031, 0.006),
            0.975,
            0.2,
            0.03,
            0.01,
            123456.7,
            {
                "horowitz_45nm_fp32": 1.5e6,
                "horowitz_45nm_int8": 5e5,
                "loihi1_davies2018": None,
            },
            41.2,
            5432,
            comparison,
        ),
        Row(BOUND, 0.96, (0.93, 0.98), (0.95, 0.97)),
    ]


def test_the_tables_hold_every_figure() -> None:
    text = study.tables(rows())
    lines = text.splitlines()
    assert lines[2] == (
        "| `latent` | 0.944 [0.910, 0.980] | 123,457 | 1.50 uJ / 500 nJ / no price | 41 | 5,432 |"
    )
    assert lines[3] == "| independence bound | 0.960 [0.930, 0.980] | - | - | - | - |"
    assert (
        "| `latent` | 0.900 0.989 | 0.975 | -1.2 [-3.1, +0.6] | 0.2100, unresolved "
        "| 0.200 | 0.030 | 0.010 |" in lines
    )
    assert lines[-1].startswith("2 cells. Chosen on validation: `latent` (accuracy 0.975 there)")
    assert "**unresolved** at a margin of 2 points (p = 0.2100 after Holm over 1" in lines[-1]
