"""What a file may hold so that its readers run it as it was: one profile for each kind of reader.

===========  ======================================================================================
profile      readers
===========  ======================================================================================
portable     Norse and snnTorch: one chain from one input; neurons that both scale alike
snntorch     snnTorch: the same chain, all LIF neurons as LIF nodes, also with a decay each
native       ours, and others that take all of NIR: several inputs, delays, recurrence, LI
===========  ======================================================================================

Readers take a file's time constants by forward Euler, ``1 - dt / tau``, with a step of their own
that the file does not hold. Files are therefore written for a nominal step of 0.1 ms, which
snnTorch has built in, with time constants that give the decays exactly; the true step is in the
metadata.
"""

from __future__ import annotations

from typing import Literal, get_args

from spikefuse.errors import ConfigError

Profile = Literal["portable", "snntorch", "native"]

READERS: dict[Profile, tuple[str, ...]] = {
    "portable": ("norse", "snntorch"),
    "snntorch": ("snntorch",),
    "native": (),
}
NOMINAL_DT_S = 1e-4
# Of neurons that only integrate: neither Norse nor snnTorch reads an LI node.
NEVER = 1e30


class LossyExportError(ConfigError):
    """A file cannot hold all that the model does; every loss is named."""


def checked_profile(name: str) -> Profile:
    """The profile of that name.

    Raises
    ------
    ConfigError
        If there is none.
    """
    for profile in get_args(Profile):
        if name == profile:
            found: Profile = profile
            return found
    raise ConfigError(f"profile must be one of {list(get_args(Profile))}, got {name!r}")


def refuse(losses: list[str], allow_lossy: bool) -> None:
    """Name the losses, unless they are allowed.

    Raises
    ------
    LossyExportError
    """
    if losses and not allow_lossy:
        raise LossyExportError(
            "export must keep what the model does (or be told to lose it: allow_lossy, "
            "--allow-lossy), got a loss: " + "; ".join(losses)
        )
