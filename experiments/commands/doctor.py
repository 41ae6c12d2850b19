"""What is installed, what is not, and where things are looked for."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any

from rich.console import Console

from sensors.cache import cache_directory

_NEEDED = (
    "torch",
    "numpy",
    "scipy",
    "numba",
    "matplotlib",
    "snntorch",
    "norse",
    "tonic",
    "scikit-learn",
    "h5py",
    "pydantic",
    "typer",
    "rich",
    "jinja2",
    "tomli-w",
    "safetensors",
    "soundfile",
)
_OPTIONAL = {"cupy": "CUDA kernels: pip install 'spikefuse[cuda13]' or '[cuda12]'"}


def diagnose() -> dict[str, Any]:
    """Versions, optional parts with the reason they are off, folders."""
    packages: dict[str, str | None] = {}
    for name in _NEEDED:
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            packages[name] = None
    data = os.environ.get("SPIKEFUSE_DATA")
    return {
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "packages": packages,
        "optional": {
            name: "installed" if find_spec(name) else f"absent; {how}"
            for name, how in _OPTIONAL.items()
        },
        "backends": _backends(),
        "cache": str(cache_directory()),
        "data": data or "SPIKEFUSE_DATA is not set",
        "healthy": all(packages.values()),
    }


def _backends() -> dict[str, dict[str, str]]:
    """Operation by backend: on, or why not."""
    import spikefuse.kernels as _all_operations  # noqa: F401  # importing registers them
    from spikefuse.kernels import registry

    return registry.table()


def render_diagnosis(diagnosis: dict[str, Any], console: Console) -> None:
    """The same as lines."""
    for key, value in diagnosis.items():
        if isinstance(value, dict):
            console.print(f"{key}:", highlight=False)
            for name, text in value.items():
                if isinstance(text, dict):
                    text = "; ".join(f"{part} {state}" for part, state in text.items())
                console.print(
                    f"  {name}: {text or 'MISSING'}", highlight=False, markup=False, soft_wrap=True
                )
        else:
            console.print(f"{key}: {value}", highlight=False, markup=False)
