"""Energy gate: branches that add nothing are shut, window by window, and then do no work."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from spikefuse.encoders import infer_lif, infer_readout
from spikefuse.fusion.events import one_after_another, only_rows, steps_of
from spikefuse.fusion.operator import FusionOperator, InferOutput, Spikes, State
from spikefuse.neurons import LIF, LIFParams
from spikefuse.neurons.readout import LIReadout
from spikefuse.spikes import SpikeBatch
from spikefuse.surrogate import Surrogate, spike
from spikefuse.synapses import EventLinear

# Spikes of a modality in steps first to last (excluded), given its gate [B] there: what an open
# sample holds, and nothing of a shut one unless a gradient is wanted.
Read = Callable[[str, int, int, Tensor], SpikeBatch | Tensor]
# Parts of a window, gates, membrane and evidence to fused spikes, new membrane and new evidence.
_Window = Callable[
    [list[SpikeBatch | Tensor], Tensor, Tensor, Tensor],
    tuple[SpikeBatch | Tensor, Tensor, Tensor],
]


class EnergyGateFusion(FusionOperator):
    r"""Concatenation whose branches open or shut at the start of every window.

    .. math:: g^m_w = [b^m + e^m_{w} > 0], \quad e = \text{LI}(s U), \quad
              x_t = \sum_m g^m_{w(t)} S^m_t W^m, \quad s_t = \text{LIF}(x)_t

    The gates read the fused spikes s of the past alone, so a shut branch costs nothing: its events
    are dropped at the gate, not even counted by it; in a `FusionSNN` its encoder is not run either
    (see `fuse_windows`). If all are shut, the fused population falls
    silent, the evidence e decays, and the bias (positive at first) opens them again. Training
    passes the step's gradient by a surrogate of its slope; there events of shut branches are
    computed and multiplied by 0, without a gradient they are not computed.

    Parameters
    ----------
    n_in, n_out, dt_ms, lif
        As of `FusionOperator`.
    gain : float
        As of `ConcatFusion`.
    window_ms : float
        Length of a window; whole steps, at least one.
    gate_tau_ms : float
        Initial memory of the gates' evidence.
    open_bias : float
        Initial bias of every gate.
    gate_slope : float
        Steepness of the surrogate.

    Raises
    ------
    ValueError
        As of `FusionOperator`, or if the window is shorter than a step.

    References
    ----------
    Bengio, Léonard and Courville, "Estimating or propagating gradients through stochastic neurons
    for conditional computation", arXiv:1308.3432, 2013 (straight-through gradients of gates).
    """

    def __init__(
        self,
        n_in: Mapping[str, int],
        n_out: int,
        *,
        dt_ms: float = 1.0,
        lif: LIFParams | None = None,
        gain: float = 3.0,
        window_ms: float = 20.0,
        gate_tau_ms: float = 40.0,
        open_bias: float = 0.5,
        gate_slope: float = 2.0,
    ) -> None:
        super().__init__(n_in, n_out, dt_ms=dt_ms, lif=lif)
        self.window_steps = round(window_ms / dt_ms)
        if self.window_steps < 1:
            raise ValueError(f"window_ms must be at least one step of {dt_ms}, got {window_ms}")
        share = gain / len(n_in) ** 0.5
        self.fusion_synapses = nn.ModuleDict(
            {name: EventLinear(n, n_out, gain=share) for name, n in self.n_in.items()}
        )
        self.hidden = LIF(n_out, self.lif, dt_ms)
        # Weak at first: all branches are open until training shuts some.
        self.gate_synapse = EventLinear(n_out, len(n_in), gain=0.25)
        self.gate_evidence = LIReadout(len(n_in), gate_tau_ms, dt_ms, gain=2.0)
        self.gate_bias = nn.Parameter(torch.full((len(n_in),), open_bias))
        self.surrogate = Surrogate(slope=gate_slope)

    def forward(self, spikes: Spikes, state: State | None = None) -> tuple[Tensor, State]:
        """Spikes ``{name: (T, B, n)}`` to fused spikes ``[T, B, n_out]`` and state."""
        fused, _, after = self._run(spikes, state)
        return fused, after

    def fuse_windows(
        self, read: Read, n_steps: int, n_batch: int, state: State | None = None
    ) -> tuple[Tensor, Tensor, State]:
        """`forward` on spikes that are asked for when a window's gates are known.

        Parameters
        ----------
        read : (name, first, last, gate) -> spikes (last - first, B, n)
            Called once for each window and modality, in order; ``gate`` [B] is 0 or 1. What it
            returns for samples with gate 0 does not matter to the output, only to the gradient.
        n_steps, n_batch : int
        state : as of `forward`, optional

        Returns
        -------
        fused : Tensor[T, B, n_out]
        gates : Tensor[T, B, M]
        state : dict of Tensor
        """
        found, gates, after = self._windows(read, n_steps, n_batch, state, self._window)
        return torch.cat([part for part in found if isinstance(part, Tensor)]), gates, after

    @torch.no_grad()
    def infer_windows(
        self, read: Read, n_steps: int, n_batch: int, state: State | None = None
    ) -> tuple[SpikeBatch, Tensor, State]:
        """`fuse_windows` without a gradient, synapses and neurons fused; ``read`` gives events."""
        found, gates, after = self._windows(read, n_steps, n_batch, state, self._infer_window)
        fused = one_after_another([part for part in found if isinstance(part, SpikeBatch)])
        return fused, gates, after

    @torch.no_grad()
    def infer(self, events: Mapping[str, SpikeBatch], state: State | None = None) -> InferOutput:
        """`forward` on events, synapses and neurons fused."""
        self.check(events)
        n_steps, n_batch = events[self.modalities[0]].shape[:2]

        def read(name: str, first: int, last: int, gate: Tensor) -> SpikeBatch | Tensor:
            return steps_of(events[name], first, last)

        fused, _, after = self.infer_windows(read, n_steps, n_batch, state)
        return fused, after

    def _windows(
        self, read: Read, n_steps: int, n_batch: int, state: State | None, window: _Window
    ) -> tuple[list[SpikeBatch | Tensor], Tensor, State]:
        """Fused spikes of every window, gates and state."""
        if state is None:
            rest = self.gate_bias.new_zeros(n_batch, len(self.modalities))
            phase_0 = torch.zeros((), dtype=torch.int64)
            silent = rest.new_zeros(n_batch, self.n_out)
            state = {"evidence": rest, "gate": rest, "phase": phase_0, "hidden": silent}
        phase, gate, evidence = int(state["phase"]), state["gate"], state["evidence"]
        v = state["hidden"]
        fused: list[SpikeBatch | Tensor] = []
        gates: list[Tensor] = []
        first = 0
        while first < n_steps:
            if phase == 0:
                gate = spike(self.gate_bias + evidence, self.surrogate)
            last = min(first + self.window_steps - phase, n_steps)
            parts = [read(name, first, last, gate[:, m]) for m, name in enumerate(self.modalities)]
            out, v, evidence = window(parts, gate, v, evidence)
            fused.append(out)
            gates.append(gate.expand(last - first, *gate.shape))
            phase = (phase + last - first) % self.window_steps
            first = last
        after = {"evidence": evidence, "gate": gate, "phase": torch.tensor(phase)}
        return fused, torch.cat(gates), after | {"hidden": v}

    def _window(
        self, parts: list[SpikeBatch | Tensor], gate: Tensor, v: Tensor, evidence: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Fused spikes of one window, membrane and evidence after it."""
        currents = [
            self._branch(name, part, gate[:, m])
            for m, (name, part) in enumerate(zip(self.modalities, parts, strict=True))
        ]
        out, v = self.hidden(sum(currents[1:], currents[0]), v)
        _, evidence = self.gate_evidence(self.gate_synapse(out), evidence)
        return out, v, evidence

    def _infer_window(
        self, parts: list[SpikeBatch | Tensor], gate: Tensor, v: Tensor, evidence: Tensor
    ) -> tuple[SpikeBatch, Tensor, Tensor]:
        """`_window` by the fused kernels."""
        opened = [
            only_rows(part, gate[:, m].bool().repeat(part.shape[0]))
            for m, part in enumerate(parts)
            if isinstance(part, SpikeBatch)
        ]
        synapses = [self.fusion_synapses[name] for name in self.modalities]
        out, v = infer_lif(opened, synapses, self.hidden, v)
        _, evidence = infer_readout(out, self.gate_synapse, self.gate_evidence, evidence)
        return out, v, evidence

    @torch.no_grad()
    def gates(self, spikes: Spikes, state: State | None = None) -> Tensor:
        """Which branches are open, 0 or 1, ``[T, B, number of modalities]``."""
        return self._run(spikes, state)[1]

    def _run(self, spikes: Spikes, state: State | None) -> tuple[Tensor, Tensor, State]:
        """Fused spikes, gates and state of given spikes."""
        self.check(spikes)
        n_steps, n_batch = spikes[self.modalities[0]].shape[:2]

        def read(name: str, first: int, last: int, gate: Tensor) -> SpikeBatch | Tensor:
            return steps_of(spikes[name], first, last)

        return self.fuse_windows(read, n_steps, n_batch, state)

    def _branch(self, name: str, part: SpikeBatch | Tensor, gate: Tensor) -> Tensor:
        """Current of one branch in one window, its gate ``[B]`` applied."""
        synapse = self.fusion_synapses[name]
        current: Tensor
        if torch.is_grad_enabled():
            current = synapse(part) * gate[:, None]
        elif isinstance(part, SpikeBatch):
            current = synapse(only_rows(part, gate.bool().repeat(part.shape[0])))
        else:
            current = synapse(part * gate[:, None])
        return current
