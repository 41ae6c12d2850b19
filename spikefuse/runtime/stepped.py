"""SteppedEngine: the model's own inference, chunk of steps by chunk of steps."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import asdict
from functools import partial
from typing import Any

import torch
from torch import Tensor

from spikefuse._types import StructuredArray
from spikefuse.cost.counter import Counter
from spikefuse.encoders.protocol import infer_encoder
from spikefuse.events import EventStream, SensorSize
from spikefuse.kernels import registry
from spikefuse.kernels.binning import Counts, bin_events
from spikefuse.models import FusionSNN, FusionState
from spikefuse.opcounts import OpCounts, PathCounts
from spikefuse.runtime.trees import filled, flattened
from spikefuse.spikes import SpikeBatch

_ONE_MICROSECOND_MS = 1e-3


class SteppedEngine:
    """`FusionSNN.infer` on the steps that are complete; any model that the batch path runs.

    Products are gathered event by event whatever the chunk's length, so that additions have one
    order and spikes are those of any other cutting.

    Parameters
    ----------
    model : FusionSNN
    counts : "keep" or "clip"
        As of `bin_events`.
    count : bool
        Whether to count operations, by the rules of `spikefuse.cost.count`.
    """

    takes_open = False

    def __init__(self, model: FusionSNN, counts: Counts = "keep", count: bool = False) -> None:
        self.model, self.count = model, count
        self._merge: Counts = counts
        self._sizes: dict[str, SensorSize] = {
            part.name: part.sensor_size for part in model.spec.modalities
        }
        self._state: FusionState | None = None
        self._total: OpCounts | None = None

    def run(self, first: int, until: int, events: Mapping[str, StructuredArray]) -> Tensor:
        """As of `Engine`."""
        inputs = {
            name: self._binned(name, events[name], first, until - first) for name in self._sizes
        }
        counter = Counter(self.model, batch_dim=1) if self.count else None
        with _gathered(self.model), nullcontext() if counter is None else counter:
            out = self.model.infer(inputs, self._state)
        self._state = out.state
        if counter is not None:
            found = counter.counts(1)
            self._total = found if self._total is None else self._total + found
        return out.scores[:, 0]

    def reset(self, step: int) -> None:
        """As of `Engine`."""
        self._state = None

    def counts(self) -> OpCounts | None:
        """As of `Engine`."""
        return self._total

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """As of `Engine`."""
        tensors: dict[str, Tensor] = {}
        shape: dict[str, Any] = {"rest": self._state is None}
        if self._state is not None:
            shape["encoders"] = {
                name: flattened(part, f"encoders.{name}", tensors)
                for name, part in self._state.encoders.items()
            }
            tensors |= {f"fusion.{k}": x for k, x in self._fusion_tensors().items()}
            if self._state.readout is not None:
                tensors["readout"] = self._state.readout
        if self._total is not None:
            shape["counts"] = {k: asdict(path) for k, path in self._total.by_path.items()}
            shape["foldable"] = list(self._total.foldable)
        return tensors, shape

    def load_state(self, tensors: Mapping[str, Tensor], plain: Mapping[str, Any]) -> None:
        """As of `Engine`."""
        if "counts" in plain:
            paths = {k: PathCounts(**path) for k, path in plain["counts"].items()}
            self._total = OpCounts(paths, 1, foldable=tuple(plain["foldable"]))
        self._state = None
        if plain["rest"]:
            return
        encoders = {
            name: filled(part, f"encoders.{name}", tensors, partial(self._example, name))
            for name, part in plain["encoders"].items()
        }
        fusion: dict[str, Any] = {
            name.removeprefix("fusion."): x
            for name, x in tensors.items()
            if name.startswith("fusion.")
        }
        self._state = FusionState(encoders, fusion, tensors.get("readout"))

    def _fusion_tensors(self) -> dict[str, Tensor]:
        """The operator's state, whose values may be tuples of tensors."""
        return {} if self._state is None else dict(self._state.fusion)

    def _example(self, name: str) -> Any:
        """An encoder's state after one silent step: of the right kind, whatever library's it is."""
        n = self._n_addresses(name)
        silent = SpikeBatch(torch.zeros(2, dtype=torch.int32), _NO_INDEX, None, (1, 1, n))
        return infer_encoder(self.model.encoders[name], silent, None)[1]

    def _n_addresses(self, name: str) -> int:
        width, height, polarities = self._sizes[name]
        return width * height * polarities

    def _binned(self, name: str, events: StructuredArray, first: int, n_steps: int) -> SpikeBatch:
        """Events of whole steps as spikes (n_steps, 1, N)."""
        here = events.copy()
        here["t"] -= first
        # A step for a microsecond: times were divided before, on the stream's own clock.
        stream = EventStream.trusted(here, self._sizes[name], n_steps, name)
        return bin_events([stream], _ONE_MICROSECOND_MS, n_steps, self._merge)


_NO_INDEX = torch.zeros(0, dtype=torch.int32)


def _gathered(model: FusionSNN) -> Any:
    """The automatic choice looks at a chunk's length; the host's kernels, asked for, do not."""
    device = next(model.parameters()).device.type
    free = (
        registry.asked() is None and registry.why_not("fused_layer", registry.NUMBA, device) is None
    )
    return registry.use_backend(registry.NUMBA) if free else nullcontext()
