"""Small networks, one for each thing that a file may or may not hold; tables and tests use them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from spikefuse.encoders.spec import ConvSpec, EncoderSpec, ModalitySpec
from spikefuse.errors import ConfigError
from spikefuse.interop.nir.export import to_nir
from spikefuse.interop.nir.graph import Shape
from spikefuse.interop.nir.import_ import from_nir
from spikefuse.interop.nir.lowering import lower
from spikefuse.interop.nir.parity import Parity, compare, random_input, trace
from spikefuse.interop.nir.peers import check_model, check_peers
from spikefuse.interop.nir.profiles import NOMINAL_DT_S, LossyExportError
from spikefuse.models import FusionSNN
from spikefuse.models.spec import ModelSpec
from spikefuse.neurons import LIF, CubaLIF, CubaLIFParams, LIFParams, LIReadout
from spikefuse.synapses import DelayedLinear, EventConv2d, EventLinear

_ONE = LIFParams(reset="zero", tau_spread=1.0)
_OWN = LIFParams(reset="zero", tau_spread=2.0)


@dataclass(frozen=True)
class Case:
    """A network and the shape of its input; a FusionSNN knows its own."""

    name: str
    make: Callable[[], nn.Module]
    in_shape: Shape | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of a case in a profile.

    Parameters
    ----------
    refusal : str
        Why it was not written; empty if it was.
    lossy : bool
        Whether ``allow_lossy`` would write it.
    parities : tuple of Parity
        The model itself, then the peers.
    """

    refusal: str = ""
    lossy: bool = False
    parities: tuple[Parity, ...] = ()


def _lif(params: LIFParams) -> nn.Module:
    return nn.Sequential(
        EventLinear(20, 16, 3.0), LIF(16, params, 1.0), EventLinear(16, 8, 3.0), LIF(8, params, 1.0)
    )


def _cuba() -> nn.Module:
    params = CubaLIFParams(reset="zero", tau_spread=2.0)
    return nn.Sequential(EventLinear(20, 16, 1.0), CubaLIF(16, params, 1.0))


def _readout() -> nn.Module:
    layer = LIReadout(4, 50.0, 1.0)
    layer.beta_logit.data += torch.linspace(-0.5, 0.5, 4)
    return nn.Sequential(EventLinear(20, 16, 3.0), LIF(16, _OWN, 1.0), EventLinear(16, 4), layer)


def _conv() -> nn.Module:
    return nn.Sequential(
        EventConv2d((2, 8, 8), 3, (3, 3), (2, 2), (1, 1), gain=3.0),
        LIF(3, _OWN, 1.0, share=16),
        EventLinear(48, 5, 3.0),
        LIF(5, _ONE, 1.0),
    )


def _delayed() -> nn.Module:
    return nn.Sequential(DelayedLinear(20, 16, (0, 3, 7), 3.0), LIF(16, _OWN, 1.0))


def _recurrent() -> nn.Module:
    return nn.Sequential(EventLinear(20, 16, 3.0), LIF(16, _OWN, 1.0, recurrent=True))


def _fusion(convs: tuple[ConvSpec, ...] = ()) -> nn.Module:
    spec = ModelSpec(
        modalities=(
            ModalitySpec("vision", (8, 8, 2), EncoderSpec(convs=convs, hidden=12)),
            ModalitySpec("audio", (20, 1, 1), EncoderSpec(hidden=10)),
        ),
        n_classes=4,
        dt_ms=2.0,
        fusion_hidden=14,
        lif=_OWN,
    )
    return FusionSNN(spec)


CASES = (
    Case("LIF, one decay for all", lambda: _lif(_ONE), (20,)),
    Case("LIF, a decay for each", lambda: _lif(_OWN), (20,)),
    Case("CubaLIF", _cuba, (20,)),
    Case("leaky readout", _readout, (20,)),
    Case("convolution", _conv, (2, 8, 8)),
    Case("fusion of two modalities", _fusion),
    Case("fusion, one of them convolved", lambda: _fusion((ConvSpec(3, (3, 3), (2, 2)),))),
    Case("delays", _delayed, (20,)),
    Case("recurrence", _recurrent, (20,)),
    Case("reset by subtraction", lambda: _lif(LIFParams(tau_spread=1.0)), (20,)),
)


def run_case(case: Case, profile: str, seed: int = 0) -> Outcome:
    """Write a case, read it back and run it everywhere on one input of random spikes."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = case.make().eval()
    try:
        graph = to_nir(model, profile, in_shape=case.in_shape)
    except LossyExportError as error:
        return Outcome(str(error).split("got a loss: ")[-1], True)
    except ConfigError as error:
        return Outcome(str(error))
    back = from_nir(graph)
    inputs = random_input(back, 100, 2, 0.15, seed)
    if isinstance(model, FusionSNN):
        own = check_model(model, back, inputs)
    else:
        first = lower(model, "native", case.in_shape, 1.0)
        given = dict(zip(first.inputs, inputs.values(), strict=True))
        own = compare(back, trace(back, inputs), trace(first, given), "the model itself")
    return Outcome(parities=(own, *check_peers(graph, back, inputs, NOMINAL_DT_S)))
