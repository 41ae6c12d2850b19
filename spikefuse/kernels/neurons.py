"""Leaky integrate-and-fire over whole sequences: the operation, its gradient and its reference."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import Parameter

from spikefuse.kernels import buffers, registry, scans, watching
from spikefuse.kernels.readout import li_scan as li_scan
from spikefuse.kernels.readout import li_scan_ref as li_scan_ref
from spikefuse.kernels.scans import Reset as Reset
from spikefuse.surrogate import NAMES, Surrogate, spike

_OP = "lif_scan"
registry.register(_OP, registry.NUMBA, "spikefuse.kernels.cpu.lif")
registry.register(_OP, registry.CUDA, "spikefuse.kernels.gpu.ops.scans")
registry.register("active_updates", registry.NUMBA, "spikefuse.kernels.cpu.lif")


def lif_scan_ref(
    current: Tensor,  # [T, B, N]
    beta: Tensor | float,  # scalar or [N]
    threshold: Tensor | float,  # scalar or [N]
    *,
    reset: Reset = "zero",
    v0: Tensor | None = None,  # [B, N]
    slope: float = 10.0,
    surrogate: Surrogate | None = None,
    detach_reset: bool = False,
) -> tuple[Tensor, Tensor]:
    """`lif_scan` in plain torch, with the same arguments: its definition."""
    scans.checked_current(current)
    scans.checked_reset(reset)
    chosen = Surrogate(slope=slope) if surrogate is None else surrogate
    v = torch.zeros_like(current[0]) if v0 is None else v0
    out: list[Tensor] = []
    # unbind, not current[t]: indexing a tensor that needs grad allocates a full [T, B, N]
    # gradient per step, which makes the backward pass quadratic in T.
    for x in current.unbind(0):
        v = beta * v + x
        s = spike(v - threshold, chosen)
        v = scans.after_reset(v, s, threshold, reset, detach_reset)
        out.append(s)
    return torch.stack(out), v


def lif_scan(
    current: Tensor,  # [T, B, N]
    beta: Tensor | float,  # scalar or [N]
    threshold: Tensor | float,  # scalar or [N]
    *,
    reset: Reset = "zero",
    v0: Tensor | None = None,  # [B, N]
    slope: float = 10.0,
    surrogate: Surrogate | None = None,
    detach_reset: bool = False,
    backend: str | None = None,
) -> tuple[Tensor, Tensor]:
    r"""Leaky integrate-and-fire over a sequence.

    .. math:: \tilde v_t = \beta v_{t-1} + x_t, \quad s_t = [\tilde v_t > \theta], \quad
              v_t = \tilde v_t (1 - s_t) \text{ or } \tilde v_t - \theta s_t

    with :math:`\beta = e^{-dt / \tau_{mem}}` (Gerstner et al., "Neuronal Dynamics", 2014, ch. 1).
    Gradients go to ``current``, ``beta``, ``threshold`` and ``v0``.

    Parameters
    ----------
    current : Tensor[T, B, N]
        At least one step.
    beta, threshold : float, scalar Tensor or Tensor[N]
    reset : "zero" or "subtract"
    v0 : Tensor[B, N], optional
        Membrane before the first step, zero by default.
    slope : float
        Steepness of the fast-sigmoid surrogate gradient; not read if ``surrogate`` is given.
    surrogate : Surrogate, optional
    detach_reset : bool
        Whether the :math:`s_t` that resets is a constant in the backward pass:
        :math:`\partial v_t / \partial \tilde v_t` is then :math:`1 - s_t`, or 1 with a reset by
        subtraction, and no surrogate slope enters it (Zenke and Vogels, "The remarkable robustness
        of surrogate gradient learning", Neural Computation 33(4), 2021,
        doi:10.1162/neco_a_01367). Values do not change.
    backend : str, optional
        One of `registry.BACKENDS`.

    Returns
    -------
    spikes : Tensor[T, B, N], v_last : Tensor[B, N]

    Raises
    ------
    ValueError
        If shapes, types or devices do not fit together, or ``reset`` is unknown.
    BackendError
        If an explicit backend cannot run.
    """
    scans.checked_current(current)
    scans.checked_reset(reset)
    scans.checked_state("v0", v0, current)
    beta = scans.parameter_of("beta", beta, current)
    threshold = scans.parameter_of("threshold", threshold, current)
    surrogate = Surrogate(slope=slope) if surrogate is None else surrogate
    chosen = scans.choose(_OP, backend, current.device.type, scans.refused(current))
    if chosen == registry.REFERENCE:
        return lif_scan_ref(
            current,
            beta,
            threshold,
            reset=reset,
            v0=v0,
            surrogate=surrogate,
            detach_reset=detach_reset,
        )
    keep = scans.wants_grad(current, beta, threshold, v0)
    options = (reset == "subtract", detach_reset, surrogate.name, surrogate.slope, keep, chosen)
    # The operator costs twice the Python of a plain function; only a tracer needs it.
    traced = torch.compiler.is_compiling() or type(current) not in (Tensor, Parameter)
    scan: Any = torch.ops.spikefuse.lif_scan if traced else _Eager.apply
    spikes, v = scan(current, beta, threshold, v0, *options)[:2]
    return spikes, v


def active_updates(
    current: Tensor,  # [T, B, N]
    beta: Tensor | float,
    threshold: Tensor | float,
    reset: Reset,
    *,
    backend: str | None = None,
) -> int:
    """Number of neuron-steps in which the state or the input is non-zero: those that can change.

    The arguments are those of `lif_scan`; the run starts at rest.
    """
    scans.checked_current(current)
    scans.checked_reset(reset)
    beta = scans.parameter_of("beta", beta, current)
    threshold = scans.parameter_of("threshold", threshold, current)
    refused = scans.refused(current)
    chosen = scans.choose("active_updates", backend, current.device.type, refused)
    if chosen == registry.REFERENCE:
        return active_updates_ref(current, beta, threshold, reset)
    rows = scans.rows_of(current.shape)
    x, n = scans.stream_of(current, rows), current.shape[2]
    n_active = registry.kernel("active_updates", chosen, "lif_active")(
        x.flat,
        x.step,
        x.row,
        rows.n_steps,
        scans.lanes_of(beta, n, rows),
        scans.lanes_of(threshold, n, rows),
        reset == "subtract",
        np.zeros((rows.n_rows, rows.width), np.float32),
    )
    return int(n_active)


def active_updates_ref(
    current: Tensor, beta: Tensor | float, threshold: Tensor | float, reset: Reset
) -> int:
    """`active_updates` in plain torch."""
    v = torch.zeros_like(current[0])
    n_active = 0
    for x in current.detach().unbind(0):
        n_active += int(((v != 0) | (x != 0)).sum())
        v = beta * v + x
        s = (v > threshold).to(v.dtype)
        v = v * (1.0 - s) if reset == "zero" else v - threshold * s
    return n_active


@registry.twin(_OP, "lif_forward")
def _forward(
    current: Tensor,
    beta: Tensor,
    threshold: Tensor,
    v0: Tensor | None,
    subtract: bool,
    detach: bool,
    surrogate: str,
    slope: float,
    keep: bool,
    backend: str,
) -> tuple[Tensor, Tensor, Tensor]:
    """Spikes, last membrane, and the membranes that the backward pass starts from."""
    rows, n = scans.rows_of(current.shape), current.shape[2]
    x = scans.stream_of(current, rows)
    spikes = buffers.empty(current.shape)
    saved = buffers.empty(scans.checkpoints(current.shape, keep))
    v = scans.state_of(v0, current)
    active = watching.tally_for(1)
    registry.kernel(_OP, backend, "lif_forward")(
        x.flat,
        x.step,
        x.row,
        scans.lanes_of(beta, n, rows),
        scans.lanes_of(threshold, n, rows),
        subtract,
        scans.CHECKPOINT_STEPS,
        scans.array_of(v, rows.n_rows, rows.width),
        scans.array_of(spikes, rows.n_steps, rows.n_rows, rows.width),
        scans.array_of(saved, saved.shape[0], rows.n_rows, rows.width),
        active,
    )
    watching.tell(active)
    return spikes, v, saved


_OPERATOR = torch.library.custom_op(
    "spikefuse::lif_scan",
    _forward,
    mutates_args=(),
    schema="(Tensor current, Tensor beta, Tensor threshold, Tensor? v0, bool subtract, "
    "bool detach, str surrogate, float slope, bool keep, str backend) -> (Tensor, Tensor, Tensor)",
)


@_OPERATOR.register_fake
def _(
    current: Tensor,
    beta: Tensor,
    threshold: Tensor,
    v0: Tensor | None,
    subtract: bool,
    detach: bool,
    surrogate: str,
    slope: float,
    keep: bool,
    backend: str,
) -> tuple[Tensor, Tensor, Tensor]:
    shape = current.shape
    return (
        current.new_empty(shape),
        current.new_empty(shape[1:]),
        current.new_empty(scans.checkpoints(shape, keep)),
    )


@registry.twin(_OP, "lif_backward")
def _gradients(
    grad: Tensor | None,
    grad_v: Tensor | None,
    current: Tensor,
    beta: Tensor,
    threshold: Tensor,
    saved: Tensor,
    subtract: bool,
    detach: bool,
    surrogate: str,
    slope: float,
    wants_beta: bool,
    wants_threshold: bool,
    backend: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of current, v0, and (float64, per neuron, if wanted) of beta and threshold."""
    rows, n = scans.rows_of(current.shape), current.shape[2]
    g, x = scans.stream_of(grad, rows), scans.stream_of(current, rows)
    dx = buffers.empty(current.shape)
    dv = scans.state_of(grad_v, current)
    dbeta = np.zeros(rows.width if wants_beta else 0)
    dthreshold = np.zeros(rows.width if wants_threshold else 0)
    registry.kernel(_OP, backend, "lif_backward")(
        g.flat,
        g.step,
        g.row,
        x.flat,
        x.step,
        x.row,
        scans.lanes_of(beta, n, rows),
        scans.lanes_of(threshold, n, rows),
        subtract,
        detach,
        NAMES.index(surrogate),
        slope,
        scans.CHECKPOINT_STEPS,
        rows.tile,
        scans.array_of(saved, saved.shape[0], rows.n_rows, rows.width),
        scans.array_of(dv, rows.n_rows, rows.width),
        scans.array_of(dx, rows.n_steps, rows.n_rows, rows.width),
        dbeta,
        dthreshold,
    )
    return dx, dv, scans.per_neuron(dbeta, rows), scans.per_neuron(dthreshold, rows)


