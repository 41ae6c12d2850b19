"""A fused model that starts as its unimodal models side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from spikefuse.fusion.concat import ConcatFusion
from spikefuse.fusion.cross_synapse import CrossSynapseFusion
from spikefuse.models.fusion_snn import FusionSNN


@torch.no_grad()
def start_from_unimodal(fused: FusionSNN, unimodal: Mapping[str, FusionSNN]) -> FusionSNN:
    r"""Put trained unimodal models into one with cross-modal synapses.

    Encoders, synapses and time constants of a modality's population are copied, and so are the
    readout's weights, rescaled to a gain that all share. The readout's decays are the mean of the
    logits. With shut gates (``gated=True``) every population then fires as in its unimodal model,
    and if the readouts decay alike the scores are the sum of the unimodal ones.

    Parameters
    ----------
    fused : FusionSNN
        With fusion ``"cross_synapse"``; changed in place.
    unimodal : mapping of modality to FusionSNN
        Of that modality alone, with fusion ``"concat"``, and as many hidden neurons as the
        modality's population in ``fused``.

    Returns
    -------
    The same model.

    Raises
    ------
    ValueError
        If a model is of another kind or size, or one is missing.
    """
    operator = fused.fusion
    if not isinstance(operator, CrossSynapseFusion):
        raise ValueError(f"fused must have fusion 'cross_synapse', got {fused.spec.fusion!r}")
    if set(unimodal) != set(fused.modalities):
        raise ValueError(f"unimodal must hold {list(fused.modalities)}, got {sorted(unimodal)}")
    readouts = [_readout(unimodal[name]) for name in fused.modalities]
    synapse, readout = _readout(fused)
    readout.beta_logit.copy_(torch.stack([r.beta_logit for _, r in readouts]).mean(0))
    readout.log_gain.copy_(torch.stack([r.log_gain for _, r in readouts]).mean(0))
    first = 0
    for name, (own_synapse, own_readout) in zip(fused.modalities, readouts, strict=True):
        one, size = unimodal[name], operator.sizes[name]
        layer = one.fusion
        if not isinstance(layer, ConcatFusion) or one.modalities != (name,) or layer.n_out != size:
            raise ValueError(
                f"unimodal[{name!r}] must be a model of {name!r} alone with fusion 'concat' and "
                f"{size} hidden neurons, got {one.modalities}, {one.spec.fusion!r} and "
                f"{layer.n_out}"
            )
        here = slice(first, first + size)
        fused.encoders[name].load_state_dict(one.encoders[name].state_dict())
        operator.own[name].load_state_dict(layer.fusion_synapses[name].state_dict())
        operator.hidden.beta_logit[here] = layer.hidden.beta_logit
        scale = (own_readout.log_gain - readout.log_gain).exp()
        synapse.weight[here] = own_synapse.weight * scale
        first += size
    return fused


def _readout(model: FusionSNN) -> tuple[Any, Any]:
    """Synapses and neurons of a model's readout."""
    if model.readout_synapse is None or model.readout is None:
        raise ValueError(f"model must have a readout, got fusion {model.spec.fusion!r} without")
    return model.readout_synapse, model.readout
