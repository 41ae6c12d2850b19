"""Operators by name, and how one is built."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterable, Mapping
from typing import Any

from spikefuse.errors import ConfigError
from spikefuse.fusion.coincidence import CoincidenceFusion
from spikefuse.fusion.concat import ConcatFusion
from spikefuse.fusion.cross_residual import CrossResidualFusion
from spikefuse.fusion.cross_synapse import CrossSynapseFusion
from spikefuse.fusion.current_sum import CurrentSumFusion
from spikefuse.fusion.early import EarlyFusion
from spikefuse.fusion.energy_gate import EnergyGateFusion
from spikefuse.fusion.late import LateFusion
from spikefuse.fusion.latent import LatentFusion
from spikefuse.fusion.operator import FusionOperator
from spikefuse.fusion.qk_attention import QKAttentionFusion
from spikefuse.fusion.uncertainty_gate import UncertaintyGateFusion
from spikefuse.imports import import_name

OPERATORS: dict[str, type[FusionOperator]] = {
    "early": EarlyFusion,
    "concat": ConcatFusion,
    "late": LateFusion,
    "current_sum": CurrentSumFusion,
    "uncertainty_gate": UncertaintyGateFusion,
    "energy_gate": EnergyGateFusion,
    "qk_attention": QKAttentionFusion,
    "cross_residual": CrossResidualFusion,
    "latent": LatentFusion,
    "cross_synapse": CrossSynapseFusion,
    "coincidence": CoincidenceFusion,
}


def operator_class(name: str) -> type[FusionOperator]:
    """The class of an operator: one of `OPERATORS`, or your own as ``MODULE:CLASS``.

    Raises
    ------
    ConfigError
        If there is none of that name, or it is no `FusionOperator`.
    """
    if ":" in name:
        found = import_name(name, "fusion")
        if not (isinstance(found, type) and issubclass(found, FusionOperator)):
            raise ConfigError(f"fusion must name a subclass of FusionOperator, got {name!r}")
        return found
    if name not in OPERATORS:
        raise ConfigError(
            f"fusion must be one of {list(OPERATORS)} or MODULE:CLASS, got {name!r}{near(name)}"
        )
    return OPERATORS[name]


def option_names(name: str) -> tuple[str, ...]:
    """Options that an operator takes, its step ``dt_ms`` and neurons ``lif`` among them.

    Raises
    ------
    ConfigError
        As of `operator_class`.
    """
    parameters = inspect.signature(operator_class(name).__init__).parameters.values()
    return tuple(p.name for p in parameters if p.kind is p.KEYWORD_ONLY)


def build(name: str, n_in: Mapping[str, int], n_out: int, **options: Any) -> FusionOperator:
    """A freshly initialised operator.

    Parameters
    ----------
    name : str
        One of `OPERATORS`, or ``MODULE:CLASS``.
    n_in : mapping of modality to its number of addresses
    n_out : int
        Neurons of the fused population (classes of late fusion).
    **options
        Those of the operator's class: see `option_names`.

    Raises
    ------
    ConfigError
        If the name or an option is unknown; the message names the valid ones.
    ValueError
        If a value is wrong.
    """
    check_options(name, options)
    return operator_class(name)(n_in, n_out, **options)


def check_options(name: str, options: Iterable[str]) -> None:
    """Refuse an unknown operator or option.

    Raises
    ------
    ConfigError
        As of `build`.
    """
    valid = option_names(name)
    for option in options:
        if option not in valid:
            raise ConfigError(
                f"options of {name!r} must be among {list(valid)}, got {option!r}"
                f"{near(option, valid)}"
            )


def near(word: str, words: Iterable[str] = OPERATORS) -> str:
    """A hint at the most similar of ``words``, or nothing."""
    found = difflib.get_close_matches(word, list(words), 1)
    return f"; did you mean {found[0]!r}?" if found else ""
