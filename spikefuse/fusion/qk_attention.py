"""Query-key attention of spikes: the queries of other modalities let keys through, or not."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from spikefuse.encoders import infer_lif
from spikefuse.fusion.operator import FusionOperator, InferOutput, Spikes, State
from spikefuse.kernels.compaction import compact
from spikefuse.neurons import LIF, LIFParams
from spikefuse.spikes import SpikeBatch
from spikefuse.synapses import EventLinear, SpikeAdd, SpikePool

Mode = Literal["token", "channel"]


class QKAttentionFusion(FusionOperator):
    r"""Binary attention of linear cost: a mask per group of keys, from other modalities' queries.

    .. math:: Q^m = \text{LIF}(S^m W_Q^m), \; K^m = \text{LIF}(S^m W_K^m), \;
              A^m = \text{LIF}\Big(\gamma \textstyle\sum_{k \ne m} \sum_{i \in g} Q^k_i\Big), \;
              s = \text{LIF}\Big(\sum_m K^m V^m + (A^m \wedge K^m) U^m\Big)

    Queries and keys lie on a grid of ``n_groups`` by ``n_keys / n_groups``. In mode "token" the
    queries of a row are summed and the mask opens or closes the row (a group of keys); in mode
    "channel" columns are. There is no product of queries and keys, no softmax and no memory of the
    past but the membranes, so the cost is linear in spikes and every step is causal. The plain
    ``K V`` path is what remains of a modality when the others are silent. With one modality it
    queries itself.

    Parameters
    ----------
    n_in, n_out, dt_ms, lif
        As of `FusionOperator`.
    n_keys : int
        Queries, and keys, of each modality.
    n_groups : int
        A divisor of ``n_keys``.
    mode : "token" or "channel"
    gain : float
        As of `ConcatFusion`, for all layers.

    References
    ----------
    Zhou et al., "QKFormer: hierarchical spiking transformer using Q-K attention", NeurIPS 2024
    (arXiv:2403.16552), within one modality and over tokens of an image.
    """

    def __init__(
        self,
        n_in: Mapping[str, int],
        n_out: int,
        *,
        dt_ms: float = 1.0,
        lif: LIFParams | None = None,
        n_keys: int = 64,
        n_groups: int = 8,
        mode: Mode = "token",
        gain: float = 3.0,
    ) -> None:
        super().__init__(n_in, n_out, dt_ms=dt_ms, lif=lif)
        if mode not in ("token", "channel"):
            raise ValueError(f"mode must be 'token' or 'channel', got {mode!r}")
        if n_groups < 1 or n_keys < 1 or n_keys % n_groups:
            raise ValueError(f"n_groups must be a divisor of n_keys={n_keys}, got {n_groups}")
        names, width = self.modalities, n_keys // n_groups
        self.mode: Mode = mode
        self.queries, self.keys = (
            nn.ModuleDict({k: EventLinear(n, n_keys, gain=gain) for k, n in self.n_in.items()})
            for _ in range(2)
        )
        self.query_neurons, self.key_neurons = (
            nn.ModuleDict({name: LIF(n_keys, self.lif, dt_ms) for name in names}) for _ in range(2)
        )
        token = mode == "token"
        window, n_masks = ((1, width), n_groups) if token else ((n_groups, 1), width)
        self.pools = nn.ModuleDict(
            {name: SpikePool((1, n_groups, width), window) for name in names}
        )
        # About one query per mask and step at 1 / 8 density opens it half of the time.
        start = -math.log(n_keys // n_masks / 4)
        self.log_scale = nn.Parameter(torch.full((n_masks,), start))
        # Driven by the others: the name must not charge it to the modality whose keys it masks.
        self.mask_neurons = nn.ModuleDict(
            {f"of_{name}": LIF(n_masks, self.lif, dt_ms) for name in names}
        )
        self.masks = nn.ModuleDict({f"of_{name}": SpikeAdd("and") for name in names})
        share = gain / (2 * len(names)) ** 0.5
        self.fusion_synapses, self.attended_synapses = (
            nn.ModuleDict({name: EventLinear(n_keys, n_out, gain=share) for name in names})
            for _ in range(2)
        )
        self.hidden = LIF(n_out, self.lif, dt_ms)
        self._per_mask = n_keys // n_masks

    def forward(self, spikes: Spikes, state: State | None = None) -> tuple[Tensor, State]:
        """Spikes ``{name: (T, B, n)}`` to fused spikes ``[T, B, n_out]`` and state."""
        self.check(spikes)
        before: Mapping[str, Tensor] = state or {}
        after: State = {}
        pooled: dict[str, Tensor] = {}
        keys: dict[str, Tensor] = {}
        for name in self.modalities:
            given = spikes[name]
            # Two layers read the same spikes: their events are found once.
            events = compact(given) if isinstance(given, Tensor) and given.is_cpu else None
            query, after[f"query.{name}"] = self.query_neurons[name](
                self.queries[name](given, events), before.get(f"query.{name}")
            )
            keys[name], after[f"key.{name}"] = self.key_neurons[name](
                self.keys[name](given, events), before.get(f"key.{name}")
            )
            pooled[name] = self.pools[name](query)
        currents: list[Tensor] = []
        for name in self.modalities:
            mask, after[f"mask.{name}"] = self._mask(name, pooled, before)
            attended = self.masks[f"of_{name}"](self._spread(mask), keys[name])
            currents.append(self.fusion_synapses[name](keys[name]))
            currents.append(self.attended_synapses[name](attended))
        fused, v = self.hidden(sum(currents[1:], currents[0]), before.get("hidden"))
        return fused, after | {"hidden": v}

    @torch.no_grad()
    def infer(self, events: Mapping[str, SpikeBatch], state: State | None = None) -> InferOutput:
        """`forward` on events; only the few mask neurons see dense currents."""
        self.check(events)
        before: Mapping[str, Tensor] = state or {}
        after: State = {}
        pooled: dict[str, Tensor] = {}
        keys: dict[str, SpikeBatch] = {}
        for name in self.modalities:
            query, after[f"query.{name}"] = infer_lif(
                [events[name]],
                [self.queries[name]],
                self.query_neurons[name],
                before.get(f"query.{name}"),
            )
            keys[name], after[f"key.{name}"] = infer_lif(
                [events[name]],
                [self.keys[name]],
                self.key_neurons[name],
                before.get(f"key.{name}"),
            )
            pooled[name] = self.pools[name](query).to_dense()
        sources: list[SpikeBatch] = []
        synapses: list[nn.Module] = []
        for name in self.modalities:
            mask, after[f"mask.{name}"] = self._mask(name, pooled, before)
            attended = self.masks[f"of_{name}"](compact(self._spread(mask)), keys[name])
            sources += [keys[name], attended]
            synapses += [self.fusion_synapses[name], self.attended_synapses[name]]
        fused, v = infer_lif(sources, synapses, self.hidden, before.get("hidden"))
        return fused, after | {"hidden": v}

    def _mask(
        self, name: str, pooled: Mapping[str, Tensor], before: Mapping[str, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Spikes of the mask over one modality's keys, ``[T, B, n_masks]``, and membranes."""
        others = [pooled[k] for k in self.modalities if k != name or len(pooled) == 1]
        current = sum(others[1:], others[0]) * self.log_scale.exp()
        mask, v = self.mask_neurons[f"of_{name}"](current, before.get(f"mask.{name}"))
        return mask, v

    def _spread(self, mask: Tensor) -> Tensor:
        """A mask per group as a mask per key."""
        if self.mode == "token":
            return mask.repeat_interleave(self._per_mask, dim=2)
        return mask.repeat(1, 1, self._per_mask)
