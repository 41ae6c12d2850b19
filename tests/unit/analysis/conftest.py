"""A small finished run, written as experiments write one."""

import copy
import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

CALIBRATION = ("nll", "brier", "ece", "ece_if_calibrated", "aurc")
FP32, LOIHI = "horowitz_45nm_fp32", "loihi1_davies2018"
NO_STATIC = f"{FP32} publishes no static power"
DENSE_ON_LOIHI = f"{LOIHI} prices event-driven layers only; 'encoders.vision.0' is dense"


def _estimate(profile: str, dense: bool, scale: float) -> dict[str, Any]:
    """One energy estimate: 60 % encoders, 30 % fusion, 10 % readout."""
    if profile == LOIHI and dense:
        nulls = dict.fromkeys(("dynamic_pj", "with_static_pj", "with_sensors_pj"))
        breakdown = {"by_path": {}, "by_action": {}, "by_modality": {}}
        return {
            "profile": profile,
            **nulls,
            "breakdown": {**breakdown, "static_pj": None, "sensors_pj": {}},
            "reason": DENSE_ON_LOIHI,
            "reasons": dict.fromkeys(nulls, DENSE_ON_LOIHI),
            "assumptions": [f"{profile}, modelled."],
        }
    static = None if profile == FP32 else 4e9
    return {
        "profile": profile,
        "dynamic_pj": scale,
        "with_static_pj": None if static is None else scale + static,
        "with_sensors_pj": scale + (static or 0.0) + 9e9,
        "breakdown": {
            "by_path": {
                "encoders.vision.synapses.0": 0.4 * scale,
                "encoders.audio.synapses.0": 0.2 * scale,
                "fusion.fusion_synapses.vision": 0.2 * scale,
                "fusion.fusion_synapses.audio": 0.1 * scale,
                "fusion.readout": 0.1 * scale,
            },
            "by_action": {
                "accumulate": 0.5 * scale,
                "weight_memory": 0.5 * scale,
                "spike_routing": 0.0,
            },
            "by_modality": {"vision": 0.6 * scale, "audio": 0.3 * scale, "shared": 0.1 * scale},
            "static_pj": static,
            "sensors_pj": {"dvs128": 9e9},
        },
        "reason": None,
        "reasons": {"with_static_pj": NO_STATIC} if static is None else {},
        "assumptions": [f"{profile}, modelled.", "Sensor dvs128 23 mW: Lichtsteiner 2008."],
        "duty": {
            "rates_hz": [0.1, 1.0],
            "always_on_mw": [23.1, 24.0],
            "gated_mw": None,
            "static_mw": None,
            "sensors_mw": 23.0,
        },
    }


def _model(name: str, accuracies: list[float], scale: float) -> dict[str, Any]:
    """One model's entry."""
    dense = name == "dense"
    times = [100.0, 200.0] if dense else [20.0, 40.0, 100.0, 200.0]
    mean = float(np.mean(accuracies))
    return {
        "kind": "dense" if dense else "spiking",
        "modalities": ["vision", "audio"],
        "accuracy": mean,
        "accuracy_by_seed": accuracies,
        "accuracy_interval": [mean - 0.05, mean + 0.04],
        "val_accuracy": 0.9,
        "params": 12345,
        "counts": {
            "total": {"effective_acs": 0.0 if dense else 4321.5, "effective_macs": 987654.0},
            "by_path": {},
        },
        "energy": {p: _estimate(p, dense, scale) for p in (FP32, LOIHI)},
        "latency": {
            "p50_ms": 100.7 if dense else 40.2,
            "p95_ms": 201.0,
            "evidence_ms": 100.0 if dense else 40.0,
            "compute_ms": 0.7,
            "compute_source": "measured on this host, batch 1, 1 thread(s), whole sample",
            "by_profile": {"host": _timed(times)},
        },
        "anytime": {"time_ms": times, "accuracy": list(np.linspace(0.3, mean, len(times)))},
        "exit": _exit(times, mean),
        "calibration": {
            "temperature": 1.5,
            "temperature_by_seed": [1.5] * len(accuracies),
            "before": dict(zip(CALIBRATION, (0.4, 0.2, 0.08, 0.03, 0.02), strict=True)),
            "after": dict(zip(CALIBRATION, (0.3, 0.1, 0.05, 0.025, 0.015), strict=True)),
        },
    }


