"""Single nodes of a NIR graph as layers of ours."""

from __future__ import annotations

import itertools
import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from spikefuse.errors import DataError
from spikefuse.interop.conversion import tau_ms
from spikefuse.interop.nir.files import nir_module
from spikefuse.interop.nir.graph import Shape
from spikefuse.interop.nir.maps import conv_of, pool_of
from spikefuse.neurons import LIF, CubaLIF, CubaLIFParams, LIFParams, LIReadout
from spikefuse.synapses import EventLinear, SpikeDelay
from spikefuse.synapses.norm import ConstantCurrent

_INSTANT = 1e-9  # what keeps less than this from one step to the next is gone


@dataclass(frozen=True)
class Neurons:
    """A layer of neurons, and what the weights in front are multiplied by, float64 [N]."""

    layer: nn.Module
    gain: Tensor
    unit: Tensor | None = None


def is_neuron(node: Any) -> bool:
    """Whether a node becomes a layer of neurons."""
    nir = nir_module()
    return isinstance(node, nir.LIF | nir.CubaLIF | nir.IF | nir.LI)


def shape_of(name: str, value: Any) -> Shape:
    """A shape that a file holds.

    Raises
    ------
    DataError
    """
    sizes = tuple(int(size) for size in np.atleast_1d(value)) if value is not None else ()
    if not sizes or min(sizes) < 1 or len(sizes) not in (1, 3):
        raise DataError(f"shapes must be (N,) or (C, H, W), got {sizes} of {name!r}")
    return sizes


def output_shape(name: str, node: Any, shape: Shape) -> Shape:
    """Shape of a node's output for an input shape.

    Raises
    ------
    DataError
        If the node does not take it, or there is no such layer here.
    """
    nir = nir_module()
    if isinstance(node, nir.Affine | nir.Linear):
        n_out, n_in = np.shape(node.weight)
        if shape != (n_in,):
            raise DataError(f"{name!r} must be given {n_in} addresses, got shape {shape}")
        return (int(n_out),)
    if isinstance(node, nir.Flatten):
        return (math.prod(shape),)
    if isinstance(node, nir.Conv2d):
        return conv_of(name, node, shape).out_shape
    if isinstance(node, nir.SumPool2d):
        return pool_of(name, node, shape).out_shape
    if is_neuron(node) or isinstance(node, nir.Delay):
        return shape
    raise DataError(
        f"nodes must be Input, Output, Affine, Linear, Conv2d, Flatten, SumPool2d, Delay, IF, LIF, "
        f"CubaLIF or LI, got {type(node).__name__} of {name!r}"
    )


def synapses_of(name: str, node: Any, shape: Shape, gain: Tensor | None) -> list[nn.Module]:
    """Synapses with the gain of the neurons behind, and a constant current if there is a bias.

    Raises
    ------
    DataError
        If neurons behind a convolution scale positions of a map differently.
    """
    nir = nir_module()
    _check_finite(name, node)
    share = 1
    layer: nn.Module
    if isinstance(node, nir.Conv2d):
        layer = conv = conv_of(name, node, shape)
        share = math.prod(conv.out_shape[1:])
        if gain is not None:
            per_map = gain.reshape(conv.out_shape[0], -1)
            if not torch.allclose(per_map, per_map[:, :1].expand_as(per_map), rtol=1e-9):
                raise DataError(
                    f"neurons behind a convolution must scale all positions of a map alike, got "
                    f"others behind {name!r}"
                )
            gain = per_map[:, 0]
            conv.weight.data = (conv.weight.double() * gain[:, None, None, None]).float()
    else:
        weight = torch.from_numpy(np.asarray(node.weight, dtype=np.float64)).t()
        layer = EventLinear(1, 1)
        scaled = weight if gain is None else weight * gain
        layer.weight = nn.Parameter(scaled.float().contiguous())
    bias = np.asarray(getattr(node, "bias", 0.0), dtype=np.float64)
    if not np.any(bias):
        return [layer]
    shift = torch.from_numpy(bias) if gain is None else torch.from_numpy(bias) * gain
    return [layer, ConstantCurrent(shift.float(), share)]


def passing(name: str, node: Any, shape: Shape, dt_s: float) -> nn.Module:
    """A delay or a pooling layer.

    Raises
    ------
    DataError
        If a delay is no whole number of steps.
    """
    nir = nir_module()
    if isinstance(node, nir.SumPool2d):
        return pool_of(name, node, shape)
    steps = np.broadcast_to(np.asarray(node.delay, dtype=np.float64) / dt_s, shape).flatten()
    whole = np.rint(steps)
    if np.abs(steps - whole).max() > 1e-6 * max(1.0, steps.max()) or whole.min() < 0:
        raise DataError(
            f"delays must be whole steps of {dt_s * 1e3:g} ms, got {float(steps.max()):g} steps in "
            f"{name!r}"
        )
    groups = [(int(s), len(list(run))) for s, run in itertools.groupby(whole)]
    return SpikeDelay([s for s, _ in groups], [n for _, n in groups])


