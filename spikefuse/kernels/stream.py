"""A spiking network that runs as its events come: state decays when something touches it.

The clock is that of the steps for which the network was trained. Within a step every event adds its
row of weights at once; when the step is over, only populations that got anything, or could fire
without it, are updated, and what they missed since their last update is one decay.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate

import numpy as np
import numpy.typing as npt

from spikefuse._types import Int64Array, StructuredArray
from spikefuse.events import EVENT_DTYPE
from spikefuse.kernels import registry

_OP = "stream"
registry.register(_OP, registry.NUMBA, "spikefuse.kernels.cpu.stream")

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]
Flags = npt.NDArray[np.uint8]

# Kinds of populations.
LIF, CUBA, ALIF, READOUT = range(4)
# Columns of the tables of populations, of edges and of inputs.
KIND, FIRST, SIZE, PADDED, RING, SLOTS, SUBTRACT, FLAGS = range(8)
TARGET, AT, COLUMNS, DELAY, BASE, TILE_STEP, WIDTH, FAN = range(8)
N_ADDRESSES, SENSOR_WIDTH, PLANE = range(3)
# Rows of the table of neuron parameters.
ALPHA, BETA, THRESHOLD, KAPPA, RHO, PEAK = range(6)


@dataclass(frozen=True, eq=False)
class StreamNetwork:
    """Populations and the edges between them, as arrays.

    Sources are the inputs, then the populations, in order. An edge without delay leads from an
    input or an earlier population to a later one.

    Parameters
    ----------
    inputs : int64 array [M, 3]
        Addresses of each input; width and plane (W * H, or 0 without polarities) of its sensor.
    populations : int64 array [L, 8]
        ``KIND``; ``FIRST`` neuron, ``SIZE`` and ``PADDED`` size; where its ring of arriving
        currents starts (``RING``), how many steps it holds (``SLOTS``) and where their flags start
        (``FLAGS``); whether spikes ``SUBTRACT`` the threshold.
    neurons : float32 array [6, P]
        ``ALPHA``, ``BETA``, ``THRESHOLD``, ``KAPPA``, ``RHO`` of the padded neurons, and ``PEAK``:
        how far one unit of synaptic current can lift a membrane (`peak_lift`). A readout's gain is
        its ``ALPHA``.
    edges : int64 array [E, 8]
        In the order of their sources. ``TARGET`` population, from its neuron ``AT`` on. Dense
        edges have ``COLUMNS``, a ``DELAY`` in steps, and tiles of ``WIDTH`` columns in ``table``
        from ``BASE`` on, ``TILE_STEP`` apart. Sparse ones have a ``FAN``: where their pointers
        start in ``fan_ptr``; else it is -1.
    edge_ptr : int64 array [M + L + 1]
    table : float32 array
    fan_ptr : int64 array
        Absolute positions in the three arrays that follow.
    fan_target, fan_lag : int32 array
        Neuron of the population, and delay in steps, of each synapse.
    fan_weight : float32 array
    """

    inputs: Int64Array
    populations: Int64Array
    neurons: Floats
    edges: Int64Array
    edge_ptr: Int64Array
    table: Floats
    fan_ptr: Int64Array
    fan_target: Ints
    fan_lag: Ints
    fan_weight: Floats

    @property
    def n_inputs(self) -> int:
        """Inputs, one for each modality."""
        return len(self.inputs)

    @cached_property
    def source_first(self) -> Int64Array:
        """Where the addresses of each source start among those of all sources, [M + L + 1]."""
        sizes = np.concatenate([self.inputs[:, N_ADDRESSES], self.populations[:, SIZE]])
        return np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])

    @cached_property
    def n_traces(self) -> int:
        """Readout neurons, whose membranes are written at every step."""
        return int(self.populations[self.populations[:, KIND] == READOUT, SIZE].sum())


@dataclass(eq=False)
class StreamState:
    """What the network holds between two calls; arrays are written in place.

    Parameters
    ----------
    v, i, a : float32 array [P]
        Membrane, synaptic current, adaptation when they were last updated.
    ring : float32 array
        Currents that arrive in this and in later steps, population after population.
    filled : uint8 array
        Which steps of the rings hold anything.
    last : int64 array [L]
        Last step in which each population was updated.
    hot : uint8 array [L]
        Whether any of its neurons could fire without another input.
    seen : int64 array
        Last step of an event of every input address, for ``clip``.
    sent, updates, fired : int64 array
        Messages of every source address; updates run and spikes fired by each population.
    """

    v: Floats
    i: Floats
    a: Floats
    ring: Floats
    filled: Flags
    last: Int64Array
    hot: Flags
    seen: Int64Array
    sent: Int64Array
    updates: Int64Array
    fired: Int64Array

    @classmethod
    def at_rest(cls, network: StreamNetwork, step: int = 0) -> StreamState:
        """Nothing has happened before ``step``."""
        populations = network.populations
        n_neurons, n_populations = network.neurons.shape[1], len(populations)
        currents = int((populations[:, SLOTS] * populations[:, PADDED]).sum())
        v, i, a = np.zeros((3, n_neurons), np.float32)
        return cls(
            v,
            i,
            a,
            np.zeros(currents, np.float32),
            np.zeros(int(populations[:, SLOTS].sum()), np.uint8),
            np.full(n_populations, step - 1, np.int64),
            np.zeros(n_populations, np.uint8),
            np.full(int(network.inputs[:, N_ADDRESSES].sum()), -1, np.int64),
            np.zeros(int(network.source_first[-1]), np.int64),
            np.zeros(n_populations, np.int64),
            np.zeros(n_populations, np.int64),
        )


@dataclass(frozen=True, eq=False)
class StreamOutput:
    """What a call yields.

    Parameters
    ----------
    traces : float32 array [K, R]
        Membranes of all readouts after each step that was closed.
    spikes : uint8 array [K, P]
        1 where a neuron fired; without steps where nobody asked.
    """

    traces: Floats
    spikes: Flags = field(default_factory=lambda: np.zeros((0, 0), np.uint8))


def advance_ref(
    network: StreamNetwork,
    state: StreamState,
    first: int,
    until: int,
    events: Sequence[StructuredArray],
    clip: bool = False,
    record: bool = False,
) -> StreamOutput:
    """`advance` step by step over all neurons: its definition."""
    n_populations = len(network.populations)
    traces = np.zeros((until - first, network.n_traces), np.float32)
    spikes = np.zeros((until - first, network.neurons.shape[1]), np.uint8)
    for step in range(first, until + 1):  # the last one stays open
        for m, given in enumerate(events):
            _deliver_ref(network, state, m, step, _addresses(network, state, m, step, given, clip))
        column = 0
        for k in range(n_populations if step < until else 0):
            fired = _close_ref(network, state, k, step)
            _, at, size = network.populations[k, :3]
            if network.populations[k, KIND] == READOUT:
                traces[step - first, column : column + size] = state.v[at : at + size]
                column += size
                continue
            spikes[step - first, at : at + size] = fired
            _deliver_ref(network, state, network.n_inputs + k, step, np.flatnonzero(fired))
            state.fired[k] += int(fired.sum())
    return StreamOutput(traces, spikes if record else spikes[:0])


def advance(
    network: StreamNetwork,
    state: StreamState,
    first: int,
    until: int,
    events: Sequence[StructuredArray],
    *,
    clip: bool = False,
    record: bool = False,
    backend: str | None = None,
) -> StreamOutput:
    r"""Take events in, and close the steps ``first`` to ``until - 1``.

    .. math:: v_{t + k} = \beta^k v_t \text{ if nothing came and } \beta v_t \le \theta

    A LIF neuron without input fires only if its reset left it above :math:`\theta / \beta`. With a
    synaptic current a membrane can rise after the last event: such neurons are run step by step
    while :math:`\max(v, 0) + g \max(i, 0)` exceeds the threshold, with g of `peak_lift`. So no
    spike is missed, and none is looked for where it cannot be.

    Events of step ``until`` are added to the currents of that step, which stays open.

    Parameters
    ----------
    network : StreamNetwork
    state : StreamState
        Written in place.
    first, until : int
        Steps before ``first`` are closed already.
    events : sequence of structured array of `EVENT_DTYPE`, one for each input
        Their ``t`` is the step, from ``first`` to ``until``, never decreasing.
    clip : bool
        Whether several events of one address in one step count as one.
    record : bool
        Whether spikes are wanted.
    backend : str, optional

    Returns
    -------
    StreamOutput

    Raises
    ------
    BackendError
        If an explicit backend cannot run.

    Notes
    -----
    Decays on demand and the test whether a neuron without input can fire are common to event-driven
    simulators (Brette et al., "Simulation of networks of spiking neurons", J. Comput. Neurosci.
    23, 2007).
    """
    chosen = registry.choose(_OP, backend, "cpu")
    if chosen == registry.REFERENCE:
        return advance_ref(network, state, first, until, events, clip, record)
    traces = np.empty((until - first, network.n_traces), np.float32)
    spikes = np.zeros((until - first if record else 0, network.neurons.shape[1]), np.uint8)
    joined = events[0] if len(events) == 1 else _joined(events)
    event_ptr = np.array([0, *accumulate(map(len, events))], np.int64)
    registry.kernel(_OP, chosen, "advance")(
        first,
        until,
        joined,
        event_ptr,
        clip,
        network.inputs,
        network.populations,
        network.neurons,
        network.edges,
        network.edge_ptr,
        network.table,
        network.fan_ptr,
        network.fan_target,
        network.fan_lag,
        network.fan_weight,
        state.v,
        state.i,
        state.a,
        state.ring,
        state.filled,
        state.last,
        state.hot,
        state.seen,
        state.sent,
        state.updates,
        state.fired,
        traces,
        spikes,
    )
    return StreamOutput(traces, spikes)


def peak_lift(alpha: Floats, beta: Floats) -> Floats:
    r"""The highest membrane that a synaptic current of 1 leads to, :math:`g = \max_k S_k`.

    .. math:: S_k = \sum_{j=1}^{k} \alpha^j \beta^{k - j}

    Rounded up, so that it is a bound in float32 too.
    """
    a, b = alpha.astype(np.float64), beta.astype(np.float64)
    if len(a) and max(a.max(), b.max()) >= 1:
        raise ValueError(f"decays must be below 1, got {max(a.max(), b.max())}")
    lift, power, best = (np.zeros(len(a)) for _ in range(3))
    power += 1.0
    rising = np.ones(len(a), bool)
    while rising.any():
        power *= a
        lift = b * lift + power
        rising = lift > best
        best = np.maximum(best, lift)
    return (best * (1 + 1e-4)).astype(np.float32)


def _joined(events: Sequence[StructuredArray]) -> StructuredArray:
    """All inputs' events end to end; as bytes, because NumPy joins records field by field."""
    parts = [np.ascontiguousarray(part).view(np.uint8) for part in events]
    return np.concatenate(parts).view(EVENT_DTYPE)


