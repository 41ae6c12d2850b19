"""Fused models in NeuroBench's harness: its counts are ours, and its keys hold nothing of ours."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from spikefuse.cost.count import count, footprint_bytes
from spikefuse.encoders.spec import ConvSpec, EncoderSpec, ModalitySpec
from spikefuse.errors import ConfigError
from spikefuse.interop.neurobench import run_neurobench
from spikefuse.models import FusionSNN
from spikefuse.models.fusion_snn import running_mean
from spikefuse.models.spec import ModelSpec

pytest.importorskip("neurobench", reason="NeuroBench is not installed: spikefuse[peers]")

SPEC = ModelSpec(
    modalities=(
        ModalitySpec(
            "vision", (8, 8, 2), EncoderSpec(convs=(ConvSpec(3, (3, 3), (2, 2)),), hidden=12)
        ),
        ModalitySpec("audio", (20, 1, 1), EncoderSpec(hidden=10)),
    ),
    n_classes=4,
    dt_ms=5.0,
    fusion_hidden=14,
)


def paired(seed: int = 1, n: int = 10) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    inputs = {
        "vision": (torch.rand(20, n, 128, generator=generator) < 0.2).float(),
        "audio": (torch.rand(20, n, 20, generator=generator) < 0.4).float(),
    }
    return inputs, torch.randint(4, (n,), generator=generator)


def made(**changed: object) -> FusionSNN:
    torch.manual_seed(0)
    return FusionSNN(replace(SPEC, **changed)).eval()


RECURRENT = tuple(
    replace(part, encoder=replace(part.encoder, recurrent=True)) for part in SPEC.modalities
)
DELAYED = tuple(
    replace(part, encoder=replace(part.encoder, delays_ms=(0.0, 10.0))) for part in SPEC.modalities
)


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"fusion": "current_sum"},
        {"fusion": "early"},
        {"fusion": "late"},
        {"modalities": RECURRENT},
        {"modalities": DELAYED},
    ],
    ids=["concat", "current_sum", "early", "late", "recurrent", "delayed"],
)
def test_neurobench_counts_what_we_count(changed: dict[str, object]) -> None:
    model = made(**changed)
    inputs, labels = paired()
    found = run_neurobench(model, inputs, labels, batch_size=4)
    ours = count(model, inputs)
    theirs = found["neurobench"]["SynapticOperations"]
    assert theirs["Effective_ACs"] * 10 == pytest.approx(ours.totals["effective_acs"], abs=1e-6)
    assert theirs["Effective_MACs"] == ours.totals["effective_macs"] == 0
    assert theirs["Dense"] * 10 == pytest.approx(ours.totals["dense_macs"], abs=1e-6)
    assert found["beside"]["operations_not_seen_there"] == pytest.approx(0, abs=1e-9)
    assert found["beside"]["counts_per_sample"]["effective_acs"] > 1000


def test_accuracy_sparsity_and_size_are_those_of_the_model() -> None:
    model = made()
    inputs, labels = paired()
    found = run_neurobench(model, inputs, labels, batch_size=5)["neurobench"]
    with torch.no_grad():
        out = model(inputs)
    answers = running_mean(out.scores)[-1].argmax(1)
    assert found["ClassificationAccuracy"] == pytest.approx(
        float((answers == labels).float().mean())
    )
    assert found["ParameterCount"] == sum(p.numel() for p in model.parameters())
    assert found["Footprint"] == footprint_bytes(model)
    assert 0 < found["ActivationSparsity"] < 1
    assert found["ConnectionSparsity"] == 0


def test_several_events_in_a_step_are_one_multiplication_there() -> None:
    model = made()
    inputs, labels = paired()
    inputs["audio"] *= 2
    found = run_neurobench(model, inputs, labels)
    assert found["neurobench"]["SynapticOperations"]["Effective_MACs"] > 0
    twice = float(inputs["audio"].sum()) / 2 / len(labels) * 10  # onto its 10 neurons
    assert found["beside"]["operations_not_seen_there"] == pytest.approx(twice)


def test_its_keys_hold_nothing_of_ours() -> None:
    model, (inputs, labels) = made(), paired()
    found = run_neurobench(model, inputs, labels)
    assert set(found) == {"neurobench", "row", "beside"}
    assert set(found["neurobench"]) == {
        "Footprint",
        "ParameterCount",
        "ConnectionSparsity",
        "ClassificationAccuracy",
        "ActivationSparsity",
        "SynapticOperations",
    }
    assert found["row"]["Model Exec. Rate (Hz)"] == 200.0
    json.dumps(found, allow_nan=False)


def test_the_harness_imports_neither_torchvision_nor_torchaudio() -> None:
    code = (
        "import sys; from spikefuse.interop.neurobench import _harness; _harness(); "
        "print([m for m in ('torchvision', 'torchaudio') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_without_it_the_way_to_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "neurobench.benchmarks", None)
    inputs, labels = paired()
    with pytest.raises(ConfigError, match=r"spikefuse\[peers\]"):
        run_neurobench(made(), inputs, labels)
