"""``spikefuse count``: a network of one's own on arrays, events and a recipe."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from experiments.cli import app
from experiments.loading.network import load_network
from sensors.files import write_events
from spikefuse.errors import ConfigError
from spikefuse.events import EventStream

NETWORKS = """
import snntorch as snn
import torch
from torch import nn

plain = nn.Sequential(nn.Linear(6, 4, bias=False), nn.ReLU(), nn.Linear(4, 2, bias=False))

def spiking():
    return nn.Sequential(nn.Linear(6, 4), snn.Leaky(0.9, init_hidden=True), nn.Linear(4, 2))

class Strange(nn.Module):
    def forward(self, x):
        return torch.linalg.inv(x)

strange = Strange()

def eyes():
    return nn.Sequential(nn.Flatten(2), nn.Linear(96, 3))

not_a_network = 3
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "my_networks_to_count.py").write_text(NETWORKS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def run(*args: str) -> dict:
    result = CliRunner().invoke(app, ["count", *args, "--json", "out.json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(Path("out.json").read_text())


def test_arrays_without_time_are_one_call(folder: Path) -> None:
    x = np.zeros((5, 6), np.float32)
    x[:, :2] = 0.5
    np.savez(folder / "x.npz", x=x)
    found = run(
        "my_networks_to_count:plain", "--data", "x.npz", "--layout", "BTN", "--samples", "3"
    )
    assert found["n_samples"] == 3
    assert found["by_path"]["0"]["effective_macs"] == 3 * 2 * 4
    assert found["uncounted"] == []


def test_a_spiking_network_is_called_once_a_step(folder: Path) -> None:
    spikes = (np.random.default_rng(0).random((7, 5, 6)) < 0.4).astype(np.float32)
    np.savez(folder / "x.npz", x=spikes)
    found = run("my_networks_to_count:spiking", "--data", "x.npz", "--loop")
    first, neurons = found["by_path"]["0"], found["by_path"]["1"]
    assert first["effective_acs"] == int(spikes.sum()) * 4
    assert neurons["neuron_updates_active"] + neurons["neuron_updates_idle"] == 7 * 5 * 4
    assert neurons["state_words"] == 4


def test_event_files_are_binned(folder: Path, make_stream) -> None:
    stream: EventStream = make_stream(60)
    write_events(folder / "events.npz", stream)
    found = run(
        "my_networks_to_count:eyes", "--data", "events.npz", "--layout", "TB...", "--dt-ms", "5"
    )
    assert found["n_samples"] == 1
    path = found["by_path"]["1"]
    assert path["dense_macs"] == 10 * 96 * 3
    events = run(
        "my_networks_to_count:eyes", "--data", "events.npz", "--dt-ms", "5", "--read-as", "events",
        "--layout", "TB...",
    )  # fmt: skip
    assert events["by_path"]["1"]["effective_acs"] == 60 * 3


def test_what_has_no_rule_is_an_error_or_a_line(folder: Path) -> None:
    np.savez(folder / "x.npz", x=np.eye(3, dtype=np.float32)[None])
    args = ["count", "my_networks_to_count:strange", "--data", "x.npz", "--layout", "BTN"]
    with pytest.raises(ConfigError, match="must have a counting rule, got none for"):
        CliRunner().invoke(app, args, catch_exceptions=False)
    result = CliRunner().invoke(app, [*args, "--list"], catch_exceptions=False)
    assert "NOT COUNTED, no rule: Strange: linalg_inv_ex" in result.output


def test_mistakes_are_named(folder: Path) -> None:
    with pytest.raises(ConfigError, match="NETWORK must be MODULE:NAME, got 'net'"):
        load_network("net")
    with pytest.raises(ConfigError, match="NETWORK must name a Python module in"):
        load_network("no_such_module_here:net")
    with pytest.raises(ConfigError, match=r"must be a torch\.nn\.Module .* got int"):
        load_network("my_networks_to_count:not_a_network")


def test_a_network_that_does_not_take_the_inputs_is_one_line(folder: Path) -> None:
    np.savez(folder / "x.npz", x=np.zeros((3, 2, 7), np.float32))
    with pytest.raises(ConfigError, match=r"network must take inputs of shape \(3, 2, 7\), got R"):
        run("my_networks_to_count:plain", "--data", "x.npz")
