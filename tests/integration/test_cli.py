"""The command line end to end on small recordings in the real layouts."""

import base64
import gzip
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from command_line import spikefuse

from experiments.config import load_config
from sensors.digits import DigitsParams, build_vision
from sensors.speech import random_voice, synthesise

TINY = [
    "--config",
    "nmnist_fsdd",
    "--set",
    "train.epochs=3",
    "--set",
    "train.dense_epochs=3",
    "--set",
    "model.vision.convs=[]",
    "--set",
    "model.vision.hidden=12",
    "--set",
    "model.audio.hidden=12",
    "--set",
    "model.audio.convs=[]",
    "--set",
    "model.audio.delays_ms=[0.0,50.0]",
    "--set",
    "model.fusion_hidden=12",
    "--set",
    "data.dt_ms=50.0",
    "--set",
    "cost.latency_repeats=3",
    "--set",
    "train.threads=1",
]


def write_recordings(root: Path, seed: int, speakers: list[str]) -> Path:
    """N-MNIST files from the pixel model and wav files from the synthesiser."""
    params = DigitsParams(seed=seed, n_train=100, n_validation=1, n_test=1, event_drop=0.5)
    for index, item in enumerate(build_vision(params)[:100]):
        folder = root / "NMNIST" / ("Test" if index % 10 == 0 else "Train") / str(item.label)
        folder.mkdir(parents=True, exist_ok=True)
        e = item.stream.events
        t = e["t"]
        rows = np.stack(
            [e["x"], e["y"], (e["p"].astype(np.int64) << 7) | (t >> 16), (t >> 8) & 255, t & 255],
            axis=1,
        )
        (folder / f"{index:05d}.bin").write_bytes(rows.astype(np.uint8).tobytes())
    rng = np.random.default_rng(seed)
    wavs = root / "FSDD" / "recordings"
    wavs.mkdir(parents=True)
    for speaker in speakers:
        voice = random_voice(speaker, rng)
        for digit in range(10):
            for take in range(2):
                wave = synthesise(digit, voice, rng)
                soundfile.write(wavs / f"{digit}_{speaker}_{take}.wav", wave, 8000)
    return root


