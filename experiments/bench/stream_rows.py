"""Rows of the stream: cost of an event, in the kernel and with all that is around it; latency."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from experiments.bench.floor import Floor
from experiments.bench.rows import OURS, Contender, Row, Setting
from experiments.bench.timing import Samples, spread
from spikefuse._types import StructuredArray
from spikefuse.encoders import EncoderSpec, ModalitySpec
from spikefuse.events import EVENT_DTYPE, EventStream
from spikefuse.kernels.binning import bin_events
from spikefuse.kernels.stream import SIZE, StreamNetwork, StreamState, advance
from spikefuse.models import FusionSNN, ModelSpec
from spikefuse.neurons import LIF, LIFParams
from spikefuse.runtime import StreamRunner
from spikefuse.runtime.network_builder import NetworkBuilder
from spikefuse.runtime.runner import EngineName
from spikefuse.synapses import EventLinear

_DT_MS, _STEP_US = 1.0, 1_000
_BATCH, _EVERY_MS = 1_000, 20.0
_SIZE = (34, 34, 2)
_FLOAT = 4


def stream_rows(setting: Setting) -> Iterator[Row]:
    """Kernel and runner at three rates of events, and the wait for a decision."""
    n, n_out = (20_000, 64) if setting.quick else (40_000, 512)
    for per_second in (1e6,) if setting.quick else (1e6, 1e5, 1e4):
        yield _kernel(n, n_out, per_second)
    yield _runner(n, n_out, 1e6)
    yield _latency(n // 2, n_out, 1e5)


def random_events(n: int, per_second: float, seed: int = 0) -> StructuredArray:
    """Events of a 34 by 34 sensor with two polarities, uniform in time and address."""
    rng = np.random.default_rng(seed)
    events = np.zeros(n, EVENT_DTYPE)
    events["t"] = np.sort(rng.integers(0, round(n / per_second * 1e6), n))
    events["x"], events["y"] = rng.integers(0, _SIZE[0], n), rng.integers(0, _SIZE[1], n)
    events["p"] = rng.integers(0, 2, n)
    return events


def stream_model(n_out: int, n_classes: int = 10) -> FusionSNN:
    """One modality: ``n_out`` hidden neurons, 128 fused ones, a readout."""
    torch.manual_seed(0)
    part = ModalitySpec("vision", _SIZE, EncoderSpec((), n_out, 0.0))
    model = FusionSNN(ModelSpec((part,), n_classes, _DT_MS, "concat", 128)).eval()
    with torch.no_grad():  # about one spike for every fifty events
        model.encoders["vision"].get_submodule("synapses.0").get_parameter("weight").mul_(0.1)
    return model


def _kernel(n: int, n_out: int, per_second: float) -> Row:
    """One layer alone, in batches of a thousand events, against the loop over events in torch."""
    synapse, neurons = EventLinear(2312, n_out, gain=0.3), LIF(n_out, LIFParams(), _DT_MS)
    torch.manual_seed(0)
    torch.nn.init.normal_(synapse.weight, std=0.3 / 2312**0.5)
    builder = NetworkBuilder({"vision": _SIZE})
    target = builder.add("hidden", neurons)
    builder.connect("synapses", 0, target, synapse)
    network = builder.network()
    events = random_events(n, per_second)
    steps = events.copy()
    steps["t"] //= _STEP_US
    n_steps = int(steps["t"][-1]) + 1
    batches = np.split(steps, range(_BATCH, n, _BATCH))
    spikes = bin_events([EventStream(events.copy(), _SIZE, n_steps * _STEP_US, "vision")], _DT_MS)
    with torch.no_grad():
        fired, membrane = neurons(synapse(spikes))

    def torch_loop() -> dict[str, Any]:
        return _torch_loop(steps, n_steps, synapse.weight, neurons)

    def conclude(samples: Samples) -> dict[str, float]:
        ns = spread(samples[OURS]).median * 1e6 / n
        return {"ns_per_event": ns, "million_events_per_s": 1e3 / ns}

    return Row(
        f"stream kernel 2312 -> {n_out}, {per_second:.0e} events/s, batches of {_BATCH}",
        (
            Contender(OURS, lambda: _kernel_loop(network, batches, n_steps)),
            Contender("torch, event by event", torch_loop),
        ),
        {"membrane": membrane[0], "fired": fired.sum()},
        ("stream_kernel",),
        Floor(0, n * n_out * _FLOAT, 2312 * n_out * _FLOAT),
        {"events": n, "steps": n_steps, "spikes": int(fired.sum())},
        conclude=conclude,
    )


def _kernel_loop(
    network: StreamNetwork, batches: list[StructuredArray], n_steps: int
) -> dict[str, Any]:
    """All batches; last membranes, and spikes in all."""
    state, first = StreamState.at_rest(network), 0
    for batch in batches:
        until = int(batch["t"][-1])
        advance(network, state, first, until, [batch])
        first = until
    advance(network, state, first, n_steps, [batches[0][:0]])
    return {"membrane": state.v[: int(network.populations[0, SIZE])], "fired": state.fired}


@torch.no_grad()
def _torch_loop(
    events: StructuredArray, n_steps: int, weight: torch.Tensor, neurons: LIF
) -> dict[str, Any]:
    """The same as a loop over events, a row of weights added for each."""
    beta, threshold = neurons.beta(), neurons.params.threshold
    v, x = torch.zeros(weight.shape[1]), torch.zeros(weight.shape[1])
    total = torch.zeros(1)
    address = events["p"].astype(np.int64) * 1156 + events["y"].astype(np.int64) * 34 + events["x"]
    ends = np.searchsorted(events["t"], np.arange(n_steps), side="right")
    first = 0
    for last in ends:
        for e in range(first, last):
            x += weight[address[e]]
        first = last
        v = beta * v + x
        s = (v > threshold).float()
        v -= threshold * s
        total += s.sum()
        x.zero_()
    return {"membrane": v, "fired": total}


def _runner(n: int, n_out: int, per_second: float) -> Row:
    """A whole model behind `StreamRunner`, and decisions now and then."""
    model, events = stream_model(n_out), random_events(n, per_second)
    batches = np.split(events, range(_BATCH, n, _BATCH))
    duration_us = round(n / per_second * 1e6)
    stream = EventStream(events.copy(), _SIZE, duration_us, "vision")
    scores = model.infer({"vision": bin_events([stream], _DT_MS)}).scores

    def through(engine: EngineName) -> Callable[[], dict[str, Any]]:
        runner = StreamRunner(model, engine, every_ms=_EVERY_MS, evidence="score")

        def run() -> dict[str, Any]:
            """The same events again, later on the clock of the same stream, from rest."""
            began_us = runner.clocks_us["vision"]
            runner.restart()
            found = []
            for batch in batches:
                moved = batch.copy()
                moved["t"] += began_us
                found += runner.push("vision", moved)
            found += runner.advance("vision", began_us + duration_us)
            return {"scores": torch.tensor(np.array([d.evidence for d in found]))}

        return run

    def conclude(samples: Samples) -> dict[str, float]:
        ns = {name: spread(values).median * 1e6 / n for name, values in samples.items()}
        return {
            "ns_per_event": ns[OURS],
            "million_events_per_s": 1e3 / ns[OURS],
            "stepped_ns_per_event": ns["stepped engine"],
        }

    every = round(_EVERY_MS / _DT_MS)
    return Row(
        f"StreamRunner 2312 -> {n_out} -> 128 -> 10, {per_second:.0e} events/s, "
        f"batches of {_BATCH}, event engine",
        (Contender(OURS, through("event")), Contender("stepped engine", through("stepped"))),
        {"scores": scores[every - 1 :: every, 0]},
        ("stream_rate",),
        Floor(0, n * n_out * _FLOAT, 2312 * n_out * _FLOAT),
        {"events": n, "per_second": per_second},
        conclude=conclude,
    )


def _latency(n: int, n_out: int, per_second: float) -> Row:
    """From the push that completes a step to its decision, events pushed ten at a time."""
    model, events = stream_model(n_out), random_events(n, per_second)
    pushes = np.split(events, range(10, n, 10))
    waits: dict[str, list[float]] = {}

    def through(engine: EngineName) -> Callable[[], dict[str, Any]]:
        def run() -> dict[str, Any]:
            runner = StreamRunner(model, engine)
            n_decisions = 0
            for part in pushes:
                began = {"": time.perf_counter(), "cpu_": time.process_time()}
                found = len(runner.push("vision", part))
                ended = {"": time.perf_counter(), "cpu_": time.process_time()}
                if found:
                    for clock, at in ended.items():
                        waited = (at - began[clock]) * 1e6
                        waits.setdefault(f"{engine}_{clock}", []).append(waited)
                n_decisions += found
            return {"decisions": np.array([n_decisions])}

        return run

    def conclude(samples: Samples) -> dict[str, float]:
        return {
            f"{name}p{q}_us": float(np.percentile(times, q))
            for name, times in waits.items()
            for q in (50, 99)
        }

    return Row(
        f"event to decision, 2312 -> {n_out} -> 128 -> 10, {per_second:.0e} events/s, ten a push",
        (Contender(OURS, through("event")), Contender("stepped engine", through("stepped"))),
        {"decisions": np.array([int(events["t"][-1]) // _STEP_US])},
        tuple(
            f"stream_{engine}_{figure}_us"
            for engine in ("event", "stepped")
            for figure in ("p50", "p99", "cpu_p99")
        ),
        facts={"events": n, "step_us": _STEP_US},
        clock="wall",
        conclude=conclude,
    )
