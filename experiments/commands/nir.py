"""``spikefuse nir``: trained networks to NIR files and back, and who runs a file alike."""

from __future__ import annotations

import sys
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Column, Table

from spikefuse.errors import ConfigError, DataError

if TYPE_CHECKING:
    from spikefuse.interop.nir.graph import NirNetwork
    from spikefuse.interop.nir.parity import Parity

nir = typer.Typer(
    name="nir",
    help="Networks to and from NIR, the format that spiking libraries share.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

FileArgument = Annotated[Path, typer.Argument(help="A .nir file.")]
DtOption = Annotated[
    float | None,
    typer.Option("--dt-ms", help="Step that a file of another library is for; NIR holds none."),
]
ScaleOption = Annotated[
    float,
    typer.Option("--tau-scale", help="Factor on time constants; 1000 for Norse's to_nir()."),
]
StepsOption = Annotated[int, typer.Option("--steps", help="Of the input.", min=1)]
SamplesOption = Annotated[int, typer.Option("--samples", help="Of the input.", min=1)]
RateOption = Annotated[
    float, typer.Option("--rate", help="Spikes per address and step.", min=0.0, max=1.0)
]
JsonOption = Annotated[Path | None, typer.Option("--json", help="Also write the figures here.")]


@nir.command(name="export")
def export(
    run: Annotated[Path, typer.Argument(help="A run directory.")],
    file: FileArgument,
    profile: Annotated[
        str, typer.Option("--profile", help="portable, snntorch or native: who shall run it.")
    ] = "portable",
    model: Annotated[str, typer.Option("--model", help="A spiking model of the run.")] = "snn",
    seed: Annotated[int | None, typer.Option("--seed", help="Of the run; the first one.")] = None,
    allow_lossy: Annotated[
        bool, typer.Option("--allow-lossy", help="Write what a file can hold of the model.")
    ] = False,
    steps: StepsOption = 100,
    samples: SamplesOption = 2,
    rate: RateOption = 0.05,
    json_path: JsonOption = None,
) -> None:
    """Write a trained model, read it back and print who runs it alike."""
    from experiments.evaluation.opening import open_model
    from experiments.run import load_run_config
    from spikefuse.interop.nir.export import to_nir
    from spikefuse.interop.nir.files import write_graph
    from spikefuse.interop.nir.import_ import load_nir
    from spikefuse.interop.nir.parity import random_input
    from spikefuse.interop.nir.peers import check_model
    from spikefuse.interop.nir.profiles import READERS, checked_profile

    config = load_run_config(run)
    net, _ = open_model(run, config, model, config.seeds[0] if seed is None else seed)
    graph = to_nir(net, profile, allow_lossy=allow_lossy)
    write_graph(file, graph)
    console = Console()
    lost = str(graph.metadata["lost"])
    console.print(f"{file}: profile {profile}", highlight=False, soft_wrap=True)
    if lost:
        console.print(f"lost: {lost}", highlight=False, soft_wrap=True)
    back = load_nir(file)
    inputs = random_input(back, steps, samples, rate)
    found = [check_model(net, back, inputs), *_peers(file, None, 1.0, inputs)]
    # A loss that was allowed is one for every reader but ourselves.
    readers = () if lost else READERS[checked_profile(profile)]
    _print_parity(found, console, [found[0].peer, *readers])
    _finish(found, json_path, [found[0].peer, *readers])


@nir.command(name="import")
def import_(
    file: FileArgument,
    dt_ms: DtOption = None,
    tau_scale: ScaleOption = 1.0,
    steps: StepsOption = 100,
    samples: SamplesOption = 2,
    rate: RateOption = 0.05,
    json_path: JsonOption = None,
) -> None:
    """Read a file into our layers, print them and count what they execute on random spikes."""
    from experiments.commands.count import counts_figures, print_counts
    from spikefuse.cost import count
    from spikefuse.interop.nir.parity import random_input

    console = Console()
    network = _load(file, dt_ms, tau_scale, console)
    rows = _layers(network)
    _print_layers(file, rows, console)
    inputs: Any = random_input(network, steps, samples, rate)
    if len(inputs) == 1:
        (inputs,) = inputs.values()
    counts = count(network, inputs)
    console.print(f"{steps} steps of random spikes, {rate:g} per address and step", highlight=False)
    print_counts(counts, console)
    if json_path is not None:
        _write(json_path, {"layers": rows, "counts": counts_figures(counts)})


@nir.command(name="check")
def check(
    file: FileArgument,
    dt_ms: DtOption = None,
    tau_scale: ScaleOption = 1.0,
    steps: StepsOption = 100,
    samples: SamplesOption = 2,
    rate: RateOption = 0.05,
    json_path: JsonOption = None,
) -> None:
    """Run a file here, in Norse and in snnTorch on one input; exit code 1 if one differs."""
    from spikefuse.interop.nir.parity import random_input

    console = Console()
    network = _load(file, dt_ms, tau_scale, console)
    found = _peers(file, dt_ms, tau_scale, random_input(network, steps, samples, rate))
    peers = [parity.peer for parity in found]
    _print_parity(found, console, peers)
    _finish(found, json_path, peers)


@nir.command(name="table")
def table(
    document: Annotated[
        Path | None, typer.Option("--document", help="Put the tables into this page.")
    ] = None,
) -> None:
    """Run one small network for everything that a file may hold; print who runs it alike."""
    from experiments.commands.nir_tables import profile_tables
    from spikefuse.pages import write_tables

    tables = profile_tables()
    if document is None:
        for text in tables.values():
            typer.echo(text)
        return
    try:
        write_tables(document, tables)
    except (OSError, ValueError) as error:
        raise ConfigError(f"--document: {error}") from error


def _load(file: Path, dt_ms: float | None, tau_scale: float, console: Console) -> NirNetwork:
    """A file as a network; warnings in one line each."""
    from spikefuse.interop.nir.import_ import load_nir

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", UserWarning)
        network = load_nir(file, dt_ms=dt_ms, tau_scale=tau_scale)
    for warning in told:
        console.print(f"warning: {warning.message}", highlight=False, soft_wrap=True)
    return network


def _peers(file: Path, dt_ms: float | None, tau_scale: float, inputs: Any) -> list[Parity]:
    """Norse and snnTorch on a file."""
    from spikefuse.interop.nir.files import read_graph
    from spikefuse.interop.nir.import_ import from_nir
    from spikefuse.interop.nir.peers import check_peers
    from spikefuse.interop.nir.profiles import NOMINAL_DT_S

    graph = read_graph(file)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        network = from_nir(graph, dt_ms=dt_ms, tau_scale=tau_scale)
    # Others have no such factor: their step is divided instead.
    dt_s = (NOMINAL_DT_S if dt_ms is None else dt_ms * 1e-3) / tau_scale
    return check_peers(graph, network, inputs, dt_s)


def _print_parity(found: list[Parity], console: Console, readers: list[str]) -> None:
    """A verdict for every program, then its layers."""
    for parity in found:
        aside = "" if parity.peer in readers else " (the file is not for it)"
        console.print(f"{parity.peer}: {parity.verdict}{aside}", highlight=False, soft_wrap=True)
        if not parity.layers:
            continue
        shown = Table(
            Column("layer", overflow="fold"),
            *(Column(title, justify="right") for title in ("neurons", "spikes", "different")),
            *(Column(title, justify="right") for title in ("membrane differs by", "allowed")),
        )
        for name, layer in parity.layers.items():
            shown.add_row(
                name,
                f"{layer.n_neurons:,}",
                f"{layer.n_spikes:,}",
                f"{layer.n_different:,}",
                f"{layer.deviation:.1e}",
                f"{layer.bound:.1e}",
            )
        console.print(shown)


def _finish(found: list[Parity], json_path: Path | None, readers: list[str]) -> None:
    """Write the figures; exit code 1 if a program that it is for runs the file differently."""
    if json_path is not None:
        _write(json_path, {p.peer: asdict(p) | {"verdict": p.verdict} for p in found})
    if any(p.peer in readers and not p.equal and not p.refusal for p in found):
        sys.exit(1)


def _layers(network: NirNetwork) -> list[dict[str, Any]]:
    """Every layer as plain values."""
    rows: list[dict[str, Any]] = [
        {"name": name, "kind": "input", "sources": [], "shape": list(shape)}
        for name, shape in network.inputs.items()
    ]
    for name, node in network.nodes.items():
        kind = type(node.layer).__name__
        if getattr(node.layer, "recurrent_weight", None) is not None:
            kind = f"recurrent {kind}"
        rows.append(
            {"name": name, "kind": kind, "sources": list(node.sources), "shape": list(node.shape)}
        )
    return rows


def _print_layers(file: Path, rows: list[dict[str, Any]], console: Console) -> None:
    shown = Table(
        Column("node", overflow="fold"),
        "layer",
        Column("from", overflow="fold"),
        Column("shape", justify="right"),
        title=file.name,
    )
    for row in rows:
        shape = " x ".join(f"{size:,}" for size in row["shape"])
        shown.add_row(row["name"], row["kind"], ", ".join(row["sources"]), shape)
    console.print(shown)


def _write(path: Path, value: Any) -> None:
    from experiments.files import write_json

    try:
        write_json(path, _finite(value))
    except OSError as error:
        raise DataError(f"--json must be a file that can be written, got: {error}") from error


def _finite(value: Any) -> Any:
    """Without what JSON has no word for."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        return None
    return value