@pytest.fixture(scope="session")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_recordings(tmp_path_factory.mktemp("data"), 1, ["ann", "bob", "cid", "dot"])


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    os.environ["SPIKEFUSE_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def run(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    code = spikefuse("train", *TINY, "--set", f"data.root={recordings}", "--out", folder)
    assert code == 0
    return folder


def test_a_run_writes_every_field(run: Path) -> None:
    result = json.loads((run / "result.json").read_text())
    assert result["schema"] == 1
    assert set(result["models"]) == {"snn", "dense", "snn_vision", "snn_audio"}
    for name, model in result["models"].items():
        assert 0 <= model["accuracy"] <= 1
        assert len(model["accuracy_by_seed"]) == 1
        assert model["params"] > 0
        assert model["counts"]["by_path"]
        assert model["latency"]["p50_ms"] > 0
        assert model["latency"]["p95_ms"] >= model["latency"]["p50_ms"]
        for profile, estimate in model["energy"].items():
            if name == "dense" and profile.startswith("loihi"):
                assert estimate["dynamic_pj"] is None
                assert "dense" in estimate["reason"]
            else:
                total = sum(estimate["breakdown"]["by_path"].values())
                assert estimate["dynamic_pj"] == pytest.approx(total)
                assert estimate["with_sensors_pj"] > estimate["dynamic_pj"] > 0
    dense, snn = (
        result["models"][m]["energy"]["horowitz_45nm_int8"]["dynamic_pj"] for m in ("dense", "snn")
    )
    assert result["ratios"]["dynamic_pj"]["horowitz_45nm_int8"] == pytest.approx(dense / snn)
    assert result["ratios"]["dynamic_pj"]["loihi1_davies2018"] is None
    manifest = json.loads((run / "manifest.json").read_text())
    assert manifest["sha256"] == result["data"]["manifest_sha256"]
    assert manifest["groups"]["train"]["audio"] == 2
    assert manifest["groups"]["test"]["audio"] == 1
    lines = (run / "metrics.jsonl").read_text().splitlines()
    assert len(lines) == 4 * 3
    assert load_config(str(run / "config.toml")).train.epochs == 3


def test_figures_and_report_exist_and_load_nothing(run: Path) -> None:
    html = (run / "report.html").read_text()
    assert len(html) < 1_000_000
    assert "http://" not in html.replace("http://www.w3.org", "")
    assert 'src="http' not in html
    assert 'href="http' not in html
    held = html.split("data:application/gzip;base64,")[1].split('"')[0]
    assert json.loads(gzip.decompress(base64.b64decode(held))) == json.loads(
        (run / "result.json").read_text()
    )
    for name in ("raster", "energy", "anytime"):
        for suffix in ("png", "svg", "csv"):
            assert (run / "figures" / f"{name}.{suffix}").stat().st_size > 100
    tables = run / "tables"
    assert spikefuse("report", run, "--out", run / "again.html", "--tables", tables) == 0
    assert (run / "again.html").read_text() == html
    assert {"results.md", "results.tex", "neurobench.md"} <= {f.name for f in tables.iterdir()}


def test_compare_reads_runs_and_withholds_a_verdict(run: Path, tmp_path: Path, capsys) -> None:
    assert spikefuse("compare", run, "--json", tmp_path / "out.json") == 0
    comparison = json.loads((tmp_path / "out.json").read_text())
    assert "needs 5 seeds, this run has 1" in comparison["verdict"]
    assert {row["second"] for row in comparison["differences"]} == {
        "dense",
        "snn_vision",
        "snn_audio",
    }
    assert comparison["models"]["snn"]["accuracy"] >= 0
    assert "SNN fusion" in capsys.readouterr().out


def test_several_runs_are_pooled_over_their_samples(run: Path, tmp_path: Path) -> None:
    assert spikefuse("compare", run, run, "--json", tmp_path / "out.json") == 0
    both = json.loads((tmp_path / "out.json").read_text())
    one = both["runs"][0]["models"]["snn"]
    assert both["pooled"]["models"]["snn"]["accuracy"] == pytest.approx(one["accuracy"])
    assert both["pooled"]["models"]["snn"]["interval"] == pytest.approx(
        one["accuracy_interval"], abs=0.05
    )


def test_an_interrupt_saves_and_says_how_to_go_on(recordings: Path, tmp_path: Path) -> None:
    folder = tmp_path / "stopped"
    process = subprocess.Popen(
        [sys.executable, "-m", "experiments", "train", *TINY, "--set", f"data.root={recordings}",
         "--set", "train.epochs=500", "--out", str(folder)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        # A background job of a script starts with the signal ignored; a user's shell does not.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not list(folder.glob("checkpoints/*/epoch-*")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert f"spikefuse train --resume {folder}" in said
    assert "Traceback" not in said


def test_a_silicon_cochlea_replaces_microphone_and_filter_bank(run: Path) -> None:
    from dataclasses import replace

    from experiments.evaluation.evaluate import sensor_names

    config = load_config(str(run / "config.toml"))
    digital = sensor_names(("vision", "audio"), config.cost)
    silicon = sensor_names(("audio",), replace(config.cost, audio_frontend="silicon"))
    assert digital == {"vision": "dvs128", "audio": "mems_mic_mp34dt05"}
    assert silicon == {"audio": "das1_cochlea_ams"}
    paths = json.loads((run / "result.json").read_text())["models"]["snn"]["counts"]["by_path"]
    assert (
        paths["frontend.audio.cochlea"]["effective_macs"] == 19 * 64 * config.data.duration_ms * 8
    )


def test_another_folder_can_be_the_test_set(recordings: Path, tmp_path: Path) -> None:
    other = write_recordings(tmp_path / "other", 2, ["eve", "flo"])
    code = spikefuse(
        "train", *TINY, "--set", f"data.root={recordings}", "--set", f"data.test_root={other}",
        "--set", "models=snn_late", "--set", "train.epochs=1", "--out", tmp_path / "run",
    )  # fmt: skip
    assert code == 0
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["groups"]["train"]["audio"] == 3
    assert manifest["groups"]["validation"]["audio"] == 1
    assert manifest["groups"]["test"] == {"vision": 100, "audio": 2}
    assert manifest["reuse"]["test"]["vision"]["recordings"] == 100


def test_testing_on_the_training_recordings_is_refused(
    recordings: Path, tmp_path: Path, capsys
) -> None:
    code = spikefuse(
        "train", *TINY, "--set", f"data.root={recordings}", "--set", f"data.test_root={recordings}",
        "--out", tmp_path / "run",
    )  # fmt: skip
    assert code == 1
    assert "must not be shared between" in capsys.readouterr().err


def checkpoint_bytes(run: Path) -> dict[str, bytes]:
    """Every weight file of a run by its path."""
    return {str(p.relative_to(run)): p.read_bytes() for p in sorted(run.rglob("*.safetensors"))}


def test_resume_after_a_kill_gives_the_same_weights(run: Path, recordings: Path, tmp_path: Path):
    folder = tmp_path / "killed"
    process = subprocess.Popen(
        [sys.executable, "-m", "experiments", "train", *TINY, "--set", f"data.root={recordings}",
         "--out", str(folder)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not list(folder.glob("checkpoints/*/epoch-*")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert list(folder.glob("checkpoints/*/epoch-*")), "it was killed before its first epoch"
    assert not (folder / "result.json").exists()
    assert spikefuse("train", "--resume", folder) == 0
    assert checkpoint_bytes(folder) == checkpoint_bytes(run)
    old, new = (json.loads((f / "result.json").read_text()) for f in (run, folder))
    for name in old["models"]:
        assert old["models"][name]["accuracy"] == new["models"][name]["accuracy"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["train", "--config", "nope"], 2, "--config must be"),
        (["train", "--set", "train.epoch=1"], 2, "nearest valid key: 'train.epochs'"),
        (["train", "--config", "nmnist_fsdd"], 2, "data.root must be set"),
        (["train", "--config", "nmnist_fsdd", "--set", "data.root=missing"], 1, "must be a folder"),
        (["compare", "missing"], 2, "must be a finished run"),
        (["report", "missing"], 2, "must be a finished run"),
        (["evaluate", "missing"], 2, "must be a run directory"),
        (["train", "--resume", "missing"], 2, "must be a run directory"),
        (["train", "--resume", "a", "--out", "b"], 2, "--resume must stand without"),
        (["profiles", "loihi"], 2, "nearest: 'loihi1_nahuku'"),
        (["nonsense"], 2, "nonsense"),
    ],
)
def test_mistakes_are_one_line_and_an_exit_code(
    arguments, code, message, capsys, tmp_path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert spikefuse(*arguments) == code
    error = capsys.readouterr().err
    assert message in " ".join(error.split())
    assert "Traceback" not in error
    assert not list(tmp_path.rglob("result.json"))


def test_an_occupied_folder_is_left_alone(recordings: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    code = spikefuse("train", *TINY, "--set", f"data.root={recordings}", "--out", tmp_path)
    assert code == 2
    assert "--out must be a new or empty folder" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]


def test_profiles_and_doctor(tmp_path: Path, capsys) -> None:
    assert spikefuse("profiles", "--json", tmp_path / "p.json") == 0
    assert {p["name"] for p in json.loads((tmp_path / "p.json").read_text())} >= {"dvs128"}
    assert spikefuse("profiles", "loihi1_davies2018") == 0
    printed = capsys.readouterr().out
    assert "23.6 pJ" in printed
    assert "Davies" in printed
    assert spikefuse("doctor", "--json", tmp_path / "d.json") == 0
    assert json.loads((tmp_path / "d.json").read_text())["packages"]["torch"]