def _timed(times: list[float]) -> dict[str, Any]:
    """Latency on this host."""
    ends = {"p50_ms": times[-2], "p95_ms": times[-1]}
    return {
        "components": {
            "sensing_ms": dict.fromkeys(("low", "value", "high"), 0.0),
            "window_ms": times[0],
            "preprocessing_ms": 0.0,
            "compute_ms": dict.fromkeys(("low", "value", "high"), 0.7),
            "decision_ms": times[-2] - times[0],
        },
        "mean_ms": times[-2],
        **ends,
        "low": ends,
        "high": ends,
        "backlog_ms": {"p50": 0.0, "p95": 0.0, "max": 0.0},
        "reasons": {},
        "cdf": {"share": [0.0, 0.5, 1.0], "ms": [times[0], times[-2], times[-1]]},
    }


def _exit(times: list[float], accuracy: float) -> dict[str, Any]:
    """Two thresholds, without energies."""
    return {
        "thetas": [0.5, 1.0],
        "mean_ms": [times[0], times[-1]],
        "accuracy": [0.3, accuracy],
        "energy": {},
        "latency": {},
        "chosen": {
            "theta_by_seed": [0.5],
            "mean_ms": times[0],
            "p50_ms": times[0],
            "p95_ms": times[0],
            "accuracy": 0.3,
            "full_accuracy": accuracy,
            "energy": {},
            "latency": {},
        },
    }


def _ranges(nominal: float, spikes: float | None, verdict: str) -> dict[str, Any]:
    """Ranges and break-even of one profile and reuse."""
    found = {
        "nominal": nominal,
        "median": nominal * 1.01,
        "low": nominal * 0.7,
        "high": nominal * 1.4,
        "share_snn_wins": 0.25,
        "n_draws": 100,
        "spread": 1.5,
        "tornado": [
            {"profile": "p", "constant": "e_add", "low": 0.8, "high": 1.3, "assumed": True},
            {"profile": "p", "constant": "e_mul", "low": 1.1, "high": 1.0, "assumed": False},
        ],
    }
    line = {
        "verdict": verdict,
        "spikes": spikes,
        "measured": 2.0,
        "most_spikes": 20.0,
        "fixed_pj": 1000.0,
        "per_spike_pj": 500.0,
        "dense_pj": 1000.0 + 500.0 * (spikes or 0.0),
    }
    return {"dynamic": found, "with_sensors": found, "break_even": line}


def make_result(n_seeds: int = 1) -> dict[str, Any]:
    """A result of four models; the dense twin is a little more accurate and needs more energy."""
    by_model = {"snn": 0.90, "dense": 0.92, "snn_vision": 0.80, "snn_audio": 0.75}
    scales = {"snn": 2.0e6, "dense": 2.5e6, "snn_vision": 1.2e6, "snn_audio": 8.0e5}
    models = {
        name: _model(name, [accuracy] * n_seeds, scales[name])
        for name, accuracy in by_model.items()
    }
    return {
        "schema": 1,
        "name": "tiny",
        "spikefuse_version": "0.1.0",
        "seeds": list(range(n_seeds)),
        "data": {
            "name": "embedded_digits",
            "synthetic_speech": True,
            "n_classes": 3,
            "classes": ["zero", "one", "two"],
            "n_train": 60,
            "n_validation": 20,
            "n_test": 40,
            "counts": {},
            "manifest_sha256": "ab" * 32,
            "duration_ms": 200.0,
            "dt_ms": 20.0,
            "notes": ["test: 2 recordings occur twice."],
            "attribution": ["Digits: UCI, CC BY 4.0."],
        },
        "models": models,
        "comparison": {
            "at_equal_accuracy": {
                "accuracy": 0.90,
                "snn_ms": 200.0,
                "dense_ms": 190.0,
                "note": "evidence time in the stimulus, without compute",
            },
            "fused_beats_unimodal": {
                "by_seed": [True] * n_seeds,
                "margin_by_seed": [0.10] * n_seeds,
            },
        },
        "energy_ranges": {
            FP32: {
                "ideal": _ranges(0.9, 1.5, "below"),
                "none": _ranges(2.0, None, "always"),
            },
            LOIHI: {"ideal": {"reason": "prices event-driven layers only"}},
        },
        "ratios": {
            "dynamic_pj": {FP32: 1.25, LOIHI: None},
            "with_static_pj": {FP32: None, LOIHI: None},
            "with_sensors_pj": {FP32: 1.0001, LOIHI: None},
            "evidence_ms_at_equal_accuracy": {"stimulus_time": 0.95},
        },
        "environment": {
            "python": "3.11",
            "cpu": "a <fast> one",
            "threads": 1,
            "packages": {"numpy": "2"},
            "git_commit": None,
            "command": "spikefuse demo",
        },
    }


