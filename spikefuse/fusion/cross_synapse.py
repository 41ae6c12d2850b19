"""Cross-modal synapses: spikes of one modality drive neurons of another, after learned delays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from spikefuse.cost.messages import messages_of, n_rows
from spikefuse.fusion.operator import FusionOperator, Spikes, State
from spikefuse.fusion.pairs import ARROW, count_fan, ordered_pairs
from spikefuse.kernels.fan import Fan
from spikefuse.neurons import LIF, LIFParams
from spikefuse.opcounts import PathCounts
from spikefuse.synapses import EventLinear
from spikefuse.synapses.cross import CrossSynapses, Groups


class CrossPath(CrossSynapses):
    """Learnable delays of one ordered pair of modalities; the source's events pay for it.

    Parameters
    ----------
    paid_by : str
        The source.
    *args, **options
        As of `CrossSynapses`.
    """

    def __init__(self, paid_by: str, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.paid_by = paid_by

    def count_paths(
        self, args: tuple[Any, ...], output: Any, modality: str
    ) -> dict[str, PathCounts]:
        """See `count_fan`."""
        sent, rows = messages_of(args[0]), n_rows(args[0])
        return {"": count_fan(self.fan, self.strength(), sent, rows, self.paid_by, self.span)}


class CrossSynapseFusion(FusionOperator):
    r"""Each modality has neurons of its own, and the others' spikes drive them after a delay.

    .. math:: s^m = \text{LIF}\Big(S^m W^m + \sum_{k \ne m} \sum_{i \to j} w^{k \to m}_{ij}\,
              S^k_{t - d_{ij}, i}\Big)

    The output is the populations side by side: ``n_out`` is shared out among the modalities. A
    neuron fires most if its own modality and the delayed other one arrive together, so a delay
    that training finds is the lag between them.

    In training mode delays are spread (`set_anneal`); in evaluation mode they are whole steps.

    Parameters
    ----------
    n_in, n_out, dt_ms, lif
        As of `FusionOperator`; ``n_out`` is at least one for each modality.
    pairs : sequence of str, optional
        Directions such as ``("vision>audio",)``; all by default.
    delay_max_ms : float
        Delays stay in ``[0, delay_max_ms]``.
    start_ms : float, optional
        They start uniform in ``[0, start_ms]``; ``delay_max_ms`` by default.
    learn_delays : bool
    groups : "edge", "target", "source" or "all"
        What shares a delay.
    density : float
        Share of the target's neurons that each source neuron drives: an event's fan-out.
    sigma_ms : (float, float)
        Width of a delay's Gaussian at the start and at the end of training.
    gain, cross_gain : float
        Initial weights of a modality's own synapses have standard deviation
        ``gain / sqrt(n_in)``, those of its cross-modal ones together ``cross_gain``.
    gated : bool
        Whether each pair has a trained gate that starts shut: at first every population answers to
        its own modality alone, as it would in a unimodal model. Between frozen encoders, for few
        examples.

    References
    ----------
    Delays by a narrowing Gaussian: Hammouamri et al., ICLR 2024, arXiv:2306.17670; there between
    layers of one network. Gates from 0: Alayrac et al., NeurIPS 2022, arXiv:2204.14198.
    """

    def __init__(
        self,
        n_in: Mapping[str, int],
        n_out: int,
        *,
        dt_ms: float = 1.0,
        lif: LIFParams | None = None,
        pairs: Sequence[str] | None = None,
        delay_max_ms: float = 64.0,
        start_ms: float | None = None,
        learn_delays: bool = True,
        groups: Groups = "edge",
        density: float = 0.25,
        sigma_ms: tuple[float, float] = (50.0, 0.5),
        gain: float = 3.0,
        cross_gain: float = 3.0,
        gated: bool = False,
    ) -> None:
        super().__init__(n_in, n_out, dt_ms=dt_ms, lif=lif)
        if n_out < len(self.modalities):
            raise ValueError(
                f"n_out must be at least one for each of {len(self.modalities)} modalities, "
                f"got {n_out}"
            )
        if not 0 < density <= 1:
            raise ValueError(f"density must lie in (0, 1], got {density}")
        joined = ordered_pairs(self.modalities, pairs)
        share, more = divmod(n_out, len(self.modalities))
        self.sizes = {k: share + (i < more) for i, k in enumerate(self.modalities)}
        self.own = nn.ModuleDict(
            {k: EventLinear(n, self.sizes[k], gain=gain) for k, n in self.n_in.items()}
        )
        self.cross = nn.ModuleDict()
        for source, target in joined:
            n_sources = sum(to == target for _, to in joined)
            self.cross[source + ARROW + target] = CrossPath(
                source,
                self.n_in[source],
                self.sizes[target],
                dt_ms,
                delay_max_ms=delay_max_ms,
                start_ms=start_ms,
                fan=Fan.random_out(
                    self.n_in[source],
                    self.sizes[target],
                    max(1, round(density * self.sizes[target])),
                ),
                groups=groups,
                learn_delays=learn_delays,
                sigma_ms=sigma_ms,
                gain=cross_gain / n_sources**0.5,
                gated=gated,
            )
        self.hidden = LIF(n_out, self.lif, dt_ms)

    def set_anneal(self, fraction: float) -> None:
        """Say how far training is, 0 to 1: the Gaussians narrow. See `CrossSynapses.set_anneal`."""
        for path in self._paths().values():
            path.set_anneal(fraction)

    def delays_ms(self) -> dict[str, Tensor]:
        """Delay of every group of each pair, in milliseconds."""
        return {name: path.delays_ms() for name, path in self._paths().items()}

    def gates(self) -> dict[str, float]:
        """What the weights of each pair are multiplied by: tanh of its gate; 1 without gates."""
        return {
            name: 1.0 if path.gate is None else float(torch.tanh(path.gate.detach()))
            for name, path in self._paths().items()
        }

    def _paths(self) -> dict[str, CrossPath]:
        """Paths by name of their pair."""
        return {k: path for k, path in self.cross.items() if isinstance(path, CrossPath)}

    def forward(self, spikes: Spikes, state: State | None = None) -> tuple[Tensor, State]:
        """Spikes ``{name: (T, B, n)}`` to fused spikes ``[T, B, n_out]``, membrane and pending."""
        self.check(spikes)
        before: Mapping[str, Tensor] = state or {}
        after: State = {}
        currents = {name: synapse(spikes[name]) for name, synapse in self.own.items()}
        for name, path in self.cross.items():
            source, target = name.split(ARROW)
            arriving, after[name] = path(spikes[source], before.get(name))
            currents[target] = currents[target] + arriving
        together = torch.cat([currents[name] for name in self.modalities], 2)
        fused, v = self.hidden(together, before.get("hidden"))
        return fused, after | {"hidden": v}
