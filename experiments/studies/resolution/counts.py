"""What the resolution study's nets execute: on their clock, by changes, and at events only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from experiments.studies.resolution.nets import KERNEL, StepNet
from experiments.studies.resolution.tasks import Samples
from spikefuse.cost.counter import Counter
from spikefuse.opcounts import OpCounts, PathCounts


@torch.no_grad()
def counts_of(net: StepNet, samples: Samples, at: slice) -> OpCounts:
    """What a net executes on some samples, with one answer at the end and building its frames.

    The sums over time are an accumulate, a read and a write for each spike, or for each unit of
    a frame.
    """
    inputs = net.read(samples, at)
    counter = Counter(net, batch_dim=1)
    with counter:
        features = net.features(inputs)
        net.scores(features.sum(0))
    n = features.shape[1]
    added = int(features.count_nonzero()) if net.candidate.spiking else features.numel()
    extra = {"sum": _sums(net, added)}
    if not net.candidate.spiking:
        extra["frontend.frames"] = framing(net, inputs)
    return counter.counts(n) + OpCounts(extra, n)


@torch.no_grad()
def delta_counts_of(net: StepNet, samples: Samples, at: slice) -> OpCounts:
    r"""The same of a convolution driven by changes, whose answers are equal.

    An empty frame changes nothing. A frame with events adds its products to the sums of the
    ``KERNEL`` columns that see it; units of these columns whose value is no longer that of an
    empty window change the sum over time. Every input is compared once a frame.
    """
    inputs = samples.binned(at, net.candidate.step_ms)
    frames = torch.cat([inputs[name] for name in net.modalities], 2)
    n, width = frames.shape[1], net.candidate.width
    filled = frames.ne(0)
    reach = [KERNEL if f + KERNEL <= len(frames) else len(frames) - f for f in range(len(frames))]
    columns = torch.tensor(reach, dtype=torch.int64).view(-1, 1)
    macs = int((filled.sum(2) * columns).sum()) * width
    sums = int((filled.any(2) * columns).sum()) * width
    bias = net.conv.bias
    rest = torch.relu(torch.zeros(width) if bias is None else bias)
    changed = int(net.features(inputs).ne(rest).sum())
    weights = net.conv.weight.numel()
    product = PathCounts(
        effective_macs=macs,
        dense_macs=width * frames.shape[2] * int(columns.sum()) * n,
        weight_reads=macs,
        state_reads=frames.numel(),
        weight_words=weights,
        state_words=KERNEL * frames.shape[2],
        kind="dense",
    )
    state = PathCounts(
        effective_acs=sums,
        state_reads=sums,
        state_writes=sums,
        state_words=KERNEL * width,
        kind="dense",
    )
    counter = Counter(net, batch_dim=0)
    with counter:
        net.scores(net.features(inputs).sum(0).detach())
    readout = {k: v for k, v in counter.counts(n).by_path.items() if k.startswith("readout")}
    extra = {
        "conv": product,
        "conv.sum": state,
        "sum": _sums(net, changed),
        "frontend.frames": framing(net, inputs),
    }
    return OpCounts(readout | extra, n)


@torch.no_grad()
def at_events_of(net: StepNet, samples: Samples, at: slice) -> OpCounts:
    r"""Counts of a spiking net whose neurons are updated only when an input reaches them.

    Without input a leaky membrane only decays and cannot fire, so
    :math:`v \leftarrow v\, e^{-\Delta t / \tau}` may wait for the next input: the spikes are the
    same. Such an update reads and writes the time of the last one beside the membrane.
    """
    currents: list[Tensor] = []
    handle = net.fusion.hidden.register_forward_pre_hook(  # type: ignore[union-attr]
        lambda _, args: currents.append(args[0])
    )
    try:
        counts = counts_of(net, samples, at)
    finally:
        handle.remove()
    reached = int(currents[0].count_nonzero())
    hidden = "fusion.hidden"
    path = replace(
        counts.by_path[hidden],
        neuron_updates_active=reached,
        neuron_updates_idle=0,
        state_reads=2 * reached,
        state_writes=2 * reached,
        state_words=2 * net.candidate.width,
    ).with_bytes()
    return OpCounts({**counts.by_path, hidden: path}, counts.n_samples)


def _sums(net: StepNet, added: int) -> PathCounts:
    """Adding features to their sums over time."""
    return PathCounts(
        effective_acs=added,
        state_reads=added,
        state_writes=added,
        state_words=net.candidate.width,
        kind="event" if net.candidate.spiking else "dense",
    )


def framing(net: StepNet, inputs: Mapping[str, Any]) -> PathCounts:
    """Building frames: add, read and write an event; read and clear every cell of a frame."""
    n_events = int(sum(float(inputs[name].sum()) for name in net.modalities))
    n_cells = sum(inputs[name].numel() for name in net.modalities)
    return PathCounts(
        effective_acs=n_events,
        spikes_routed=n_events,
        state_reads=n_events + n_cells,
        state_writes=n_events + n_cells,
        state_words=sum(int(inputs[name].shape[2]) for name in net.modalities),
        kind="frontend",
    )
