"""Fused inference of a convolutional layer: events in, spikes of its LIF neurons out."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from spikefuse.kernels import (
    conv_crossover,
    eager,
    event_arrays,
    registry,
    scans,
    spike_bits,
    watching,
)
from spikefuse.kernels.compaction import compact
from spikefuse.kernels.conv import event_conv2d, event_conv2d_ref
from spikefuse.kernels.conv_geometry import ConvGeometry, Pair, checked, geometry_from
from spikefuse.kernels.neurons import lif_scan, lif_scan_ref
from spikefuse.kernels.scans import Reset
from spikefuse.spikes import SpikeBatch

_OP = "fused_conv_lif"
registry.register(_OP, registry.NUMBA, "spikefuse.kernels.cpu.fused")
registry.register(_OP, registry.CUDA, "spikefuse.kernels.gpu.ops.layers")

_BLOCK = 64  # neurons that fire at once


def fused_conv_lif_ref(
    spikes: SpikeBatch,
    weight: Tensor,
    in_shape: tuple[int, int, int],
    beta: Tensor | float,
    threshold: Tensor | float,
    *,
    stride: Pair = (1, 1),
    padding: Pair = (0, 0),
    reset: Reset = "zero",
    v0: Tensor | None = None,
) -> tuple[SpikeBatch, Tensor]:
    """`fused_conv_lif` as a convolution, a scan and a conversion: its definition."""
    current = event_conv2d_ref(spikes, weight, in_shape, stride, padding)
    out, v_last = lif_scan_ref(current, beta, threshold, reset=reset, v0=v0)
    return SpikeBatch.from_dense(out), v_last


def fused_conv_lif(
    spikes: SpikeBatch,  # (T, B, C * H * W)
    weight: Tensor,  # [C_out, C, kh, kw]
    in_shape: tuple[int, int, int],
    beta: Tensor | float,
    threshold: Tensor | float,
    *,
    stride: Pair = (1, 1),
    padding: Pair = (0, 0),
    reset: Reset = "zero",
    v0: Tensor | None = None,
    backend: str | None = None,
) -> tuple[SpikeBatch, Tensor]:
    r"""One convolutional spiking layer on events; no current ``[T, B, N]`` is stored.

    .. math:: \tilde v_t = \beta v_{t-1} + (W * s_t), \quad s'_t = [\tilde v_t > \theta]

    with the convolution of `event_conv2d` and the reset of `lif_scan`. Sample by sample and step by
    step, the events' patches are summed in one set of maps that stays in cache. Spikes and
    membranes equal those of `event_conv2d`, `lif_scan` and `compact` bit for bit. Nothing carries a
    gradient. Where many cells hold events the automatic choice takes torch's dense convolution.

    Parameters
    ----------
    spikes : SpikeBatch of shape (T, B, C * H * W)
    weight : Tensor[C_out, C, kh, kw]
    in_shape : (C, H, W)
    beta, threshold : float or Tensor[N]
        ``N = C_out * H' * W'``.
    stride, padding : (rows, columns)
    reset : "zero" or "subtract"
    v0 : Tensor[B, N], optional
        Membrane before the first step, zero by default; it is not written to.
    backend : str, optional
        One of `registry.BACKENDS`; an explicit one never takes the dense convolution instead.

    Returns
    -------
    spikes : SpikeBatch of shape (T, B, N), v_last : Tensor[B, N]

    Raises
    ------
    ValueError
        If the pieces do not fit together, or something asks for a gradient.
    BackendError
        If an explicit backend cannot run.
    """
    geometry = checked(spikes, weight, in_shape, stride, padding, None, None)
    scans.checked_reset(reset)
    n_steps, n_batch, _ = spikes.shape
    shape = (n_steps, n_batch, geometry.n_out)
    spike_bits.check_neurons(shape, {"beta": beta, "threshold": threshold}, v0)
    spike_bits.check_no_gradient(weight=weight, beta=beta, threshold=threshold, v0=v0)
    refused = spike_bits.refused(weight, v0, backend=backend)
    chosen = scans.choose(_OP, backend, weight.device.type, refused)
    with torch.no_grad():
        if chosen == registry.REFERENCE:
            return fused_conv_lif_ref(
                spikes, weight, in_shape, beta, threshold,
                stride=stride, padding=padding, reset=reset, v0=v0,
            )  # fmt: skip
        if chosen == registry.CUDA:
            made: tuple[SpikeBatch, Tensor] = registry.kernel(_OP, chosen, "conv_lif")(
                spikes, weight, in_shape, beta, threshold, stride, padding, reset, v0, backend
            )
            return made
        by_events = not eager.left_to_us(backend) or not (
            n_steps and n_batch and conv_crossover.dense_wins(None, spikes, geometry)
        )
        if not by_events:
            current = event_conv2d(spikes, weight, in_shape, stride, padding)
            fired, v_last = lif_scan(current, beta, threshold, reset=reset, v0=v0)
            return compact(fired), v_last
        bits, v_last = torch.ops.spikefuse.fused_conv_lif(
            spikes.indptr, spikes.index, spikes.value, weight,
            spike_bits.lanes(beta, geometry.n_out), spike_bits.lanes(threshold, geometry.n_out),
            v0, [n_steps, n_batch], list(in_shape), list(stride), list(padding),
            reset == "subtract", chosen,
        )  # fmt: skip
    return spike_bits.listed(bits, shape, _OP, chosen), v_last


@torch.library.custom_op(
    "spikefuse::fused_conv_lif",
    mutates_args=(),
    schema="(Tensor indptr, Tensor index, Tensor? value, Tensor weight, Tensor beta, "
    "Tensor threshold, Tensor? v0, int[] rows, int[] in_shape, int[] stride, int[] padding, "
    "bool subtract, str backend) -> (Tensor, Tensor)",
)
def _forward(
    indptr: Tensor,
    index: Tensor,
    value: Tensor | None,
    weight: Tensor,
    beta: Tensor,
    threshold: Tensor,
    v0: Tensor | None,
    rows: list[int],
    in_shape: list[int],
    stride: list[int],
    padding: list[int],
    subtract: bool,
    backend: str,
) -> tuple[Tensor, Tensor]:
    """Spikes as bits ``[T * B, words]``, and the last membranes."""
    geometry = geometry_from(weight.shape, in_shape, stride, padding)
    (n_steps, n_batch), n_out = rows, geometry.n_out
    padded = -(-n_out // _BLOCK) * _BLOCK
    v = torch.zeros(n_batch, padded)
    if v0 is not None:
        v[:, :n_out] = v0
    bits = torch.empty(n_steps * n_batch, padded // _BLOCK, dtype=torch.int64)
    active = watching.tally_for(n_batch)
    spike_bits.over_samples(
        registry.kernel(_OP, backend, "conv_lif"),
        (
            *event_arrays.arrays_of(indptr, index, value),
            geometry.reach,
            geometry.patches_of(weight).numpy(),
            geometry.place,
            geometry.sizes,
            v.numpy(),
            spike_bits.padded(beta, padded, 0.0),
            spike_bits.padded(threshold, padded, spike_bits.NEVER),
            subtract,
            bits.numpy().view(np.uint16),
            n_out,
            active,
        ),
        _additions(len(index), n_steps * n_batch, geometry),
        n_batch,
    )
    watching.tell(active)
    return bits, v[:, :n_out].contiguous()


@_forward.register_fake
def _(
    indptr: Tensor,
    index: Tensor,
    value: Tensor | None,
    weight: Tensor,
    beta: Tensor,
    threshold: Tensor,
    v0: Tensor | None,
    rows: list[int],
    in_shape: list[int],
    stride: list[int],
    padding: list[int],
    subtract: bool,
    backend: str,
) -> tuple[Tensor, Tensor]:
    n_out = geometry_from(weight.shape, in_shape, stride, padding).n_out
    n_words = -(-n_out // _BLOCK)
    return (
        weight.new_empty(rows[0] * rows[1], n_words, dtype=torch.int64),
        weight.new_empty(rows[1], n_out),
    )


def _additions(n_events: int, n_rows: int, geometry: ConvGeometry) -> float:
    """Work of a call: patches added, and neurons updated."""
    return float(n_events) * geometry.patch[0] * geometry.run + float(n_rows) * geometry.n_out
