"""Whether two programs run a graph alike: spikes and membranes, layer by layer, on one input."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from spikefuse.interop.nir.graph import NEURONS, NirNetwork
from spikefuse.neurons import LIReadout
from spikefuse.spikes import SpikeBatch

TOLERANCE = 1e-5


@dataclass
class Trace:
    """What neurons did: spikes and membranes ``[T, B, N]`` of every layer, by name.

    Layers that only integrate have no spikes; a source may lack membranes.
    """

    spikes: dict[str, Tensor] = field(default_factory=dict)
    membranes: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class LayerParity:
    """One layer in two programs, up to a sample's first difference.

    Parameters
    ----------
    n_spikes : int
        Of ours.
    n_different : int
        Cells where one fires and the other does not, in the first step that differs.
    deviation : float
        Largest difference of membranes.
    bound : float
        What it may be: 1e-5 * max(1, largest membrane).
    """

    n_neurons: int
    n_spikes: int
    n_different: int
    deviation: float
    bound: float


@dataclass(frozen=True)
class Parity:
    """Another program beside ours.

    Parameters
    ----------
    peer : str
    layers : mapping of name to LayerParity
    n_samples, n_steps : int
    n_ties, n_apart : int
        Samples whose first difference is a membrane within ``bound`` of its threshold, and others.
    refusal : str
        Why it did not run; empty if it did.
    """

    peer: str
    layers: Mapping[str, LayerParity] = field(default_factory=dict)
    n_samples: int = 0
    n_steps: int = 0
    n_ties: int = 0
    n_apart: int = 0
    refusal: str = ""

    @property
    def equal(self) -> bool:
        """Spikes equal but for ties, and membranes within their bound."""
        close = all(layer.deviation <= layer.bound for layer in self.layers.values())
        return not self.refusal and not self.n_apart and close

    @property
    def verdict(self) -> str:
        """In words."""
        if self.refusal:
            return f"does not run it: {self.refusal}"
        if not self.equal:
            return "DIFFERENT"
        ties = f" but for a tie in {self.n_ties} of {self.n_samples} samples" if self.n_ties else ""
        return f"equal{ties}"


def random_input(
    network: NirNetwork, n_steps: int, n_samples: int, rate: float, seed: int = 0
) -> dict[str, Tensor]:
    """Independent spikes of 1 with a probability per step, ``{input: [T, B, N]}``."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: (torch.rand(n_steps, n_samples, math.prod(shape), generator=generator) < rate).float()
        for name, shape in network.inputs.items()
    }


@torch.no_grad()
def trace(network: NirNetwork, inputs: Mapping[str, Tensor]) -> Trace:
    """Run a graph step by step on our kernels, and keep what its neurons do."""
    names = [name for name, node in network.nodes.items() if isinstance(node.layer, NEURONS)]
    spikes: dict[str, list[Tensor]] = {name: [] for name in names}
    membranes: dict[str, list[Tensor]] = {name: [] for name in names}
    state = None
    for t in range(len(next(iter(inputs.values())))):
        sent, state = network.run({name: x[t : t + 1] for name, x in inputs.items()}, state)
        for name in names:
            out, node = sent[name], network.nodes[name]
            if isinstance(out, SpikeBatch):
                out = out.to_dense()
            if isinstance(node.layer, LIReadout):
                membranes[name].append(out[0])
                continue
            spikes[name].append(out[0])
            v = getattr(state[name], "v", state[name])
            membranes[name].append(v if node.unit is None else (v * node.unit).float())
    return Trace(
        {name: torch.stack(steps) for name, steps in spikes.items() if steps},
        {name: torch.stack(steps) for name, steps in membranes.items()},
    )


def compare(network: NirNetwork, ours: Trace, theirs: Trace, peer: str) -> Parity:
    """Two runs of a graph, layer by layer.

    A sample is compared up to its first step with a difference: what follows is another history.
    That difference is a tie if the neuron that did not fire is within the bound of its threshold.

    Parameters
    ----------
    network : NirNetwork
    ours, theirs : Trace
        Of one input; layers that only one of them has are left out.
    peer : str
        Name of the other program.
    """
    any_of = next(iter(ours.membranes.values()))
    n_steps, n_samples = any_of.shape[:2]
    spiking = [name for name in ours.spikes if name in theirs.spikes]
    first = torch.full((n_samples,), n_steps)
    for name in spiking:
        apart = (ours.spikes[name] != theirs.spikes[name]).any(2)
        step = torch.where(apart.any(0), apart.int().argmax(0), n_steps)
        first = torch.minimum(first, step)
    seen = torch.arange(n_steps)[:, None] < first
    layers: dict[str, LayerParity] = {}
    culprits: dict[int, str] = {}
    for name in ours.membranes:
        if name not in theirs.membranes and name not in spiking:
            continue
        mine = ours.membranes[name]
        bound = TOLERANCE * max(1.0, float(mine.abs().max()))
        deviation = 0.0
        if name in theirs.membranes:
            gap = (mine - theirs.membranes[name]).abs()[seen]
            # Not a number is no agreement.
            deviation = float(gap.nan_to_num(math.inf).max()) if len(gap) else 0.0
        n_different = n_spikes = 0
        if name in spiking:
            n_spikes = int(ours.spikes[name].sum())
            for b in range(n_samples):
                t = int(first[b])
                if t < n_steps:
                    apart = ours.spikes[name][t, b] != theirs.spikes[name][t, b]
                    n_different += int(apart.sum())
                    if bool(apart.any()):
                        culprits.setdefault(b, name)
        layers[name] = LayerParity(mine.shape[2], n_spikes, n_different, deviation, bound)
    ties = sum(
        _is_tie(network, ours, theirs, name, b, int(first[b])) for b, name in culprits.items()
    )
    return Parity(peer, layers, n_samples, n_steps, ties, len(culprits) - ties)


def _is_tie(
    network: NirNetwork, ours: Trace, theirs: Trace, name: str, sample: int, step: int
) -> bool:
    """Whether every neuron that only one program fired is at its threshold in the other."""
    if name not in theirs.membranes:
        return False
    node = network.nodes[name]
    threshold = torch.tensor(float(node.layer.params.threshold))  # type: ignore[union-attr,arg-type]
    if node.unit is not None:
        threshold = (threshold * node.unit).float()
    mine, other = ours.spikes[name][step, sample], theirs.spikes[name][step, sample]
    silent = torch.where(
        mine == 0, ours.membranes[name][step, sample], theirs.membranes[name][step, sample]
    )
    bound = TOLERANCE * max(1.0, float(ours.membranes[name].abs().max()))
    return bool(((silent - threshold).abs() <= bound)[mine != other].all())
