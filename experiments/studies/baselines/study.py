"""Dense baselines on the embedded default.

``python -m experiments.studies.baselines.study --runs FOLDER``: every dense operator is trained
with the dense recipe, rounded to 8 and 4 bits after training, and trained on at 4 bits; frames are
chosen on validation; sizes are swept; answers on the way are counted; the quantised twin is trained
on bin sums. A cell that is in FOLDER already is not trained again; with ``--stored`` none is, and
the tables hold what is there. With ``--document FILE`` they are put between the marks in that page.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from experiments.config import Config, load_config
from experiments.loading.batches import batches
from experiments.loading.data import PairedData, load_data
from experiments.studies.baselines.tables import tables
from experiments.studies.baselines.training import (
    Read,
    Trained,
    calibration,
    fit,
    frame_reader,
    score,
    sum_reader,
)
from experiments.training.learners import build_learner
from spikefuse.atomic import write_bytes
from spikefuse.baselines import (
    DENSE_OPERATORS,
    Anytime,
    DeltaFusion,
    DenseFusion,
    QNNTwin,
    capacity_sweep,
    choose_frames,
    n_parameters,
    quantised,
    with_zero_skipping,
    without_skipping,
)
from spikefuse.cost import count
from spikefuse.models import FusionSNN, ModelSpec
from spikefuse.pages import write_tables

FRAMES_MS = tuple(
    {"vision": vision, "audio": audio}
    for vision, audio in ((25.0, 10.0), (50.0, 20.0), (100.0, 40.0), (200.0, 80.0))
)
_AWARE_RATE, _AWARE_SHARE = 0.3, 4  # training at few bits: of the learning rate, of the epochs


@dataclass(frozen=True)
class Setting:
    """What all cells share."""

    config: Config
    data: PairedData
    spec: ModelSpec
    n_snn: int
    epochs: int
    folder: Path
    stored: bool

    def cell(self, name: str, make: Callable[[], Mapping[str, Any]]) -> list[dict[str, Any]]:
        """The stored numbers of a cell, made first if there are none; empty if not to be made."""
        path = self.folder / f"{name}.json"
        if not path.is_file():
            if self.stored:
                return []
            write_bytes(path, (json.dumps(dict(make()), indent=1) + "\n").encode())
            print(f"{name} is done", flush=True)
        return [json.loads(path.read_text())]

    def trained(
        self, fusion: str, frame_ms: Mapping[str, float], seed: int, spec: ModelSpec | None = None
    ) -> tuple[Trained, Read]:
        """A dense model of an operator, trained, and how it reads a batch."""
        window_ms = self.config.data.duration_ms
        torch.manual_seed(seed)
        model = DenseFusion(spec or self.spec, frame_ms, window_ms, fusion)
        read = frame_reader(model.modalities, frame_ms, window_ms)
        return fit(model, read, self.data, self.config, seed, self.epochs), read


def operator_cell(setting: Setting, fusion: str, seed: int) -> dict[str, Any]:
    """One operator: accuracy at float and at few bits, operations, memory."""
    frame_ms = frames_of(setting.config)
    trained, read = setting.trained(fusion, frame_ms, seed)
    inputs = calibration(read, setting.data, seed)
    found: dict[str, Any] = {"float": trained.test, "validation": trained.validation}
    for bits in (8, 4):
        rounded = quantised(trained.model, inputs, bits)
        found[f"rounded_{bits}"] = score(rounded, read, setting.data, "test").accuracy
    rate = _AWARE_RATE * setting.config.train.dense_learning_rate
    aware = quantised(trained.model, inputs, 4)
    n = max(setting.epochs // _AWARE_SHARE, 1)
    found["aware_4"] = fit(aware, read, setting.data, setting.config, seed, n, rate).test
    model = trained.model
    assert isinstance(model, DenseFusion)
    some = first_test_samples(setting, read)
    counts, eight = count(model, some), count(quantised(model, inputs), some)
    return (
        found
        | {
            "n_parameters": n_parameters(model),
            "macs_all": without_skipping(counts).effective_macs,
            "macs_effective": counts.effective_macs,
            "macs_effective_8": eight.effective_macs,
            "weight_reads": counts.weight_reads,
            "weight_reads_skipping": with_zero_skipping(counts).weight_reads,
            "state_bytes": model.state_bytes(),
            "activation_bytes": model.activation_bytes(some),
        }
        | anytime_counts(model, some, setting.config)
    )


def anytime_counts(
    model: DenseFusion, some: Mapping[str, torch.Tensor], config: Config
) -> dict[str, Any]:
    """Operations of an answer after every window, run again or by changes."""
    times_ms = answer_times_ms(config)

    def work(candidate: nn.Module) -> float:
        counts = count(Anytime(candidate, times_ms), dict(some))
        return counts.effective_macs + counts.effective_acs

    found = {"n_answers": len(times_ms), "anytime": work(model)}
    if model.reads != "tokens":
        delta = DeltaFusion(model).eval()
        found |= {"anytime_delta": work(delta), "delta_state_bytes": delta.state_bytes(some)}
    return found


def frames_cell(setting: Setting, seed: int) -> dict[str, Any]:
    """Frame lengths tried on validation, and the test accuracy of the choice."""
    tests: dict[float, float] = {}

    def validated(frame_ms: Mapping[str, float]) -> float:
        trained, _ = setting.trained("concat", frame_ms, seed)
        tests[frame_ms["vision"]] = trained.test
        return trained.validation

    choice = choose_frames(FRAMES_MS, validated)
    chosen = choice.frame_ms
    return {"chosen": chosen, "tried": choice.tried, "test": tests[chosen["vision"]]}


def sizes_cell(setting: Setting, seed: int) -> dict[str, Any]:
    """A sweep of sizes around the spiking model's number of parameters."""
    frame_ms, window_ms = frames_of(setting.config), setting.config.data.duration_ms
    sizes = capacity_sweep(
        setting.spec, setting.n_snn, lambda spec: DenseFusion(spec, frame_ms, window_ms)
    )
    rows = []
    for size in sizes:
        trained, read = setting.trained("concat", frame_ms, seed, size.spec)
        counts = count(trained.model, first_test_samples(setting, read))
        rows.append(
            {
                "factor": size.factor,
                "n_parameters": size.n_parameters,
                "test": trained.test,
                "macs_effective": counts.effective_macs,
            }
        )
    return {"target": setting.n_snn, "rows": rows}


