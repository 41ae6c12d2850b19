"""Policies and gates of a stream, from the options of the command line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from spikefuse.errors import ConfigError
from spikefuse.runtime import StreamRunner
from spikefuse.runtime.policies import ConfidenceExit, DutyCycle, EnergyGate, Gate, WakeUp


def policy_of(
    trial_ms: float, theta: float | None, leave: float | None, temperature: float
) -> ConfidenceExit | None:
    """What ends trials, if there are any.

    Parameters
    ----------
    trial_ms : float
        0 for none.
    theta : float or None
        Of ``--exit``.
    leave : float or None
        The confidence that it stands for.
    temperature : float
    """
    if theta is not None and not trial_ms:
        raise ConfigError("--exit must have trials: give --trial")
    if not trial_ms:
        return None
    return ConfidenceExit(trial_ms, 1.0 if leave is None else leave, temperature)


def gate_of(
    given: Mapping[str, Any], policy: ConfidenceExit | None, runner: StreamRunner, profile: str
) -> Gate | None:
    """What stands before the network.

    Parameters
    ----------
    given : mapping of option to value
        ``--exit``, ``--wake``, ``--duty`` and ``--budget``; None where it was not given.
    policy : ConfidenceExit or None
        From `policy_of`, the gate of ``--exit``.
    runner : StreamRunner
    profile : str
        Prices what counts against a budget.

    Raises
    ------
    ConfigError
        If more than one is given, or its value is wrong.
    """
    chosen = [option for option, value in given.items() if value is not None]
    if len(chosen) > 1:
        raise ConfigError(f"only one of {', '.join(given)} must be given, got {chosen}")
    if not chosen:
        return None
    option, value = chosen[0], given[chosen[0]]
    modalities = runner.model.modalities
    if option == "--exit":
        return policy
    if option == "--wake":
        if not {"vision", "audio"} <= set(modalities):
            raise ConfigError(f"--wake must have vision and audio, got {list(modalities)}")
        return WakeUp("vision", "audio", value)
    first, _, second = value.partition("/")
    if option == "--duty":
        try:
            return DutyCycle(float(first), float(second))
        except ValueError as error:
            raise ConfigError(f"--duty must be ON/PERIOD in ms, got {value!r}: {error}") from error
    shed = second or "audio"
    if shed not in modalities:
        raise ConfigError(f"--budget must shed one of {list(modalities)}, got {shed!r}")
    try:
        budget_mw = float(first) * 1e-3
        return EnergyGate(budget_mw, shed, spent_by(runner, profile))
    except ValueError as error:
        raise ConfigError(f"--budget must be UW[/MODALITY], got {value!r}: {error}") from error


def spent_by(runner: StreamRunner, profile: str) -> Callable[[], float]:
    """What `EnergyGate` asks: dynamic energy of the network so far, pJ.

    Asked, it raises ConfigError if the runner does not count, or the profile has no price for what
    it counted.
    """

    def spent_pj() -> float:
        if not runner.n_steps:
            return 0.0
        try:
            found = runner.energy(profile).dynamic_pj
        except ValueError as error:
            raise ConfigError(f"a budget must have a stepped runner: {error}") from error
        if found is None:
            raise ConfigError(f"a budget must have a price, got none on {profile}")
        return found

    return spent_pj
