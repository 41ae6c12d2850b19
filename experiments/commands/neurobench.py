"""``spikefuse neurobench``: a trained run in NeuroBench's harness."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Column, Table

from spikefuse.errors import ConfigError

if TYPE_CHECKING:
    from experiments.config import Config


def neurobench(
    run: Annotated[Path, typer.Argument(help="A run directory.")],
    model: Annotated[str, typer.Option("--model", help="A spiking model of the run.")] = "snn",
    seed: Annotated[int | None, typer.Option("--seed", help="Of the run; the first one.")] = None,
    samples: Annotated[
        int | None, typer.Option("--samples", help="At most so many test pairs.", min=1)
    ] = None,
    batch: Annotated[int, typer.Option("--batch", help="Samples at a time.", min=1)] = 32,
    json_path: Annotated[
        Path | None, typer.Option("--json", help="Also write the figures here.")
    ] = None,
) -> None:
    """Run a trained model on its test pairs in NeuroBench; energy and latency stand beside it."""
    from experiments.evaluation.opening import open_model
    from experiments.run import load_run_config
    from spikefuse.interop.neurobench import run_neurobench

    config = load_run_config(run)
    if config.train.mask_padding:
        raise ConfigError(
            "train.mask_padding must be false: NeuroBench's samples do not say where padding begins"
        )
    chosen = config.seeds[0] if seed is None else seed
    net, result = open_model(run, config, model, chosen)
    inputs, labels = _test_pairs(config, samples)
    found = run_neurobench(net, inputs, labels, batch)
    found["beside"] |= _modelled(result["models"][model])
    found |= {"model": model, "seed": chosen}
    _print(found, Console())
    if json_path is not None:
        from experiments.files import write_json

        write_json(json_path, found)


def _test_pairs(config: Config, samples: int | None) -> tuple[dict[str, Any], Any]:
    """Binned test pairs of a run, by modality, and their labels."""
    import torch

    from experiments.loading.batches import spiking_inputs
    from experiments.loading.data import load_data
    from sensors.paired import assemble

    paired = load_data(config.data)
    pairs = paired.fixed_pairs["test"][:samples]
    whole = [assemble(paired.splits["test"], pair, paired.clock) for pair in pairs]
    n_steps = math.ceil(config.data.duration_ms / config.data.dt_ms)
    inputs = spiking_inputs(whole, list(whole[0].streams), config.data.dt_ms, n_steps)
    return inputs, torch.tensor([sample.label for sample in whole])


def _modelled(found: dict[str, Any]) -> dict[str, Any]:
    """Energy by profile and latency of the run's own result, over all of its test pairs."""
    return {
        "energy_pj_by_profile": {
            name: priced["dynamic_pj"] for name, priced in found["energy"].items()
        },
        "latency_p50_ms": found["latency"]["p50_ms"],
    }


def _print(found: dict[str, Any], console: Console) -> None:
    """The leaderboard's row, then what is not NeuroBench's."""
    row = Table(
        Column("leaderboard", overflow="fold"), Column("", justify="right"), title="NeuroBench"
    )
    for name, value in found["row"].items():
        row.add_row(name, _number(value))
    console.print(row)
    beside = found["beside"]
    other = Table("beside it", Column("", justify="right"), title="not of NeuroBench")
    for name, value in beside["counts_per_sample"].items():
        other.add_row(f"{name} of a sample, counted here", _number(value))
    other.add_row("operations more than there", _number(beside["operations_not_seen_there"]))
    for name, value in beside["energy_pj_by_profile"].items():
        other.add_row(
            f"energy, {name}", "not priced" if value is None else f"{value / 1e6:,.3g} uJ"
        )
    latency = beside["latency_p50_ms"]
    other.add_row("latency, median", "none" if latency is None else f"{latency:,.1f} ms")
    console.print(other)
    console.print(f"{beside['samples']} test pairs", highlight=False)


def _number(value: float) -> str:
    return f"{value:,.4f}" if abs(value) < 10 and value != round(value) else f"{value:,.0f}"
