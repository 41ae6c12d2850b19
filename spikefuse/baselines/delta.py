"""Delta evaluation: a dense model answers again at the cost of what has changed."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from spikefuse.baselines.dense_fusion import DenseFusion
from spikefuse.baselines.frames import blank_after
from spikefuse.opcounts import PathCounts

DeltaState = dict[str, tuple[Tensor, Tensor]]


class DeltaSum(nn.Module):
    """Adds what a change of the input brings to the result so far."""

    def forward(self, change: Tensor, before: Tensor) -> Tensor:
        """The sum of two tensors of one shape."""
        return before + change

    def count_paths(
        self, args: tuple[Any, ...], output: Tensor, modality: str
    ) -> dict[str, PathCounts]:
        """An accumulate, a read and a write of state for every result that changes."""
        changed = int(args[0].count_nonzero())
        return {
            "": PathCounts(
                effective_acs=changed,
                dense_macs=output.numel(),
                state_reads=changed,
                state_writes=changed,
                state_words=output.numel() // max(len(output), 1),
                kind="dense",
                modality=modality,
            )
        }


class DeltaLayer(nn.Module):
    r"""A linear or convolutional layer that is driven by changes of its input.

    .. math:: \delta = (x - \hat x) \, [|x - \hat x| > \epsilon], \quad
              y \leftarrow y + W \delta, \quad \hat x \leftarrow \hat x + \delta

    From :math:`\hat x = 0, y = b`. With a threshold of 0 the result is that of the layer itself
    but for the order of additions.

    Parameters
    ----------
    layer : nn.Linear or nn.Conv2d
    threshold : float
        Changes no larger than this wait until they add up to more.

    References
    ----------
    Neil et al., "Delta networks for optimized recurrent network computation", ICML 2017,
    arXiv:1612.05571.
    """

    def __init__(self, layer: nn.Linear | nn.Conv2d, threshold: float = 0.0) -> None:
        super().__init__()
        self.product = copy.deepcopy(layer)
        self.product.bias = None
        self.bias = None if layer.bias is None else nn.Parameter(layer.bias.detach().clone())
        self.sum = DeltaSum()
        self.threshold = threshold
        # Handed in and taken out by `DeltaFusion` around a forward pass: no state is kept here.
        self.before: tuple[Tensor, Tensor] | None = None
        self.after: tuple[Tensor, Tensor] | None = None

    def forward(self, x: Tensor) -> Tensor:
        """The layer's result for ``x``, from its state before."""
        before = self.before
        change = x if before is None else x - before[0]
        if self.threshold:
            change = change * (change.abs() > self.threshold)
        brought = self.product(change)
        if before is None:
            start = torch.zeros_like(brought)
            if self.bias is not None:
                start = start + self.bias.view(1, -1, *[1] * (brought.ndim - 2))
            before = (torch.zeros_like(x), start)
        result: Tensor = self.sum(brought, before[1])
        self.after = (before[0] + change, result)
        return result


class DeltaFusion(nn.Module):
    """A trained dense model of the whole window, evaluated by changes.

    When a frame comes, the first layer's sums gain what that frame contributes, as a convolution
    over time would reuse the frames before it; the layers behind are driven by the units that
    change. At threshold 0 it gives the model's own answers.

    Parameters
    ----------
    model : DenseFusion
        One that reads the whole window; it is copied.
    threshold : float
        As of `DeltaLayer`, in units of each layer's input.

    Raises
    ------
    ValueError
        If the model reads one frame after the other (it is incremental already), or the threshold
        is negative.
    """

    batch_dim = 0

    def __init__(self, model: DenseFusion, threshold: float = 0.0) -> None:
        super().__init__()
        if model.reads == "tokens":
            raise ValueError(
                "model must read the whole window, got one that reads frame after frame "
                f"({model.fusion_name!r}): it reuses its past as it is"
            )
        if not threshold >= 0:
            raise ValueError(f"threshold must be >= 0, got {threshold}")
        self.model = copy.deepcopy(model)
        self.modalities = model.modalities
        for parent in list(self.model.modules()):
            for name, layer in list(parent.named_children()):
                if isinstance(layer, nn.Linear | nn.Conv2d):
                    setattr(parent, name, DeltaLayer(layer, threshold))

    def forward(
        self, inputs: Mapping[str, Tensor], state: Mapping[str, tuple[Tensor, Tensor]] | None = None
    ) -> tuple[Tensor, DeltaState]:
        """Frames so far (the rest empty) and state to class scores ``[B, C]`` and new state."""
        layers = {n: m for n, m in self.model.named_modules() if isinstance(m, DeltaLayer)}
        for name, layer in layers.items():
            layer.before = None if state is None else state[name]
        scores = self.model(inputs)
        after: DeltaState = {}
        for name, layer in layers.items():
            if layer.after is not None:
                after[name] = layer.after
            layer.before = layer.after = None
        return scores, after

    def anytime(self, inputs: Mapping[str, Tensor], times_ms: Sequence[float]) -> Tensor:
        """Class scores ``[K, B, C]`` after each time (increasing), each from the one before."""
        state: DeltaState | None = None
        answers: list[Tensor] = []
        for time_ms in times_ms:
            seen = blank_after(inputs, self.model.frame_ms, time_ms, self.model.window_ms)
            scores, state = self(seen, state)
            answers.append(scores)
        return torch.stack(answers)

    def state_bytes(self, inputs: Mapping[str, Tensor], word_bytes: int = 4) -> int:
        """What a stream keeps: every layer's last input and sums."""
        after: DeltaState = self({name: x[:1] for name, x in inputs.items()})[1]
        words: int = sum(part.numel() for pair in after.values() for part in pair)
        return word_bytes * words
