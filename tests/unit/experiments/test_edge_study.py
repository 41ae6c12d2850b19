"""The study of smaller models: its rows, its tables, its protocol."""

import json
from pathlib import Path

import pytest
from tiny_run import tiny

from experiments.loading.data import load_data
from experiments.studies.edge import Study, main, protocol_table, tables, wanted_rows
from spikefuse.errors import ConfigError

ENERGY = {"horowitz_45nm_fp32": 2e6, "horowitz_45nm_int8": 1e6, "loihi1_davies2018": None}


def test_a_pruned_row_has_fewer_weights_and_operations(tmp_path: Path) -> None:
    config = tiny("train.epochs=1", "train.dense_epochs=1", "train.aware_epochs=1")
    study = Study(tmp_path, config, load_data(config.data))
    whole = study.find({"seed": 0, "kind": "float"})
    key = {"seed": 0, "kind": "pruned, trained on", "order": "magnitude", "share": 0.5}
    pruned = study.find(key)
    assert pruned["weights"] < whole["weights"]
    assert pruned["acs"] < 0.75 * whole["acs"]
    at_four = study.find({"seed": 0, "kind": "aware", "bits": 4})
    assert at_four["energy_pj"]["horowitz_45nm_int8"] > 0
    key = {"seed": 0, "kind": "distilled, pruned, aware", "share": 0.5, "bits": 8}
    assert (
        study.find(key)["weights"] < 0.8 * study.find({"seed": 0, "kind": "distilled"})["weights"]
    )
    assert study.trained("snn", 0) is study.trained("snn", 0)  # none of them is changed


def test_tables_hold_every_kind_that_there_is() -> None:
    rows = [
        key | {"accuracy": 0.9, "acs": 5000.0, "macs": 0.0, "weights": 10, "energy_pj": ENERGY}
        for key in wanted_rows([0, 1])
    ]
    found = tables(rows)
    assert (
        "| 4 bits, trained so | 90.0 (90.0 to 90.0) | 5 | 0 | 10 | 2 | 1 | no price |"
        in (found["edge bits"])
    )
    assert found["edge pruning"].count("per operation") == 6
    assert "spiking, taught" in found["edge distillation"]


def run_of(folder: Path, aware: float, precision: str = "int8_aware") -> Path:
    """A finished run of one test's worth."""
    at = {"fp32": {"accuracy": 0.95}, "int8": {"accuracy": 0.94}, precision: {"accuracy": aware}}
    energy = {p: {"dynamic_pj": value} for p, value in ENERGY.items()}
    model = {"accuracy_by_precision": at, "energy": energy}
    keys = ("name", "seeds", "data", "comparison", "ratios", "environment")
    result = {key: {} for key in keys} | {"schema": 1, "models": {"snn": model, "dense": model}}
    folder.mkdir()
    (folder / "result.json").write_text(json.dumps(result))
    return folder


def test_five_runs_say_whether_eight_bits_are_within_a_point(tmp_path: Path) -> None:
    near = [run_of(tmp_path / f"near{i}", 0.949 + 0.001 * i) for i in range(5)]
    far = [run_of(tmp_path / f"far{i}", 0.93) for i in range(5)]
    assert "| SNN fusion | 95.00 | 94.00 | 95.10 | +0.10 [" in protocol_table(near)
    assert "| yes | 2 | 1 | no price |" in protocol_table(near)
    assert "| -2.00 [-2.00, -2.00] | no |" in protocol_table(far)
    assert "too few runs to say" in protocol_table(far[:1])


def test_folds_and_speakers_are_drawn_not_runs(tmp_path: Path) -> None:
    runs = []
    for fold in range(3):
        for speaker, aware in (("ann", 0.95), ("bob", 0.97)):
            run = run_of(tmp_path / f"{fold}{speaker}", aware)
            words = f'[data]\nfold = {fold}\ntest_speaker = "{speaker}"\n'
            (run / "config.toml").write_text(words)
            runs.append(run)
    # Two voices: a draw often holds one of them alone, whatever the number of runs.
    assert "+1.00 [+0.00, +2.00]" in protocol_table(runs)


def test_runs_without_a_model_at_eight_bits_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--protocol must be of runs with train\.aware_epochs"):
        protocol_table([run_of(tmp_path / "run", 0.9, "int4_aware")])
    with pytest.raises(SystemExit, match="--runs or --protocol must be given"):
        main([])
