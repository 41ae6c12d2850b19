"""Ordered pairs of modalities, as names like ``"vision>audio"``, and what their synapses cost."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from spikefuse.cost.messages import Messages
from spikefuse.kernels.fan import Fan
from spikefuse.opcounts import PathCounts

ARROW = ">"


def ordered_pairs(
    modalities: Sequence[str], chosen: Sequence[str] | None = None
) -> list[tuple[str, str]]:
    """Pairs (source, target) of different modalities: all of them, or those chosen by name.

    Parameters
    ----------
    modalities : sequence of str
    chosen : sequence of str, optional
        Such as ``("vision>audio",)``.

    Raises
    ------
    ValueError
        If a choice is no pair of two different modalities, or is named twice.
    """
    everything = {f"{a}{ARROW}{b}": (a, b) for a in modalities for b in modalities if a != b}
    names = list(everything) if chosen is None else list(chosen)
    if any(name not in everything for name in names) or len(set(names)) < len(names):
        raise ValueError(f"pairs must be different ones of {list(everything)}, got {names}")
    return [everything[name] for name in names]


def count_fan(
    fan: Fan, weight: Tensor, sent: Messages, rows: int, payer: str, span: int
) -> PathCounts:
    """Sparse delayed synapses: an accumulate per event and edge into the pending currents.

    That memory holds a word per neuron and step of delay. An accumulate reads and writes its word;
    what arrives is read and cleared by the neuron's own update.

    Parameters
    ----------
    fan : Fan
    weight : Tensor[E]
    sent : Messages
        Of the presynaptic neurons.
    rows : int
        Steps times samples.
    payer : str
        Modality that pays.
    span : int
        Steps of pending currents.
    """
    used = torch.bincount(fan.source(), weights=(weight.detach() != 0).double(), minlength=fan.n_in)
    acs, macs = int((sent.whole * used).sum()), int((sent.graded * used).sum())
    return PathCounts(
        effective_acs=acs,
        effective_macs=macs,
        dense_macs=fan.n_edges * rows,
        spikes_routed=sent.total,
        weight_reads=int((sent.all * fan.ptr.diff().double()).sum()),
        state_reads=acs + macs,
        state_writes=acs + macs,
        weight_words=fan.n_edges,
        state_words=span * fan.n_out,
        modality=payer,
    )
