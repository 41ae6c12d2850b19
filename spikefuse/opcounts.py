"""What really ran: integer operation counts, per path, of a known number of samples."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from operator import add, attrgetter
from typing import Literal

PathKind = Literal["event", "dense", "frontend"]
_WORD_BYTES = 4


@dataclass(frozen=True)
class PathCounts:
    """Totals of one path (a layer, a modality's front end, a cross-modal connection).

    All but the last four are event totals over all samples; those describe the hardware the path
    needs and do not grow with the number of samples.

    Parameters
    ----------
    effective_acs : int
        Accumulates: one per spike and non-zero weight, by true fan-out at convolution borders.
    effective_macs : int
        Multiply-accumulates on non-zero inputs and weights (graded or dense inputs).
    dense_macs : int
        What the layer would do if every input and weight were non-zero (in-bounds only).
    neuron_updates_active, neuron_updates_idle : int
        Neuron-steps whose state could change (state or input non-zero), and the others.
    spikes_fired : int
        Spikes that the path's neurons sent out.
    spikes_routed : int
        Input spike messages delivered to the path.
    weight_reads : int
        Weight words read when every use reads memory (no reuse).
    state_reads, state_writes : int
        Words of neuron state, or activations of a dense layer, read and written.
    bytes_moved : int
        Four bytes for every word above and every routed spike.
    signed_acs : int
        Those of the accumulates that a spike of -1 drives: they subtract.
    and_ops : int
        Products of two spikes (attention between spikes, gating by a spike): one-bit AND.
    core_messages, hops_ew, hops_ns : int
        Spike messages from core to core, and links they pass along a row and along a column of
        the mesh; counted only under a declared placement.
    weight_words, state_words : int
        Capacity of the memory that holds the path's weights, and its state, in words.
    kind : "event", "dense" or "frontend"
        An event path works per spike; a dense path works per frame; a front end is sensor-side.
    modality : str
        Modality that pays for it, or ``"shared"`` after fusion.
    """

    effective_acs: int = 0
    effective_macs: int = 0
    dense_macs: int = 0
    neuron_updates_active: int = 0
    neuron_updates_idle: int = 0
    spikes_fired: int = 0
    spikes_routed: int = 0
    weight_reads: int = 0
    state_reads: int = 0
    state_writes: int = 0
    bytes_moved: int = 0
    signed_acs: int = 0
    and_ops: int = 0
    core_messages: int = 0
    hops_ew: int = 0
    hops_ns: int = 0
    weight_words: int = 0
    state_words: int = 0
    kind: PathKind = "event"
    modality: str = "shared"

    @property
    def is_silent(self) -> bool:
        """Whether no input of the path was other than zero."""
        return not (self.effective_acs or self.effective_macs or self.and_ops or self.spikes_routed)

    def joined(self, other: PathCounts) -> PathCounts:
        """Totals of both; they must be the same path, so the capacities agree or grow.

        Whether spikes or frames feed a foreign layer is seen from their values; silence is either.
        """
        if self.modality == other.modality and self.kind != other.kind:
            if other.is_silent:
                other = replace(other, kind=self.kind)
            elif self.is_silent:
                return other.joined(self)
        if (self.kind, self.modality) != (other.kind, other.modality):
            raise ValueError(
                "paths of one name must agree in kind and modality, got "
                f"{(self.kind, self.modality)} and {(other.kind, other.modality)}"
            )
        # Not by __init__, which takes as long as all the rest: this runs for every call of a layer.
        joined = object.__new__(PathCounts)
        held = joined.__dict__
        held.update(self.__dict__)
        held.update(zip(COUNT_FIELDS, map(add, _counts_of(self), _counts_of(other)), strict=True))
        held["weight_words"] = max(self.weight_words, other.weight_words)
        held["state_words"] = max(self.state_words, other.state_words)
        return joined

    def with_bytes(self) -> PathCounts:
        """The same counts with ``bytes_moved`` filled in."""
        words = self.weight_reads + self.state_reads + self.state_writes + self.spikes_routed
        return replace(self, bytes_moved=_WORD_BYTES * words)


COUNT_FIELDS: tuple[str, ...] = tuple(
    f.name
    for f in fields(PathCounts)
    if f.name not in ("weight_words", "state_words", "kind", "modality")
)
_counts_of = attrgetter(*COUNT_FIELDS)  # in the order of the fields


@dataclass(frozen=True)
class OpCounts:
    """Operation counts of ``n_samples`` samples, split by path.

    A count read as an attribute, e.g. ``counts.effective_acs``, is the mean per sample (float);
    `totals` holds the integers over all paths and samples and `by_path` the split.

    Parameters
    ----------
    by_path : mapping of path name to PathCounts
    n_samples : int
        Number of samples that the totals cover, at least 1.
    uncounted : tuple of str
        Operations that ran and have no counting rule, by name: the totals lack them.
    foldable : tuple of str
        Paths of normalisations that could be folded into the synapses before them, at no cost.

    Raises
    ------
    ValueError
        If ``n_samples`` is below 1.
    """

    by_path: Mapping[str, PathCounts]
    n_samples: int
    uncounted: tuple[str, ...] = ()
    foldable: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.n_samples < 1:
            raise ValueError(f"n_samples must be >= 1, got {self.n_samples}")
        object.__setattr__(self, "by_path", dict(self.by_path))

    @property
    def totals(self) -> dict[str, int]:
        """Integer totals over all paths and samples."""
        return {
            name: sum(getattr(path, name) for path in self.by_path.values())
            for name in COUNT_FIELDS
        }

    def __getattr__(self, name: str) -> float:
        if name in COUNT_FIELDS:
            return self.totals[name] / self.n_samples
        raise AttributeError(f"OpCounts has no attribute {name!r}; counts are {list(COUNT_FIELDS)}")

    def __add__(self, other: OpCounts) -> OpCounts:
        """Join parts of the same samples: other layers, other time steps."""
        if self.n_samples != other.n_samples:
            raise ValueError(
                f"n_samples must agree to join parts of the same samples, got {self.n_samples} "
                f"and {other.n_samples}; use OpCounts.concat for other samples"
            )
        return OpCounts(
            _joined([self.by_path, other.by_path]),
            self.n_samples,
            _union([self.uncounted, other.uncounted]),
            _union([self.foldable, other.foldable]),
        )

    @classmethod
    def concat(cls, parts: Iterable[OpCounts]) -> OpCounts:
        """Join counts of different samples of the same model."""
        parts = list(parts)
        if not parts:
            raise ValueError("parts must hold at least one OpCounts, got none")
        return cls(
            _joined(p.by_path for p in parts),
            sum(p.n_samples for p in parts),
            _union(p.uncounted for p in parts),
            _union(p.foldable for p in parts),
        )

    def per_sample(self) -> dict[str, dict[str, float]]:
        """Mean counts per sample of every path, as plain numbers for a result file."""
        return {
            name: {f: getattr(path, f) / self.n_samples for f in COUNT_FIELDS}
            for name, path in self.by_path.items()
        }


def _union(names: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    """Every name once, in the order of their first sight."""
    return tuple(dict.fromkeys(name for some in names for name in some))


def _joined(mappings: Iterable[Mapping[str, PathCounts]]) -> dict[str, PathCounts]:
    """Union of paths; a path present in several is summed."""
    result: dict[str, PathCounts] = {}
    for mapping in mappings:
        for name, path in mapping.items():
            result[name] = result[name].joined(path) if name in result else path
    return result
