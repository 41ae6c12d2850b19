"""`coincidence` and `coincidence_trace` on a GPU."""

from __future__ import annotations

from torch import Tensor

from spikefuse.kernels.gpu import coincidence, launch
from spikefuse.kernels.gpu.ops.products import events_of
from spikefuse.spikes import SpikeBatch


def gated(
    spikes: Tensor | None,
    indptr: Tensor | None,
    index: Tensor | None,
    value: Tensor | None,
    weight: Tensor,  # [n_in, M]
    window: Tensor,  # [T, B, M]
    shape: list[int],
    saturating: bool,
    keep: bool = True,
) -> tuple[Tensor, Tensor]:
    """The gated product [T, B, M], and the product before the gate if it is kept."""
    width = weight.shape[1]
    out, drive = coincidence.coincidence(
        launch.current(),
        events_of(spikes, indptr, index, value),
        weight.detach().contiguous(),
        window.detach().reshape(-1, width).contiguous(),
        saturating=saturating,
        keep=keep,
    )
    shape = [shape[0], shape[1], width]
    return out.view(shape), weight.new_empty(0) if drive is None else drive.view(shape)


def traced(
    spikes: SpikeBatch | Tensor,
    weight: Tensor,  # [n_in, M]
    opener: SpikeBatch | Tensor,
    opener_weight: Tensor,  # [n_opener, M]
    beta: Tensor,  # [M]
    trace: Tensor | None,  # [B, M]
    same_step: bool,
    saturating: bool,
) -> tuple[Tensor, Tensor]:
    """The product gated by the trace of the openers [T, B, M], and the trace after it."""
    n_steps, n_batch, _ = spikes.shape
    width = weight.shape[1]
    first = weight.new_zeros(n_batch, width) if trace is None else trace.detach().contiguous()
    out, last = coincidence.coincidence_trace(
        launch.current(),
        _parts(spikes),
        weight.detach().contiguous(),
        _parts(opener),
        opener_weight.detach().contiguous(),
        beta.detach().contiguous(),
        first,
        same_step=same_step,
        saturating=saturating,
    )
    return out.view(n_steps, n_batch, width), last


def _parts(spikes: SpikeBatch | Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
    """Events of either form."""
    if isinstance(spikes, SpikeBatch):
        return events_of(None, spikes.indptr, spikes.index, spikes.value)
    return events_of(spikes, None, None, None)
