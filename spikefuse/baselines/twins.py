"""Which dense operator answers to which spiking one, and how it is built by name."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterable, Mapping
from typing import Any

from spikefuse.baselines.attention import CrossAttention
from spikefuse.baselines.gated import DenseGated
from spikefuse.baselines.joining import DenseConcat, DenseEarly
from spikefuse.baselines.late import DenseLate
from spikefuse.baselines.latents import LatentAttention
from spikefuse.baselines.operator import DenseOperator
from spikefuse.baselines.recurrent import GRUFusion
from spikefuse.baselines.residual import DenseResidual
from spikefuse.errors import ConfigError

DENSE_OPERATORS: dict[str, type[DenseOperator]] = {
    "early": DenseEarly,
    "concat": DenseConcat,
    "late": DenseLate,
    "gated": DenseGated,
    "residual": DenseResidual,
    "attention": CrossAttention,
    "latent": LatentAttention,
    "gru": GRUFusion,
}

# Spiking operator -> dense one. A sum of currents is a concatenation: one matrix, cut in two.
# Delays and coincidence windows have no dense layer of their own and need none: a twin that reads
# the window side by side has a weight for every frame, so "A now and B two frames ago" is a unit's
# pattern like any other; what is finer than a frame is lost, which is why frames are chosen.
DENSE_TWINS: dict[str, str] = {
    "early": "early",
    "concat": "concat",
    "late": "late",
    "current_sum": "concat",
    "uncertainty_gate": "gated",
    "energy_gate": "gated",
    "qk_attention": "attention",
    "cross_residual": "residual",
    "latent": "latent",
    "cross_synapse": "concat",
    "coincidence": "concat",
}


def dense_option_names(name: str) -> tuple[str, ...]:
    """Options that a dense operator takes.

    Raises
    ------
    ConfigError
        If there is no dense operator of that name.
    """
    if name not in DENSE_OPERATORS:
        near = difflib.get_close_matches(name, DENSE_OPERATORS, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ConfigError(
            f"dense fusion must be one of {list(DENSE_OPERATORS)}, got {name!r}{hint}"
        )
    parameters = inspect.signature(DENSE_OPERATORS[name].__init__).parameters.values()
    return tuple(p.name for p in parameters if p.kind is p.KEYWORD_ONLY)


def check_dense_options(name: str, options: Iterable[str]) -> None:
    """Refuse an unknown dense operator or option.

    Raises
    ------
    ConfigError
        It names the valid ones.
    """
    valid = dense_option_names(name)
    for option in options:
        if option not in valid:
            raise ConfigError(f"options of {name!r} must be among {list(valid)}, got {option!r}")


def build_dense(name: str, n_in: Mapping[str, int], n_out: int, **options: Any) -> DenseOperator:
    """A freshly initialised dense operator.

    Parameters
    ----------
    name : str
        One of `DENSE_OPERATORS`.
    n_in : mapping of modality to its number of features
    n_out : int
        Fused units (classes of late fusion).
    **options
        Those of the operator's class.

    Raises
    ------
    ConfigError
        If the name or an option is unknown.
    ValueError
        If a value is wrong.
    """
    check_dense_options(name, options)
    return DENSE_OPERATORS[name](n_in, n_out, **options)