def neurons_of(
    name: str,
    node: Any,
    shape: Shape,
    dt_s: float,
    step_ms: float,
    tau_scale: float,
    foreign: bool,
    loop: Any,
) -> Neurons:
    """A layer of neurons with the decays of forward Euler.

    ``dt_s`` is the step that the file's time constants are for, ``step_ms`` the one that the layer
    runs with; of a foreign file, time constants that look as if in another unit are warned of.

    Raises
    ------
    DataError
        If the neurons do what ours do not; the message says what.
    """
    nir = nir_module()
    n = math.prod(shape)
    metadata = node.metadata if isinstance(node.metadata, dict) else {}

    def values(key: str, default: float = 0.0) -> Tensor:
        given = getattr(node, key, None)
        array = np.asarray(default if given is None else given, dtype=np.float64)
        try:
            whole = np.broadcast_to(array, shape)
        except ValueError as error:
            raise DataError(
                f"{key} must be a number or of shape {shape}, got {array.shape} of {name!r}"
            ) from error
        if not np.isfinite(whole).all():
            raise DataError(f"{key} must be finite, got {whole.flatten()[:3]} of {name!r}")
        return torch.from_numpy(whole.flatten())

    for key in ("v_leak", "v_reset"):
        if bool((values(key) != 0).any()):
            raise DataError(
                f"{key} must be 0 (shift the potentials first), got {float(values(key).max()):g} "
                f"of {name!r}"
            )
    r = values("r", 1.0)
    if isinstance(node, nir.IF):
        beta, rate = torch.ones(n, dtype=torch.float64), torch.full((n,), dt_s).double()
    else:
        tau = values("tau_mem" if isinstance(node, nir.CubaLIF) else "tau") * tau_scale
        beta = _euler(name, tau, dt_s, warn=foreign)
        rate = dt_s / tau
    gain = r * rate
    threshold = values("v_threshold", 1.0)
    never = str(metadata.get("role", "")) == "readout"
    if isinstance(node, nir.LI) or never:
        if isinstance(node, nir.CubaLIF):
            gain = gain * values("w_in", 1.0)
        return Neurons(_readout(beta, step_ms), gain / rate)
    if not bool((threshold > 0).all()):
        raise DataError(f"v_threshold must be positive, got {float(threshold.min())} of {name!r}")
    alike = bool((threshold == threshold[0]).all())
    unit = None if alike else threshold
    if unit is not None:
        gain = gain / unit
    common: dict[str, Any] = {
        "tau_spread": 1.0,
        "threshold": float(threshold[0]) if alike else 1.0,
        "reset": "subtract" if metadata.get("reset") == "subtract" else "zero",
        "tau_mem_ms": tau_ms(beta.clamp(1e-9, 1 - 1e-9), step_ms),
    }
    layer: LIF | CubaLIF
    alpha = torch.zeros(n, dtype=torch.float64)
    if isinstance(node, nir.CubaLIF):
        tau_syn = values("tau_syn") * tau_scale
        alpha = _euler(name, tau_syn, dt_s)
        gain = gain * values("w_in", 1.0) * (dt_s / tau_syn)
    if bool((alpha > _INSTANT).any()):
        params = CubaLIFParams(
            tau_syn_ms=max(tau_ms(alpha.clamp(min=1e-9), step_ms), 1e-6), **common
        )
        layer = CubaLIF(n, params, step_ms)
        layer.alpha_logit.data.copy_(torch.logit(alpha))
    else:
        layer = LIF(n, LIFParams(**common), step_ms)
    layer.beta_logit.data.copy_(torch.logit(beta))
    if loop is not None:
        layer.recurrent_weight = nn.Parameter(_loop(name, loop, gain).float())
    return Neurons(layer, gain, unit)


def _loop(name: str, node: Any, gain: Tensor) -> Tensor:
    """Recurrent weights [n, n], input-major."""
    _check_finite(name, node)
    weight = torch.from_numpy(np.asarray(node.weight, dtype=np.float64)).t()
    if weight.shape != (len(gain), len(gain)):
        raise DataError(
            f"recurrence must be {len(gain)} x {len(gain)}, got {tuple(weight.shape)} of {name!r}"
        )
    if np.any(np.asarray(getattr(node, "bias", 0.0))):
        raise DataError(f"recurrence must be without bias, got one of {name!r}")
    return weight * gain


def _check_finite(name: str, node: Any) -> None:
    """Refuse weights and biases that no current can be made of."""
    for key in ("weight", "bias"):
        if not np.isfinite(np.asarray(getattr(node, key, 0.0), dtype=np.float64)).all():
            raise DataError(f"{key} must be finite, got another of {name!r}")


def _readout(beta: Tensor, step_ms: float) -> LIReadout:
    """Leaky integrators with given decays and a gain of 1."""
    layer = LIReadout(len(beta), 10.0 * step_ms, step_ms, gain=1.0)
    layer.beta_logit.data.copy_(torch.logit(beta))
    return layer


def _euler(name: str, tau: Tensor, dt_s: float, warn: bool = False) -> Tensor:
    """Decays of a forward Euler step."""
    beta = 1.0 - dt_s / tau
    if not bool((tau > 0).all()) or bool((beta < -_INSTANT).any()):
        raise DataError(
            f"time constants must be no shorter than the step of {dt_s * 1e3:g} ms, got "
            f"{float(tau.min()) * 1e3:g} ms of {name!r}; Norse's to_nir writes tau * dt unless it "
            "is given dt=1.0: see --tau-scale"
        )
    if warn and bool((beta < 0.5).any()):
        warnings.warn(
            f"time constants of {name!r} are below two steps of {dt_s * 1e3:g} ms: if the file is "
            "of Norse's to_nir, which writes tau * dt, give --tau-scale",
            stacklevel=2,
        )
    return beta.clamp(min=0.0)
