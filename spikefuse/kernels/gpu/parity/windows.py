"""Gated products and their gradients, against float64."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from spikefuse.kernels.coincidence import coincidence_trace_ref, gate
from spikefuse.kernels.gpu import coincidence
from spikefuse.kernels.gpu.parity.target import (
    Shape,
    Target,
    events_of,
    generator,
    near,
    random_spikes,
)

_DTYPES = (torch.float32, torch.bfloat16)


def check_coincidence(target: Target, shape: Shape) -> None:
    """The product and the gradients of window and sum, for both gates and weight types."""
    random = generator(shape, 8)
    for saturating, dtype in itertools.product((False, True), _DTYPES):
        spikes = random_spikes(shape, random, graded=saturating)
        weight = torch.randn(shape.n_in, shape.n_out, generator=random).to(dtype)
        window = torch.randn(len(spikes), shape.n_out, generator=random).double().requires_grad_()
        total = (spikes.double() @ weight.double()).requires_grad_()
        want = total * gate(window, saturating)
        up = torch.randn(want.shape, generator=random).double()
        dwindow, dtotal = torch.autograd.grad(want, (window, total), up)
        events, given = target.put_events(events_of(spikes)), target.put(window.float())
        got, drive = coincidence.coincidence(
            target.launch, events, target.put(weight), given, saturating=saturating, keep=True
        )
        near("product", got, want)
        near("sum", drive, total)
        if drive is None:
            raise ValueError("drive must be kept, got None")
        back = coincidence.coincidence_backward(
            target.launch, target.put(up.float()), given, drive, saturating=saturating
        )
        near("gradient of the window", back[0], dwindow)
        near("gradient of the sum", back[1], dtotal)


def check_trace(target: Target, shape: Shape) -> None:
    """The product gated by a trace, with and without openers of the same step."""
    _, n_batch, n_in, width, _ = shape
    random = generator(shape, 9)
    for same_step, saturating, dtype in itertools.product((False, True), (False, True), _DTYPES):
        spikes = random_spikes(shape, random, graded=saturating)
        openers = random_spikes(shape, random, graded=same_step)
        weights = [torch.randn(n_in, width, generator=random).to(dtype) for _ in range(2)]
        beta = torch.rand(width, generator=random) * 0.3 + 0.6
        trace = torch.rand(n_batch, width, generator=random)
        want, last = coincidence_trace_ref(
            _steps(spikes, shape),
            weights[0].double(),
            _steps(openers, shape),
            weights[1].double(),
            beta.double(),
            trace.double(),
            same_step=same_step,
            saturating=saturating,
        )
        got, got_last = coincidence.coincidence_trace(
            target.launch,
            target.put_events(events_of(spikes)),
            target.put(weights[0]),
            target.put_events(events_of(openers)),
            target.put(weights[1]),
            target.put(beta),
            target.put(trace),
            same_step=same_step,
            saturating=saturating,
        )
        near("product", got, want.view(-1, width))
        near("trace", got_last, last)


def _steps(rows: Tensor, shape: Shape) -> Tensor:
    """Rows as float64 [T, B, n_in]."""
    return rows.double().view(shape.n_steps, shape.n_batch, shape.n_in)
