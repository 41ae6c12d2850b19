"""What a spiking model executes in every step of every sample: counts before they are summed.

Summed over steps and samples these are the counts of `spikefuse.cost.count`; kept apart they say
how long each step takes on a chip, and what an answer has cost when it is given.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from spikefuse.cost.layer_rules import NEURONS, has_rule, paths_of
from spikefuse.cost.synapse_rules import fan_outs
from spikefuse.neurons import ALIF, LIF, CubaLIF, FixedLIF, FixedReadout, LIReadout
from spikefuse.opcounts import COUNT_FIELDS, OpCounts, PathCounts
from spikefuse.spikes import SpikeBatch
from spikefuse.synapses import EventConv2d, EventLinear

# Bytes follow from the words.
_COUNTED = tuple(field for field in COUNT_FIELDS if field != "bytes_moved")

Table = dict[str, Tensor]  # count by name, int64 [T, B]; a count that is absent is zero


@dataclass(frozen=True)
class StepCounts:
    """Counts of a model by path, step and sample.

    Parameters
    ----------
    by_path : mapping of path to mapping of count to int64 Tensor[T, B]
        Counts that are zero throughout are left out.
    memories : mapping of path to PathCounts
        Capacities, kind and modality of each path; no counts.
    shape : (T, B)
    """

    by_path: Mapping[str, Table]
    memories: Mapping[str, PathCounts]
    shape: tuple[int, int]

    def until(self, n_steps: int) -> OpCounts:
        """Counts of the first ``n_steps`` steps of all samples."""
        paths: dict[str, PathCounts] = {}
        for name, table in self.by_path.items():
            sums: dict[str, Any] = {f: int(values[:n_steps].sum()) for f, values in table.items()}
            paths[name] = replace(self.memories[name], **sums).with_bytes()
        return OpCounts(paths, self.shape[1])

    def of(self, path: str, field: str) -> Tensor:
        """One count of one path, int64 [T, B]."""
        found = self.by_path[path].get(field)
        return torch.zeros(self.shape, dtype=torch.int64) if found is None else found


def count_steps(model: nn.Module, inputs: Mapping[str, SpikeBatch | Tensor]) -> StepCounts:
    """Run a time-major model of ours once, in evaluation, and count by step and sample.

    Parameters
    ----------
    model : nn.Module
    inputs : mapping of modality to SpikeBatch or Tensor, (T, B, N)

    Raises
    ------
    ValueError
        If a layer is called other than once for all steps, such as window by window behind a gate,
        or work happens outside the layers with a counting rule: it belongs to no step then.

    Notes
    -----
    Layers of weights, and neurons, have a rule by step here. A layer whose class says
    ``counts_rows_alone`` is asked about each distinct row of inputs by itself. Any other layer is
    asked by its own rule what it did up to each step, of one sample after the other; rules are
    causal, so that differences are the steps. That is slow, and exact.
    """
    names = {module: name for name, module in model.named_modules()}
    modalities = tuple(getattr(model, "modalities", ()))
    first = next(iter(inputs.values()))
    shape = (int(first.shape[0]), int(first.shape[1]))
    tables: dict[str, Table] = {}
    memories: dict[str, PathCounts] = {}
    seen: set[str] = set()

    def after(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        name = names[module]
        if name in seen or tuple(args[0].shape[:2]) != shape:
            raise ValueError(
                f"every layer must run once over all steps to be counted by step, got {name!r} "
                "called for a part of them"
            )
        seen.add(name)
        modality = next((part for part in name.split(".") if part in modalities), "shared")
        for suffix, (memory, table) in _steps_of(module, name, args, output, modality, shape):
            memories[name + suffix] = memory
            tables[name + suffix] = {field: v for field, v in table.items() if v.any()}

    was_training = model.training
    model.eval()
    with ExitStack() as stack, torch.no_grad():
        for module in names:
            if has_rule(module):
                stack.callback(module.register_forward_hook(after).remove)
        try:
            model(inputs)
        finally:
            model.train(was_training)
    return StepCounts(tables, memories, shape)


def steps_of_runs(so_far: Sequence[Sequence[OpCounts]]) -> StepCounts:
    """Counts by step of any network, from what its runs had executed after every step.

    Parameters
    ----------
    so_far : sequence [B] of sequences [T] of OpCounts
        One run of one sample each, of all its steps up to each.

    Raises
    ------
    ValueError
        If runs are of several samples or of unequal length, a path is driven by spikes in one run
        and by frames in another, or a count falls from one step to the next.
    """
    lengths = {len(run) for run in so_far}
    if len(lengths) != 1 or any(counts.n_samples != 1 for run in so_far for counts in run):
        raise ValueError(
            f"runs must be of one sample each and of one length, got lengths {sorted(lengths)}"
        )
    shape = (lengths.pop(), len(so_far))
    whole = OpCounts.concat(run[-1] for run in so_far)
    tables: dict[str, Table] = {}
    silent = PathCounts()
    for name in whole.by_path:
        runs = [[counts.by_path.get(name, silent) for counts in run] for run in so_far]
        table: Table = {}
        for field in _COUNTED:
            sums = torch.tensor([[getattr(path, field) for path in run] for run in runs]).T
            steps = sums.diff(dim=0, prepend=torch.zeros_like(sums[:1]))
            if (steps < 0).any():
                raise ValueError(f"counts must not fall from step to step, got {field} of {name!r}")
            if steps.any():
                table[field] = steps
        tables[name] = table
    return StepCounts(tables, {name: _emptied(path) for name, path in whole.by_path.items()}, shape)


def _steps_of(
    module: nn.Module,
    name: str,
    args: tuple[Any, ...],
    output: Any,
    modality: str,
    shape: tuple[int, int],
) -> Iterator[tuple[str, tuple[PathCounts, Table]]]:
    """Memory and counts by step of every path of one call."""
    whole = paths_of(module, name, args, output, modality)
    if isinstance(module, EventLinear | EventConv2d) and set(whole) == {""}:
        yield "", (_emptied(whole[""]), _of_synapses(module, args[0]))
    elif isinstance(module, NEURONS) and set(whole) == {""}:
        yield "", (_emptied(whole[""]), _of_neurons(module, args[0], output, whole[""]))
    else:
        by = _by_rows if getattr(type(module), "counts_rows_alone", False) else _by_prefixes
        tables = by(module, name, args, output, modality, shape)
        for suffix, path in whole.items():
            yield suffix, (_emptied(path), tables[suffix])


def _of_synapses(layer: EventLinear | EventConv2d, spikes: Tensor | SpikeBatch) -> Table:
    """Fan-outs of the messages of every step and sample; see `count_synapses`."""
    used, every = fan_outs(layer)
    shape = (spikes.shape[0], spikes.shape[1])
    if isinstance(spikes, SpikeBatch):
        rows, columns = spikes.rows(), spikes.index.long()
        value = torch.ones(len(columns)) if spikes.value is None else spikes.value.detach()
    else:
        cells = spikes.detach().reshape(-1, spikes.shape[2])
        rows, columns = cells.nonzero(as_tuple=True)
        value = cells[rows, columns]
    value = value.double()
    is_whole = (value == value.round()) & value.isfinite()
    n_whole = torch.where(is_whole, value.abs(), 0.0)
    graded = (~is_whole).double()

    def summed(amount: Tensor) -> Tensor:
        total = torch.zeros(shape[0] * shape[1], dtype=torch.float64)
        return total.index_add_(0, rows, amount).round().long().reshape(shape)

    sent = n_whole + graded
    return {
        "effective_acs": summed(n_whole * used[columns]),
        "signed_acs": summed(torch.where(value < 0, n_whole, 0.0) * used[columns]),
        "effective_macs": summed(graded * used[columns]),
        "dense_macs": torch.full(shape, int(every.sum())),
        "spikes_routed": summed(sent),
        "weight_reads": summed(sent * every[columns]),
    }


def _of_neurons(layer: Any, current: Tensor, output: Any, whole: PathCounts) -> Table:
    """Updates of every step and sample; see `count_neurons`."""
    current, spikes = current.detach(), output[0].detach()
    n = current.shape[2]
    if isinstance(layer, LIReadout | FixedReadout):
        active = ((current != 0).cumsum(0) > 0).sum(2)
        fired = torch.zeros_like(active)
    else:
        active = _active(layer, current, spikes)
        fired = spikes.sum(2, dtype=torch.float64).round().long()
    words = whole.state_words // n
    traffic = torch.full(tuple(active.shape), words * n)
    return {
        "neuron_updates_active": active,
        "neuron_updates_idle": n - active,
        "spikes_fired": fired,
        "state_reads": traffic,
        "state_writes": traffic,
    }


def _active(layer: LIF | CubaLIF | ALIF | FixedLIF, current: Tensor, spikes: Tensor) -> Tensor:
    """Neurons with a state or an input other than zero, from rest, int64 [T, B]."""
    v = i = a = torch.zeros_like(current[0])
    found: list[Tensor] = []
    if isinstance(layer, FixedLIF):
        v = v.int()
        for x in current.unbind(0):
            found.append(((x != 0) | (v != 0)).sum(1))
            v = layer.forward(x[None], v)[1]
        return torch.stack(found)
    beta, p = layer.beta(), layer.params
    for x, s in zip(current.unbind(0), spikes.unbind(0), strict=True):
        seen = (x != 0) | (v != 0)
        if isinstance(layer, CubaLIF):
            i = layer.alpha() * i
            seen |= i != 0
            i = x = i + x
        elif isinstance(layer, ALIF):
            seen |= layer.params.kappa * a != 0
            a = layer.rho() * a + s
        found.append(seen.sum(1))
        v = beta * v + x
        v = v * (1.0 - s) if p.reset == "zero" else v - p.threshold * s
    return torch.stack(found)


def _by_rows(
    module: nn.Module,
    name: str,
    args: tuple[Any, ...],
    output: Any,
    modality: str,
    shape: tuple[int, int],
) -> dict[str, Table]:
    """What the layer's own rule says of one step of one sample alone, of equal ones once."""
    given = _dense(args)
    events = [x for x in given if isinstance(x, Tensor) and tuple(x.shape[:2]) == shape]
    rows = torch.cat([x.detach().reshape(shape[0] * shape[1], -1) for x in events], dim=1)
    distinct, kind = torch.unique(rows, dim=0, return_inverse=True)
    first = torch.empty(len(distinct), dtype=torch.int64)
    first[kind] = torch.arange(len(kind))
    sums: dict[str, Table] = {}
    for which, row in enumerate(first.tolist()):
        step, sample = divmod(row, shape[1])
        alone = tuple(
            x[step : step + 1, sample : sample + 1] if any(x is e for e in events) else x
            for x in given
        )
        for suffix, path in paths_of(module, name, alone, output, modality).items():
            table = sums.setdefault(suffix, {})
            for field in _COUNTED:
                blank = table.setdefault(field, torch.zeros(len(distinct), dtype=torch.int64))
                blank[which] = getattr(path, field)
    return {
        suffix: {field: values[kind].reshape(shape) for field, values in table.items()}
        for suffix, table in sums.items()
    }


