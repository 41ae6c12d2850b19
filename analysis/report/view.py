"""Everything the template shows of one run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from analysis.energy_verdict import SEEDS_FOR_A_VERDICT
from analysis.latency_tables import latency_tables
from analysis.own_networks import own_table
from analysis.records import RunRecord
from analysis.report.cards import cards_of
from analysis.report.constants import assumptions, constants_tables
from analysis.report.curves import ratio_curves, time_curve, tornadoes
from analysis.report.embedded import data_uri, embedded_json, packed_uri
from analysis.report.neurobench import neurobench_table
from analysis.report.raster_svg import raster_figure
from analysis.report.runs import flatten
from analysis.report.stress_curves import stress_curves
from analysis.report.waterfall import waterfalls
from analysis.stream_tables import read_stream, stream_tables
from analysis.stress_tables import read_stress, stress_tables
from analysis.system_tables import alternatives_table, fronts_table, host_table, missing_table
from analysis.tables import (
    Table,
    calibration_table,
    energy_table,
    ranges_table,
    ratio_table,
    results_table,
    to_csv,
)
from analysis.verdict import sentences

# Pictures that the page takes as they were drawn; it draws all others itself.
FIGURES = (
    ("energy_totals", "The three modelled totals per sample on a logarithmic axis."),
    (
        "duty",
        "Modelled mean power over how often the system answers; the sensors' own is the dotted "
        "line and comes on top.",
    ),
    ("latency_cdf", "Share of test samples whose answer is there, over the time from onset."),
    (
        "calibration",
        "Stated probability against the share of right answers, and the risk of answering only "
        "the surest samples.",
    ),
)
_WITH_SPEECH = ("latency_cdf", "calibration")


@dataclass(frozen=True)
class Detail:
    """How much of each run a page shows.

    Parameters
    ----------
    sections : bool
        All of it, not cards and the two main tables alone.
    pictures : bool
        Figures drawn beforehand too, and the spikes of a long raster.
    said : str
        What is left out, in words; empty if nothing.
    """

    sections: bool = True
    pictures: bool = True
    said: str = ""


def tables_of(run: RunRecord) -> dict[str, Table]:
    """The tables of a run by name, empty ones left out."""
    result = run.result
    tables = {
        "results": results_table(result),
        "own": own_table(result),
        "energy": energy_table(result),
        "ratios": ratio_table(result),
        "ranges": ranges_table(result),
        "fronts": fronts_table(result),
        "static": alternatives_table(result),
        "missing": missing_table(result),
        "neurobench": neurobench_table(result),
        "host": host_table(result),
        "calibration": calibration_table(result),
    }
    latency = {f"latency_{i}": table for i, table in enumerate(latency_tables(result), start=1)}
    stress = read_stress(run.path)
    stressed = [] if stress is None else stress_tables(stress)
    tables |= latency | {f"stress_{i}": table for i, table in enumerate(stressed, start=1)}
    stream = read_stream(run.path)
    streamed = [] if stream is None else stream_tables(stream)
    tables |= {f"stream_{i}": table for i, table in enumerate(streamed, start=1)}
    return {name: table for name, table in tables.items() if table.rows}


def view_of(run: RunRecord, label: str, detail: Detail) -> dict[str, Any]:
    """Cards, tables, pictures and data of a run, as much of it as ``detail`` says."""
    result = run.result
    view: dict[str, Any] = {
        "label": label,
        "result": result,
        "cards": cards_of(run),
        "sentences": sentences(run),
        "few_seeds": len(result["seeds"]) < SEEDS_FOR_A_VERDICT,
        "csv_uri": data_uri("text/csv", to_csv(result).encode()),
        "tables": tables_of(run),
    }
    if not detail.sections:
        return view
    stress = read_stress(run.path)
    raster = raster_figure(run, canvas=detail.pictures)
    figures = FIGURES if detail.pictures else ()
    return view | {
        "raster": raster,
        "data": embedded_json({"raster": None if raster is None else raster["data"]}),
        "embedded": embedded_json(result),
        # Packed, for those who run no script.
        "json_uri": packed_uri(result),
        "waterfalls": waterfalls(run),
        "time_curve": time_curve(run),
        "ratio_curves": ratio_curves(run),
        "tornadoes": tornadoes(run),
        "stress": stress,
        "stream": read_stream(run.path),
        "stress_curves": [] if stress is None else stress_curves(stress),
        "figures": {name: f for name, caption in figures if (f := _figure(run, name, caption))},
        "assumptions": assumptions(result),
        "constants": constants_tables(run),
        "environment": flatten(result["environment"]),
        "compute_sources": sorted(
            {model["latency"]["compute_source"] for model in result["models"].values()}
        ),
    }


def _figure(run: RunRecord, name: str, caption: str) -> dict[str, str] | None:
    """A drawn figure as a data URI; None if it was not drawn."""
    picture = run.path / "figures" / f"{name}.png"
    if not picture.is_file():
        return None
    if run.result["data"]["synthetic_speech"] and name in _WITH_SPEECH:
        caption += " Synthetic speech."
    return {"caption": caption, "uri": data_uri("image/png", picture.read_bytes())}
