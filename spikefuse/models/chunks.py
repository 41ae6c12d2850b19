"""Long sequences: a forward pass chunk by chunk, which keeps little and may cut the gradient."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from spikefuse.fusion.events import steps_of
from spikefuse.models.fixed_point import AwareSNN
from spikefuse.models.fusion_snn import FusionOutput, FusionState
from spikefuse.spikes import SpikeBatch

Watch = Callable[[FusionOutput], None]


def forward_in_chunks(
    model: nn.Module,
    inputs: Mapping[str, SpikeBatch | Tensor],
    checkpoint_steps: int = 0,
    tbptt_steps: int = 0,
    *,
    watch: Watch | None = None,
    keep_spikes: bool = True,
) -> FusionOutput:
    r"""`FusionSNN.forward` over T steps, of which only a chunk's activations are ever in memory.

    Chunks run one after another and hand on their state. Each keeps its inputs, outputs and last
    state; for the gradient it runs a second time (Chen et al., "Training deep nets with sublinear
    memory cost", arXiv:1604.06174, with time as the depth). The gradient is the plain one.

    With ``tbptt_steps`` = k no gradient passes from one chunk of k steps to the one before:

    .. math:: \frac{\partial L}{\partial \theta} \approx \sum_c \sum_{t \in c}
              \frac{\partial L}{\partial y_t}
              \frac{\partial y_t}{\partial \theta}\Big|_{\text{state before } c \text{ fixed}}

    (truncated backpropagation through time, Williams and Peng, Neural Computation 2(4), 1990). The
    loss may still be one of the whole sequence, such as of its mean.

    Parameters
    ----------
    model : FusionSNN or AwareSNN
        Its state must be a value, of floats where the whole gradient is wanted. Each chunk draws
        the dropout masks of the first: a neuron that is silent stays so.
    inputs : mapping of modality to spikes (T, B, N)
    checkpoint_steps : int
        Length of the chunks; 0: ``tbptt_steps``, or all of T.
    tbptt_steps : int
        A multiple of ``checkpoint_steps``, or 0: the whole gradient.
    watch : callable, optional
        Given each chunk's output as it comes.
    keep_spikes : bool
        Whether the spikes of all steps are wanted; else those of the chunks are dropped one by one,
        and only scores and states grow with T.

    Returns
    -------
    FusionOutput
        As of one pass; its state is that after the last step. Spikes have no steps where they were
        not wanted.

    Raises
    ------
    ValueError
        If a number is negative or they do not fit together.
    """
    if min(checkpoint_steps, tbptt_steps) < 0:
        raise ValueError(
            "checkpoint_steps and tbptt_steps must be >= 0, got "
            f"{checkpoint_steps} and {tbptt_steps}"
        )
    if checkpoint_steps and tbptt_steps % checkpoint_steps:
        raise ValueError(
            f"tbptt_steps must be a multiple of checkpoint_steps={checkpoint_steps}, got "
            f"{tbptt_steps}"
        )
    if checkpoint_steps and isinstance(model, AwareSNN):
        raise ValueError(
            f"checkpoint_steps must be 0 with whole-number states, which carry no gradient, got "
            f"{checkpoint_steps}; tbptt_steps may cut it"
        )
    n_steps = next(iter(inputs.values())).shape[0]
    length = checkpoint_steps or tbptt_steps
    if not length or length >= n_steps:
        whole: FusionOutput = model(inputs)
        if watch is not None:
            watch(whole)
        return whole if keep_spikes else _without_spikes(whole)
    random_state = torch.get_rng_state()
    outputs: list[FusionOutput] = []
    state: FusionState | None = None
    for first in range(0, n_steps, length):
        part = {k: steps_of(x, first, min(first + length, n_steps)) for k, x in inputs.items()}
        if tbptt_steps and first % tbptt_steps == 0:
            state = _detached(state)
        torch.set_rng_state(random_state)
        out: FusionOutput = checkpoint(model, part, state, use_reentrant=False)
        state = out.state
        if watch is not None:
            watch(out)
        # Older states are needed by the checkpoints alone, which hold their own.
        out = replace(out, state=FusionState({}, {}))
        outputs.append(out if keep_spikes else _without_spikes(out))
    return _joined(outputs, state)


def _without_spikes(out: FusionOutput) -> FusionOutput:
    """Scores and state; spikes of no step, in memory of their own."""
    encoded = {k: x[:0].detach().clone() for k, x in out.encoded.items()}
    return replace(out, hidden=out.hidden[:0].detach().clone(), encoded=encoded)


def _joined(outputs: list[FusionOutput], state: FusionState | None) -> FusionOutput:
    """Chunks end to end."""
    if state is None:
        raise ValueError("inputs must have at least one step, got none")
    return FusionOutput(
        torch.cat([o.scores for o in outputs]),
        torch.cat([o.hidden for o in outputs]),
        {k: torch.cat([o.encoded[k] for o in outputs]) for k in outputs[0].encoded},
        state,
    )


def _detached(value: Any) -> Any:
    """A state without its history, whatever it is made of."""
    if isinstance(value, Tensor):
        return value.detach()
    if isinstance(value, Mapping):
        return {k: _detached(x) for k, x in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):  # a named tuple
        return type(value)(*map(_detached, value))
    if isinstance(value, list | tuple):
        return type(value)(_detached(x) for x in value)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{f.name: _detached(getattr(value, f.name)) for f in fields(value)})
    return value
