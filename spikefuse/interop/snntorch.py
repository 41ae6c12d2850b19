"""LIF and CubaLIF to and from ``snntorch.Leaky`` and ``snntorch.Synaptic``."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from spikefuse.interop.conversion import (
    cuba_layer,
    decays,
    lif_layer,
    one_number,
    tau_ms,
    without_recurrence,
)
from spikefuse.neurons import LIF, CubaLIF, CubaLIFParams, LIFParams
from spikefuse.surrogate import FAST_SIGMOID, Surrogate

_RESETS = {0: "subtract", 1: "zero", 2: "none"}


def to_snntorch(layer: LIF | CubaLIF) -> nn.Module:
    """The same neurons as a ``Leaky`` or ``Synaptic`` with ``reset_delay=False``.

    Spikes and membranes are equal. With a reset by subtraction this needs a membrane that is at
    most the threshold after its reset: snnTorch takes off a second threshold one step later.
    Where spikes are equal, so are gradients, unless ``detach_reset`` is set: without the delay
    snnTorch's reset always passes them.

    Parameters
    ----------
    layer : LIF or CubaLIF

    Raises
    ------
    ValueError
        If the layer is recurrent, or its surrogate has no twin in snnTorch.
    """
    import snntorch

    without_recurrence(layer, "snnTorch")
    p = layer.params
    options: dict[str, Any] = {
        "beta": layer.beta().detach().clone(),
        "threshold": p.threshold,
        "spike_grad": _spike_grad(Surrogate(p.surrogate, p.slope)),
        "learn_beta": p.learn_tau,
        "reset_mechanism": p.reset,
        "reset_delay": False,
    }
    if isinstance(layer, LIF):
        leaky: nn.Module = snntorch.Leaky(**options)
        return leaky
    alpha = layer.alpha().detach().clone()
    synaptic: nn.Module = snntorch.Synaptic(alpha, learn_alpha=p.learn_tau, **options)
    return synaptic


def from_snntorch(
    layer: nn.Module, n: int, dt_ms: float, surrogate: Surrogate = FAST_SIGMOID
) -> LIF | CubaLIF:
    """The same neurons as a `LIF` (from ``Leaky``) or `CubaLIF` (from ``Synaptic``).

    Parameters
    ----------
    layer : snntorch.Leaky or snntorch.Synaptic
    n : int
        Number of neurons; snnTorch's scalar decays do not say.
    dt_ms : float
        Step length; snnTorch has none. It only gives time constants their unit.
    surrogate : Surrogate
        snnTorch's own is a function that cannot be read back.

    Raises
    ------
    ValueError
        If the layer does what ours does not; the message says what.
    """
    import snntorch

    if type(layer) not in (snntorch.Leaky, snntorch.Synaptic):
        raise ValueError(f"layer must be a Leaky or Synaptic, got {type(layer).__name__}")
    theirs: Any = layer
    synaptic = isinstance(layer, snntorch.Synaptic)
    reset = _RESETS[int(theirs.reset_mechanism_val)]
    _refuse(theirs, reset, synaptic)
    beta = decays("beta", theirs.beta, n)
    threshold = one_number("threshold", theirs.threshold)
    common: Any = {
        "tau_mem_ms": tau_ms(beta, dt_ms),
        "tau_spread": 1.0,
        "threshold": threshold,
        "reset": reset,
        "learn_tau": isinstance(theirs.beta, nn.Parameter),
        "slope": surrogate.slope,
        "surrogate": surrogate.name,
        # A reset that comes one step late is a constant there, one in the same step is not.
        "detach_reset": bool(theirs.reset_delay),
    }
    if not synaptic:
        return lif_layer(beta, LIFParams(**common), dt_ms)
    alpha = decays("alpha", theirs.alpha, n)
    params = CubaLIFParams(tau_syn_ms=tau_ms(alpha, dt_ms), **common)
    return cuba_layer(alpha, beta, params, dt_ms)


def _refuse(layer: Any, reset: str, synaptic: bool) -> None:
    """Name the first thing that has no twin here."""
    # Leaky that resets to zero one step late gives the same spikes: only its record of v differs.
    late = layer.reset_delay and (synaptic or reset != "zero")
    reasons = {
        "reset_mechanism='none' never resets": reset == "none",
        f"reset_delay=True resets by {reset!r} one step late": late,
        "inhibition lets one neuron fire at most": bool(layer.inhibition),
        "state_quant rounds the state": bool(layer.state_quant),
        "graded_spikes_factor scales the spikes": bool(
            (torch.as_tensor(layer.graded_spikes_factor) != 1).any()
        ),
        "init_hidden keeps the state in the module": bool(layer.init_hidden),
    }
    for reason, holds in reasons.items():
        if holds:
            raise ValueError(f"layer must have a twin here, got one that has none: {reason}")


def _spike_grad(surrogate: Surrogate) -> Any:
    """The same surrogate as a function of snnTorch."""
    import snntorch

    if surrogate.name == "fast_sigmoid":
        return snntorch.surrogate.fast_sigmoid(slope=surrogate.slope)
    if surrogate.name == "arctan":
        return snntorch.surrogate.atan(alpha=surrogate.slope)
    raise ValueError(
        f"surrogate must be 'fast_sigmoid' or 'arctan' for snnTorch, got {surrogate.name!r}"
    )
