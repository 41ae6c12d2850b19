"""EventEngine: a model's network run as its events come."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from spikefuse._types import StructuredArray
from spikefuse.events import EVENT_DTYPE
from spikefuse.fusion.late import LateFusion
from spikefuse.kernels.binning import Counts
from spikefuse.kernels.stream import FIRST, SIZE, StreamState, advance
from spikefuse.models import FusionSNN
from spikefuse.opcounts import OpCounts
from spikefuse.runtime.event_counts import event_counts
from spikefuse.runtime.event_network import event_network


class EventEngine:
    """Events work when they come; a step that is over costs what was touched in it.

    Spikes are those of the batch path but for membranes within rounding of the threshold: events
    are added in the order of their arrival, and a gap of more than 64 steps is one decay.

    Parameters
    ----------
    model : FusionSNN
        Its weights as they are now.
    counts : "keep" or "clip"
        As of `bin_events`.
    record : bool
        Whether to keep the spikes of the last call, for `spikes`.
    backend : str, optional
        One of `registry.BACKENDS`.

    Raises
    ------
    ConfigError
        If the model cannot run event by event (`event_network`).
    """

    takes_open = True

    def __init__(
        self,
        model: FusionSNN,
        counts: Counts = "keep",
        record: bool = False,
        backend: str | None = None,
    ) -> None:
        self.model, self.record, self.backend = model, record, backend
        self._clip = counts == "clip"
        self.compiled = event_network(model)
        self.network, self.populations = self.compiled.network, self.compiled.populations
        self._n_steps = 0
        # Compiled, or read from the cache, before the first event comes.
        nothing = [np.zeros(0, EVENT_DTYPE)] * self.network.n_inputs
        advance(self.network, StreamState.at_rest(self.network), 0, 0, nothing, backend=backend)
        self._state = StreamState.at_rest(self.network)
        self._spikes = np.zeros((0, self.network.neurons.shape[1]), np.uint8)

    def run(self, first: int, until: int, events: Mapping[str, StructuredArray]) -> Tensor:
        """As of `Engine`."""
        given = [events[name] for name in self.model.modalities]
        out = advance(
            self.network,
            self._state,
            first,
            until,
            given,
            clip=self._clip,
            record=self.record,
            backend=self.backend,
        )
        self._spikes = out.spikes
        self._n_steps += until - first
        traces = torch.from_numpy(out.traces)
        if not isinstance(self.model.fusion, LateFusion):
            return traces
        parts = torch.split(traces, self.model.spec.n_classes, dim=1)
        with torch.no_grad():
            return self.model.fusion.pooled(dict(zip(self.model.modalities, parts, strict=True)))

    def spikes(self, name: str) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
        """Spikes [K, n] of a population, by the path of its neurons, in the steps of the last call.

        Raises
        ------
        ValueError
            If there is no such population.
        """
        if name not in self.populations:
            raise ValueError(f"name must be one of {sorted(self.populations)}, got {name!r}")
        row = self.network.populations[self.populations[name]]
        return self._spikes[:, row[FIRST] : row[FIRST] + row[SIZE]]

    def n_inputs_seen(self) -> int:
        """Input events that have worked so far, of all modalities."""
        n_inputs = int(self.network.source_first[self.network.n_inputs])
        return int(self._state.sent[:n_inputs].sum())

    def reset(self, step: int) -> None:
        """As of `Engine`; what was counted stays."""
        before = self._state
        self._state = StreamState.at_rest(self.network, step)
        for name in ("sent", "updates", "fired"):
            setattr(self._state, name, getattr(before, name))

    def counts(self) -> OpCounts | None:
        """As of `Engine`; always, because the network counts its messages as it runs."""
        if not self._n_steps:
            return None
        return event_counts(self.model, self.compiled, self._state, self._n_steps)

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """As of `Engine`."""
        held = {f.name: getattr(self._state, f.name) for f in fields(StreamState)}
        return {name: torch.from_numpy(x.copy()) for name, x in held.items()}, {
            "n_steps": self._n_steps
        }

    def load_state(self, tensors: Mapping[str, Tensor], plain: Mapping[str, Any]) -> None:
        """As of `Engine`."""
        self._n_steps = int(plain["n_steps"])
        for f in fields(StreamState):
            target: Any = getattr(self._state, f.name)
            given = tensors.get(f.name)
            if given is None or given.shape != target.shape:
                found = None if given is None else tuple(given.shape)
                raise ValueError(f"{f.name} must be of shape {target.shape}, got {found}")
            target[:] = given.numpy()
