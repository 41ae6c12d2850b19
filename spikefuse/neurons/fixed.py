"""FixedLIF and FixedReadout: neurons in whole numbers, and the widths that they have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from spikefuse.errors import ConfigError
from spikefuse.kernels.fixed import fixed_li_scan, fixed_lif_scan
from spikefuse.kernels.neurons import lif_scan
from spikefuse.kernels.readout import li_scan
from spikefuse.kernels.recurrent import recurrent_lif_scan
from spikefuse.neurons.lif import LIFParams, RecurrentState
from spikefuse.surrogate import Surrogate


@dataclass(frozen=True)
class FixedFormat:
    """Widths of a network in whole numbers; the default is that of 8-bit weights in logic.

    Parameters
    ----------
    weight_bits : int
        2 to 8, the sign included.
    state_bits : int
        8 to 32, the sign included.
    decay_bits : int
        1 to 16: a decay is a whole number of steps of ``2**-decay_bits``.
    fraction_bits : int
        0 to 8: a membrane's unit is a weight's divided by up to two to this power, as far as the
        state is wide enough. Loihi shifts by 6.
    headroom : float
        Thresholds that a membrane's range holds, before it saturates.
    readout_range : float
        Largest weights that a readout's range holds.

    Raises
    ------
    ConfigError
        If a width is out of its range.

    Notes
    -----
    ``headroom`` and ``readout_range`` were chosen on validation pairs of the embedded default, with
    states of 8 to 16 bits; wider ones hold more of both, and there they do not matter.
    """

    weight_bits: int = 8
    state_bits: int = 32
    decay_bits: int = 12
    fraction_bits: int = 6
    headroom: float = 16.0
    readout_range: float = 16.0

    def __post_init__(self) -> None:
        limits = {
            "weight_bits": (2, 8),
            "state_bits": (8, 32),
            "decay_bits": (1, 16),
            "fraction_bits": (0, 8),
        }
        for name, (least, most) in limits.items():
            value = getattr(self, name)
            if not least <= value <= most:
                raise ConfigError(f"{name} must be {least} to {most}, got {value}")
        if not self.headroom >= 1 or not self.readout_range >= 1:
            raise ConfigError(
                f"headroom and readout_range must be at least 1, got {self.headroom} and "
                f"{self.readout_range}"
            )

    @property
    def largest_weight(self) -> int:
        """Of a weight as a whole number."""
        return int(2 ** (self.weight_bits - 1) - 1)

    @property
    def largest_state(self) -> int:
        """Of a membrane as a whole number."""
        return int(2 ** (self.state_bits - 1) - 1)


class _Fixed(nn.Module):
    """What neurons in whole numbers share: units and decays of ``n`` of them as buffers."""

    batch_dim = 1
    step: Tensor  # what 1 of an input current stands for
    shift: Tensor  # bits from an input's unit to the membrane's
    decay: Tensor  # B / 2**D

    def __init__(self, n: int, form: FixedFormat, share: int = 1) -> None:
        super().__init__()
        self.form, self.share = form, share
        self.register_buffer("step", torch.ones(n, dtype=torch.float64))
        self.register_buffer("shift", torch.zeros(n, dtype=torch.int64))
        self.register_buffer("decay", torch.ones(n))

    def beta(self) -> Tensor:
        """Decay per step of each neuron, [n * share]."""
        return self._each(self.decay)

    def decay_steps(self) -> Tensor:
        """B, the decays as whole numbers, int64 [n * share]."""
        steps = self.beta().detach().double() * 2.0**self.form.decay_bits
        return steps.round().to(torch.int64)

    def _each(self, values: Tensor) -> Tensor:
        return values.repeat_interleave(self.share) if self.share > 1 else values


class FixedLIF(_Fixed):
    """LIF neurons in whole numbers (see `fixed_lif_scan` for the equation).

    Built from trained neurons by `spikefuse.models.fixed_point.fixed_point`. Where a gradient is
    wanted it is that of float neurons on the same currents (straight through); the spikes are
    those of the whole numbers all the same. A current that dropout has scaled is rounded there.

    Parameters
    ----------
    n : int
        Neurons, or channels of ``share`` neurons each.
    params : LIFParams
    form : FixedFormat
    share : int
    recurrent : Tensor[N, N], optional
    """

    threshold: Tensor  # in units of the membrane

    def __init__(
        self,
        n: int,
        params: LIFParams,
        form: FixedFormat,
        share: int = 1,
        recurrent: Tensor | None = None,
    ) -> None:
        super().__init__(n, form, share)
        self.params = params
        self.register_buffer("threshold", torch.ones(n, dtype=torch.int64))
        self.recurrent_weight = (
            None
            if recurrent is None
            else nn.Parameter(recurrent.detach().clone(), requires_grad=False)
        )

    def forward(self, current: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Whole currents ``[T, B, N]`` and state (None = rest) to spikes and new state.

        The state is the membrane, int32 ``[B, N]``, or a `RecurrentState` with it.
        """
        wants = torch.is_grad_enabled() and current.requires_grad
        spikes, v, _ = self._scan(current.detach().round() if wants else current, state)
        after: Any = v
        if self.recurrent_weight is not None:
            after = RecurrentState(v, spikes[-1].clone())
        if wants:
            smooth = self._smooth(current)
            spikes = spikes + (smooth - smooth.detach())
        return spikes, after

    def active(self, current: Tensor, state: Any = None) -> int:
        """Neuron-steps of a run whose membrane or input (recurrent input included) is not 0."""
        return self._scan(current.detach(), state)[2]

    def _scan(self, current: Tensor, state: Any) -> tuple[Tensor, Tensor, int]:
        v0, s0 = state if isinstance(state, RecurrentState) else (state, None)
        back = self.recurrent_weight
        with torch.no_grad():
            return fixed_lif_scan(
                current,
                self.decay_steps(),
                self._each(self.threshold),
                self._each(self.shift),
                decay_bits=self.form.decay_bits,
                state_bits=self.form.state_bits,
                reset=self.params.reset,
                v0=v0,
                recurrent=None if back is None else back.detach(),
                s0=s0,
            )

    def _smooth(self, current: Tensor) -> Tensor:
        """Spikes of float neurons on the same currents, from rest."""
        p = self.params
        step = self._each(self.step).to(current.dtype)
        surrogate = Surrogate(p.surrogate, p.slope)
        if self.recurrent_weight is None:
            return lif_scan(
                current * step,
                self.beta(),
                p.threshold,
                reset=p.reset,
                surrogate=surrogate,
                detach_reset=p.detach_reset,
            )[0]
        return recurrent_lif_scan(
            current * step,
            self.beta(),
            p.threshold,
            self.recurrent_weight * step,
            reset=p.reset,
            surrogate=surrogate,
            detach_reset=p.detach_reset,
        )[0]


