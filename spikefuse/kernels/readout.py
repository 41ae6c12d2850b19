"""Leaky integration without spikes over whole sequences."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from spikefuse.kernels import buffers, registry, scans, watching

_OP = "li_scan"
registry.register(_OP, registry.NUMBA, "spikefuse.kernels.cpu.readout")
registry.register(_OP, registry.CUDA, "spikefuse.kernels.gpu.ops.scans")


def li_scan_ref(
    current: Tensor,  # [T, B, N]
    beta: Tensor | float,  # scalar or [N]
    v0: Tensor | None = None,  # [B, N]
) -> tuple[Tensor, Tensor]:
    """`li_scan` in plain torch: its definition."""
    scans.checked_current(current)
    v = torch.zeros_like(current[0]) if v0 is None else v0
    trace: list[Tensor] = []
    for x in current.unbind(0):
        v = beta * v + (1.0 - beta) * x
        trace.append(v)
    return torch.stack(trace), v


def li_scan(
    current: Tensor,  # [T, B, N]
    beta: Tensor | float,  # scalar or [N]
    v0: Tensor | None = None,  # [B, N]
    *,
    backend: str | None = None,
) -> tuple[Tensor, Tensor]:
    r"""Leaky integrator without spikes: :math:`v_t = \beta v_{t-1} + (1 - \beta) x_t`.

    Parameters
    ----------
    current : Tensor[T, B, N]
        At least one step.
    beta : float, scalar Tensor or Tensor[N]
    v0 : Tensor[B, N], optional
        State before the first step, zero by default.
    backend : str, optional
        One of `registry.BACKENDS`.

    Returns
    -------
    trace : Tensor[T, B, N], v_last : Tensor[B, N]

    Raises
    ------
    ValueError
        If shapes, types or devices do not fit together.
    BackendError
        If an explicit backend cannot run.
    """
    scans.checked_current(current)
    scans.checked_state("v0", v0, current)
    gain = scans.parameter_of("beta", 1.0 - beta, current)
    beta = scans.parameter_of("beta", beta, current)
    chosen = scans.choose(_OP, backend, current.device.type, scans.refused(current))
    if chosen == registry.REFERENCE:
        return li_scan_ref(current, beta, v0)
    trace, v = torch.ops.spikefuse.li_scan(current, beta, gain, v0, chosen)
    return trace, v


@torch.library.custom_op(
    "spikefuse::li_scan",
    mutates_args=(),
    schema="(Tensor current, Tensor beta, Tensor gain, Tensor? v0, str backend) -> "
    "(Tensor, Tensor)",
)
@registry.twin(_OP, "li_forward")
def _forward(
    current: Tensor, beta: Tensor, gain: Tensor, v0: Tensor | None, backend: str
) -> tuple[Tensor, Tensor]:
    """``v = beta v + gain x`` of every step."""
    rows, n = scans.rows_of(current.shape), current.shape[2]
    x = scans.stream_of(current, rows)
    trace = buffers.empty(current.shape)
    v = scans.state_of(v0, current)
    state = scans.array_of(v, rows.n_rows, rows.width)
    seen = (state[: None if watching.watched() else 0] != 0).view(np.uint8)
    n_active = registry.kernel(_OP, backend, "li_forward")(
        x.flat,
        x.step,
        x.row,
        scans.lanes_of(beta, n, rows),
        scans.lanes_of(gain, n, rows),
        state,
        scans.array_of(trace, rows.n_steps, rows.n_rows, rows.width),
        seen,
    )
    watching.tell(int(n_active))
    return trace, v


@_forward.register_fake
def _(
    current: Tensor, beta: Tensor, gain: Tensor, v0: Tensor | None, backend: str
) -> tuple[Tensor, Tensor]:
    return current.new_empty(current.shape), current.new_empty(current.shape[1:])


@torch.library.custom_op(
    "spikefuse::li_scan_backward",
    mutates_args=(),
    schema="(Tensor? grad, Tensor? grad_v, Tensor current, Tensor beta, Tensor gain, "
    "Tensor? v0, Tensor? trace, str backend) -> (Tensor, Tensor, Tensor, Tensor)",
)
@registry.twin(_OP, "li_backward")
def _gradients(
    grad: Tensor | None,
    grad_v: Tensor | None,
    current: Tensor,
    beta: Tensor,
    gain: Tensor,
    v0: Tensor | None,
    trace: Tensor | None,
    backend: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of current, v0, and (float64, per neuron, if there is a trace) beta and gain."""
    rows, n = scans.rows_of(current.shape), current.shape[2]
    g, x = scans.stream_of(grad, rows), scans.stream_of(current, rows)
    dx = buffers.empty(current.shape)
    dv, first = scans.state_of(grad_v, current), scans.state_of(v0, current)
    wanted = trace is not None
    dbeta, dgain = np.zeros(rows.width if wanted else 0), np.zeros(rows.width if wanted else 0)
    known = current.new_empty(0, *current.shape[1:]) if trace is None else trace
    registry.kernel(_OP, backend, "li_backward")(
        g.flat,
        g.step,
        g.row,
        x.flat,
        x.step,
        x.row,
        scans.lanes_of(beta, n, rows),
        scans.lanes_of(gain, n, rows),
        scans.array_of(first, rows.n_rows, rows.width),
        scans.array_of(known, known.shape[0], rows.n_rows, rows.width),
        scans.array_of(dv, rows.n_rows, rows.width),
        scans.array_of(dx, rows.n_steps, rows.n_rows, rows.width),
        dbeta,
        dgain,
    )
    return dx, dv, scans.per_neuron(dbeta, rows), scans.per_neuron(dgain, rows)


@_gradients.register_fake
def _(
    grad: Tensor | None,
    grad_v: Tensor | None,
    current: Tensor,
    beta: Tensor,
    gain: Tensor,
    v0: Tensor | None,
    trace: Tensor | None,
    backend: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    n = 0 if trace is None else current.shape[2]
    return (
        current.new_empty(current.shape),
        current.new_empty(current.shape[1:]),
        current.new_empty(n, dtype=torch.float64),
        current.new_empty(n, dtype=torch.float64),
    )


def _setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    """Keep the input, and the trace if a decay is learned."""
    current, beta, gain, v0, backend = inputs
    wants_parameters = ctx.needs_input_grad[1] or ctx.needs_input_grad[2]
    ctx.save_for_backward(current, beta, gain, v0, output[0] if wants_parameters else None)
    ctx.backend = backend
    ctx.set_materialize_grads(False)


def _backward(ctx: Any, grad: Tensor, grad_v: Tensor) -> tuple[Tensor | None, ...]:
    """Gradients of the four tensors."""
    current, beta, gain, v0, trace = ctx.saved_tensors
    wants = ctx.needs_input_grad
    dx, dv, dbeta, dgain = torch.ops.spikefuse.li_scan_backward(
        grad, grad_v, current, beta, gain, v0, trace, ctx.backend
    )
    return (
        dx if wants[0] else None,
        scans.summed_like(dbeta, beta) if wants[1] else None,
        scans.summed_like(dgain, gain) if wants[2] else None,
        dv if wants[3] else None,
        None,
    )


_forward.register_autograd(_backward, setup_context=_setup)