_BACK_OPERATOR = torch.library.custom_op(
    "spikefuse::lif_scan_backward",
    _gradients,
    mutates_args=(),
    schema="(Tensor? grad, Tensor? grad_v, Tensor current, Tensor beta, Tensor threshold, "
    "Tensor saved, bool subtract, bool detach, str surrogate, float slope, bool wants_beta, "
    "bool wants_threshold, str backend) -> (Tensor, Tensor, Tensor, Tensor)",
)


@_BACK_OPERATOR.register_fake
def _(
    grad: Tensor | None,
    grad_v: Tensor | None,
    current: Tensor,
    beta: Tensor,
    threshold: Tensor,
    saved: Tensor,
    subtract: bool,
    detach: bool,
    surrogate: str,
    slope: float,
    wants_beta: bool,
    wants_threshold: bool,
    backend: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    n = current.shape[2]
    return (
        current.new_empty(current.shape),
        current.new_empty(current.shape[1:]),
        current.new_empty(n if wants_beta else 0, dtype=torch.float64),
        current.new_empty(n if wants_threshold else 0, dtype=torch.float64),
    )


def _setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    """Keep the input and the checkpoints; never the whole membrane."""
    current, beta, threshold, _, subtract, detach, surrogate, slope, _, backend = inputs
    ctx.save_for_backward(current, beta, threshold, output[2])
    ctx.options = (subtract, detach, surrogate, slope)
    ctx.backend = backend
    ctx.gradients = torch.ops.spikefuse.lif_scan_backward
    ctx.set_materialize_grads(False)


def _backward(
    ctx: Any, grad: Tensor | None, grad_v: Tensor | None, _: Tensor | None = None
) -> tuple[Tensor | None, ...]:
    """Gradients of the four tensors."""
    current, beta, threshold, saved = ctx.saved_tensors
    wants = ctx.needs_input_grad
    dx, dv, dbeta, dthreshold = ctx.gradients(
        grad,
        grad_v,
        current,
        beta,
        threshold,
        saved,
        *ctx.options,
        wants[1],
        wants[2],
        ctx.backend,
    )
    return (
        dx if wants[0] else None,
        scans.summed_like(dbeta, beta) if wants[1] else None,
        scans.summed_like(dthreshold, threshold) if wants[2] else None,
        dv if wants[3] else None,
        *(None,) * 6,
    )


_OPERATOR.register_autograd(_backward, setup_context=_setup)


class _Eager(torch.autograd.Function):
    """The operator's parts without the operator."""

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> tuple[Tensor, Tensor]:
        output = _forward(*inputs)
        _setup(ctx, inputs, output)
        return output[:2]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        # Under create_graph the operator stays: it refuses a second derivative.
        if not torch.is_grad_enabled():
            ctx.gradients = _gradients
        return _backward(ctx, *grads)
