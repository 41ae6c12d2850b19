"""The same run on dense hardware that skips zeros, or does not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from spikefuse.opcounts import OpCounts, PathCounts


def without_skipping(counts: OpCounts) -> OpCounts:
    """Every multiply-accumulate of a dense path is done, whatever the activation.

    `count` gives a dense path's effective operations (non-zero activations times non-zero weights
    in their true fan-out); this takes ``dense_macs`` for all arithmetic with weights.
    """
    return _mapped(counts, lambda p: replace(p, effective_macs=p.dense_macs, effective_acs=0))


def with_zero_skipping(counts: OpCounts) -> OpCounts:
    """A dense path reads the weights of its non-zero activations only.

    What it skips in arithmetic it skips in weight memory as well; deciding what is zero is free.
    """
    return _mapped(
        counts,
        lambda p: replace(
            p, weight_reads=min(p.weight_reads, p.effective_macs + p.effective_acs)
        ).with_bytes(),
    )


def _mapped(counts: OpCounts, change: Callable[[PathCounts], PathCounts]) -> OpCounts:
    """The counts with every dense path that has weights changed."""
    changed = {
        name: change(path) if path.kind == "dense" and path.weight_words else path
        for name, path in counts.by_path.items()
    }
    return replace(counts, by_path=changed)
