"""Neuron scans and leaky integration on a GPU: one launch for a whole sequence, each way."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from spikefuse.kernels.gpu import launch, recurrent, scans
from spikefuse.surrogate import Surrogate, SurrogateName


def lif_forward(
    current: Tensor,  # [T, B, N]
    beta: Tensor,
    threshold: Tensor,
    v0: Tensor | None,
    subtract: bool,
    detach: bool,
    surrogate: str,
    slope: float,
    keep: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Spikes, last membrane, and the membranes that the backward pass starts from."""
    x, n = _plain(current), current.shape[2]
    spikes, v, saved = scans.lif_forward(
        launch.current(),
        x,
        _per_neuron(beta, n),
        _per_neuron(threshold, n),
        v0,
        subtract=subtract,
        keep=keep,
    )
    return spikes, v, x.new_empty(0, *x.shape[1:]) if saved is None else saved


def lif_backward(
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
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of current, v0, and (float64, per neuron, if wanted) of beta and threshold."""
    x, n = _plain(current), current.shape[2]
    dx, dv, dbeta, dtheta = scans.lif_backward(
        launch.current(),
        _maybe(grad),
        grad_v,
        x,
        _per_neuron(beta, n),
        _per_neuron(threshold, n),
        saved,
        subtract=subtract,
        detach=detach,
        surrogate=_surrogate(surrogate, slope),
        wants_beta=wants_beta,
        wants_theta=wants_threshold,
    )
    return dx, dv, _given(dbeta, x), _given(dtheta, x)


def neuron_forward(
    current: Tensor,  # [T, B, N]
    weight: Tensor | None,
    table: Tensor,  # [5, N]
    i0: Tensor | None,
    v0: Tensor | None,
    a0: Tensor | None,
    s0: Tensor | None,
    subtract: bool,
    detach: bool,
    surrogate: str,
    slope: float,
    keep: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Spikes, last i, v and a, and the states that the backward pass starts from."""
    x, table = _plain(current), _plain(table)
    state = _packed((i0, v0, a0), x)
    if weight is None:
        spikes, state, saved = scans.neuron_forward(
            launch.current(), x, table, state, subtract=subtract, keep=keep
        )
    else:
        spikes, state, saved = recurrent.recurrent_forward(
            launch.current(),
            x,
            _plain(weight),
            table,
            _first_spikes(s0, x),
            state,
            subtract=subtract,
            keep=keep,
        )
    i, v, a = _unpacked(state)
    return spikes, i, v, a, x.new_empty(0, *state.shape) if saved is None else saved


def neuron_backward(
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
    wants_table: bool,
    wants_weight: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradients of current, weight, table, i0, v0, a0 and s0."""
    x, lanes = _plain(current), _plain(table)
    given = (launch.current(), _maybe(grad), _packed((grad_i, grad_v, grad_a), x), x)
    how = _surrogate(surrogate, slope)
    dweight, carry = x.new_empty(0), x.new_empty(0)
    if weight is None or spikes is None:
        dx, dstate, dtable = scans.neuron_backward(
            *given,
            lanes,
            saved,
            subtract=subtract,
            detach=detach,
            surrogate=how,
            wants_table=wants_table,
        )
    else:
        fired = _first_spikes(s0, x)
        dx, dstate, dtable = recurrent.recurrent_backward(
            *given,
            _plain(weight),
            lanes,
            fired,
            spikes,
            saved,
            subtract=subtract,
            detach=detach,
            surrogate=how,
            wants_table=wants_table,
        )
        carry = dx[0] @ weight.detach().t()
        dweight = weight.new_zeros(0, 0)
        if wants_weight:
            # Dense: nothing on the host knows how many neurons fired, and asking would wait.
            before = torch.cat([fired[None], spikes[:-1]]).flatten(0, 1)
            dweight = before.t() @ dx.flatten(0, 1)
    rest = table.new_empty(0, table.shape[1])
    di, dv, da = _unpacked(dstate)
    return dx, dweight, rest if dtable is None else dtable.to(table.dtype), di, dv, da, carry


def li_forward(
    current: Tensor, beta: Tensor, gain: Tensor, v0: Tensor | None
) -> tuple[Tensor, Tensor]:
    """``v = beta v + gain x`` of every step, and the last."""
    x, n = _plain(current), current.shape[2]
    return scans.li_forward(launch.current(), x, _per_neuron(beta, n), _per_neuron(gain, n), v0)


def li_backward(
    grad: Tensor | None,
    grad_v: Tensor | None,
    current: Tensor,
    beta: Tensor,
    gain: Tensor,
    v0: Tensor | None,
    trace: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of current, v0, and (float64, per neuron, if there is a trace) beta and gain."""
    x, n, wanted = _plain(current), current.shape[2], trace is not None
    dx, dv, dbeta, dgain = scans.li_backward(
        launch.current(),
        _maybe(grad),
        grad_v,
        x,
        _per_neuron(beta, n),
        _per_neuron(gain, n),
        _maybe(v0),
        x if trace is None else trace,  # not read unless a parameter's gradient is wanted
        wants_beta=wanted,
        wants_gain=wanted,
    )
    return dx, dv, _given(dbeta, x), _given(dgain, x)


def _plain(tensor: Tensor) -> Tensor:
    """Contiguous, without its history."""
    return tensor.detach().contiguous()


def _maybe(tensor: Tensor | None) -> Tensor | None:
    """`_plain` of what may be absent."""
    return None if tensor is None else _plain(tensor)


def _per_neuron(parameter: Tensor, n: int) -> Tensor:
    """A scalar or per-neuron parameter as [N]."""
    return parameter.detach().expand(n).contiguous()


def _surrogate(name: str, slope: float) -> Surrogate:
    """The surrogate that an operator is given in two parts."""
    return Surrogate(cast(SurrogateName, name), slope)


def _given(gradient: Tensor | None, like: Tensor) -> Tensor:
    """An operator returns tensors: nothing is an empty one."""
    return like.new_empty(0, dtype=torch.float64) if gradient is None else gradient


def _first_spikes(s0: Tensor | None, x: Tensor) -> Tensor:
    """Spikes before the first step, [B, N]."""
    return torch.zeros_like(x[0]) if s0 is None else s0.detach().contiguous()


def _packed(states: tuple[Tensor | None, ...], x: Tensor) -> Tensor:
    """States [B, N] as one contiguous [B, 3, N]."""
    rest = x.new_zeros(x.shape[1:])
    return torch.stack([rest if s is None else s.detach() for s in states], 1)


def _unpacked(state: Tensor) -> list[Tensor]:
    """The inverse of `_packed`, each a tensor of its own."""
    return [state[:, k].clone() for k in range(3)]