def _by_prefixes(
    module: nn.Module,
    name: str,
    args: tuple[Any, ...],
    output: Any,
    modality: str,
    shape: tuple[int, int],
) -> dict[str, Table]:
    """What the layer's own rule says of the steps up to each, as differences."""
    given, made = _dense(args), _dense(output)
    sums: dict[str, Table] = {}
    for sample in range(shape[1]):
        for last in range(shape[0]):
            part = paths_of(
                module,
                name,
                _first_of(given, last + 1, sample, shape),
                _first_of(made, last + 1, sample, shape),
                modality,
            )
            for suffix, path in part.items():
                table = sums.setdefault(suffix, {})
                for field in _COUNTED:
                    amount = getattr(path, field)
                    if amount:
                        blank = torch.zeros(shape, dtype=torch.int64)
                        table.setdefault(field, blank)[last, sample] = amount
    return {
        suffix: {
            field: values.diff(dim=0, prepend=torch.zeros(1, shape[1], dtype=torch.int64))
            for field, values in table.items()
        }
        for suffix, table in sums.items()
    }


def _dense(value: Any) -> Any:
    """Events as dense spikes, in nested tuples."""
    if isinstance(value, SpikeBatch):
        return value.to_dense()
    return tuple(_dense(v) for v in value) if isinstance(value, tuple) else value


def _first_of(value: Any, n_steps: int, sample: int, shape: tuple[int, int]) -> Any:
    """The first steps of one sample, in nested tuples."""
    if isinstance(value, Tensor) and value.ndim >= 2 and tuple(value.shape[:2]) == shape:
        return value[:n_steps, sample : sample + 1]
    if isinstance(value, tuple):
        return tuple(_first_of(v, n_steps, sample, shape) for v in value)
    return value


def _emptied(path: PathCounts) -> PathCounts:
    """A path's memory, kind and modality without its counts."""
    zeros: dict[str, Any] = dict.fromkeys(COUNT_FIELDS, 0)
    return replace(path, **zeros)