class FixedReadout(_Fixed):
    """Leaky integrators in whole numbers; what leaves is multiplied by one step for all classes.

    That product only gives the evidence its unit: the order of the classes is that of the whole
    numbers.

    Parameters
    ----------
    n : int
    form : FixedFormat
    """

    def forward(self, current: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Whole currents ``[T, B, N]``, state int32 ``[B, N]`` to evidence and new state."""
        wants = torch.is_grad_enabled() and current.requires_grad
        with torch.no_grad():
            trace, v = fixed_li_scan(
                current.detach().round() if wants else current,
                self.decay_steps(),
                self.shift,
                decay_bits=self.form.decay_bits,
                state_bits=self.form.state_bits,
                v0=state,
            )
            evidence = (trace * (self.step * 2.0**-self.shift)).to(current.dtype)
        if wants:
            # li_scan takes its input times 1 - beta; here that factor is in the weights.
            smooth = li_scan(current * (self.step / (1 - self.decay)).float(), self.decay)[0]
            evidence = evidence + (smooth - smooth.detach())
        return evidence, v

    def active(self, current: Tensor, state: Tensor | None = None) -> int:
        """Neuron-steps whose membrane or input is not 0: all from the first input on."""
        seen = (current != 0).cumsum(0) > 0
        return int((seen if state is None else seen | (state != 0)).sum())
