"""What files hold, as one hash: each is read once, and again only when its size or time changed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from spikefuse.atomic import write_bytes
from spikefuse.errors import DataError

_BLOCK = 1 << 20


def files_digest(files: Sequence[Path], directory: Path) -> str:
    """Hash of the contents of files, in their order.

    A file's own hash is kept in ``directory`` beside its size and its time of change, so that a
    data set of 60,000 files is not read again at every start.

    Parameters
    ----------
    files : sequence of Path
    directory : Path
        The cache.

    Raises
    ------
    DataError
        If a file cannot be read.
    """
    places = [str(path.resolve()) for path in files]
    name = hashlib.sha256("\n".join(places).encode()).hexdigest()[:32]
    memo = directory / f"identity-{name}.json"
    known = _known(memo)
    found: dict[str, list[str]] = {}
    for path, place in zip(files, places, strict=True):
        try:
            state = path.stat()
            stamp = f"{state.st_size} {state.st_mtime_ns}"
            old_stamp, content = known.get(place, ["", ""])
            found[place] = [stamp, content if old_stamp == stamp else _content(path)]
        except OSError as error:
            raise DataError(f"{path} must be readable, got {error}") from error
    if found != known:
        write_bytes(memo, json.dumps(found).encode())
    return hashlib.sha256("".join(found[place][1] for place in places).encode()).hexdigest()


def _known(memo: Path) -> dict[str, list[str]]:
    """Hashes from before; a damaged list is as good as none."""
    try:
        known = json.loads(memo.read_bytes())
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _content(path: Path) -> str:
    """Hash of one file, a block at a time."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
