"""NIR files: HDF5, written whole or not at all, and refused in one line where they are damaged."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from spikefuse.atomic import write_bytes
from spikefuse.errors import ConfigError, DataError

MISSING = "nir and nirtorch must be installed for this, got neither: pip install 'spikefuse[nir]'"
_LEGIBLE_BYTES = 2 << 30


def nir_module() -> Any:
    """The library that defines NIR.

    Raises
    ------
    ConfigError
        If it is not installed.
    """
    try:
        import nir
    except ModuleNotFoundError as error:
        raise ConfigError(MISSING) from error
    return nir


def read_graph(path: Path) -> Any:
    """The graph in a file; nothing in it is run.

    Raises
    ------
    DataError
        If the file is missing, damaged or holds something else.
    ConfigError
        If `nir` is not installed.
    """
    nir = nir_module()
    if not path.is_file():
        raise DataError(f"{path} must be a NIR file, got no such file")
    if path.stat().st_size > _LEGIBLE_BYTES:
        raise DataError(f"{path} must be at most 2 GiB, got {path.stat().st_size} bytes")
    try:
        # Older files lack shapes in between, which the importer finds out itself.
        graph = nir.read(path, type_check=False)
    except Exception as error:  # h5py and nir raise whatever they stumble over
        said = (str(error).splitlines() or [""])[0]
        raise DataError(
            f"{path} must be a whole NIR file, got {type(error).__name__}: {said}"
        ) from error
    if not isinstance(graph, nir.NIRGraph):
        raise DataError(f"{path} must hold a NIR graph, got a {type(graph).__name__}")
    return graph


def write_graph(path: Path, graph: Any) -> None:
    """Write a graph; a reader sees the old file or the whole new one."""
    whole = io.BytesIO()
    nir_module().write(whole, graph)
    write_bytes(path, whole.getvalue())
