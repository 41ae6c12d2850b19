"""Encoders behind an energy gate: run window by window, and not at all while they are shut."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from spikefuse.encoders.protocol import infer_encoder
from spikefuse.encoders.samples import (
    choose_samples,
    put_samples,
    skip_steps,
    take_samples,
    zero_state,
)
from spikefuse.fusion.events import among_samples, of_samples, one_after_another, steps_of
from spikefuse.spikes import SpikeBatch

Spikes = SpikeBatch | Tensor


class GatedEncoders:
    """What the gate reads of the encoders; it keeps their spikes and states on the way.

    A sample with a shut gate is left out of its encoder's run: no input is read, no neuron is
    updated, no spike comes out. Its state is brought up to date by `skip` of the encoder (ours
    decay, see `SpikingEncoder.skip`; a wrapped one stands still). Only where a gradient is wanted
    are shut samples run too, because a gate learns from what it kept out; their spikes and states
    are then replaced by those of a skipped encoder, so that training and inference agree.

    Parameters
    ----------
    encoders : mapping of modality to module
    inputs : mapping of modality to SpikeBatch or Tensor, (T, B, N)
    state : mapping of modality to the encoder's state, optional
    events : bool
        Whether encoders infer, events in and events out, or run forward.
    """

    def __init__(
        self,
        encoders: Mapping[str, nn.Module],
        inputs: Mapping[str, Spikes],
        state: Mapping[str, Any] | None,
        events: bool,
    ) -> None:
        self.encoders, self.inputs, self.events = encoders, inputs, events
        self.state: dict[str, Any] = {k: None if state is None else state[k] for k in encoders}
        self._windows: dict[str, list[Any]] = {name: [] for name in encoders}

    def read(self, name: str, first: int, last: int, gate: Tensor) -> Spikes:
        """Hidden spikes of one modality in steps ``first`` to ``last``, given its gate [B]."""
        part = steps_of(self.inputs[name], first, last)
        encoder, before = self.encoders[name], self.state[name]
        if torch.is_grad_enabled():
            spikes, self.state[name] = self._run_all(encoder, part, before, gate)
            self._windows[name].append(spikes * gate[:, None])
            return spikes
        hidden, self.state[name] = self._run_open(encoder, part, before, gate > 0)
        self._windows[name].append(hidden)
        return hidden

    def encoded(self) -> dict[str, Any]:
        """All spikes that passed so far, (T, B, n) of each modality."""
        joined: Any = one_after_another if self.events else torch.cat
        return {name: joined(windows) for name, windows in self._windows.items()}

    def _run_all(
        self, encoder: nn.Module, part: Spikes, before: Any, gate: Tensor
    ) -> tuple[Tensor, Any]:
        """Every sample, for the gradient; states are those of a skipped encoder where shut."""
        spikes, after = encoder(part, before)
        opened = gate > 0
        if bool(opened.all()):
            return spikes, after
        if before is not None:
            skipped = skip_steps(encoder, before, part.shape[0])
        elif bool(opened.any()):
            skipped = zero_state(after)
        else:
            return spikes, None
        return spikes, choose_samples(encoder, opened, after, skipped)

    def _run_open(
        self, encoder: nn.Module, part: Spikes, before: Any, opened: Tensor
    ) -> tuple[Spikes, Any]:
        """Open samples alone."""
        n_steps, n_batch = part.shape[:2]
        samples = opened.nonzero().flatten()
        if len(samples) == n_batch:
            return self._run(encoder, part, before)
        skipped = skip_steps(encoder, before, n_steps)
        if not len(samples):
            n_out: Any = encoder.n_out
            if not self.events:
                return torch.zeros(n_steps, n_batch, n_out, device=opened.device), skipped
            rows = torch.zeros(n_steps * n_batch + 1, dtype=torch.int32, device=opened.device)
            shape = (n_steps, n_batch, n_out)
            return SpikeBatch.trusted(rows, rows[:0], None, shape), skipped
        some, after = self._run(
            encoder, of_samples(part, samples), take_samples(encoder, before, samples)
        )
        state = put_samples(encoder, skipped, samples, after, n_batch)
        if isinstance(some, SpikeBatch):
            return among_samples(some, samples, n_batch), state
        hidden = some.new_zeros(n_steps, n_batch, some.shape[2])
        hidden[:, samples] = some
        return hidden, state

    def _run(self, encoder: nn.Module, part: Spikes, before: Any) -> tuple[Spikes, Any]:
        """The encoder on whole samples, as asked for."""
        if self.events:
            if not isinstance(part, SpikeBatch):
                raise ValueError(f"inputs must be SpikeBatches, got {type(part).__name__}")
            return infer_encoder(encoder, part, before)
        spikes: tuple[Tensor, Any] = encoder(part, before)
        return spikes
