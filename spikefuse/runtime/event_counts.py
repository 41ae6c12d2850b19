"""What the event engine has executed, by the rules and paths of the batch path."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch

from spikefuse._types import Int64Array
from spikefuse.cost.layer_rules import paths_of
from spikefuse.cost.messages import messages_of
from spikefuse.cost.roles import Role, roles_of
from spikefuse.cost.synapse_rules import count_recurrent
from spikefuse.kernels.stream import SIZE, StreamNetwork, StreamState
from spikefuse.models import FusionSNN
from spikefuse.neurons import ALIF, CubaLIF
from spikefuse.opcounts import OpCounts, PathCounts
from spikefuse.runtime.event_network import EventNetwork
from spikefuse.spikes import SpikeBatch
from spikefuse.synapses import DelayedLinear

_EXACT = 1 << 24  # whole numbers that float32 holds


def event_counts(
    model: FusionSNN, compiled: EventNetwork, state: StreamState, n_steps: int
) -> OpCounts:
    """Operations of a stream, as one sample.

    Synapses cost what they cost in the batch path: an event drives the same weights. Neurons are
    updated only in steps in which something touched them; all their updates are active ones, and a
    gap that is made up for by one decay belongs to the update that follows it. Spikes that a
    recurrent population fired in the last step are counted though they have not come back yet.

    Parameters
    ----------
    model : FusionSNN
    compiled : EventNetwork
    state : StreamState
    n_steps : int
        Steps that have been closed.
    """
    roles, network = roles_of(model, "auto"), compiled.network
    found: dict[str, PathCounts] = {}
    for wire in compiled.wires:
        spikes = _spikes(network, state, wire.source)
        for module in wire.synapses.modules():
            role = roles.get(module)
            if role is not None and role.ruled:
                parts = paths_of(module, role.path, (spikes,), None, role.modality)
                for suffix, path in parts.items():
                    rows = spikes.shape[0]
                    path = replace(path, dense_macs=path.dense_macs // rows * n_steps)
                    if isinstance(module, DelayedLinear):
                        path = _pending(path, rows * module.n_out, int(state.updates[wire.target]))
                    _add(found, role.path + suffix, path)
    for name, k in compiled.populations.items():
        _add_population(found, model, roles, network, state, n_steps, name, k)
    return OpCounts({name: path.with_bytes() for name, path in found.items()}, 1)


def _add_population(
    found: dict[str, PathCounts],
    model: FusionSNN,
    roles: Mapping[torch.nn.Module, Role],
    network: StreamNetwork,
    state: StreamState,
    n_steps: int,
    name: str,
    k: int,
) -> None:
    """Updates of one population, and its recurrent synapses."""
    neurons = model.get_submodule(name)
    role = roles[neurons]
    words = 2 if isinstance(neurons, CubaLIF | ALIF) else 1
    updates = int(state.updates[k])
    path = PathCounts(
        neuron_updates_active=updates,
        spikes_fired=int(state.fired[k]),
        state_reads=words * updates,
        state_writes=words * updates,
        state_words=words * int(network.populations[k, SIZE]),
        modality=role.modality,
    )
    _add(found, role.path, path)
    weight = getattr(neurons, "recurrent_weight", None)
    if weight is not None:
        sent = messages_of(_spikes(network, state, network.n_inputs + k))
        back = count_recurrent(weight, sent, n_steps, role.modality)
        _add(found, f"{role.path}.recurrent", back)


def _pending(path: PathCounts, clocked: int, updates: int) -> PathCounts:
    """Currents under way, of which those that arrive are read and cleared at updates only."""
    more = updates - clocked
    return replace(path, state_reads=path.state_reads + more, state_writes=path.state_writes + more)


def _add(found: dict[str, PathCounts], name: str, path: PathCounts) -> None:
    found[name] = found[name].joined(path) if name in found else path


def _spikes(network: StreamNetwork, state: StreamState, source: int) -> SpikeBatch:
    """All messages of a source as a few steps of amplitudes that are exact."""
    first = network.source_first
    left: Int64Array = state.sent[first[source] : first[source + 1]].copy()
    rows: list[Int64Array] = []
    while not rows or left.any():
        rows.append(np.minimum(left, _EXACT))
        left = left - rows[-1]
    return SpikeBatch.from_dense(torch.from_numpy(np.stack(rows)).float()[:, None])
