"""``spikefuse stream`` end to end on a small run: stream.json, the report, sinks, errors."""

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from command_line import spikefuse

from experiments.loading.batches import batches
from experiments.loading.data import load_data
from experiments.run import load_run_config
from sensors.files import write_events
from tests.tiny_run import TINY

MORE = ("train.epochs=1", "cost.latency_repeats=3", "models=snn", "seeds=0")


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(os.environ, "SPIKEFUSE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stream") / "run"
    settings = [word for setting in (*TINY, *MORE) for word in ("--set", setting)]
    assert spikefuse("train", "--config", "demo", "--out", folder, *settings) == 0
    data = load_data(load_run_config(folder).data)
    batch = next(batches(data, "test", data.fixed_pairs["test"][:1], 1))
    for name in ("vision", "audio"):
        write_events(folder.parent / f"{name}.npz", batch.samples[0][name])
    return folder


def of(run: Path, *more: object) -> tuple[object, ...]:
    given = [("--" + m, run.parent / f"{m}.npz") for m in ("vision", "audio")]
    return ("stream", run, *(word for pair in given for word in pair), *more)


def test_a_test_pair_streamed_is_answered_as_in_the_run(run: Path) -> None:
    path = run.parent / "figures.json"
    assert spikefuse(*of(run, "--json", path)) == 0
    found = json.loads(path.read_text())
    assert json.loads((run / "stream.json").read_text()) == found
    answers = np.load(run / "answers.npz")
    assert found["n_decisions"] == 10
    assert found["decision"]["label"] == int(answers["snn.seed0"][-1, 0])
    assert found["energy"]["horowitz_45nm_int8"]["dynamic_pj"] > 0
    assert found["latency"]["host"]["p99_ms"] > 0
    report = (run / "report.html").read_text()
    assert "Stream: 0.40 s" in report


def test_decisions_go_to_a_file_and_a_port(run: Path) -> None:
    lines = run.parent / "lines.jsonl"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.settimeout(2.0)
        port = listening.getsockname()[1]
        assert spikefuse(*of(run, "--lines", lines, "--udp", port, "--every", 80)) == 0
        datagrams = [json.loads(listening.recv(65_535)) for _ in range(5)]
    assert [json.loads(line) for line in lines.read_text().splitlines()] == datagrams
    assert [d["time_us"] for d in datagrams] == [80_000, 160_000, 240_000, 320_000, 400_000]


def test_wrong_options_are_one_line_and_exit_code_2(run: Path, capfd) -> None:
    for more in (("--speed", "fast"), ("--model", "dense"), ("--exit", 0.9), ("--udp", "here")):
        assert spikefuse(*of(run, *more)) == 2
        assert f"{more[0]}" in capfd.readouterr().err
    assert spikefuse("stream", run) == 2


@pytest.mark.parametrize(
    "options",
    [
        ("--latency", "-1"),
        ("--silent", "0"),
        ("--every", "7"),
        ("--trial", "nan"),
        ("--for", "-1"),
        ("--vision", "udp:99999"),
        ("--vision", "udp:0", "--packets", "none"),
        ("--lines", "nowhere/at/all"),
    ],
)
def test_an_option_out_of_range_is_one_line(
    run: Path, options: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert spikefuse(*of(run, *options)) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: ")
    assert "Traceback" not in told
