"""A fused model and paired data in NeuroBench's own harness; `neurobench` is imported lazily.

NeuroBench sees calls of torch's layers and nothing else: our kernels would count as no work. The
model therefore runs as it is, once, and every layer of synapses and every layer of spiking neurons
has a twin that NeuroBench watches and that is called with what came there, step by step.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from spikefuse.cost.count import count
from spikefuse.errors import ConfigError
from spikefuse.fusion.current_sum import GainedLinear
from spikefuse.models import FusionSNN
from spikefuse.models.fusion_snn import running_mean
from spikefuse.neurons import ALIF, LIF, CubaLIF
from spikefuse.opcounts import OpCounts
from spikefuse.spikes import SpikeBatch
from spikefuse.synapses import EventConv2d, EventLinear

_NEURONS = (LIF, CubaLIF, ALIF)
_SYNAPSES = (EventLinear, EventConv2d)


class Spikes(nn.Module):
    """What a layer of neurons sends, for NeuroBench to watch."""

    def forward(self, spikes: Tensor) -> Tensor:
        """Spikes, unchanged."""
        return spikes


class Twins(nn.Module):
    """A torch layer for each layer of synapses, and all other parameters of the model.

    Parameters
    ----------
    model : nn.Module
        Of `EventLinear`, `EventConv2d` and our neurons.

    Raises
    ------
    ConfigError
        If the model has no layer that NeuroBench could see.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.synapses, self.neurons = nn.ModuleDict(), nn.ModuleDict()
        seen: set[int] = set()
        self._model = [model]  # not a child: its parameters are in the twins
        for name, layer in model.named_modules():
            key = name.replace(".", "/")
            if isinstance(layer, _SYNAPSES):
                self.synapses[key] = _twin(layer)
                seen.add(id(layer.weight))
            elif isinstance(layer, _NEURONS):
                self.neurons[key] = Spikes()
                if layer.recurrent_weight is not None:
                    self.synapses[f"{key}/recurrent"] = _linear(layer.recurrent_weight)
                    seen.add(id(layer.recurrent_weight))
        if not self.synapses:
            raise ConfigError(
                f"model must have linear or convolutional synapses of ours, got none in a "
                f"{type(model).__name__}"
            )
        rest = [p.detach().clone() for p in model.parameters() if id(p) not in seen]
        self.rest = nn.ParameterList([nn.Parameter(p, requires_grad=False) for p in rest])
        for name, buffer in model.named_buffers():
            self.register_buffer(f"buffer_{name.replace('.', '_')}", buffer.detach().clone())

    @torch.no_grad()
    def run(self, inputs: Mapping[str, Tensor]) -> Any:
        """The model on inputs ``{modality: [T, B, N]}``, its twins beside it; its output."""
        model = self._model[0]
        names = {layer: name.replace(".", "/") for name, layer in model.named_modules()}
        handles = [
            layer.register_forward_hook(self._show, with_kwargs=True)
            for layer in names
            if isinstance(layer, _SYNAPSES + _NEURONS)
        ]
        self._names = names
        try:
            return model(dict(inputs))
        finally:
            for handle in handles:
                handle.remove()

    def _show(self, layer: nn.Module, args: Any, kwargs: Any, out: Any) -> None:
        """Call the twin of a layer with what came there."""
        key = self._names[layer]
        if isinstance(layer, _SYNAPSES):
            given = args[0].to_dense() if isinstance(args[0], SpikeBatch) else args[0]
            if isinstance(layer, EventConv2d):
                given = given.reshape(*given.shape[:2], *layer.in_shape)
            for step in given.unbind(0):
                self.synapses[key](step)
            return
        spikes = out[0]
        for step in spikes.unbind(0):
            self.neurons[key](step)
        recurrent: Any = getattr(layer, "recurrent_weight", None)
        if recurrent is not None:
            state = args[1] if len(args) > 1 else kwargs.get("state")
            before = torch.zeros_like(spikes[0]) if state is None else state.s
            for step in (before, *spikes[:-1].unbind(0)):
                self.synapses[f"{key}/recurrent"](step)


