"""Names of a user's own modules: ``MODULE:NAME``, from the current folder or installed."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

from spikefuse.errors import ConfigError


def import_name(name: str, argument: str) -> Any:
    """What ``NAME`` is in the module ``MODULE``.

    The current folder is searched as well, as it is by ``python -m``.

    Parameters
    ----------
    name : str
        ``MODULE:NAME``.
    argument : str
        What the caller calls this; for messages.

    Raises
    ------
    ConfigError
        If the text has another form, or there is no such module or name. Errors that the module
        raises pass through.
    """
    module_name, _, attribute = name.partition(":")
    if not module_name or not attribute:
        raise ConfigError(f"{argument} must be MODULE:NAME, got {name!r}")
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or module_name.split(".")[0] != error.name.split(".")[0]:
            raise
        raise ConfigError(
            f"{argument} must name a Python module in {here} or an installed one, got "
            f"{module_name!r}"
        ) from error
    if not hasattr(module, attribute):
        raise ConfigError(f"{argument} must name something in {module_name!r}, got {attribute!r}")
    return getattr(module, attribute)
