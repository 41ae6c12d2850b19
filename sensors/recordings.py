"""Recording: one labelled recording of one modality, before pairing."""

from __future__ import annotations

from dataclasses import dataclass

from spikefuse.events import EventStream


@dataclass(frozen=True)
class Recording:
    """What a source gives to pairing.

    Parameters
    ----------
    stream : EventStream
    label : int
    source : str
        Unique name, such as the file's.
    group : str
        Speaker or picture: what must not straddle a split and what intervals resample.
    split : str or None
        "train", "validation" or "test" where the source fixes it.
    """

    stream: EventStream
    label: int
    source: str
    group: str
    split: str | None = None
