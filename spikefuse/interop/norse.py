"""LIF and CubaLIF to and from Norse's ``LIFBoxCell`` and ``LIFCell``.

Norse integrates by forward Euler, ``beta = 1 - dt / tau``, and scales the input by ``1 - beta``:
converters carry the effective decay over and say by what to multiply the input. Its "super"
surrogate does not read its ``alpha``: the slope is 1 whatever that says (Norse 1.1.0).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from spikefuse.interop.conversion import (
    Converted,
    cuba_layer,
    decays,
    lif_layer,
    one_number,
    tau_ms,
    without_recurrence,
)
from spikefuse.neurons import LIF, CubaLIF, CubaLIFParams, LIFParams


def to_norse(layer: LIF | CubaLIF) -> Converted:
    """The same neurons as a ``LIFBoxCell`` (from `LIF`) or ``LIFCell`` (from `CubaLIF`).

    Both are single steps. Gradients agree too where our slope is 1 and ``detach_reset`` is not set:
    Norse's resets pass them. A ``LIFCell`` stores its
    current after the decay: ``alpha * i`` of ours.

    Parameters
    ----------
    layer : LIF or CubaLIF

    Returns
    -------
    Converted
        The cell, and the gain ``1 / (1 - beta)`` for its input.

    Raises
    ------
    ValueError
        If the layer is recurrent, its surrogate is not the fast sigmoid, or a CubaLIF resets by
        subtraction (Norse's LIF resets to a value only).
    """
    import norse.torch as norse
    from norse.torch.functional.reset import reset_subtract, reset_value

    without_recurrence(layer, "Norse")
    p = layer.params
    if p.surrogate != "fast_sigmoid":
        raise ValueError(f"surrogate must be 'fast_sigmoid' for Norse, got {p.surrogate!r}")
    dt = layer.dt_ms * 1e-3
    leak = 1.0 - layer.beta().detach()
    common: dict[str, Any] = {
        "tau_mem_inv": leak / dt,
        "v_leak": torch.tensor(0.0),
        "v_th": torch.tensor(p.threshold),
        "v_reset": torch.tensor(0.0),
        "method": "super",
        "alpha": torch.tensor(p.slope),
    }
    cell: nn.Module
    if isinstance(layer, LIF):
        reset = reset_value if p.reset == "zero" else reset_subtract
        cell = norse.LIFBoxCell(norse.LIFBoxParameters(**common, reset_method=reset), dt=dt)
    elif p.reset == "subtract":
        raise ValueError("reset must be 'zero' for Norse's LIF, got 'subtract'")
    else:
        tau_syn_inv = (1.0 - layer.alpha().detach()) / dt
        cell = norse.LIFCell(norse.LIFParameters(tau_syn_inv=tau_syn_inv, **common), dt=dt)
    return Converted(cell, 1.0 / leak)


def from_norse(cell: nn.Module, n: int) -> Converted:
    """The same neurons as a `LIF` (from ``LIFBoxCell``) or `CubaLIF` (from ``LIFCell``).

    Parameters
    ----------
    cell : LIFBoxCell or LIFCell
    n : int
        Number of neurons; Norse's scalar parameters do not say.

    Returns
    -------
    Converted
        The layer, and the gain ``1 - beta`` for its input.

    Raises
    ------
    ValueError
        If the cell does what ours does not; the message says what.
    """
    import norse.torch as norse
    from norse.torch.functional.reset import reset_subtract, reset_value

    if type(cell) not in (norse.LIFBoxCell, norse.LIFCell):
        raise ValueError(f"cell must be a LIFBoxCell or LIFCell, got {type(cell).__name__}")
    theirs: Any = cell
    p, dt = theirs.p, float(theirs.dt)
    reset_method = getattr(p, "reset_method", reset_value)
    if reset_method not in (reset_value, reset_subtract):
        raise ValueError(f"reset_method must be reset_value or reset_subtract, got {reset_method}")
    if p.method != "super":
        raise ValueError(f"method must be 'super', got {p.method!r}")
    for name in ("v_leak", "v_reset"):
        value = one_number(name, getattr(p, name))
        if value != 0:
            raise ValueError(f"{name} must be 0 (shift the potentials first), got {value}")
    beta = _decay("tau_mem_inv", p.tau_mem_inv, dt, n)
    dt_ms = dt * 1e3
    common: Any = {
        "tau_mem_ms": tau_ms(beta, dt_ms),
        "tau_spread": 1.0,
        "threshold": one_number("v_th", p.v_th),
        "reset": "subtract" if reset_method is reset_subtract else "zero",
        "slope": 1.0,
    }
    gain = (1.0 - beta).float()
    if isinstance(cell, norse.LIFBoxCell):
        return Converted(lif_layer(beta, LIFParams(**common), dt_ms), gain)
    alpha = _decay("tau_syn_inv", p.tau_syn_inv, dt, n)
    params = CubaLIFParams(tau_syn_ms=tau_ms(alpha, dt_ms), **common)
    return Converted(cuba_layer(alpha, beta, params, dt_ms), gain)


def _decay(name: str, inverse: Tensor, dt: float, n: int) -> Tensor:
    """Effective decay of a forward Euler step."""
    return decays(f"1 - dt * {name}", 1.0 - dt * torch.as_tensor(inverse).double(), n)
