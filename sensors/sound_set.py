"""Sounds in a folder for each class, through our cochlea, as the partner of a vision set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sensors.array_sets import class_files
from sensors.audio_source import read_wav
from sensors.cochlea import Cochlea, CochleaParams
from sensors.recorded import Entry, RecordedSet
from sensors.tonic_source import class_list
from spikefuse._types import StructuredArray
from spikefuse.errors import DataError


class SoundReader:
    """Sound files as a cochlea's spikes; encoded when read.

    Parameters
    ----------
    paths : sequence of Path
    params : CochleaParams
    """

    def __init__(self, paths: Sequence[Path], params: CochleaParams) -> None:
        self.paths = self.files = tuple(paths)
        self.params = params
        self.parameters = {"params": params}

    def __call__(self, position: int) -> tuple[StructuredArray, int | None]:
        samples, rate_hz = read_wav(self.paths[position])
        stream = Cochlea(self.params).encode(samples, rate_hz)
        return stream.events, stream.duration_us


def open_lip_audio(
    audio_root: Path | str,
    part: str = "train",
    params: CochleaParams | None = None,
    suffix: str = ".wav",
) -> RecordedSet:
    """The sound of DVS-Lip, ``audio_root/{train,test}/<word>/<take>.wav``.

    Tonic's DVSLip has vision alone; the sound comes from its authors. A take's file must be named
    as its events are, so that ``pair(..., by="source")`` finds both. Files do not name the speaker:
    the authors' parts have different speakers, and each part is to be kept as it is.

    Parameters
    ----------
    audio_root : Path
    part : str
        "train" or "test".
    params : CochleaParams, optional
    suffix : str
        Of the sound files.

    Returns
    -------
    RecordedSet
        Sources are ``DVS-Lip/<part>/<word>/<take>.wav``.

    Raises
    ------
    DataError
        If no sound file is there or a folder is no word of the set.
    """
    if part not in ("train", "test"):
        raise DataError(f"part must be 'train' or 'test', got {part!r}")
    folder = Path(audio_root).expanduser() / part
    params = params or CochleaParams()
    words = class_list("DVSLip")
    found = class_files(folder, words, suffix)
    if not found:
        raise DataError(
            f"{folder} must hold <word>/<take>{suffix}, got none; the sound of DVS-Lip is not "
            "part of tonic.datasets.DVSLip: ask its authors and put it there"
        )
    sources = [f"DVS-Lip/{part}/{path.relative_to(folder).as_posix()}" for _, path in found]
    entries = tuple(
        Entry(label, source, source, part, i)
        for i, ((label, _), source) in enumerate(zip(found, sources, strict=True))
    )
    reader = SoundReader([path for _, path in found], params)
    size = (params.n_channels, 1, 1)
    return RecordedSet(
        "DVSLip audio", part, "audio", size, "words of DVSLip", words, entries, reader
    )
