"""JointEmbedding: spikes of every modality to unit vectors of one common space."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from spikefuse.cost.count import count
from spikefuse.opcounts import OpCounts, PathCounts
from spikefuse.spikes import SpikeBatch
from spikefuse.synapses import EventLinear, SpikeTrace

State = dict[str, Tensor]
Spikes = Mapping[str, SpikeBatch | Tensor]
# About the value at which some hidden units are above their threshold at first.
_HIDDEN_GAIN = 3.0


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


class TraceTaps(nn.Module):
    """Traces of every address now and some steps ago, side by side.

    Parameters
    ----------
    delays_steps : tuple of int
        How long ago; distinct and >= 0.
    """

    batch_dim = 1

    def __init__(self, delays_steps: tuple[int, ...]) -> None:
        super().__init__()
        if not delays_steps or min(delays_steps) < 0 or len(set(delays_steps)) < len(delays_steps):
            raise ValueError(
                f"delays_steps must be one or more distinct steps >= 0, got {delays_steps}"
            )
        self.delays_steps = delays_steps
        self.longest = max(delays_steps)

    def forward(
        self, trace: Tensor, past: Tensor | None = None, anytime: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Traces ``[T, B, N]`` to taps ``[1 or T, B, K * N]`` and the last traces.

        Parameters
        ----------
        trace : Tensor[T, B, N]
        past : Tensor[longest, B, N], optional
            Traces of the steps before; zero by default.
        anytime : bool
            Whether to read in every step, or in the last one only.
        """
        if past is None:
            past = trace.new_zeros(self.longest, *trace.shape[1:])
        known, n_steps = torch.cat([past, trace]), len(trace)
        first = self.longest if anytime else self.longest + n_steps - 1
        last = self.longest + n_steps
        read = [known[first - d : last - d] for d in self.delays_steps]
        return torch.cat(read, dim=2), known[n_steps:]

    def count_paths(
        self, args: tuple[Any, ...], output: tuple[Tensor, Tensor], modality: str
    ) -> dict[str, PathCounts]:
        """Traces of other times lie in a ring: a word written per address and step, one a tap."""
        trace: Tensor = args[0]
        n_words = self.longest * trace.shape[2]
        reads = output[0].numel() if self.longest else 0
        writes = trace.numel() if self.longest else 0
        return {
            "": PathCounts(
                state_reads=reads, state_writes=writes, state_words=n_words, modality=modality
            )
        }


class EmbeddingHead(nn.Module):
    """Spikes of one modality to vectors in the common space; see `JointEmbedding`.

    Parameters
    ----------
    n_in, dim, hidden : int
        Neurons that are read, dimensions of the space, and units between; no such layer with 0.
    dt_ms, tau_ms : float
        Step, and time constant of the traces.
    delays_steps : tuple of int
        Delays at which the spikes are read.
    """

    batch_dim = 1

    def __init__(
        self,
        n_in: int,
        dim: int,
        dt_ms: float,
        tau_ms: float,
        delays_steps: tuple[int, ...],
        hidden: int,
    ) -> None:
        super().__init__()
        self.trace = SpikeTrace(tau_ms, dt_ms)
        self.taps = TraceTaps(delays_steps)
        n_taps = n_in * len(delays_steps)
        self.hidden = EventLinear(n_taps, hidden, gain=_HIDDEN_GAIN) if hidden else None
        self.rectify = nn.ReLU()
        self.synapses = EventLinear(hidden or n_taps, dim)
        self.unit = UnitVector()

    def forward(
        self, spikes: SpikeBatch | Tensor, state: State | None, anytime: bool
    ) -> tuple[Tensor, State]:
        """Spikes (T, B, n) to vectors ``[1 or T, B, dim]`` and state."""
        before: Mapping[str, Tensor] = {} if state is None else state
        trace, last = self.trace(spikes, before.get("trace"))
        x, past = self.taps(trace, before.get("past"), anytime)
        if self.hidden is not None:
            x = self.rectify(self.hidden(x) - 1.0)
        return self.unit(self.synapses(x)), {"trace": last, "past": past}


class JointEmbedding(nn.Module):
    r"""One head per modality, into a common space in which samples are compared by cosine.

    .. math:: r^m_t = e^{-dt / \tau} r^m_{t-1} + S^m_t, \quad
              y^m_t = \sum_k W^m_k \, r^m_{t - d_k}, \quad z^m_t = y^m_t / |y^m_t|

    Traces of the spikes (`trace_scan`), now and some delays :math:`d_k` ago, weighted and scaled to
    length 1. Without delays a vector tells how often something happened lately; with them it tells
    when. With hidden units, :math:`y = V \max(W r - 1, 0)`: a projection head as in SimCLR, read by
    read and without memory, with the threshold of a neuron. There is no bias: a modality without
    spikes has the zero vector, which scores 0 with everything.

    Traces cost an accumulate per spike and an update per address and step. Products are of
    graded values, so they are multiplications, but only when a vector is read: once a sample
    unless ``anytime`` asks for every step.

    Parameters
    ----------
    n_in : mapping of modality to its number of addresses
        Of encoder spikes, or of input spikes.
    dim : int
        Dimensions of the common space.
    dt_ms : float
        Step length.
    tau_ms : float
        Time constant of the traces.
    delays_ms : tuple of float
        How long ago the traces are read, whole steps each.
    hidden : int
        Hidden units of each head; 0 for none.

    Raises
    ------
    ValueError
        If a size or a time is out of range.

    Notes
    -----
    State is a dict with ``"<modality>.trace"`` and ``"<modality>.past"``. A sequence in chunks
    gives the vectors of the whole.

    References
    ----------
    Chen et al., "A simple framework for contrastive learning of visual representations", ICML 2020
    (arXiv:2002.05709): the projection head.
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
    ) -> None:
        super().__init__()
        if not n_in or min(n_in.values()) < 1:
            raise ValueError(
                f"n_in must give one or more modalities an address each, got {dict(n_in)}"
            )
        for name, value, least in (("dim", dim, 1), ("hidden", hidden, 0)):
            if value < least:
                raise ValueError(f"{name} must be >= {least}, got {value}")
        delays_steps = _steps(delays_ms, dt_ms)
        self.n_in, self.dim, self.dt_ms = dict(n_in), dim, dt_ms
        self.modalities = tuple(n_in)
        self.heads = nn.ModuleDict(
            {
                name: EmbeddingHead(n, dim, dt_ms, tau_ms, delays_steps, hidden)
                for name, n in self.n_in.items()
            }
        )

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
            saves the products of all others.

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
            read, own = head(spikes[name], before, anytime)
            vectors[name] = read if anytime else read[0]
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


def _steps(delays_ms: tuple[float, ...], dt_ms: float) -> tuple[int, ...]:
    """Delays in steps."""
    if not dt_ms > 0:
        raise ValueError(f"dt_ms must be positive, got {dt_ms}")
    steps = tuple(round(delay / dt_ms) for delay in delays_ms)
    for delay, step in zip(delays_ms, steps, strict=True):
        if abs(delay - step * dt_ms) > 1e-6 * dt_ms:
            raise ValueError(f"delays_ms must be whole steps of {dt_ms:g} ms, got {delay:g}")
    return steps
