"""JointEmbedding: spikes of every modality to unit vectors of one common space."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from spikefuse.cost.count import count
from spikefuse.encoders.spec import EncoderSpec
from spikefuse.neurons import LIF, LIFParams, LIReadout
from spikefuse.opcounts import OpCounts, PathCounts
from spikefuse.spikes import SpikeBatch
from spikefuse.synapses import DelayedLinear, EventLinear

State = dict[str, Tensor]
Spikes = Mapping[str, SpikeBatch | Tensor]


class UnitVector(nn.Module):
    """Vectors ``[..., D]`` scaled to length 1; a zero vector stays zero.

    A silent modality so has no direction, and a score of 0 with everything.
    """

    batch_dim = 1

    def forward(self, x: Tensor) -> Tensor:
        """``x / |x|``."""
        squares = (x * x).sum(-1, keepdim=True)
        # Not an epsilon: a vector may be as short as it likes, and zero has a finite gradient.
        return x / torch.where(squares > 0, squares, 1.0).sqrt()

    def count_paths(
        self, args: tuple[Any, ...], output: Tensor, modality: str
    ) -> dict[str, PathCounts]:
        """A square and a scaling per component of a vector that is not zero."""
        x: Tensor = args[0]
        n_vectors = int(x.ne(0).any(-1).sum())
        macs = 2 * n_vectors * x.shape[-1]
        return {"": PathCounts(effective_macs=macs, dense_macs=2 * x.numel(), modality=modality)}


class EmbeddingHead(nn.Module):
    """Spikes of one modality to its leaky traces in the common space; see `JointEmbedding`."""

    batch_dim = 1

    def __init__(
        self,
        n_in: int,
        dim: int,
        dt_ms: float,
        tau_ms: float,
        delays_steps: tuple[int, ...],
        hidden: int,
        lif: LIFParams,
    ) -> None:
        super().__init__()
        self.hidden_synapses = EventLinear(n_in, hidden, gain=3.0) if hidden else None
        self.hidden = LIF(hidden, lif, dt_ms) if hidden else None
        self.synapses = DelayedLinear(hidden or n_in, dim, delays_steps)
        self.trace = LIReadout(dim, tau_ms, dt_ms)

    def forward(self, spikes: SpikeBatch | Tensor, state: State | None) -> tuple[Tensor, State]:
        """Spikes (T, B, n) to traces ``[T, B, dim]`` and state."""
        before: Mapping[str, Tensor] = {} if state is None else state
        after: State = {}
        if self.hidden_synapses is not None and self.hidden is not None:
            current = self.hidden_synapses(spikes)
            spikes, after["hidden"] = self.hidden(current, before.get("hidden"))
        current, after["pending"] = self.synapses(spikes, before.get("pending"))
        trace, after["trace"] = self.trace(current, before.get("trace"))
        return trace, after


class JointEmbedding(nn.Module):
    r"""One head per modality, into a common space in which samples are compared by cosine.

    .. math:: y^m_t = \beta \, y^m_{t-1} + (1 - \beta) \sum_k S^m_{t - d_k} W^m_k, \quad
              z^m_t = y^m_t / |y^m_t|

    A leaky trace of weighted spikes is the weighted trace of the spikes, for one decay; in this
    order an event costs its fan-out and a step no product. There is no bias: a modality without
    spikes has the zero vector, which scores 0 with everything. Delays :math:`d_k` let the vector at
    the end tell when something happened, not only how often.

    Parameters
    ----------
    n_in : mapping of modality to its number of addresses
        Of encoder spikes, or of input spikes.
    dim : int
        Dimensions of the common space.
    dt_ms : float
        Step length.
    tau_ms : float
        Initial time constant of the traces (a decay per dimension is trained).
    delays_ms : tuple of float
        Conduction delays onto the traces, whole steps each, for every modality.
    hidden : int
        LIF neurons between the spikes and the traces, for every modality; 0 for none.
    lif : LIFParams, optional
        Of the hidden neurons.

    Raises
    ------
    ValueError
        If a size or a time is out of range.

    Notes
    -----
    State is a dict with ``"<modality>.trace"``, ``".pending"`` and, with hidden neurons,
    ``".hidden"``. Sequences in chunks give the vectors of the whole.
    """

    batch_dim = 1

    def __init__(
        self,
        n_in: Mapping[str, int],
        dim: int,
        *,
        dt_ms: float = 1.0,
        tau_ms: float = 100.0,
        delays_ms: tuple[float, ...] = (0.0,),
        hidden: int = 0,
        lif: LIFParams | None = None,
    ) -> None:
        super().__init__()
        if not n_in or min(n_in.values()) < 1:
            raise ValueError(
                f"n_in must give one or more modalities an address each, got {dict(n_in)}"
            )
        for name, value, least in (("dim", dim, 1), ("hidden", hidden, 0)):
            if value < least:
                raise ValueError(f"{name} must be >= {least}, got {value}")
        for name, time_ms in (("dt_ms", dt_ms), ("tau_ms", tau_ms)):
            if not 0 < time_ms < math.inf:
                raise ValueError(f"{name} must be positive and finite, got {time_ms}")
        delays_steps = EncoderSpec(delays_ms=delays_ms).delays_steps(dt_ms)
        self.n_in, self.dim, self.dt_ms = dict(n_in), dim, dt_ms
        self.modalities = tuple(n_in)
        params = LIFParams() if lif is None else lif
        self.heads = nn.ModuleDict(
            {
                name: EmbeddingHead(n, dim, dt_ms, tau_ms, delays_steps, hidden, params)
                for name, n in self.n_in.items()
            }
        )
        self.units = nn.ModuleDict({name: UnitVector() for name in self.n_in})

    def forward(
        self, spikes: Spikes, state: State | None = None, anytime: bool = False
    ) -> tuple[dict[str, Tensor], State]:
        """Spikes of every modality to its vectors and the state after the last step.

        Parameters
        ----------
        spikes : mapping of modality to SpikeBatch or Tensor, (T, B, n_in[modality])
            Only dense tensors carry a gradient. Modalities may differ in T and B.
        state : dict of Tensor, optional
            What an earlier call returned, to go on from there; rest by default.
        anytime : bool
            Whether to give the vectors after every step; else those after the last one, which
            saves the scaling of all others.

        Returns
        -------
        vectors : dict of modality to Tensor[B, dim], or Tensor[T, B, dim] with ``anytime``
        state : dict of Tensor

        Raises
        ------
        ValueError
            If a modality is missing.
        """
        if any(name not in spikes for name in self.modalities):
            raise ValueError(
                f"spikes must hold {list(self.modalities)}, got {sorted(spikes)}; an absent "
                "modality is an empty stream"
            )
        vectors: dict[str, Tensor] = {}
        after: State = {}
        for name, head in self.heads.items():
            before = None if state is None else _part(state, name)
            trace, own = head(spikes[name], before)
            vectors[name] = self.units[name](trace if anytime else trace[-1])
            after |= {f"{name}.{key}": value for key, value in own.items()}
        return vectors, after

    def count_operations(self, spikes: Spikes, anytime: bool = False) -> OpCounts:
        """What one call from rest executes on these spikes, by path.

        Parameters
        ----------
        spikes, anytime : as of `forward`

        Returns
        -------
        OpCounts
            Totals over the batch; attributes read as the mean per sample.
        """
        return count(self, (dict(spikes), None, anytime))


def _part(state: State, name: str) -> State:
    """One modality's part of the state."""
    return {
        key.partition(".")[2]: value for key, value in state.items() if key.startswith(f"{name}.")
    }