def _addresses(
    network: StreamNetwork,
    state: StreamState,
    m: int,
    step: int,
    events: StructuredArray,
    clip: bool,
) -> Int64Array:
    """Addresses of the events of one step, in their order."""
    _, width, plane = network.inputs[m]
    here = events[events["t"] == step]
    address: Int64Array = here["y"].astype(np.int64) * width + here["x"] + here["p"] * plane
    if not clip:
        return address
    seen = state.seen[int(network.source_first[m]) :]
    kept = []
    for one in address:
        if seen[one] != step:
            seen[one] = step
            kept.append(one)
    return np.asarray(kept, np.int64)


def _deliver_ref(
    network: StreamNetwork, state: StreamState, source: int, step: int, addresses: Int64Array
) -> None:
    """Add the weights of a source's events to the currents of this and later steps."""
    np.add.at(state.sent, network.source_first[source] + addresses, 1)
    for e in range(network.edge_ptr[source], network.edge_ptr[source + 1]):
        target, at, columns, delay, base, tile_step, width, fan = network.edges[e]
        _, _, _, padded, ring, slots, _, flags = network.populations[target]
        for address in addresses:
            if fan < 0:
                k, c = np.divmod(np.arange(columns), width)
                where = at + np.arange(columns)
                weight = network.table[base + k * tile_step + address * width + c]
                lag = np.full(columns, delay)
            else:
                own = slice(network.fan_ptr[fan + address], network.fan_ptr[fan + address + 1])
                where, weight = at + network.fan_target[own], network.fan_weight[own]
                lag = network.fan_lag[own]
            slot = (step + lag) % slots
            np.add.at(state.ring, ring + slot * padded + where, weight)
            state.filled[flags + slot] = 1


def _close_ref(network: StreamNetwork, state: StreamState, k: int, step: int) -> Flags:
    """One step of one population, whether or not it has an input; spikes [n]."""
    kind, at, size, padded, ring, slots, subtract, flags = network.populations[k]
    slot = step % slots
    own = slice(at, at + size)
    x = state.ring[ring + slot * padded :][:size]
    alpha, beta, threshold, kappa, rho, _ = network.neurons[:, own]
    v, i, a = state.v[own], state.i[own], state.a[own]
    if kind == READOUT:
        v[:] = beta * v + alpha * x
        fired = np.zeros(size, np.uint8)
    else:
        if kind == CUBA:
            i[:] = alpha * i + x
            v[:] = beta * v + i
        else:
            v[:] = beta * v + x
        fired = (v - (threshold + kappa * a if kind == ALIF else threshold) > 0).astype(np.uint8)
        s = fired.astype(np.float32)
        v[:] = v - threshold * s if subtract else v * (1 - s)
        if kind == ALIF:
            a[:] = rho * a + s
    x[:] = 0
    state.filled[flags + slot] = 0
    state.last[k] = step
    state.updates[k] += size
    return fired
