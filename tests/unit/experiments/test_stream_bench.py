"""Rows of the stream compute what they should; a long one loses nothing and grows nowhere."""

import json
import math
import subprocess
import sys

import numpy as np
import pytest

from experiments.bench.rows import OURS, Setting, run_row
from experiments.bench.stream_rows import stream_rows
from experiments.bench.stream_soak import soak, soak_table


def test_every_contender_of_the_stream_computes_the_same() -> None:
    setting = Setting(quick=True, rounds=3, least_ms=1.0)
    results = [run_row(row, setting, np.random.default_rng(0)) for row in stream_rows(setting)]
    assert len(results) == 3
    for result in results:
        assert "error" not in result
        assert all("error" not in entry for entry in result["contenders"]), result["name"]
        assert result["ours"] == OURS
    assert results[0]["facts"]["ns_per_event"] > 0
    assert results[2]["facts"]["event_p99_us"] >= results[2]["facts"]["event_p50_us"] > 0


def assert_nothing_lost(found: dict) -> None:
    assert found["events_counted"] == found["events_at_inputs"] == found["events_pushed"] > 0
    assert found["decisions"] == found["decisions_due"] > 0
    assert found["events_waiting"] == 0


def test_a_short_stream_is_counted_to_its_last_event() -> None:
    told: list[str] = []
    found = soak(1e-6, n_out=32, on_progress=told.append)
    assert_nothing_lost(found)
    assert len(told) == 20
    assert f"{found['events_pushed']:,}" in soak_table(found)
    with pytest.raises(ValueError, match="hours must be positive"):
        soak(0.0)


@pytest.mark.slow
@pytest.mark.parametrize(("engine", "hours"), [("event", 0.02), ("stepped", 0.001)])
def test_a_long_stream_stays_in_its_memory(engine: str, hours: float) -> None:
    # In a process of its own: what earlier tests left behind here comes and goes as it likes.
    code = (
        "import json; from experiments.bench.stream_soak import soak; "
        f"print(json.dumps(soak({hours}, engine={engine!r})))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    if engine == "event":
        assert_nothing_lost(found)
    if math.isnan(found["settled_mib"]):
        pytest.skip("this system does not tell a process's own memory")
    assert 8 < found["settled_mib"] <= found["highest_mib"] <= found["settled_mib"] + 8
