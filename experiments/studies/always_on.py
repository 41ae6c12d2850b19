"""Policies on a run's test pairs, one after another as a stream: what they spend and miss.

``python -m experiments.studies.always_on RUN --document docs/streaming_sources.md``
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from analysis.naming import format_pj
from experiments.config import Config
from experiments.evaluation.opening import open_model
from experiments.loading.batches import batches
from experiments.loading.data import load_data
from experiments.run import load_run_config
from experiments.streaming.gates import spent_by
from experiments.streaming.session import Session
from sensors.live.files import StreamSource
from sensors.live.source import in_turn
from spikefuse._types import Int64Array
from spikefuse.events import EventStream, MultiStream
from spikefuse.models import FusionSNN
from spikefuse.pages import markdown_table, write_tables
from spikefuse.runtime import StreamRunner
from spikefuse.runtime.buffer import BufferParams, JitterBuffer
from spikefuse.runtime.policies import (
    Answer,
    ConfidenceExit,
    DutyCycle,
    EnergyGate,
    Gate,
    WakeUp,
)

PROFILE = "horowitz_45nm_int8"
MakeGate = Callable[[ConfidenceExit, StreamRunner], Gate | None]


def one_after_another(samples: list[MultiStream], trial_us: int) -> dict[str, EventStream]:
    """Samples as one recording of each modality, a trial's length apart."""
    joined = {}
    for name, first in samples[0].streams.items():
        parts = [s[name].cropped(trial_us).shifted(k * trial_us) for k, s in enumerate(samples)]
        events = np.concatenate([part.events for part in parts])
        duration_us = trial_us * len(samples)
        joined[name] = EventStream(events, first.sensor_size, duration_us, name)
    return joined


def answered(
    model: FusionSNN,
    streams: dict[str, EventStream],
    policy: ConfidenceExit,
    make_gate: MakeGate,
    classes: list[str],
) -> Session:
    """A session that has run to the end of the recordings."""
    sizes = {part.name: part.sensor_size for part in model.spec.modalities}
    params = BufferParams(repeated="keep", jump_ms=float("inf"))
    runner = StreamRunner(model, count=True, policy=policy)
    session = Session(runner, JitterBuffer(sizes, params), classes, gate=make_gate(policy, runner))
    session.run(in_turn([StreamSource(streams[name], name) for name in model.modalities]))
    session.finish(max(s.duration_us for s in streams.values()))
    return session


def rows_of(run: Path, config: Config, limit: int) -> list[dict[str, Any]]:
    """A row for each policy."""
    model, result = open_model(run, config, "snn", config.seeds[0])
    data = load_data(config.data)
    pairs = list(data.fixed_pairs["test"])[:limit]
    samples = [s for batch in batches(data, "test", pairs, 64) for s in batch.samples]
    labels = np.array([s.label for s in samples])
    step_us = round(model.spec.dt_ms * 1e3)
    trial_us = -(-round(config.data.duration_ms * 1e3) // step_us) * step_us
    streams = one_after_another(samples, trial_us)
    chosen = result["models"]["snn"]["exit"]
    theta, temperature = chosen["chosen"]["theta_by_seed"][0], chosen["temperature_by_seed"][0]
    trial_ms = trial_us / 1e3
    rows: list[dict[str, Any]] = []

    def shed(modality: str, share: float) -> MakeGate:
        def make(policy: ConfidenceExit, runner: StreamRunner) -> Gate:
            budget_mw = share * rows[0]["dynamic_pj"] / trial_us * 1e-3
            return EnergyGate(budget_mw, modality, spent_by(runner, PROFILE))

        return make

    policies: dict[str, MakeGate] = {
        "always on": lambda policy, runner: None,
        f"exit at {theta:g}": lambda policy, runner: policy,
        "on for half of every 40 ms": lambda policy, runner: DutyCycle(20.0, 40.0),
        "on for the first half of a trial": lambda policy, runner: DutyCycle(
            trial_ms / 2, trial_ms
        ),
        "audio woken by 10 events in 20 ms": lambda policy, runner: WakeUp("vision", "audio", 10),
        "audio woken by 60 events in 20 ms": lambda policy, runner: WakeUp("vision", "audio", 60),
    }
    policies |= {
        f"{modality} shed above {share:.0%} of that power": shed(modality, share)
        for modality in ("audio", "vision")
        for share in (0.95, 0.85)
    }
    for name, make in policies.items():
        said: list[Answer] = []
        leaves = theta if name.startswith("exit") else 1.0
        policy = ConfidenceExit(trial_ms, leaves, temperature, said.append)
        session = answered(model, streams, policy, make, result["data"]["classes"])
        rows.append(_row(name, session, said, labels, trial_us))
    return rows


def _row(
    name: str,
    session: Session,
    said: list[Answer],
    labels: Int64Array,
    trial_us: int,
) -> dict[str, Any]:
    gate = session.gate
    label = np.array([answer.label for answer in said])
    at_ms = np.array([answer.time_us - answer.trial * trial_us for answer in said]) / 1e3
    spent = session.runner.energy(PROFILE).dynamic_pj
    return {
        "policy": name,
        "accuracy": float((label == labels).mean()),
        "answer_ms": float(at_ms.mean()),
        "events": sum(session.tally.n_admitted.values()) / len(labels),
        "dynamic_pj": None if spent is None else spent / len(labels),
        "awake": {m: 1.0 if gate is None else gate.awake_share(m) for m in session.buffer.sizes},
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Energy and accuracy of each policy, beside always on."""
    whole = rows[0]
    cells = []
    for row in rows:
        share = row["dynamic_pj"] / whole["dynamic_pj"]
        cells.append(
            [
                row["policy"],
                f"{row['accuracy']:.3f}",
                f"{row['answer_ms']:.0f}",
                *(f"{100 * awake:.0f} %" for awake in row["awake"].values()),
                f"{row['events']:,.0f}",
                f"{format_pj(row['dynamic_pj'])} ({100 * share:.0f} %)",
            ]
        )
    awake = [f"{name} awake" for name in whole["awake"]]
    header = ["policy", "accuracy", "answer, ms", *awake, "events a trial", "network, modelled"]
    return markdown_table(header, cells)


def main(
    run: Annotated[Path, typer.Argument(help="A run directory with the model snn.")],
    document: Annotated[Path | None, typer.Option("--document")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1)] = 200,
) -> None:
    """Run every policy on the first test pairs and write the table."""
    text = table(rows_of(run, load_run_config(run), limit))
    print(text)
    if document is not None:
        write_tables(document, {"policies": text})


if __name__ == "__main__":
    typer.run(main)