def write_run(folder: Path, result: dict[str, Any]) -> Path:
    """Write a run directory that holds ``result``."""
    folder.mkdir(parents=True)
    (folder / "result.json").write_text(json.dumps(result), encoding="utf-8")
    (folder / "config.toml").write_text('name = "tiny"\n[cost]\nreuse = "ideal"\n')
    (folder / "metrics.jsonl").write_text(
        '{"model": "snn", "seed": 0, "epoch": 1, "val_accuracy": 0.5}\n'
        '{"model": "snn", "seed": 0, "epoch": 2, "val_accuracy": 0.9}\n'
    )
    _write_predictions(folder / "predictions.csv", result)
    _write_raster(folder / "raster.npz")
    _write_scores(folder / "scores.npz", result)
    return folder


def _write_predictions(path: Path, result: dict[str, Any]) -> None:
    """Every fourth sample of audio is another speaker's; the first samples are the wrong ones."""
    n_test = result["data"]["n_test"]
    with path.open("w", newline="") as file:
        file.write("model,seed,sample,vision_source,audio_source,vision_group,audio_group,label,")
        file.write("prediction,evidence_ms\n")
        writer = csv.writer(file, lineterminator="\n")
        for model, entry in result["models"].items():
            for seed in result["seeds"]:
                n_wrong = round(n_test * (1 - entry["accuracy"]))
                for i in range(n_test):
                    label = i % 3
                    answer = (label + 1) % 3 if i < n_wrong else label
                    groups = [f"v{i}", f"a{i}", f"v{i}", f"speaker{i % 4}"]
                    writer.writerow([model, seed, i, *groups, label, answer, 40])


def _write_scores(path: Path, result: dict[str, Any]) -> None:
    """Answers of ``predictions.csv`` at confidences from 0.5 to 0.98, the wrong ones at first."""
    n_test = result["data"]["n_test"]
    labels = np.arange(n_test) % 3
    confidence = np.linspace(0.5, 0.98, n_test)
    arrays: dict[str, Any] = {"modalities": np.array(["vision", "audio"])}
    for split in ("validation", "test"):
        arrays[f"{split}.labels"] = labels.astype(np.int32)
        arrays[f"{split}.pairs"] = np.stack([np.arange(n_test)] * 2, axis=1).astype(np.int32)
        for model, entry in result["models"].items():
            wrong = np.arange(n_test) < round(n_test * (1 - entry["accuracy"]))
            answer = np.where(wrong, (labels + 1) % 3, labels)
            p = np.repeat((1 - confidence)[:, None] / 2, 3, axis=1)
            p[np.arange(n_test), answer] = confidence
            for seed in result["seeds"]:
                arrays[f"{split}.{model}.seed{seed}"] = np.log(p).astype(np.float32)
    np.savez(path, **arrays)


def _write_raster(path: Path) -> None:
    """One sample with a few events."""
    rng = np.random.default_rng(0)
    times = np.array([20.0, 40.0, 100.0, 200.0])
    output = np.array([[0.4, 0.3, 0.3], [0.2, 0.5, 0.3], [0.1, 0.8, 0.1], [0.05, 0.9, 0.05]])
    np.savez(
        path,
        vision_t_ms=np.sort(rng.uniform(0, 200, 50)),
        vision_y=rng.integers(0, 34, 50),
        vision_p=rng.random(50) < 0.5,
        audio_t_ms=np.sort(rng.uniform(0, 200, 60)),
        audio_channel=rng.integers(0, 16, 60),
        hidden_t_ms=np.sort(rng.uniform(0, 200, 30)),
        hidden_neuron=rng.integers(0, 8, 30),
        output_t_ms=times,
        output=output,
        decision_ms=40.0,
        label=1,
        prediction=1,
        dt_ms=20.0,
        duration_ms=200.0,
        n_hidden=8,
        n_channels=16,
        height=34,
        seed=0,
        vision_source="picture-1",
        audio_source="utterance-2",
        trace_ms=np.arange(1, 11) * 20.0,
        trace_neuron=np.array([3, 1]),
        trace_v=rng.normal(0.3, 0.4, (10, 2)),
        trace_spiked=rng.random((10, 2)) < 0.3,
        trace_threshold=1.0,
        readout_v=rng.normal(0, 1, (10, 3)),
    )


@pytest.fixture
def result() -> dict[str, Any]:
    return make_result()


@pytest.fixture
def write(tmp_path: Path) -> Callable[[dict[str, Any]], Path]:
    """Writes a result as a run directory and returns it."""

    def write_result(result: dict[str, Any]) -> Path:
        return write_run(tmp_path / "run", copy.deepcopy(result))

    return write_result


@pytest.fixture
def five_seeds() -> dict[str, Any]:
    return make_result(5)


@pytest.fixture(scope="session")
def drawn_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose figures are drawn; read only."""
    from analysis.figures import make_figures

    folder = write_run(tmp_path_factory.mktemp("drawn") / "run", make_result())
    make_figures(folder)
    return folder
