"""Fused inference of delayed synapses: events in, spikes of the LIF neurons behind them out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from spikefuse.kernels import event_arrays, packing, registry, scans, spike_bits, watching
from spikefuse.kernels.neurons import lif_scan_ref
from spikefuse.kernels.products import event_matmul_ref
from spikefuse.kernels.scans import Reset
from spikefuse.spikes import SpikeBatch

_OP = "fused_delayed_lif"
registry.register(_OP, registry.NUMBA, "spikefuse.kernels.cpu.fused")
registry.register(_OP, registry.CUDA, "spikefuse.kernels.gpu.ops.layers")


def arrivals_ref(
    wide: Tensor, delays: Sequence[int], pending: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Currents when they arrive, and those still under way, from currents when they depart.

    What arrives in one step is added in the order of its departure, longest delay first, so that a
    sequence in chunks equals the whole bit for bit.

    Parameters
    ----------
    wide : Tensor[T, B, n_delays * n_out]
    delays : sequence of int
        Steps, one for each block of ``n_out`` columns.
    pending : Tensor[longest, B, n_out], optional

    Returns
    -------
    current : Tensor[T, B, n_out], pending : Tensor[longest, B, n_out]
    """
    n_steps, n_batch, n_wide = wide.shape
    n_out, longest = n_wide // len(delays), max(delays)
    arriving = wide.new_zeros(n_steps + longest, n_batch, n_out)
    if pending is not None:
        arriving[:longest] += pending
    parts = zip(delays, torch.split(wide, n_out, dim=2), strict=True)
    for delay, part in sorted(parts, key=lambda pair: -pair[0]):
        arriving[delay : delay + n_steps] += part
    return arriving[:n_steps], arriving[n_steps:]


def fused_delayed_lif_ref(
    spikes: SpikeBatch,
    weight: Tensor,
    delays: Sequence[int],
    beta: Tensor | float,
    threshold: Tensor | float,
    *,
    reset: Reset = "zero",
    v0: Tensor | None = None,
    pending: Tensor | None = None,
) -> tuple[SpikeBatch, Tensor, Tensor]:
    """`fused_delayed_lif` as a product, shifted sums, a scan and a conversion: its definition."""
    current, left = arrivals_ref(event_matmul_ref(spikes, weight), delays, pending)
    out, v_last = lif_scan_ref(current, beta, threshold, reset=reset, v0=v0)
    return SpikeBatch.from_dense(out), v_last, left


def fused_delayed_lif(
    spikes: SpikeBatch,  # (T, B, n_in)
    weight: Tensor,  # [n_in, n_delays * n_out]
    delays: Sequence[int],
    beta: Tensor | float,
    threshold: Tensor | float,
    *,
    reset: Reset = "zero",
    v0: Tensor | None = None,
    pending: Tensor | None = None,
    backend: str | None = None,
) -> tuple[SpikeBatch, Tensor, Tensor]:
    r"""One spiking layer behind axons of several delays; no current ``[T, B, N]`` is stored.

    .. math:: x_t = \sum_k S_{t - d_k} W^k, \quad \tilde v_t = \beta v_{t-1} + x_t, \quad
              s_t = [\tilde v_t > \theta]

    with the reset of `lif_scan`. The currents under way lie in a ring of ``longest + 1`` steps that
    stays in cache. Nothing carries a gradient.

    Parameters
    ----------
    spikes : SpikeBatch of shape (T, B, n_in)
    weight : Tensor[n_in, n_delays * n_out]
        Block k of ``n_out`` columns holds the synapses of ``delays[k]``.
    delays : sequence of int
        Distinct steps >= 0.
    beta, threshold : float or Tensor[n_out]
    reset : "zero" or "subtract"
    v0 : Tensor[B, n_out], optional
        Membrane before the first step, zero by default; it is not written to.
    pending : Tensor[longest, B, n_out], optional
        Currents of earlier spikes that arrive in the first steps, none by default; not written to.
    backend : str, optional
        One of `registry.BACKENDS`.

    Returns
    -------
    spikes : SpikeBatch of shape (T, B, n_out), v_last : Tensor[B, n_out]
    pending : Tensor[longest, B, n_out]
        Currents that arrive after the last step.

    Raises
    ------
    ValueError
        If the pieces do not fit together, or something asks for a gradient.
    BackendError
        If an explicit backend cannot run.
    """
    scans.checked_reset(reset)
    n_steps, n_batch, n_in = spikes.shape
    if not delays or min(delays) < 0 or len(set(delays)) < len(delays):
        raise ValueError(f"delays must be one or more distinct steps >= 0, got {tuple(delays)}")
    if weight.ndim != 2 or weight.shape[0] != n_in or weight.shape[1] % len(delays):
        raise ValueError(
            f"weight must be [{n_in}, {len(delays)} * n_out], got shape {tuple(weight.shape)}"
        )
    n_out = weight.shape[1] // len(delays)
    shape = (n_steps, n_batch, n_out)
    spike_bits.check_neurons(shape, {"beta": beta, "threshold": threshold}, v0)
    waiting = (max(delays), n_batch, n_out)
    if pending is not None and tuple(pending.shape) != waiting:
        raise ValueError(f"pending must be of shape {waiting}, got {tuple(pending.shape)}")
    spike_bits.check_no_gradient(
        weight=weight, beta=beta, threshold=threshold, v0=v0, pending=pending
    )
    refused = spike_bits.refused(weight, v0, pending, backend=backend)
    refused = refused if n_out else "it needs at least one output"
    chosen = scans.choose(_OP, backend, weight.device.type, refused)
    with torch.no_grad():
        if chosen == registry.REFERENCE:
            return fused_delayed_lif_ref(
                spikes, weight, delays, beta, threshold, reset=reset, v0=v0, pending=pending
            )
        if chosen == registry.CUDA:
            made: tuple[SpikeBatch, Tensor, Tensor] = registry.kernel(_OP, chosen, "delayed_lif")(
                spikes, weight, delays, beta, threshold, reset, v0, pending, backend
            )
            return made
        bits, v_last, left = torch.ops.spikefuse.fused_delayed_lif(
            spikes.indptr, spikes.index, spikes.value, weight, list(delays),
            spike_bits.lanes(beta, n_out), spike_bits.lanes(threshold, n_out), v0, pending,
            [n_steps, n_batch], reset == "subtract", chosen,
        )  # fmt: skip
    return spike_bits.listed(bits, shape, _OP, chosen), v_last, left


