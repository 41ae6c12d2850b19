"""``spikefuse count``: what a network of one's own executes on given data."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import typer
from rich.console import Console

from spikefuse.errors import ConfigError

if TYPE_CHECKING:
    from torch import nn

    from spikefuse.opcounts import OpCounts

Layout = Literal["TBN", "BTN", "TB...", "BT..."]

_COLUMNS = (
    ("effective_acs", "ACs"),
    ("signed_acs", "of them -1"),
    ("effective_macs", "MACs"),
    ("and_ops", "ANDs"),
    ("dense_macs", "dense"),
    ("neuron_updates_active", "updates"),
    ("neuron_updates_idle", "idle"),
    ("spikes_routed", "messages"),
)


@dataclass(frozen=True)
class Given:
    """Arguments of a network's call and the number of samples in them.

    Parameters
    ----------
    inputs : tuple, or mapping of modality
    n_samples : int
    time_dim, batch_dim : int
        Which dimension of the inputs is which.
    """

    inputs: Any
    n_samples: int
    time_dim: int
    batch_dim: int


def count(
    network: Annotated[
        str,
        typer.Argument(
            help="MODULE:NET: a module in the current folder, and a network in it or a function "
            "without arguments that makes one. The module is imported, so its code runs. Or a "
            ".nir file, which is only read."
        ),
    ],
    data: Annotated[
        str,
        typer.Option(
            "--data", help="A .npz of arrays, an event file, or a recipe (its test samples)."
        ),
    ],
    read_as: Annotated[
        str, typer.Option("--read-as", help="auto, events or frames; or module=events,...")
    ] = "auto",
    samples: Annotated[int, typer.Option("--samples", help="At most so many.", min=1)] = 64,
    dt_ms: Annotated[float, typer.Option("--dt-ms", help="Step for binning an event file.")] = 1.0,
    layout: Annotated[
        str,
        typer.Option(
            "--layout",
            help="TBN or BTN: flat addresses; TB... or BT...: planes (P, H, W). What the network "
            "takes, and how an array lies if it has time.",
        ),
    ] = "TBN",
    loop: Annotated[
        bool, typer.Option("--loop", help="Call the network once for every time step.")
    ] = False,
    modality: Annotated[
        str | None, typer.Option("--modality", help="Of a recipe: hand over this one alone.")
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="Override one key of a recipe: a.b=value.")
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict/--list", help="Refuse what has no rule, or list it.")
    ] = True,
    nir_dt_ms: Annotated[
        float | None,
        typer.Option("--nir-dt-ms", help="Step that a .nir file of another library is for."),
    ] = None,
    json_path: Annotated[
        Path | None, typer.Option("--json", help="Also write the counts here.")
    ] = None,
) -> None:
    """Count what your own network executes: operations by layer, from the spikes that ran."""
    if layout not in get_args(Layout):
        raise ConfigError(f"--layout must be one of {list(get_args(Layout))}, got {layout!r}")
    from experiments.loading.network import load_network

    net = load_network(network, nir_dt_ms)
    ours = getattr(net, "batch_dim", 0) == 1
    given = _given(data, layout, ours, samples, dt_ms, modality, overrides or [])
    try:
        counts = run_counted(net, given, readings(read_as), strict, loop)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    print_counts(counts, Console())
    if json_path is not None:
        from experiments.files import write_json

        write_json(json_path, counts_figures(counts))


def run_counted(net: nn.Module, given: Given, read_as: Any, strict: bool, loop: bool) -> OpCounts:
    """Count one call of a network on its inputs, or one call for every step.

    Raises
    ------
    ConfigError
        If the network does not take the inputs; their shapes are named.
    """
    try:
        return _counted(net, given, read_as, strict, loop)
    except (RuntimeError, IndexError, TypeError) as error:
        every = given.inputs.values() if isinstance(given.inputs, Mapping) else given.inputs
        shapes = ", ".join(str(tuple(x.shape)) for x in every)
        raise ConfigError(
            f"network must take inputs of shape {shapes}{' step by step' * loop}, got "
            f"{type(error).__name__}: {str(error).splitlines()[0]}"
        ) from error


def _counted(net: nn.Module, given: Given, read_as: Any, strict: bool, loop: bool) -> OpCounts:
    """`run_counted`, with whatever the network raises."""
    import torch

    from spikefuse.cost.counter import Counter

    net.eval()
    batch_dim = given.batch_dim - (loop and given.time_dim < given.batch_dim)
    with (
        torch.no_grad(),
        Counter(net, read_as=read_as, strict=strict, batch_dim=batch_dim) as counter,
    ):
        if not loop:
            net(given.inputs) if isinstance(given.inputs, Mapping) else net(*given.inputs)
        else:
            if isinstance(given.inputs, Mapping):
                raise ConfigError("--loop must go with one array, or with --modality")
            (x,) = given.inputs
            for step in x.unbind(given.time_dim):
                net(step)
    return counter.counts(given.n_samples)


def counts_figures(counts: OpCounts) -> dict[str, Any]:
    """Counts as plain values: totals over all samples, and every path."""
    return {
        "n_samples": counts.n_samples,
        "totals": counts.totals,
        "by_path": {name: asdict(path) for name, path in counts.by_path.items()},
        "uncounted": list(counts.uncounted),
        "foldable": list(counts.foldable),
    }


def print_counts(counts: OpCounts, console: Console) -> None:
    """Means per sample of every path, with what was not counted."""
    from rich.table import Column, Table

    shown = [(f, title) for f, title in _COLUMNS if counts.totals[f]]
    table = Table(Column("path", overflow="fold"), "kind", title="Operations per sample")
    for _, title in shown:
        table.add_column(title, justify="right")
    for name, path in counts.by_path.items():
        values = [_number(getattr(path, f) / counts.n_samples) for f, _ in shown]
        table.add_row(name, path.kind, *values)
    table.add_section()
    totals = [_number(counts.totals[f] / counts.n_samples) for f, _ in shown]
    table.add_row("total", "", *totals)
    console.print(table)
    console.print(f"{counts.n_samples} sample(s)", highlight=False)
    if counts.foldable:
        console.print(
            "can be folded into the layer before: " + ", ".join(counts.foldable),
            highlight=False,
            markup=False,
        )
    if counts.uncounted:
        console.print(
            "NOT COUNTED, no rule: " + ", ".join(counts.uncounted),
            highlight=False,
            markup=False,
            soft_wrap=True,
        )


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == round(value) else f"{value:,.2f}"


def readings(text: str) -> Any:
    """``auto``, or ``conv1=frames,fc=events``."""
    kinds = ("auto", "events", "frames")
    readings = dict(part.partition("=")[::2] for part in text.split(",")) if "=" in text else text
    for kind in readings.values() if isinstance(readings, dict) else [readings]:
        if kind not in kinds:
            raise ConfigError(f"--read-as must be of {list(kinds)}, got {kind!r}")
    return readings


def _given(
    data: str,
    layout: str,
    ours: bool,
    samples: int,
    dt_ms: float,
    modality: str | None,
    overrides: list[str],
) -> Given:
    """Inputs from a file or a recipe."""
    path = Path(data)
    time_dim, batch_dim = layout.index("T"), layout.index("B")
    if path.suffix == ".npz" and path.is_file() and not _holds_events(path):
        return _arrays(path, time_dim, batch_dim, samples)
    if path.is_file() and path.suffix != ".toml":
        from sensors.files import read_events

        return _events({"": [read_events(path)]}, layout, ours, dt_ms, None)
    from experiments.config import load_config
    from experiments.loading.data import load_data
    from sensors.paired import assemble

    config = load_config(data, overrides)
    paired = load_data(config.data)
    pairs = paired.fixed_pairs["test"][:samples]
    found = [assemble(paired.splits["test"], pair, paired.clock) for pair in pairs]
    names = list(found[0].streams)
    if modality is not None and modality not in names:
        raise ConfigError(f"--modality must be one of {names}, got {modality!r}")
    kept = names if modality is None else [modality]
    streams = {name: [sample[name] for sample in found] for name in kept}
    if modality is not None:
        streams = {"": streams[modality]}
    return _events(streams, layout, ours, config.data.dt_ms, config.data.duration_ms)


def _holds_events(path: Path) -> bool:
    """Whether an archive is an event stream of ours."""
    if not zipfile.is_zipfile(path):
        raise ConfigError(f"{path} must be a .npz file, got something else")
    with zipfile.ZipFile(path) as archive:
        return {"meta.npy", "t.npy"} <= set(archive.namelist())


def _arrays(path: Path, time_dim: int, batch_dim: int, samples: int) -> Given:
    """Every array of an archive, in its order, as one argument."""
    import numpy as np
    import torch

    with np.load(path, allow_pickle=False) as archive:
        arrays = [torch.from_numpy(np.ascontiguousarray(archive[name])) for name in archive.files]
    if not arrays:
        raise ConfigError(f"{path} must hold at least one array, got none")
    if arrays[0].ndim < 3:  # samples of addresses, without time
        time_dim, batch_dim = 0, 0
    few = [
        (a.float() if not a.is_floating_point() else a).narrow(
            batch_dim, 0, min(samples, a.shape[batch_dim])
        )
        for a in arrays
    ]
    return Given(tuple(few), few[0].shape[batch_dim], time_dim, batch_dim)


def _events(
    streams: Mapping[str, list[Any]],
    layout: str,
    ours: bool,
    dt_ms: float,
    duration_ms: float | None,
) -> Given:
    """Events binned into steps: SpikeBatches for a network of ours, dense tensors for others."""
    import math

    from spikefuse.kernels.binning import bin_events

    n_steps = None if duration_ms is None else math.ceil(duration_ms / dt_ms)
    n_samples = len(next(iter(streams.values())))
    time_dim, batch_dim = (0, 1) if ours else (layout.index("T"), layout.index("B"))
    inputs: dict[str, Any] = {}
    for name, items in streams.items():
        batch = bin_events(items, dt_ms, n_steps)
        if ours:
            inputs[name] = batch
            continue
        dense = batch.to_dense()
        if layout.endswith("..."):
            width, height, polarities = items[0].sensor_size
            dense = dense.reshape(*dense.shape[:2], polarities, height, width)
        inputs[name] = dense if layout[0] == "T" else dense.transpose(0, 1)
    single = list(inputs) == [""]
    return Given((inputs[""],) if single else inputs, n_samples, time_dim, batch_dim)
