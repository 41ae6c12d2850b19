"""A network of one's own: from a module of the current folder, or a .nir file."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from spikefuse.errors import ConfigError
from spikefuse.imports import import_name


def load_network(name: str, nir_dt_ms: float | None = None) -> nn.Module:
    """Import a network from a module of the current folder, or read one from a .nir file.

    Parameters
    ----------
    name : str
        ``MODULE:NET``, a module or a function that makes one; or a path that ends in ``.nir``.
    nir_dt_ms : float, optional
        Step of a .nir file that does not say.

    Raises
    ------
    ConfigError
        If there is no such module or name, or it is no network.
    DataError
        If a file is damaged or holds what has no twin here.
    """
    if name.endswith(".nir"):
        from spikefuse.interop.nir.import_ import load_nir

        return load_nir(Path(name), dt_ms=nir_dt_ms)
    found = import_name(name, "NETWORK")
    if callable(found) and not isinstance(found, nn.Module):
        found = found()
    if not isinstance(found, nn.Module):
        raise ConfigError(
            f"{name} must be a torch.nn.Module or a function that makes one, got "
            f"{type(found).__name__}"
        )
    return found