def run_neurobench(
    model: FusionSNN,
    inputs: Mapping[str, SpikeBatch | Tensor],
    labels: Tensor,
    batch_size: int = 32,
) -> dict[str, Any]:
    """NeuroBench's harness on a model and paired samples.

    Parameters
    ----------
    model : FusionSNN
    inputs : mapping of modality to SpikeBatch or Tensor, (T, B, N)
        Spikes of all samples.
    labels : int Tensor[B]
    batch_size : int

    Returns
    -------
    dict
        ``neurobench``: its results, nothing added. ``row``: of its leaderboards. ``beside``: our
        counts of the same samples, and what NeuroBench does not see of them.

    Raises
    ------
    ConfigError
        If `neurobench` is not installed, or the model has no layer that it sees.
    """
    benchmark, adapter, metrics = _harness()
    dense = {
        name: x.to_dense() if isinstance(x, SpikeBatch) else x
        for name, x in inputs.items()
        if name in model.modalities
    }
    sizes = [dense[name].shape[2] for name in model.modalities]
    # NeuroBench takes one tensor of samples, batch first.
    packed = torch.cat([dense[name] for name in model.modalities], dim=2).transpose(0, 1)
    was_training = model.training
    model.eval()
    try:
        twins = Twins(model)
        loader = DataLoader(TensorDataset(packed.contiguous(), labels), batch_size=batch_size)
        wrapped = adapter(twins, model.modalities, sizes)
        found: dict[str, Any] = benchmark(wrapped, loader, [], [], metrics).run(quiet=True)
        counts = OpCounts.concat(
            [
                count(model, {n: x[:, at : at + batch_size] for n, x in dense.items()})
                for at in range(0, len(labels), batch_size)
            ]
        )
    finally:
        model.train(was_training)
    return {
        "neurobench": found,
        "row": leaderboard_row(found, model.spec.dt_ms),
        "beside": _beside(found, counts),
    }


def leaderboard_row(found: Mapping[str, Any], dt_ms: float) -> dict[str, Any]:
    """Columns of NeuroBench's leaderboards from its results; the rate is that of our steps."""
    operations = found["SynapticOperations"]
    return {
        "Accuracy": found["ClassificationAccuracy"],
        "Footprint (bytes)": found["Footprint"],
        "Model Exec. Rate (Hz)": 1e3 / dt_ms,
        "Connection Sparsity": found["ConnectionSparsity"],
        "Activation Sparsity": found["ActivationSparsity"],
        "Dense": operations["Dense"],
        "Eff_MACs": operations["Effective_MACs"],
        "Eff_ACs": operations["Effective_ACs"],
    }


def _beside(found: Mapping[str, Any], counts: OpCounts) -> dict[str, Any]:
    """Our counts per sample, and how they differ from NeuroBench's."""
    ours = {
        kind: counts.totals[kind] / counts.n_samples
        for kind in ("effective_acs", "effective_macs", "and_ops", "neuron_updates_active")
    }
    theirs = found["SynapticOperations"]
    seen = theirs["Effective_ACs"] + theirs["Effective_MACs"]
    return {
        "counts_per_sample": ours,
        # A step of several events of one address: one operation there, one for each here.
        "operations_not_seen_there": ours["effective_acs"] + ours["effective_macs"] - seen,
        "samples": counts.n_samples,
    }


def _harness() -> tuple[Any, Any, list[list[Any]]]:
    """NeuroBench's Benchmark, an adapter of its kind, and its metrics.

    Raises
    ------
    ConfigError
        If it is not installed.
    """
    try:
        from neurobench.benchmarks import Benchmark
        from neurobench.metrics.static import ConnectionSparsity, Footprint, ParameterCount
        from neurobench.metrics.workload import (
            ActivationSparsity,
            ClassificationAccuracy,
            SynapticOperations,
        )
        from neurobench.models import NeuroBenchModel
    except ModuleNotFoundError as error:
        raise ConfigError(
            "neurobench must be installed for this, got none: pip install 'spikefuse[peers]'"
        ) from error

    class Adapter(NeuroBenchModel):  # type: ignore[misc]
        """The twins as NeuroBench wants a network: samples first, all modalities side by side."""

        def __init__(self, net: Twins, names: tuple[str, ...], sizes: list[int]) -> None:
            super().__init__()
            self.net, self.names, self.sizes = net, names, sizes
            self.add_activation_module(Spikes)

        def __call__(self, batch: Tensor) -> Tensor:
            parts = torch.split(batch.transpose(0, 1), self.sizes, dim=2)
            out = self.net.run(dict(zip(self.names, parts, strict=True)))
            return running_mean(out.scores)[-1].argmax(1)

        def __net__(self) -> nn.Module:
            return self.net

    static = [Footprint, ParameterCount, ConnectionSparsity]
    workload = [ClassificationAccuracy, ActivationSparsity, SynapticOperations]
    return Benchmark, Adapter, [static, workload]


def _twin(layer: nn.Module) -> nn.Module:
    """The torch layer of the same weights."""
    if isinstance(layer, GainedLinear):
        return _linear(layer.folded())
    if isinstance(layer, EventLinear):
        return _linear(layer.weight)
    if not isinstance(layer, EventConv2d):
        raise ConfigError(f"synapses must be linear or convolutional, got {type(layer).__name__}")
    n_channels, channels, rows, columns = layer.weight.shape
    conv = nn.Conv2d(channels, n_channels, (rows, columns), layer.stride, layer.padding, bias=False)
    conv.weight = nn.Parameter(layer.weight.detach().clone(), requires_grad=False)
    return conv


def _linear(weight: Tensor) -> nn.Linear:
    """Weights [n_in, n_out] as a torch layer."""
    layer = nn.Linear(weight.shape[0], weight.shape[1], bias=False)
    layer.weight = nn.Parameter(weight.detach().t().contiguous(), requires_grad=False)
    return layer
