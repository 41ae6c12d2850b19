"""One test sample through every layer, and what training made of delays: arrays for figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from experiments.config import Config
from experiments.evaluation.evaluate import first_final
from experiments.loading.batches import batches
from experiments.loading.data import PairedData
from experiments.training.learners import Learner, build_learner
from spikefuse._types import FloatArray, Int64Array
from spikefuse.events import EventStream
from spikefuse.fusion.events import steps_of
from spikefuse.models import FusionSNN
from spikefuse.models.fusion_snn import FusionState
from spikefuse.spikes import SpikeBatch

TRACED_NEURONS = 8


def raster_of(learner: Learner, data: PairedData, index: int, seed: int) -> dict[str, Any]:
    """Everything the aligned raster of one test sample shows, as arrays (see docs/data.md)."""
    pair = data.fixed_pairs["test"][index]
    batch = next(batches(data, "test", [pair], 1))
    sample = batch.samples[0]
    with torch.no_grad():
        output = learner.model(learner.inputs([sample]))
        scores = learner.anytime_scores([sample], learner.anytime_ms(()))[:, 0]
    evidence = torch.softmax(scores, dim=1).numpy()
    times_ms = np.asarray(learner.anytime_ms(()))
    answers = evidence.argmax(axis=1)[:, None]
    arrays: dict[str, Any] = {"modalities": np.array(learner.modalities)}
    for name in learner.modalities:
        arrays |= _events(name, sample[name])
        arrays[f"{name}_source"] = sample.provenance.get(f"{name}_source", "")
    for name, encoded in output.encoded.items():
        times, neurons = _spikes(encoded, learner.dt_ms)
        arrays |= {f"encoder_{name}_ms": times, f"encoder_{name}_neuron": neurons}
        arrays[f"n_encoder_{name}"] = encoded.shape[2]
    hidden_ms, hidden = _spikes(output.hidden, learner.dt_ms)
    return {
        **arrays,
        "hidden_t_ms": hidden_ms,
        "hidden_neuron": hidden,
        "output_t_ms": times_ms,
        "output": evidence,
        "decision_ms": float(times_ms[first_final(answers)[0]]),
        "label": int(batch.labels[0]),
        "prediction": int(answers[-1, 0]),
        "dt_ms": learner.dt_ms,
        "duration_ms": learner.duration_ms,
        "n_hidden": output.hidden.shape[2],
        "seed": seed,
        **traces_of(learner, learner.events([sample])),
    }


@torch.no_grad()
def traces_of(learner: Learner, events: Mapping[str, SpikeBatch]) -> dict[str, Any]:
    """Membranes of one sample after every step: its most active fused neurons, and the readout.

    The model runs step by step and hands on its state, so that what is recorded is what it
    carries; a fused neuron's membrane is that after its reset.

    Parameters
    ----------
    learner : Learner
        Of a spiking model.
    events : mapping of modality to SpikeBatch of shape (T, 1, N)

    Returns
    -------
    dict
        ``trace_ms`` [T], ``trace_neuron`` [k], ``trace_v`` [T, k], ``trace_spiked`` [T, k],
        ``trace_threshold`` and ``readout_v`` [T, C]; empty where an operator keeps no membranes of
        fused neurons (late fusion).
    """
    model = learner.model
    if not isinstance(model, FusionSNN) or not model.spec.operator.spiking:
        return {}
    state: FusionState | None = None
    membranes: list[Tensor] = []
    spikes: list[Tensor] = []
    scores: list[Tensor] = []
    for step in range(learner.n_steps):
        now = {name: steps_of(x, step, step + 1) for name, x in events.items()}
        out = model(now, state)
        state = out.state
        if "hidden" not in state.fusion:
            return {}
        membranes.append(state.fusion["hidden"][0])
        spikes.append(out.hidden[0, 0])
        scores.append(out.scores[0, 0])
    spiked = torch.stack(spikes)
    n_shown = min(TRACED_NEURONS, spiked.shape[1])
    shown = torch.argsort(spiked.sum(0), descending=True, stable=True)[:n_shown]
    return {
        "trace_ms": (np.arange(learner.n_steps) + 1) * learner.dt_ms,
        "trace_neuron": shown.numpy(),
        "trace_v": torch.stack(membranes)[:, shown].numpy(),
        "trace_spiked": spiked[:, shown].numpy() > 0,
        "trace_threshold": model.spec.lif.threshold,
        "readout_v": torch.stack(scores).numpy(),
    }


def learned_delays(
    learners: Mapping[tuple[str, int], Learner], config: Config, data: PairedData
) -> dict[str, Any]:
    """Delays and widths of windows before and after training, of operators that learn them.

    Returns
    -------
    dict
        ``<model>.seed<seed>.<delay or width>_<start or end>_ms.<pair>``, an array each; empty where
        there is nothing to learn.
    """
    arrays: dict[str, Any] = {}
    for (name, seed), learner in learners.items():
        if not isinstance(learner.model, FusionSNN) or not _timings(learner.model):
            continue
        fresh = build_learner(name, config, data.sensor_sizes, seed, len(data.classes))
        for when, model in (("start", fresh.model), ("end", learner.model)):
            for what, by_pair in _timings(model).items():
                for pair, values in by_pair.items():
                    key = f"{name}.seed{seed}.{what}_{when}_ms.{pair}"
                    arrays[key] = values.detach().flatten().numpy()
    return arrays


def _timings(model: Any) -> dict[str, Mapping[str, Tensor]]:
    """What an operator says of its delays and windows."""
    found: dict[str, Mapping[str, Tensor]] = {}
    for what in ("delay", "width"):
        read: Callable[[], Mapping[str, Tensor]] | None
        read = getattr(model.fusion, f"{what}s_ms", None)
        if read is not None:
            found[what] = read()
    return found


def _events(name: str, stream: EventStream) -> dict[str, Any]:
    """Times and places of a modality's events; rows of a picture, else channels."""
    width, height, polarities = stream.sensor_size
    place = stream.events["y"] if height > 1 else stream.events["x"]
    arrays: dict[str, Any] = {f"{name}_t_ms": stream.events["t"] / 1e3}
    if name == "vision":
        arrays |= {"vision_y": place, "height": height if height > 1 else width}
    elif name == "audio":
        arrays |= {"audio_channel": stream.events["x"], "n_channels": width}
    else:
        arrays |= {f"{name}_row": place, f"n_{name}": height if height > 1 else width}
    if polarities > 1:
        arrays[f"{name}_p"] = stream.events["p"]
    return arrays


def _spikes(spikes: Tensor, dt_ms: float) -> tuple[FloatArray, Int64Array]:
    """Times, in the middle of their steps, and neurons of the first sample's spikes."""
    step, neuron = spikes[:, 0].nonzero(as_tuple=True)
    return (step.numpy() + 0.5) * dt_ms, neuron.numpy()
