"""How long an index of many runs takes to build, to bring up to date and to ask."""

from __future__ import annotations

import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from experiments.files import write_json
from experiments.sweeps.index import open_index, refresh
from experiments.sweeps.query import find_runs, parse_condition

_MODELS = ("snn", "dense", "snn_vision", "snn_audio")
_PROFILES = ("horowitz_45nm_fp32", "horowitz_45nm_int8", "loihi1_davies2018")
_ASKED = ("model=snn", "accuracy>0.9", "train.learning_rate<0.005")
_ROUNDS = 9


def measure_index(n_runs: int, seed: int = 0) -> dict[str, Any]:
    """Milliseconds of processor time for ``n_runs`` made-up runs in a temporary folder.

    Returns
    -------
    dict
        ``build_ms`` once; medians of ``refresh_ms`` (nothing has changed), ``query_ms`` (three
        conditions, sorted, opening it included) and ``one_new_ms`` (one run has changed).
    """
    folder = Path(tempfile.mkdtemp(prefix="spikefuse-index-"))
    try:
        make_runs(folder, n_runs, np.random.default_rng(seed))
        started = time.process_time()
        with open_index(folder) as index:
            refresh(index, folder)
        build_ms = (time.process_time() - started) * 1e3
        conditions = [parse_condition(text) for text in _ASKED]
        found: list[Any] = []

        def ask() -> None:
            with open_index(folder) as index:
                found[:] = find_runs(index, conditions, "-accuracy", 20)

        def look() -> None:
            with open_index(folder) as index:
                refresh(index, folder)

        def change() -> None:
            write_json(folder / "run-0000" / "result.json", _result(np.random.default_rng(1)))
            look()

        return {
            "n_runs": n_runs,
            "build_ms": build_ms,
            "refresh_ms": _median_ms(look),
            "query_ms": _median_ms(ask),
            "one_new_ms": _median_ms(change),
            "n_found": len(found),
        }
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def index_table(found: dict[str, Any]) -> str:
    """The figures of `measure_index` as a Markdown table."""
    from spikefuse.pages import markdown_table

    n = f"{found['n_runs']:,} runs"
    words = {
        f"built from {n}, once": "build_ms",
        f"{n} looked through, none changed": "refresh_ms",
        f"{n} looked through, one changed": "one_new_ms",
        "three conditions, sorted, the first 20": "query_ms",
    }
    rows = [
        [what, f"{found[key]:,.0f} ms" if found[key] >= 100 else f"{found[key]:.2g} ms"]
        for what, key in words.items()
    ]
    return markdown_table(["index", f"processor time (repeated: median of {_ROUNDS})"], rows)


def make_runs(folder: Path, n_runs: int, rng: np.random.Generator) -> None:
    """Made-up run directories with what an index reads, of a real run's keys."""
    from experiments.config import Config, to_dict

    config = to_dict(Config())
    for i in range(n_runs):
        run = folder / f"run-{i:04d}"
        run.mkdir(parents=True)
        config["train"]["learning_rate"] = float(10 ** rng.uniform(-4, -1))
        # Not atomically: nobody reads them yet, and thousands of syncs take minutes.
        (run / "result.json").write_text(json.dumps(_result(rng)))
        (run / "config.toml").write_text(_toml(config))


def _median_ms(work: Callable[[], None]) -> float:
    spent = []
    for _ in range(_ROUNDS):
        started = time.process_time()
        work()
        spent.append((time.process_time() - started) * 1e3)
    return statistics.median(spent)


def _toml(config: dict[str, Any]) -> str:
    import tomli_w

    return tomli_w.dumps(config)


def _result(rng: np.random.Generator) -> dict[str, Any]:
    """A ``result.json`` with what an index reads."""
    models = {
        name: {
            "kind": "dense" if name == "dense" else "spiking",
            "params": int(rng.integers(10_000, 1_000_000)),
            "accuracy": float(rng.uniform(0.5, 1.0)),
            "val_accuracy": float(rng.uniform(0.5, 1.0)),
            "latency": {"evidence_ms": float(rng.uniform(50, 400)), "p50_ms": 100.0},
            "energy": {p: {"dynamic_pj": float(10 ** rng.uniform(6, 9))} for p in _PROFILES},
        }
        for name in _MODELS
    }
    return {
        "schema": 1,
        "name": "made_up",
        "seeds": [0],
        "data": {"name": "embedded_digits", "n_test": 417},
        "models": models,
        "comparison": {},
        "ratios": {},
        "environment": {},
    }
