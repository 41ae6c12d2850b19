"""Leaky neurons in whole numbers over whole sequences: what an integer chip computes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from spikefuse.kernels import registry, scans
from spikefuse.kernels.scans import Reset

_LIF, _LI = "fixed_lif_scan", "fixed_li_scan"
for _op in (_LIF, _LI):
    registry.register(_op, registry.NUMBA, "spikefuse.kernels.cpu.fixed")

# A float32 holds every whole number below this; sums of currents must stay there to be exact.
WHOLE_BELOW = 2**24


def decayed_ref(v: Tensor, decay: Tensor, decay_bits: int) -> Tensor:
    r""":math:`\text{sign}(v) \lfloor |v| B / 2^D \rfloor`: towards zero, as on Loihi."""
    return v.sign() * ((v.abs() * decay) >> decay_bits)


def fixed_lif_scan_ref(
    current: Tensor,  # [T, B, N], whole numbers
    decay: Tensor,  # int64 [N]
    threshold: Tensor,  # int64 [N]
    shift: Tensor,  # int64 [N]
    *,
    decay_bits: int = 12,
    state_bits: int = 24,
    reset: Reset = "zero",
    v0: Tensor | None = None,  # int32 [B, N]
    recurrent: Tensor | None = None,  # [N, N], whole numbers
    s0: Tensor | None = None,  # [B, N]
) -> tuple[Tensor, Tensor, int]:
    """`fixed_lif_scan` in int64 of plain torch, with the number of active neuron-steps."""
    _check_whole(current)
    largest = 2 ** (state_bits - 1) - 1
    v = torch.zeros_like(current[0], dtype=torch.int64) if v0 is None else v0.to(torch.int64)
    s = torch.zeros_like(v) if s0 is None else s0.to(torch.int64)
    back = None if recurrent is None else recurrent.to(torch.int64)
    out: list[Tensor] = []
    n_active = 0
    for step in current.unbind(0):
        x = step.to(torch.int64)
        if back is not None:
            x = x + s @ back
        n_active += int(((v != 0) | (x != 0)).sum())
        v = decayed_ref(v, decay, decay_bits) + (x << shift)
        v = v.clamp(-largest, largest)
        s = (v > threshold).to(torch.int64)
        v = v * (1 - s) if reset == "zero" else v - threshold * s
        out.append(s.to(current.dtype))
    return torch.stack(out), v.to(torch.int32), n_active


def fixed_lif_scan(
    current: Tensor,  # [T, B, N]
    decay: Tensor,  # int64 [N]
    threshold: Tensor,  # int64 [N]
    shift: Tensor,  # int64 [N]
    *,
    decay_bits: int = 12,
    state_bits: int = 24,
    reset: Reset = "zero",
    v0: Tensor | None = None,  # int32 [B, N]
    recurrent: Tensor | None = None,  # [N, N]
    s0: Tensor | None = None,  # [B, N]
    backend: str | None = None,
) -> tuple[Tensor, Tensor, int]:
    r"""Leaky integrate-and-fire in whole numbers, without a gradient.

    .. math:: \tilde v_t = \text{sat}_S\big(\text{sign}(v_{t-1})
              \lfloor |v_{t-1}| B / 2^D \rfloor + 2^f x_t\big), \quad
              s_t = [\tilde v_t > \Theta], \quad
              v_t = \tilde v_t (1 - s_t) \text{ or } \tilde v_t - \Theta s_t

    The decay truncates towards zero and the membrane saturates at
    :math:`\pm (2^{S - 1} - 1)`; the product of both has as many bits as it needs.

    Parameters
    ----------
    current : Tensor[T, B, N]
        Whole numbers below 2**24 in absolute value, float32 for the fast kernel.
    decay : int64 Tensor[N]
        B, in ``[0, 2**decay_bits]``.
    threshold, shift : int64 Tensor[N]
        :math:`\Theta` and f, the bits by which an input is shifted to the left.
    decay_bits : int
    state_bits : int
        At most 32, the sign included.
    reset : "zero" or "subtract"
    v0 : int32 Tensor[B, N], optional
        Membrane before the first step, zero by default.
    recurrent : Tensor[N, N], optional
        Whole weights through which the spikes drive the neurons one step later (reference only).
    s0 : Tensor[B, N], optional
        Spikes before the first step.
    backend : str, optional
        One of `registry.BACKENDS`.

    Returns
    -------
    spikes : Tensor[T, B, N], v_last : int32 Tensor[B, N]
    n_active : int
        Neuron-steps whose membrane or input is not zero.

    Raises
    ------
    ValueError
        If a current is no whole number below 2**24, or the reset is unknown.
    BackendError
        If an explicit backend cannot run.

    References
    ----------
    Truncation, the shift of inputs by 6 and saturation are those of Loihi's membrane: class
    ``PyLifModelBitAcc`` of lava-nc/lava, src/lava/proc/lif/models.py. There 12 bits of decay and
    24 of state, and a reset to zero.
    """
    scans.checked_current(current)
    scans.checked_reset(reset)
    why = scans.refused(current)
    if recurrent is not None:
        why = "recurrent neurons run in the reference alone"
    chosen = scans.choose(_LIF, backend, current.device.type, why)
    if chosen == registry.REFERENCE:
        return fixed_lif_scan_ref(
            current,
            decay,
            threshold,
            shift,
            decay_bits=decay_bits,
            state_bits=state_bits,
            reset=reset,
            v0=v0,
            recurrent=recurrent,
            s0=s0,
        )
    x = current.detach().contiguous()
    spikes = torch.empty_like(x)
    v = _state(v0, x)
    n_active = registry.kernel(_LIF, chosen, "fixed_lif")(
        x.numpy(),
        *_arrays(decay, threshold, shift, n=x.shape[2]),
        decay_bits,
        2 ** (state_bits - 1) - 1,
        reset == "subtract",
        v.numpy(),
        spikes.numpy(),
    )
    _refuse_fractions(n_active)
    return spikes, v, int(n_active)


def fixed_li_scan_ref(
    current: Tensor,  # [T, B, N], whole numbers
    decay: Tensor,  # int64 [N]
    shift: Tensor,  # int64 [N]
    *,
    decay_bits: int = 12,
    state_bits: int = 24,
    v0: Tensor | None = None,  # int32 [B, N]
) -> tuple[Tensor, Tensor]:
    """`fixed_li_scan` in int64 of plain torch."""
    _check_whole(current)
    largest = 2 ** (state_bits - 1) - 1
    v = torch.zeros_like(current[0], dtype=torch.int64) if v0 is None else v0.to(torch.int64)
    trace: list[Tensor] = []
    for x in current.unbind(0):
        v = decayed_ref(v, decay, decay_bits) + (x.to(torch.int64) << shift)
        v = v.clamp(-largest, largest)
        trace.append(v.to(torch.int32))
    return torch.stack(trace), v.to(torch.int32)


def fixed_li_scan(
    current: Tensor,  # [T, B, N]
    decay: Tensor,  # int64 [N]
    shift: Tensor,  # int64 [N]
    *,
    decay_bits: int = 12,
    state_bits: int = 24,
    v0: Tensor | None = None,  # int32 [B, N]
    backend: str | None = None,
) -> tuple[Tensor, Tensor]:
    """Leaky integration in whole numbers: `fixed_lif_scan` without threshold.

    Parameters
    ----------
    current, decay, shift, decay_bits, state_bits, v0, backend
        As of `fixed_lif_scan`.

    Returns
    -------
    trace : int32 Tensor[T, B, N], v_last : int32 Tensor[B, N]

    Raises
    ------
    ValueError
        If a current is no whole number below 2**24.
    BackendError
        If an explicit backend cannot run.
    """
    scans.checked_current(current)
    chosen = scans.choose(_LI, backend, current.device.type, scans.refused(current))
    if chosen == registry.REFERENCE:
        return fixed_li_scan_ref(
            current, decay, shift, decay_bits=decay_bits, state_bits=state_bits, v0=v0
        )
    x = current.detach().contiguous()
    trace = torch.empty(x.shape, dtype=torch.int32)
    v = _state(v0, x)
    whole = registry.kernel(_LI, chosen, "fixed_li")(
        x.numpy(),
        *_arrays(decay, shift, n=x.shape[2]),
        decay_bits,
        2 ** (state_bits - 1) - 1,
        v.numpy(),
        trace.numpy(),
    )
    _refuse_fractions(whole)
    return trace, v


def _state(v0: Tensor | None, current: Tensor) -> Tensor:
    """A membrane to be overwritten, int32 ``[B, N]``."""
    if v0 is None:
        return torch.zeros(current.shape[1:], dtype=torch.int32)
    return v0.detach().to(torch.int32).clone(memory_format=torch.contiguous_format)


def _arrays(*parameters: Tensor, n: int) -> list[Any]:
    """Parameters as int64 arrays of one value per neuron."""
    return [p.detach().to(torch.int64).expand(n).contiguous().numpy() for p in parameters]


def _check_whole(current: Tensor) -> None:
    """Refuse what is no whole number, or so large that its sum need not be exact."""
    x = current.detach()
    _refuse_fractions(-1 if bool(((x != x.round()) | (x.abs() >= WHOLE_BELOW)).any()) else 0)


def _refuse_fractions(found: int) -> None:
    """Raise if a kernel found a current that is not one of whole weights (-1)."""
    if found < 0:
        raise ValueError(
            f"current must be whole numbers below 2**24 = {WHOLE_BELOW}, got a fraction or more"
        )
