"""The operation behind every scan with synaptic current, adaptation or recurrence.

Its state is (i, v, a) and its parameters are (alpha, beta, theta, kappa, rho), in this order.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from spikefuse.kernels import buffers, registry, scans, watching
from spikefuse.surrogate import NAMES, Surrogate

_OP = "neuron_scan"
_MODULE = "spikefuse.kernels.cpu.dynamics"
registry.register(_OP, registry.NUMBA, _MODULE)
registry.register(_OP, registry.CUDA, "spikefuse.kernels.gpu.ops.scans")


def checked(
    current: Tensor,
    reset: str,
    weight: Tensor | None,
    states: dict[str, Tensor | None],
    parameters: dict[str, Tensor | float],
) -> list[Tensor]:
    """The parameters as tensors, once everything fits ``current``."""
    scans.checked_current(current)
    scans.checked_reset(reset)
    n = current.shape[2]
    if weight is not None and weight.shape != (n, n):
        raise ValueError(f"recurrent must be of shape {(n, n)}, got {tuple(weight.shape)}")
    if weight is None and states.get("s0") is not None:
        raise ValueError("s0 must be None without recurrent weights, got a tensor")
    for name, state in states.items():
        scans.checked_state(name, state, current)
    return [scans.parameter_of(name, value, current) for name, value in parameters.items()]


def run(
    current: Tensor,  # [T, B, N]
    parameters: list[Tensor | float],
    *,
    weight: Tensor | None,  # [N, N]
    i0: Tensor | None = None,
    v0: Tensor | None = None,
    a0: Tensor | None = None,
    s0: Tensor | None = None,
    subtract: bool,
    detach: bool,
    surrogate: Surrogate,
    backend: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Spikes, and the last i, v and a, from checked arguments."""
    n = current.shape[2]
    table = torch.stack([scans.parameter_of("", p, current).expand(n) for p in parameters])
    keep = scans.wants_grad(current, table, weight, i0, v0, a0, s0)
    spikes, i, v, a, _ = torch.ops.spikefuse.neuron_scan(
        current,
        weight,
        table,
        i0,
        v0,
        a0,
        s0,
        subtract,
        detach,
        surrogate.name,
        surrogate.slope,
        keep,
        backend,
    )
    return spikes, i, v, a


def read(current: Tensor, weight: Tensor | None) -> tuple[scans.Rows, scans.Stream]:
    """Rows of the input; recurrent ones are never joined over the batch."""
    n_steps, n_batch, n = current.shape
    rows = scans.Rows(n_steps, n_batch, n, 1)
    if weight is None:
        rows = scans.rows_of(current.shape)
    return rows, scans.stream_of(current, rows)


def weights_of(weight: Tensor | None) -> scans.Floats:
    """Recurrent weights as an array, empty where there are none."""
    if weight is None:
        return np.empty((0, 0), np.float32)
    array: scans.Floats = weight.detach().contiguous().numpy()
    return array


def table_of(table: Tensor, rows: scans.Rows) -> scans.Floats:
    """The parameter table ``[5, N]`` as ``[5, width]``."""
    return np.tile(table.detach().contiguous().numpy(), (1, rows.repeat))


def _packed(states: tuple[Tensor | None, ...], current: Tensor, rows: scans.Rows) -> Tensor:
    """States ``[B, N]`` as one contiguous ``[rows, 3, width]``."""
    rest = current.new_zeros(current.shape[1:])
    filled = [rest if s is None else s.detach() for s in states]
    return torch.stack([s.reshape(rows.n_rows, rows.width) for s in filled], 1)


def _unpacked(state: Tensor, shape: torch.Size) -> list[Tensor]:
    """The inverse of `_packed`, each a tensor of its own."""
    return [state[:, k].clone().view(shape) for k in range(3)]