@torch.library.custom_op(
    "spikefuse::fused_delayed_lif",
    mutates_args=(),
    schema="(Tensor indptr, Tensor index, Tensor? value, Tensor weight, int[] delays, "
    "Tensor beta, Tensor threshold, Tensor? v0, Tensor? pending, int[] rows, bool subtract, "
    "str backend) -> (Tensor, Tensor, Tensor)",
)
def _forward(
    indptr: Tensor,
    index: Tensor,
    value: Tensor | None,
    weight: Tensor,
    delays: list[int],
    beta: Tensor,
    threshold: Tensor,
    v0: Tensor | None,
    pending: Tensor | None,
    rows: list[int],
    subtract: bool,
    backend: str,
) -> tuple[Tensor, Tensor, Tensor]:
    """Spikes as bits ``[T * B, words]``, last membranes, currents under way."""
    (n_steps, n_batch), n_delays = rows, len(delays)
    n_in, n_out = weight.shape[0], weight.shape[1] // n_delays
    # The tiles of all delays are read in turn, so together they should fit the cache.
    width = packing.tile_width(n_delays * n_in, n_out)
    n_tiles = -(-n_out // width)
    size = n_tiles * width
    if size > n_out:
        blocks = weight.detach().view(n_in, n_delays, n_out)
        weight = functional.pad(blocks, (0, size - n_out)).view(n_in, -1)
    table = packing.table_of(weight, len(index), memo=size == n_out, width=width)
    order = sorted(range(n_delays), key=lambda k: -delays[k])
    v, waiting = torch.zeros(n_batch, size), torch.zeros(max(delays), n_batch, size)
    if v0 is not None:
        v[:, :n_out] = v0
    if pending is not None:
        waiting[:, :, :n_out] = pending
    bits = torch.zeros(n_steps * n_batch, -(-n_out // 64), dtype=torch.int64)
    active = watching.tally_for(n_batch)
    spike_bits.over_samples(
        registry.kernel(_OP, backend, "delayed_lif"),
        (
            *event_arrays.arrays_of(indptr, index, value),
            table.flat,
            table.tile_step,
            table.stride,
            np.array([delays[k] for k in order], np.int64),
            np.array([n_tiles * k for k in order], np.int64),
            waiting.numpy(),
            v.numpy(),
            spike_bits.padded(beta, size, 0.0),
            spike_bits.padded(threshold, size, spike_bits.NEVER),
            subtract,
            width,
            bits.numpy().view(np.uint16),
            n_out,
            active,
        ),
        float(len(index)) * weight.shape[1],
        n_batch,
    )
    watching.tell(active)
    return bits, v[:, :n_out].contiguous(), waiting[:, :, :n_out].contiguous()


@_forward.register_fake
def _(
    indptr: Tensor,
    index: Tensor,
    value: Tensor | None,
    weight: Tensor,
    delays: list[int],
    beta: Tensor,
    threshold: Tensor,
    v0: Tensor | None,
    pending: Tensor | None,
    rows: list[int],
    subtract: bool,
    backend: str,
) -> tuple[Tensor, Tensor, Tensor]:
    n_out = weight.shape[1] // len(delays)
    return (
        weight.new_empty(rows[0] * rows[1], -(-n_out // 64), dtype=torch.int64),
        weight.new_empty(rows[1], n_out),
        weight.new_empty(max(delays), rows[1], n_out),
    )
