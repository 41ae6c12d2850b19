"""Which other libraries are there, and how to install the others."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

# Name of a contender, package that it needs, how to get it.
_PACKAGES = {
    "torch.sparse": ("torch", "pip install spikefuse"),
    "scipy": ("scipy", "pip install spikefuse"),
    "snntorch": ("snntorch", "pip install spikefuse"),
    "norse": ("norse", "pip install spikefuse"),
    "tonic": ("tonic", "pip install spikefuse"),
    "spikingjelly": ("spikingjelly", "pip install 'spikefuse[bench]'"),
}


def present() -> frozenset[str]:
    """Peers that can take part."""
    return frozenset(name for name, (package, _) in _PACKAGES.items() if find_spec(package))


def describe() -> dict[str, str]:
    """Version of every peer, or that it is absent and the line that installs it."""
    told: dict[str, str] = {}
    for name, (package, install) in _PACKAGES.items():
        try:
            told[name] = version(package) if find_spec(package) else f"absent: {install}"
        except PackageNotFoundError:
            told[name] = "unknown version"
    return told
