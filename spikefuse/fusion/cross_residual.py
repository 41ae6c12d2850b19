"""Cross-modal residual: what the other modalities say is added to, or held against, a train."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from spikefuse.encoders import infer_lif
from spikefuse.encoders.spiking import spike_sidecars
from spikefuse.fusion.operator import FusionOperator, InferOutput, Spikes, State
from spikefuse.kernels.pooling import Rule
from spikefuse.neurons import LIF, LIFParams
from spikefuse.spikes import SpikeBatch
from spikefuse.synapses import EventLinear, SpikeAdd


class CrossResidualFusion(FusionOperator):
    r"""Each modality's spikes with a spiking residual branch from all the others.

    .. math:: H^m = \text{LIF}(S^m W^m), \quad
              A^m = \text{LIF}\Big(\sum_{k \ne m} H^k X^{k \to m}\Big), \quad
              s = \text{LIF}\Big(\sum_m (A^m \oplus H^m) V^m\Big)

    with :math:`a \oplus h` one of ``a + h`` (a silent branch changes nothing) and
    ``(1 - a) h`` (the others veto). Messages stay spikes: with "add" two at once count as two.

    Parameters
    ----------
    n_in, n_out, dt_ms, lif
        As of `FusionOperator`.
    width : int
        Neurons per modality in front of the join.
    rule : "add", "iand", "or" or "and"
    gain : float
        As of `ConcatFusion`, for all layers.
    cross_gain : float
        The same for the cross-modal synapses.

    References
    ----------
    Fang et al., "Deep residual learning in spiking neural networks", NeurIPS 2021 (ADD, IAND).
    Residual cross-modal learning, there with real-valued attention: arXiv:2502.12488.
    """

    def __init__(
        self,
        n_in: Mapping[str, int],
        n_out: int,
        *,
        dt_ms: float = 1.0,
        lif: LIFParams | None = None,
        width: int = 64,
        rule: Rule = "add",
        gain: float = 3.0,
        cross_gain: float = 2.0,
    ) -> None:
        super().__init__(n_in, n_out, dt_ms=dt_ms, lif=lif)
        if width < 1:
            raise ValueError(f"width must be at least 1, got {width}")
        names = self.modalities
        others = max(len(names) - 1, 1)
        self.own = nn.ModuleDict(
            {name: EventLinear(n, width, gain=gain) for name, n in self.n_in.items()}
        )
        self.own_neurons = nn.ModuleDict({name: LIF(width, self.lif, dt_ms) for name in names})
        self.cross = nn.ModuleDict(
            {
                source: nn.ModuleDict(
                    {
                        f"to_{target}": EventLinear(width, width, gain=cross_gain / others**0.5)
                        for target in names
                        if target != source
                    }
                )
                for source in names
                if len(names) > 1
            }
        )
        self.cross_neurons = nn.ModuleDict(
            {f"to_{name}": LIF(width, self.lif, dt_ms) for name in names if len(names) > 1}
        )
        self.joins = nn.ModuleDict({name: SpikeAdd(rule) for name in self.cross_neurons})
        share = gain / len(names) ** 0.5
        self.fusion_synapses = nn.ModuleDict(
            {f"of_{name}": EventLinear(width, n_out, gain=share) for name in names}
        )
        self.hidden = LIF(n_out, self.lif, dt_ms)

    def forward(self, spikes: Spikes, state: State | None = None) -> tuple[Tensor, State]:
        """Spikes ``{name: (T, B, n)}`` to fused spikes ``[T, B, n_out]`` and state."""
        self.check(spikes)
        before: Mapping[str, Tensor] = state or {}
        after: State = {}
        own: dict[str, Tensor] = {}
        aside: dict[str, tuple[SpikeBatch | None, SpikeBatch | None]] = {}
        for name, synapse in self.own.items():
            current, v0 = synapse(spikes[name]), before.get(f"own.{name}")
            own[name], after[f"own.{name}"] = self.own_neurons[name](current, v0)
            aside[name] = spike_sidecars(self.own_neurons[name], current, v0, own[name])
        joined = dict(own)
        for target, neuron in self.cross_neurons.items():
            name = target.removeprefix("to_")
            currents = [
                self._crossing(source, target)(own[source], *aside[source])
                for source in self._others(name)
            ]
            v0 = before.get(f"cross.{name}")
            branch, after[f"cross.{name}"] = neuron(sum(currents[1:], currents[0]), v0)
            joined[name] = self.joins[target](branch, own[name])
        currents = [self.fusion_synapses[f"of_{name}"](x) for name, x in joined.items()]
        fused, v = self.hidden(sum(currents[1:], currents[0]), before.get("hidden"))
        return fused, after | {"hidden": v}

    @torch.no_grad()
    def infer(self, events: Mapping[str, SpikeBatch], state: State | None = None) -> InferOutput:
        """`forward` on events, all synapses and neurons fused."""
        self.check(events)
        before: Mapping[str, Tensor] = state or {}
        after: State = {}
        own: dict[str, SpikeBatch] = {}
        for name, synapse in self.own.items():
            v0 = before.get(f"own.{name}")
            own[name], after[f"own.{name}"] = infer_lif(
                [events[name]], [synapse], self.own_neurons[name], v0
            )
        joined = dict(own)
        for target, neuron in self.cross_neurons.items():
            name = target.removeprefix("to_")
            sources = self._others(name)
            branch, after[f"cross.{name}"] = infer_lif(
                [own[source] for source in sources],
                [self._crossing(source, target) for source in sources],
                neuron,
                before.get(f"cross.{name}"),
            )
            joined[name] = self.joins[target](branch, own[name])
        fused, v = infer_lif(
            [joined[name] for name in self.modalities],
            list(self.fusion_synapses.values()),
            self.hidden,
            before.get("hidden"),
        )
        return fused, after | {"hidden": v}

    def _others(self, name: str) -> list[str]:
        """The modalities that drive the branch of ``name``."""
        return [other for other in self.modalities if other != name]

    def _crossing(self, source: str, target: str) -> nn.Module:
        """Synapses from one modality's neurons to another one's branch."""
        return self.cross.get_submodule(f"{source}.{target}")