@torch.library.custom_op(
    "spikefuse::neuron_scan",
    mutates_args=(),
    schema="(Tensor current, Tensor? weight, Tensor table, Tensor? i0, Tensor? v0, Tensor? a0, "
    "Tensor? s0, bool subtract, bool detach, str surrogate, float slope, bool keep, str backend) "
    "-> (Tensor, Tensor, Tensor, Tensor, Tensor)",
)
@registry.twin(_OP, "neuron_forward")
def _forward(
    current: Tensor,
    weight: Tensor | None,
    table: Tensor,
    i0: Tensor | None,
    v0: Tensor | None,
    a0: Tensor | None,
    s0: Tensor | None,
    subtract: bool,
    detach: bool,
    surrogate: str,
    slope: float,
    keep: bool,
    backend: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Spikes, last states, and the states that the backward pass starts from."""
    rows, x = read(current, weight)
    spikes = buffers.empty(current.shape)
    saved = buffers.empty(_saved_shape(current.shape, keep))
    state = _packed((i0, v0, a0), current, rows)
    n_active = registry.kernel(_OP, backend, "scan_forward")(
        x.flat,
        x.step,
        x.row,
        weights_of(weight),
        table_of(table, rows),
        subtract,
        scans.CHECKPOINT_STEPS,
        scans.array_of(scans.state_of(s0, current), rows.n_rows, rows.width),
        state.numpy(),
        scans.array_of(spikes, rows.n_steps, rows.n_rows, rows.width),
        scans.array_of(saved, saved.shape[0], rows.n_rows, 3, rows.width),
    )
    watching.tell(int(n_active))
    i, v, a = _unpacked(state, current.shape[1:])
    return spikes, i, v, a, saved


def _saved_shape(shape: Any, keep: bool) -> tuple[Any, ...]:
    """Shape of the stored states."""
    n_saved, n_batch, n = scans.checkpoints(shape, keep)
    return n_saved, n_batch, 3, n


@_forward.register_fake
def _(
    current: Tensor,
    weight: Tensor | None,
    table: Tensor,
    i0: Tensor | None,
    v0: Tensor | None,
    a0: Tensor | None,
    s0: Tensor | None,
    subtract: bool,
    detach: bool,
    surrogate: str,
    slope: float,
    keep: bool,
    backend: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    i, v, a = (current.new_empty(current.shape[1:]) for _ in range(3))
    saved = current.new_empty(_saved_shape(current.shape, keep))
    return current.new_empty(current.shape), i, v, a, saved


@torch.library.custom_op(
    "spikefuse::neuron_scan_backward",
    mutates_args=(),
    schema="(Tensor? grad, Tensor? grad_i, Tensor? grad_v, Tensor? grad_a, Tensor current, "
    "Tensor? weight, Tensor table, Tensor? s0, Tensor? spikes, Tensor saved, bool subtract, "
    "bool detach, str surrogate, float slope, str backend, bool wants_table, bool wants_weight) -> "
    "(Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)",
)
@registry.twin(_OP, "neuron_backward")
def _gradients(
    grad: Tensor | None,
    grad_i: Tensor | None,
    grad_v: Tensor | None,
    grad_a: Tensor | None,
    current: Tensor,
    weight: Tensor | None,
    table: Tensor,
    s0: Tensor | None,
    spikes: Tensor | None,
    saved: Tensor,
    subtract: bool,
    detach: bool,
    surrogate: str,
    slope: float,
    backend: str,
    wants_table: bool,
    wants_weight: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradients of current, weight, table, i0, v0, a0 and s0."""
    rows, x = read(current, weight)
    g = scans.stream_of(grad, rows)
    dx = buffers.empty(current.shape)
    dstate = _packed((grad_i, grad_v, grad_a), current, rows)
    dtable = np.zeros((5 if wants_table else 0, rows.width))
    given = (g.flat, g.step, g.row, x.flat, x.step, x.row)
    options = (subtract, detach, NAMES.index(surrogate), slope)
    states = scans.array_of(saved, saved.shape[0], rows.n_rows, 3, rows.width)
    steps = scans.array_of(dx, rows.n_steps, rows.n_rows, rows.width)
    if weight is None or spikes is None:
        registry.kernel(_OP, backend, "scan_backward")(
            *given,
            table_of(table, rows),
            *options,
            scans.CHECKPOINT_STEPS,
            max(1, rows.tile // 4),
            states,
            dstate.numpy(),
            steps,
            dtable,
        )
        dweight, carry = current.new_empty(0), current.new_empty(0)
    else:
        carry = scans.state_of(None, current)
        dweight = weight.new_zeros(weight.shape if wants_weight else (0, 0))
        _recurrent_backward(
            given, weight, table_of(table, rows), options, scans.state_of(s0, current).numpy(),
            spikes, states, dstate.numpy(), dx, dtable, carry, dweight, backend,
        )  # fmt: skip
    per_neuron = (
        torch.from_numpy(dtable)
        .view(len(dtable), rows.repeat, table.shape[1])
        .sum(1)
        .to(table.dtype)
    )
    di, dv, da = _unpacked(dstate, current.shape[1:])
    return dx, dweight, per_neuron, di, dv, da, carry


def _recurrent_backward(
    given: tuple[Any, ...],
    weight: Tensor,
    lanes: scans.Floats,
    options: tuple[bool, bool, int, float],
    fired: scans.Floats,
    spikes: Tensor,
    saved: scans.Floats,
    dstate: scans.Floats,
    dx: Tensor,
    dtable: npt.NDArray[np.float64],
    carry: Tensor,  # [B, N], to the gradient of s0
    dweight: Tensor,  # [N, N], or [0, 0] where it is not wanted
    backend: str,
) -> None:
    """Steps back one by one: between two lies a dense product that carries gradients to spikes."""
    retrace, step_back, flush, weight_gradient = (
        registry.kernel(_OP, backend, name)
        for name in ("retrace", "step_back", "flush", "weight_gradient")
    )
    n_steps, n_rows, width = dx.shape
    every, matrix = scans.CHECKPOINT_STEPS, weights_of(weight)
    trace = np.empty((every, n_rows, 4, width), np.float32)
    sums = np.zeros(dtable.shape, np.float32)
    for k in range(len(saved) - 1, -1, -1):
        first, last = k * every, min(n_steps, (k + 1) * every)
        retrace(
            *given[3:], matrix, lanes, options[0], fired, spikes.numpy(), first, last, 0, n_rows,
            saved[k], trace,
        )  # fmt: skip
        for t in range(last - 1, first - 1, -1):
            step_back(
                *given[:3], carry.numpy(), lanes, *options, t, 0, n_rows, trace[t - first], dstate,
                dx.numpy(), sums,
            )  # fmt: skip
            torch.mm(dx[t], weight.t(), out=carry)
        flush(sums, dtable)
    if len(dweight):
        weight_gradient(fired, spikes.numpy(), dx.numpy(), dweight.numpy())


@_gradients.register_fake
def _(
    grad: Tensor | None,
    grad_i: Tensor | None,
    grad_v: Tensor | None,
    grad_a: Tensor | None,
    current: Tensor,
    weight: Tensor | None,
    table: Tensor,
    s0: Tensor | None,
    spikes: Tensor | None,
    saved: Tensor,
    subtract: bool,
    detach: bool,
    surrogate: str,
    slope: float,
    backend: str,
    wants_table: bool,
    wants_weight: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    state = current.shape[1:]
    return (
        current.new_empty(current.shape),
        current.new_empty(0 if weight is None else (weight.shape if wants_weight else (0, 0))),
        table.new_empty(5 if wants_table else 0, table.shape[1]),
        current.new_empty(state),
        current.new_empty(state),
        current.new_empty(state),
        current.new_empty(0 if weight is None else state),
    )


def _setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    """Keep the input, the checkpoints, and the spikes of a recurrent layer."""
    current, weight, table, _, _, _, s0, subtract, detach, surrogate, slope, _, backend = inputs
    spikes = None if weight is None else output[0]
    ctx.save_for_backward(current, weight, table, s0, spikes, output[4])
    ctx.options = (subtract, detach, surrogate, slope, backend)
    ctx.set_materialize_grads(False)


def _backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
    """Gradients of the seven tensors."""
    found = torch.ops.spikefuse.neuron_scan_backward(
        *grads[:4],
        *ctx.saved_tensors,
        *ctx.options,
        ctx.needs_input_grad[2],
        ctx.needs_input_grad[1],
    )
    wanted = [d if w else None for d, w in zip(found, ctx.needs_input_grad, strict=False)]
    return *wanted, *(None,) * 6


_forward.register_autograd(_backward, setup_context=_setup)
