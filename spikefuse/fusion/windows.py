"""CoincidenceWindow: one population's events count while another's hold a window open."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor, nn

from spikefuse.cost.messages import Messages, messages_of, n_rows
from spikefuse.fusion.pairs import count_fan
from spikefuse.kernels.coincidence import coincidence, coincidence_trace
from spikefuse.kernels.cross import cross_currents
from spikefuse.kernels.fan import Fan
from spikefuse.opcounts import PathCounts
from spikefuse.spikes import SpikeBatch
from spikefuse.synapses.annealing import DELAY_UNIT_MS, AnnealedDelays, annealed, held

Shape = Literal["gaussian", "box", "exponential"]

_LEAST_WIDTH_STEPS = 0.5


class CoincidenceWindow(AnnealedDelays):
    r"""Pair detector: events of B, weighted, times a window that events of A opened.

    .. math:: f_{t,m} = \Big(\sum_i b_{t,i} W_{im}\Big)\, g\Big(\sum_k K_m(k)
              \sum_i a_{t-k,i} V_{im}\Big)

    with the window :math:`K_m(k)` one of

    - gaussian: :math:`\exp(-(k - d_m)^2 / 2 w_m^2)`, delay and width learned;
    - box: 1 for :math:`|k - d_m| \le w_m`; in training its edges are sigmoids that sharpen
      (`set_anneal`), delay and half-width learned;
    - exponential: :math:`e^{-k / \tau_m}`, time constant learned, no delay;

    and the gate :math:`g(z) = z`, or :math:`1 - e^{-\max(z, 0)}` where it saturates.

    Parameters
    ----------
    n_opener, n_in : int
        Addresses of A and of B.
    n_units : int
        Units m.
    dt_ms : float
    window : "gaussian", "box" or "exponential"
    delay_max_ms : float
        Delays start uniform in [0, delay_max_ms] and stay in it.
    width_ms : (float, float)
        Widths (or time constants) start log-uniform in this range.
    width_max_ms : float
        Windows are cut at ``delay_max_ms + 2 * width_max_ms``.
    edge_ms : (float, float)
        Softness of a box's edges at the start and at the end of training.
    same_step : bool
        Whether A and B of one step meet; one of two opposite directions must leave it out.
    saturating : bool
    mean, gain : float
        Initial weights are normal with this mean and deviation, over the root of the addresses.
    opener, paid_by : str, optional
        Modality of A, which pays for opening, and of B, which pays for counting.
    fan : Fan, optional
        Which address of A opens which unit; all of them by default.

    Raises
    ------
    ValueError
        If a number is out of its range.
    """

    batch_dim = 1

    # What a row of events costs depends on no other row: see `count_steps`.
    counts_rows_alone = True

    def __init__(
        self,
        n_opener: int,
        n_in: int,
        n_units: int,
        dt_ms: float,
        *,
        window: Shape = "gaussian",
        delay_max_ms: float = 64.0,
        width_ms: tuple[float, float] = (2.0, 8.0),
        width_max_ms: float = 32.0,
        edge_ms: tuple[float, float] = (10.0, 0.5),
        same_step: bool = True,
        saturating: bool = False,
        mean: float = 0.3,
        gain: float = 0.3,
        opener: str = "shared",
        paid_by: str = "shared",
        fan: Fan | None = None,
    ) -> None:
        if window not in ("gaussian", "box", "exponential"):
            raise ValueError(f"window must be gaussian, box or exponential, got {window!r}")
        if len(width_ms) != 2 or not 0 < width_ms[0] <= width_ms[1] <= width_max_ms:
            raise ValueError(
                "width_ms must be two widths that rise from above 0 to at most "
                f"{width_max_ms}, got {width_ms}"
            )
        if not (dt_ms > 0 and delay_max_ms >= 0 and min(edge_ms) > 0):
            raise ValueError(
                "dt_ms and edge_ms must be positive and delay_max_ms >= 0, "
                f"got {dt_ms}, {edge_ms} and {delay_max_ms}"
            )
        edges = Fan.all_to_all(n_opener, n_units) if fan is None else fan
        if (edges.n_in, edges.n_out) != (n_opener, n_units):
            raise ValueError(
                f"fan must join {n_opener} addresses to {n_units} units, "
                f"got {edges.n_in} to {edges.n_out}"
            )
        if fan is not None and window == "exponential":
            raise ValueError("fan must be None with an exponential window, got a Fan")
        super().__init__(edges, dt_ms, delay_max_ms)
        self.n_units, self.window = n_units, window
        self.width_max_ms, self.edge_ms = width_max_ms, edge_ms
        self.same_step, self.saturating = same_step, saturating
        self.opener, self.paid_by = opener, paid_by
        self.opening = nn.Parameter((mean + gain * torch.randn(edges.n_edges)) / n_opener**0.5)
        self.counting = nn.Parameter((mean + gain * torch.randn(n_in, n_units)) / n_in**0.5)
        low, high = (math.log(w) for w in width_ms)
        self.log_width = nn.Parameter(low + (high - low) * torch.rand(n_units))
        start = torch.rand(n_units) * (delay_max_ms / DELAY_UNIT_MS)
        self.delay = None if window == "exponential" else nn.Parameter(start)

    @property
    def span(self) -> int:
        """Longest lag of a window in steps; none is kept pending by an exponential one."""
        if self.delay is None:
            return 0
        return max(1, round((self.delay_max_ms + 2 * self.width_max_ms) / self.dt_ms))

    def delays_ms(self) -> Tensor:
        """Delay of each unit's window in milliseconds, zero without one."""
        if self.delay is None:
            return self.log_width.new_zeros(self.n_units)
        return super().delays_ms()

    def widths_ms(self) -> Tensor:
        """Width, half-width or time constant of each unit in milliseconds."""
        return self.log_width.detach().exp().clamp(max=self.width_max_ms)

    def taps(self) -> Tensor:
        """The windows of a gaussian or box over lags, [n_units, span + 1]."""
        if self.delay is None:
            raise ValueError("window must be gaussian or box to have taps, got exponential")
        centre = self.delay_steps()
        log_width = held(self.log_width, None, math.log(self.width_max_ms))
        width = (log_width.exp() / self.dt_ms).clamp(min=_LEAST_WIDTH_STEPS)
        lag = torch.arange(self.span + 1, dtype=centre.dtype, device=centre.device)
        away = lag - centre[:, None]
        if self.window == "gaussian":
            taps = torch.exp(-0.5 * (away / width[:, None]) ** 2)
        elif self.training:
            soft = annealed(float(self.anneal), *self.edge_ms) / self.dt_ms
            taps = torch.sigmoid((width[:, None] - away.abs()) / soft)
        else:
            taps = (away.abs() <= width[:, None]).to(centre.dtype)
        return taps if self.same_step else taps * (lag > 0)

    def forward(
        self, opener: Tensor | SpikeBatch, spikes: Tensor | SpikeBatch, state: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Events of A and B, ``(T, B, n)`` each, to pairs ``[T, B, n_units]`` and the window left.

        Parameters
        ----------
        opener, spikes : Tensor or SpikeBatch
            Only dense tensors carry a gradient.
        state : Tensor, optional
            Windows still open: ``[span, B, n_units]``, or the trace ``[B, n_units]``.
        """
        if self.delay is None:
            beta = torch.exp(-self.dt_ms / self.log_width.exp())
            weight = self.opening.view(-1, self.n_units)
            return coincidence_trace(
                spikes,
                self.counting,
                opener,
                weight,
                beta,
                state,
                same_step=self.same_step,
                saturating=self.saturating,
            )
        fan = self.fan
        rows = self.opening[:, None] * self.taps()[fan.target.long()]
        first = torch.zeros_like(fan.target)
        window, after = cross_currents(opener, rows, first, fan, self.span, state)
        return coincidence(spikes, self.counting, window, saturating=self.saturating), after

    def count_paths(
        self, args: tuple[Any, ...], output: Any, modality: str
    ) -> dict[str, PathCounts]:
        """Opening is paid by A, counting by B.

        An opening event adds its row of a window (multiplied, as the window is graded) to every
        lag that it reaches: one step of an exponential window. A counting event adds its row of
        weights, and one multiplication per unit and step with such an event applies the window.
        """
        opener, spikes = args[0], args[1]
        lags = 1 if self.delay is None else int((self.taps().detach() != 0).sum(1).max())
        rows = n_rows(spikes)
        opens, counts = messages_of(opener), messages_of(spikes)
        scaled = Messages(opens.whole * lags, opens.graded * lags)
        opening = count_fan(self.fan, self.opening, scaled, rows, self.opener, max(self.span, 1))
        used = (self.counting.detach() != 0).double().sum(1)
        active = self._rows_with_events(spikes)
        routed = counts.total
        return {
            ".open": PathCounts(
                effective_acs=opening.effective_acs,
                effective_macs=opening.effective_macs,
                dense_macs=opening.dense_macs * lags,
                spikes_routed=opens.total,
                weight_reads=opening.weight_reads,
                state_reads=opening.state_reads,
                state_writes=opening.state_writes,
                weight_words=opening.weight_words * (1 if self.delay is None else self.span + 1),
                state_words=opening.state_words,
                modality=self.opener,
            ),
            ".count": PathCounts(
                effective_acs=int((counts.whole * used).sum()),
                effective_macs=int((counts.graded * used).sum()) + active * self.n_units,
                dense_macs=rows * (self.counting.numel() + self.n_units),
                spikes_routed=routed,
                weight_reads=routed * self.n_units,
                state_reads=active * self.n_units,
                weight_words=self.counting.numel(),
                modality=self.paid_by,
            ),
        }

    @staticmethod
    def _rows_with_events(spikes: Tensor | SpikeBatch) -> int:
        """Steps and samples in which any event of B comes."""
        if isinstance(spikes, SpikeBatch):
            return int((spikes.indptr.diff() > 0).sum())
        return int((spikes != 0).any(2).sum())
