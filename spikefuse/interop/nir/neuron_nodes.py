"""Layers of neurons as nodes of a NIR graph, and what their input is scaled by there."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from spikefuse.errors import ConfigError
from spikefuse.interop.nir.files import nir_module
from spikefuse.interop.nir.graph import Node
from spikefuse.interop.nir.profiles import NEVER, NOMINAL_DT_S, Profile
from spikefuse.neurons import LIF, CubaLIF, LIReadout


def input_gain(node: Node, profile: Profile) -> Tensor:
    """What a neuron node's input currents are multiplied by in the file, float64 [N]."""
    layer = node.layer
    if isinstance(layer, LIReadout):
        beta, gain = _decay(layer.beta_logit), layer.log_gain.detach().double().exp()
        return gain if _is_plain(profile, beta) else gain * (1.0 - beta)
    beta = _each(node, _decay(layer.beta_logit))
    if isinstance(layer, LIF) and _is_plain(profile, beta) and bool((beta < 1.0).all()):
        return 1.0 / (1.0 - beta)
    return torch.ones_like(beta)


def _is_plain(profile: Profile, beta: Tensor) -> bool:
    """Whether a LIF node has r = 1: Norse takes no other, snnTorch scales all neurons alike."""
    return profile == "native" or (profile == "portable" and _alike(beta))


def neuron_node(node: Node, profile: Profile, losses: list[str]) -> Any:
    """The node of a layer of neurons; see `profiles` for which."""
    nir = nir_module()
    layer, shape = node.layer, node.shape
    role = "readout" if isinstance(layer, LIReadout) else "neurons"
    reset, threshold = "zero", NEVER
    if isinstance(layer, LIF | CubaLIF):
        reset, threshold = layer.params.reset, layer.params.threshold
        if reset == "subtract":
            losses.append(
                "reset by subtraction: a NIR neuron is set to v_reset (train with reset 'zero')"
            )
    beta = _each(node, _decay(layer.beta_logit))
    if bool((beta >= 1.0).any()):
        return _integrator(node, profile, beta, threshold, {"role": role, "reset": reset})
    tau = (NOMINAL_DT_S / (1.0 - beta)).numpy().reshape(shape)
    zero, one = np.zeros(shape), np.ones(shape)
    metadata = {"role": role, "reset": reset}
    if isinstance(layer, LIReadout) and profile == "native":
        return nir.LI(tau, one, zero, metadata=metadata)
    common = {
        "v_leak": zero,
        "v_reset": zero,
        "v_threshold": np.full(shape, threshold),
        "metadata": metadata,
    }
    unscaled = tau / NOMINAL_DT_S
    if isinstance(layer, CubaLIF):
        tau_syn = (NOMINAL_DT_S / (1.0 - _decay(layer.alpha_logit))).numpy().reshape(shape)
        return nir.CubaLIF(
            tau_mem=tau, tau_syn=tau_syn, r=unscaled, w_in=tau_syn / NOMINAL_DT_S, **common
        )
    if profile == "portable" and not _alike(beta):
        # Norse drops r of a LIF node and snnTorch takes its first value; both heed it of a CubaLIF,
        # whose current here is gone after its step.
        return nir.CubaLIF(
            tau_mem=tau, tau_syn=np.full(shape, NOMINAL_DT_S), r=unscaled, w_in=one, **common
        )
    return nir.LIF(tau=tau, r=one if _is_plain(profile, beta) else unscaled, **common)


def _integrator(
    node: Node, profile: Profile, beta: Tensor, threshold: float, metadata: dict[str, str]
) -> Any:
    """Neurons that forget nothing, whose time constant would be infinite."""
    if type(node.layer) is not LIF or profile != "native" or not bool((beta >= 1.0).all()):
        raise ConfigError(
            f"decays must be below 1 to be written (or 1 of a whole LIF layer, in profile "
            f"'native'), got 1 of {node.name}"
        )
    whole = np.full(node.shape, 1.0 / NOMINAL_DT_S)
    zero = np.zeros(node.shape)
    return nir_module().IF(whole, np.full(node.shape, threshold), zero, metadata=metadata)


def _decay(logit: Any) -> Tensor:
    """Decays as the layer computes them, in float64."""
    value: Tensor = torch.sigmoid(logit).detach()
    return value.double()


def _each(node: Node, beta: Tensor) -> Tensor:
    """One decay for each neuron of a layer that shares them over maps."""
    return beta.repeat_interleave(math.prod(node.shape) // len(beta))


def _alike(beta: Tensor) -> bool:
    return bool((beta == beta[0]).all())
