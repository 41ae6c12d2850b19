"""FusionOperator: what every way of bringing modalities together has in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from spikefuse.cost.count import count
from spikefuse.kernels.compaction import compact
from spikefuse.neurons import LIFParams
from spikefuse.opcounts import OpCounts
from spikefuse.spikes import SpikeBatch

Spikes = Mapping[str, SpikeBatch | Tensor]
State = dict[str, Tensor]


class FusionOperator(nn.Module, ABC):
    """Spikes of one or more modalities to the spikes of one fused population.

    A subclass builds its layers from `EventLinear`, `LIF` and the like, calls them in `forward`
    (layers that are called are counted), and lists its options as keyword arguments of
    ``__init__``: they are what `build` and a model spec accept. It must be causal, without bias
    (an absent modality is an empty stream and costs nothing), and keep no state.

    Parameters
    ----------
    n_in : mapping of modality to its number of addresses
    n_out : int
        Neurons of the fused population.
    dt_ms : float
        Step length.
    lif : LIFParams, optional
        Neurons of the operator; the defaults of `LIFParams` if None.

    Raises
    ------
    ValueError
        If there are too few modalities, or a size or the step is not positive.
    """

    batch_dim = 1
    least_modalities = 1
    # False where the output is class scores of its own, so that no readout follows.
    spiking = True
    # True where a model hands it the input spikes, without encoders before it.
    reads_inputs = False

    def __init__(
        self,
        n_in: Mapping[str, int],
        n_out: int,
        *,
        dt_ms: float = 1.0,
        lif: LIFParams | None = None,
    ) -> None:
        super().__init__()
        if len(n_in) < self.least_modalities or min(n_in.values(), default=0) < 1:
            raise ValueError(
                f"n_in must give {self.least_modalities} or more modalities at least one address "
                f"each, got {dict(n_in)}"
            )
        if n_out < 1:
            raise ValueError(f"n_out must be at least 1, got {n_out}")
        if not dt_ms > 0:
            raise ValueError(f"dt_ms must be positive, got {dt_ms}")
        self.n_in, self.n_out, self.dt_ms = dict(n_in), n_out, dt_ms
        self.lif = LIFParams() if lif is None else lif
        self.modalities = tuple(n_in)

    @abstractmethod
    def forward(self, spikes: Spikes, state: State | None = None) -> tuple[Tensor, State]:
        """Spikes of every modality to fused spikes and the state after the last step.

        Parameters
        ----------
        spikes : mapping of modality to SpikeBatch or Tensor, (T, B, n_in[modality])
            Only dense tensors carry a gradient.
        state : dict of Tensor, optional
            What an earlier call returned, to go on from there; rest by default.

        Returns
        -------
        out : Tensor[T, B, n_out], state : dict of Tensor

        Raises
        ------
        ValueError
            If a modality is missing or sizes do not fit together.
        """

    @torch.no_grad()
    def infer(self, events: Mapping[str, SpikeBatch], state: State | None = None) -> InferOutput:
        """`forward` on events, without a gradient: fused events and new state.

        Operators of plain linear layers override it with the fused kernels.
        """
        fused, after = self(events, state)
        return compact(fused), after

    def count_operations(self, spikes: Spikes) -> OpCounts:
        """What one call from rest executes on these spikes, by path.

        A path belongs to the modality in its name, else to ``"shared"``; a cross-modal path is
        paid for by the modality whose spikes drive it.

        Parameters
        ----------
        spikes : as of `forward`

        Returns
        -------
        OpCounts
            Totals over the batch; attributes read as the mean per sample.
        """
        self.check(spikes)
        return count(self, dict(spikes))

    def check(self, spikes: Spikes) -> None:
        """Refuse spikes that lack a modality or do not fit together."""
        if any(name not in spikes for name in self.modalities):
            raise ValueError(
                f"spikes must hold {list(self.modalities)}, got {sorted(spikes)}; an absent "
                "modality is an empty stream"
            )
        steps = tuple(spikes[self.modalities[0]].shape[:2])
        for name in self.modalities:
            shape = tuple(spikes[name].shape)
            if shape != (*steps, self.n_in[name]):
                raise ValueError(
                    f"spikes[{name!r}] must be of shape {(*steps, self.n_in[name])}, got {shape}"
                )


InferOutput = tuple[SpikeBatch | Tensor, State]
