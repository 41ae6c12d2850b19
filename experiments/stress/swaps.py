"""One modality's content exchanged while its number of events stays: what a path causes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from spikefuse._types import Int64Array
from spikefuse.errors import ConfigError
from spikefuse.events import EventStream, MultiStream


@dataclass(frozen=True)
class Donors:
    """Test samples as donors of one modality to each other.

    Parameters
    ----------
    samples : sequence of MultiStream
    labels : int [n]
    sources : mapping of modality to n names
        Of the recordings: none is exchanged for itself.
    """

    samples: Sequence[MultiStream]
    labels: Int64Array
    sources: Mapping[str, Sequence[str]]
    _found: dict[tuple[str, bool, int], Int64Array] = field(default_factory=dict)

    def of(self, modality: str, same_class: bool, seed: int) -> Int64Array:
        """Donor of each sample, see `choose_donors`; chosen once."""
        key = (modality, same_class, seed)
        if key not in self._found:
            counts = np.array([len(s[modality]) for s in self.samples])
            sources = np.asarray(self.sources[modality])
            rng = np.random.default_rng([seed, int(same_class)])
            self._found[key] = choose_donors(counts, self.labels, sources, same_class, rng)
        return self._found[key]

    def foreign_class(self, modality: str, seed: int) -> Int64Array:
        """Class of the donor of another class of each sample.

        Raises
        ------
        ConfigError
            If a sample has none: its own class would count as the foreign one.
        """
        found = self.labels[self.of(modality, False, seed)]
        if (found == self.labels).any():
            raise ConfigError(
                "test pairs must be of two classes or more to exchange a modality, got "
                f"{len(self.labels)} of class {', '.join(map(str, np.unique(self.labels)))}; "
                "a larger --limit, or --only without consistency and intervention"
            )
        return found

    def stream(self, modality: str, index: int) -> EventStream:
        """A donor's stream."""
        return self.samples[index][modality]


def choose_donors(
    counts: Int64Array,
    labels: Int64Array,
    sources: np.ndarray,
    same_class: bool,
    rng: np.random.Generator,
    n_nearest: int = 8,
) -> Int64Array:
    """For each sample another one, of its class or of any other, with no fewer events.

    One of the ``n_nearest`` in number of events is drawn, so that thinning takes away little. Where
    none has as many events, one of those that have the most; where there is no other recording at
    all, the sample itself.

    Parameters
    ----------
    counts, labels : int [n]
    sources : str [n]
        Recordings; the same one is no donor.
    same_class : bool
    rng : numpy Generator
    n_nearest : int

    Returns
    -------
    int [n]
    """
    chosen = np.arange(len(counts))
    for i in range(len(counts)):
        fits = ((labels == labels[i]) == same_class) & (sources != sources[i])
        fit = np.flatnonzero(fits)
        if not len(fit):
            continue
        enough = fit[counts[fit] >= counts[i]]
        order = enough[np.argsort(counts[enough], kind="stable")]
        if not len(order):
            order = fit[np.argsort(-counts[fit], kind="stable")]
        chosen[i] = rng.choice(order[:n_nearest])
    return chosen


def swapped(original: EventStream, donor: EventStream, rng: np.random.Generator) -> EventStream:
    """The donor's events, at random as many as the original has, on the original's clock.

    Events after the end of the original are not candidates. A donor with fewer events gives all.
    """
    events = donor.cropped(original.duration_us).events
    if len(events) > len(original):
        events = events[np.sort(rng.choice(len(events), len(original), replace=False))]
    return EventStream.trusted(
        events, original.sensor_size, original.duration_us, original.modality
    )


def scrambled(stream: EventStream, rng: np.random.Generator) -> EventStream:
    """As many events, each at a random time and address: the number is all that is left."""
    width, height, polarities = stream.sensor_size
    events = stream.events.copy()
    n = len(events)
    if n:
        events["t"] = np.sort(rng.integers(0, stream.duration_us, n))
        events["x"], events["y"] = rng.integers(0, width, n), rng.integers(0, height, n)
        events["p"] = rng.random(n) < 0.5 if polarities > 1 else True
    return EventStream.trusted(events, stream.sensor_size, stream.duration_us, stream.modality)