def twin_cell(setting: Setting, seed: int) -> dict[str, Any]:
    """The quantised twin on bin sums."""
    n_steps = -(-round(setting.config.data.duration_ms) // round(setting.config.data.dt_ms))
    torch.manual_seed(seed)
    twin = QNNTwin(replace(setting.spec, fusion="concat", fusion_options={}), n_steps)
    read = sum_reader(twin, setting.config.data.dt_ms)
    trained = fit(twin, read, setting.data, setting.config, seed, setting.epochs)
    counts = count(twin, first_test_samples(setting, read))
    return {
        "test": trained.test,
        "bits": twin.bits,
        "n_steps": n_steps,
        "not_equivalent": twin.not_equivalent,
        "n_parameters": n_parameters(twin),
        "macs_effective": counts.effective_macs,
    }


def first_test_samples(setting: Setting, read: Read, n: int = 64) -> dict[str, torch.Tensor]:
    """Inputs of the first test pairs, on which operations are counted."""
    pairs = list(setting.data.fixed_pairs["test"][:n])
    batch = next(batches(setting.data, "test", pairs, n))
    return dict(read(batch.samples))


def frames_of(config: Config) -> dict[str, float]:
    """Configured frame lengths."""
    return {"vision": config.cost.frame_vision_ms, "audio": config.cost.frame_audio_ms}


def answer_times_ms(config: Config) -> list[float]:
    """Every vision frame's end."""
    step, window = config.cost.frame_vision_ms, config.data.duration_ms
    return [min(step * (i + 1), window) for i in range(-(-round(window) // round(step)))]


def study(setting: Setting, seeds: Sequence[int]) -> dict[str, Any]:
    """Every cell, seed after seed, so that a study that is cut short holds whole seeds."""
    found: dict[str, Any] = {"operators": {}, "frames": [], "sizes": [], "twin": []}
    others = {"twin": twin_cell, "sizes": sizes_cell, "frames": frames_cell}
    for seed in seeds:
        for name in DENSE_OPERATORS:
            make = partial(operator_cell, setting, name, seed)
            found["operators"].setdefault(name, []).extend(setting.cell(f"{name}-{seed}", make))
        for kind, cell in others.items():
            found[kind] += setting.cell(f"{kind}-{seed}", partial(cell, setting, seed))
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line: see the module."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.studies.baselines.study", description=__doc__
    )
    parser.add_argument("--runs", type=Path, required=True, help="folder of the cells' results")
    parser.add_argument("--document", type=Path, help="page whose tables are replaced")
    parser.add_argument("--stored", action="store_true", help="train nothing")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=30, help="of every model")
    parser.add_argument("--config", default="demo", help="recipe or file: data, encoders, training")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)
    chosen.runs.mkdir(parents=True, exist_ok=True)
    config = load_config(chosen.config, chosen.set)
    data = load_data(config.data)
    snn = build_learner("snn", config, data.sensor_sizes, 0).model
    assert isinstance(snn, FusionSNN)
    setting = Setting(
        config, data, snn.spec, n_parameters(snn), chosen.epochs, chosen.runs, chosen.stored
    )
    found = study(setting, chosen.seeds)
    table = tables(found, chosen.epochs, chosen.seeds)
    print(table)
    if chosen.document is not None:
        write_tables(chosen.document, {"baseline study": table})


if __name__ == "__main__":
    main()
