"""Sparse synapses with rows of taps, forward and backward, against float64."""

from __future__ import annotations

from typing import NamedTuple

import torch

from spikefuse.kernels.cross import cross_currents_ref
from spikefuse.kernels.fan import Fan
from spikefuse.kernels.gpu import compaction, cross
from spikefuse.kernels.gpu.cross import Edges
from spikefuse.kernels.gpu.parity.target import (
    Shape,
    Target,
    events_of,
    generator,
    near,
    random_spikes,
)


class Case(NamedTuple):
    """A layer, the edges of each of its inputs, and the taps of each edge."""

    shape: Shape
    fan_out: int
    n_taps: int


# More edges to a neuron than a warp looks at, more taps than it adds at once, and more taps and
# steps than a block has threads.
CASES = [
    Case(Shape(1, 1, 1, 1, 0.5), 1, 1),
    Case(Shape(6, 3, 90, 2, 0.3), 2, 5),
    Case(Shape(9, 2, 20, 33, 0.3), 3, 40),
    Case(Shape(4, 2, 7, 260, 0.4), 9, 1),
    Case(Shape(5, 1, 12, 4, 0.0), 2, 3),
    Case(Shape(3, 1, 4, 2, 0.5), 1, 300),
    Case(Shape(300, 1, 3, 2, 0.1), 2, 2),
]
_ROOM = 3  # lags beyond the taps


def check_cross(target: Target, case: Case) -> None:
    """Currents upon pending ones, and the gradients of taps and spikes; pairs may repeat."""
    (n_steps, n_batch, n_in, n_out, _), fan_out, n_taps = case
    random = generator(case.shape, 11)
    span = n_taps + _ROOM
    ptr = torch.arange(n_in + 1, dtype=torch.int32) * fan_out
    n_edges = n_in * fan_out
    to = torch.randint(0, n_out, (n_edges,), generator=random, dtype=torch.int32)
    fan = Fan(ptr, to, n_out)
    first = torch.randint(0, _ROOM + 2, (n_edges,), generator=random, dtype=torch.int32)
    taps = torch.randn(n_edges, n_taps, generator=random)
    for graded in (False, True):
        spikes = random_spikes(case.shape, random, graded=graded)
        pending = torch.randn(span, n_batch, n_out, generator=random)
        s = spikes.double().view(n_steps, n_batch, n_in).requires_grad_()
        h = taps.double().requires_grad_()
        want = torch.cat(cross_currents_ref(s, h, first, fan, span, pending.double()))
        up = torch.randn(want.shape, generator=random)
        dspikes, dtaps = torch.autograd.grad(want, (s, h), up.double())

        put = target.put
        edges = Edges(put(taps), put(first), put(ptr), put(to), n_out)
        out = torch.zeros(n_batch, n_out, n_steps + span)
        out[..., :span] = pending.permute(1, 2, 0)
        out = target.put(out)
        x = target.put(spikes.view(n_steps, n_batch, n_in))
        cross.cross_forward(target.launch, x, edges, out)
        near("currents", out.permute(2, 0, 1), want)

        grad = target.put(up.permute(1, 2, 0))
        events = target.put_events(events_of(spikes))
        columns = compaction.transpose(target.launch, events, n_in)
        got = cross.cross_tap_gradient(target.launch, columns, edges, grad)
        near("gradient of the taps", got, dtaps)
        cells = cross.cross_spike_gradient(target.launch, edges, grad, n_steps)
        near("gradient of the spikes", cells.permute(2, 0, 1), dspikes)
