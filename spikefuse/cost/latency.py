"""Latency of an answer from the onset of its stimulus: waiting, working, and what has piled up.

Pure functions of arrays; what a run reports is put together in `experiments.evaluation.latency`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np

from spikefuse._types import BoolArray, FloatArray
from spikefuse.cost.chip import SOMA_TIMES, Population, arrival_ns, cores_of, populations_of
from spikefuse.cost.constants import Bound
from spikefuse.cost.profile import HardwareProfile
from spikefuse.cost.step_counts import StepCounts
from spikefuse.opcounts import OpCounts

BOUNDS: tuple[Bound, ...] = ("low", "value", "high")


@dataclass(frozen=True)
class StepTimes:
    """How long every step of every sample takes on a chip.

    Parameters
    ----------
    by_bound : mapping of "low", "value", "high" to float array [T, B]
        In microseconds. *Low*: neurons and messages of the busiest core at once, constants at
        their low end. *Value* and *high*: one after the other, constants nominal and at their high
        end.
    busiest : str
        Population whose core has the most work in most steps.
    """

    by_bound: Mapping[Bound, FloatArray]
    busiest: str


def step_times(steps: StepCounts, profile: HardwareProfile) -> StepTimes:
    r"""The bracket of `spikefuse.cost.chip.step_time`, of every step instead of the mean one.

    .. math:: t_{sync} + \max(a_t, b_t) \le t_t \le t_{sync} + a_t + b_t

    with the busiest core's time for its neurons, :math:`a_t`, and its messages, :math:`b_t`, in
    step t.

    Raises
    ------
    ValueError
        If there are no neurons.
    ProfileError
        If the profile has no times, or does not say how many neurons a core holds.
    """
    populations = populations_of(steps.until(steps.shape[0]))
    if not populations:
        raise ValueError("steps must hold neurons to be placed, got none")
    by_bound: dict[Bound, FloatArray] = {}
    busiest = ""
    for bound in BOUNDS:
        soma, messages = _core_times_us(steps, populations, profile, bound)
        a, b = soma.max(0), messages.max(0)
        work = np.maximum(a, b) if bound == "low" else a + b
        by_bound[bound] = profile.value("t_sync", bound) * 1e-3 + work
        most = np.bincount((soma + messages).argmax(0).ravel(), minlength=len(populations))
        busiest = populations[int(most.argmax())].name if bound == "value" else busiest
    return StepTimes(by_bound, busiest)


def _core_times_us(
    steps: StepCounts, populations: Sequence[Population], profile: HardwareProfile, bound: Bound
) -> tuple[FloatArray, FloatArray]:
    """Time of a core of each population for its neurons, and for its messages, ``[P, T, B]``."""
    cores = cores_of(populations, profile)
    t_synop, t_in = profile.value("t_synop", bound), arrival_ns(profile, bound)
    soma, messages = np.zeros((2, len(populations), *steps.shape))
    for i, population in enumerate(populations):
        k, name = cores[population.name], population.name
        neurons = SimpleNamespace(
            **{
                field: steps.of(name, field).numpy()
                for field in ("neuron_updates_active", "neuron_updates_idle", "spikes_fired")
            }
        )
        for constant, amount in SOMA_TIMES.items():
            if profile.holds(constant):
                soma[i] += amount(neurons) * profile.value(constant, bound) / k  # type: ignore[arg-type]
        for path in population.inputs:
            messages[i] += steps.of(path, "effective_acs").numpy() * t_synop / k
            messages[i] += steps.of(path, "spikes_routed").numpy() * t_in
    return soma * 1e-3, messages * 1e-3


def finish_ms(work_ms: FloatArray, closed_ms: FloatArray) -> FloatArray:
    r"""When each step's work is done, of a processor that takes the steps in order.

    .. math:: f_n = \max(f_{n-1}, c_n) + s_n
              = \max_{i \le n} \Big( c_i + \sum_{j=i}^{n} s_j \Big)

    Step n holds the events up to its closing time :math:`c_n`, ``(n + 1) dt`` on a clock, and
    cannot begin before; one that takes longer than the next one needs to close keeps it waiting.

    Parameters
    ----------
    work_ms : float array [T, ...]
        Time :math:`s_n` that each step takes.
    closed_ms : float array [T]

    Returns
    -------
    float array [T, ...]
        From onset, in ms.

    Notes
    -----
    Lindley's recursion for the waiting time, :math:`w_{n+1} = \max(0, w_n + s_n - dt)` (Proc.
    Camb. Phil. Soc. 48, 1952), of a queue with regular arrivals.
    """
    work = np.asarray(work_ms, dtype=np.float64)
    closed = np.asarray(closed_ms, dtype=np.float64).reshape(-1, *[1] * (work.ndim - 1))
    done = work.cumsum(0)
    return np.asarray(np.maximum.accumulate(closed - (done - work), axis=0) + done)


def backlog_ms(work_ms: FloatArray, closed_ms: FloatArray) -> FloatArray:
    """How long each step waits for those before it, ``[T, ...]``; see `finish_ms`."""
    work = np.asarray(work_ms, dtype=np.float64)
    closed = np.asarray(closed_ms, dtype=np.float64).reshape(-1, *[1] * (work.ndim - 1))
    return np.maximum(finish_ms(work, closed_ms) - work - closed, 0.0)  # sums round


def layer_ticks(counts: OpCounts) -> int:
    """Ticks between an input and the readout on a chip that takes one for every layer.

    A spike that a core sends in one tick arrives at the next layer in the tick after: one less
    than the populations of neurons on the longest way. Populations of one modality are in a row,
    those of several side by side, the shared ones behind them.
    """
    by_modality: dict[str, int] = {}
    for population in populations_of(counts):
        modality = population.neurons.modality
        by_modality[modality] = by_modality.get(modality, 0) + 1
    shared = by_modality.pop("shared", 0)
    return max(max(by_modality.values(), default=0) + shared - 1, 0)


def quantile_with_phase(values: FloatArray, span: float, q: float) -> float:
    r"""Quantile of ``values + U`` with U uniform on ``[0, span]``, exact.

    An onset that comes at any phase of a running window waits for the window's edge. The
    distribution is :math:`F(t) = \frac{1}{n} \sum_i \min(1, \max(0, (t - x_i) / span))`, and
    piecewise linear.

    Parameters
    ----------
    values : float array [n]
        At least one.
    span : float
        0 gives the quantile of the values: the smallest with a share of at least q at or below.
    q : float
        From 0 to 1.

    Raises
    ------
    ValueError
        If there are no values, or ``span`` or ``q`` is out of range.
    """
    x = np.sort(np.asarray(values, dtype=np.float64).ravel())
    if not len(x):
        raise ValueError("values must hold at least one, got none")
    if not 0 <= span < math.inf:
        raise ValueError(f"span must be finite and at least 0, got {span}")
    if not 0 <= q <= 1:
        raise ValueError(f"q must be in [0, 1], got {q}")
    if span == 0:
        return float(x[max(math.ceil(q * len(x) - 1e-9) - 1, 0)])
    knots = np.unique(np.concatenate([x, x + span]))
    # F at a knot: the values wholly below, and the share of those it lies within.
    sums = np.concatenate([[0.0], x.cumsum()])
    below = np.searchsorted(x, knots - span, side="right")
    begun = np.searchsorted(x, knots, side="right")
    inside = (begun - below) * knots - (sums[begun] - sums[below])
    share = (below + inside / span) / len(x)
    return float(np.interp(q, share, knots))


def tumbling_ms(window_ms: float) -> tuple[float, float]:
    """Mean and largest wait for a full window of a row of windows, onset at any phase.

    The window that holds the onset ends after U(0, W); the first that lies wholly behind the onset
    a window later: 1.5 W in the mean, 2 W at most.
    """
    return 1.5 * window_ms, 2 * window_ms


def sliding_ms(window_ms: float, hop_ms: float) -> tuple[float, float]:
    """Mean and largest wait for a full window that is taken again every hop: W + U(0, h)."""
    return window_ms + hop_ms / 2, window_ms + hop_ms


def time_ms(profile: HardwareProfile, name: str, bound: Bound = "value") -> float:
    """A time of a profile in milliseconds, whatever unit it is given in.

    Raises
    ------
    ProfileError
        If the profile lacks it.
    """
    value = profile.value(name, bound)
    return value * {"ns": 1e-6, "us": 1e-3, "ms": 1.0}[profile.constants[name].unit]


def stft_delay_ms(n_fft: int, sample_rate: int, centred: bool = False) -> float:
    """How long a spectrogram's column waits for its last sample, counted from the column's time.

    A column that is known by the time of its first sample needs ``n_fft`` samples; one that is
    known by its middle needs half of them.

    Raises
    ------
    ValueError
        If a size is not positive.
    """
    if n_fft < 1 or sample_rate < 1:
        raise ValueError(f"n_fft and sample_rate must be at least 1, got {n_fft} and {sample_rate}")
    return (0.5 if centred else 1.0) * n_fft / sample_rate * 1e3


def in_time(
    latency_ms: FloatArray, right: BoolArray, deadlines_ms: Sequence[float]
) -> list[dict[str, float]]:
    """Share of answers that come by each deadline, and of those that are right as well.

    Parameters
    ----------
    latency_ms : float array [n]
    right : bool array [n]
    deadlines_ms : sequence of float
    """
    return [
        {
            "deadline_ms": float(deadline),
            "in_time": float((latency_ms <= deadline).mean()),
            "right_in_time": float(((latency_ms <= deadline) & right).mean()),
        }
        for deadline in deadlines_ms
    ]
