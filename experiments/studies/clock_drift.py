"""Planted clocks on streams of S1: how often are offset and drift found?

``python -m experiments.studies.clock_drift --json ROWS --document docs/streaming_sources.md``
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from experiments.studies.clock_bound import ideal_errors
from sensors.scenes.base import SceneSample
from sensors.scenes.onset import IN_SYNC, OnsetScene
from spikefuse._types import Int64Array
from spikefuse.pages import markdown_table, write_tables
from spikefuse.runtime.clocks import ClockEstimator

SECONDS = 60
OFFSET_MS, DRIFT_PPM = 300.0, 200.0  # largest planted ones
WITHIN_MS, WITHIN_PPM = 1.0, 20.0
STREAMS = ("bare, in sync", "bare, as drawn", "sensors, in sync", "sensors, as drawn")
Trains = dict[str, tuple[Int64Array, Int64Array]]


def s1_samples(kind: str, seed: int, seconds: int) -> list[SceneSample]:
    """As many samples of S1 as the seconds need, of a kind of `STREAMS`."""
    scene = OnsetScene()
    samples: list[SceneSample] = []
    index = 0
    while len(samples) * scene.duration_ms < seconds * 1000:
        sample = scene.draw(seed, index)
        index += 1
        if sample.label == IN_SYNC or not kind.endswith("in sync"):
            samples.append(sample)
    return samples


def s1_stream(kind: str, samples: Sequence[SceneSample]) -> Trains:
    """Samples of S1 one after another: times in microseconds and addresses of each modality.

    Parameters
    ----------
    kind : str
        One of `STREAMS`: bare trains or events of retina and cochlea; only samples whose bounce
        and click are in sync, or as the scene draws them, half of them apart by 4 to 128 ms.
    samples : sequence of SceneSample
        From `s1_samples`.
    """
    scene = OnsetScene()
    parts: dict[str, list[tuple[Int64Array, Int64Array]]] = {"vision": [], "audio": []}
    for number, sample in enumerate(samples):
        start_us = number * scene.duration_ms * 1000
        seen = scene.render(sample) if kind.startswith("sensors") else sample.stream
        for name, found in parts.items():
            found.append((seen[name].events["t"] + start_us, seen[name].addresses()))
    trains: Trains = {}
    for name, found in parts.items():
        times = np.concatenate([t for t, _ in found])
        order = np.argsort(times, kind="stable")
        trains[name] = times[order], np.concatenate([a for _, a in found])[order]
    return trains


def one_stream(kind: str, seed: int, seconds: int = SECONDS) -> dict[str, Any]:
    """Plant an offset and a drift, feed the estimator second by second, and compare."""
    samples = s1_samples(kind, seed, seconds)
    trains = s1_stream(kind, samples)
    rng = np.random.default_rng([seed, 1])
    offset_ms, drift_ppm = rng.uniform(-OFFSET_MS, OFFSET_MS), rng.uniform(-DRIFT_PPM, DRIFT_PPM)

    def own_clock(times_us: Int64Array) -> Int64Array:
        moved: Int64Array = np.rint(offset_ms * 1e3 + times_us * (1 + drift_ppm * 1e-6)).astype(int)
        return moved

    estimator = ClockEstimator()
    for start in range(0, seconds * 1_000_000, 1_000_000):
        end = start + 1_000_000
        for name, modality in (("reference", "vision"), ("other", "audio")):
            times, addresses = trains[modality]
            part = slice(*np.searchsorted(times, [start, end]))
            now = np.append(times[part], end)
            own = own_clock(now) if name == "other" else now
            estimator.push(name, own[:-1], int(own[-1]), addresses[part])
    found = estimator.estimate()
    row: dict[str, Any] = {"kind": kind, "seed": seed, "seconds": seconds, "locked": False}
    if kind.startswith("bare"):
        in_sync = kind.endswith("in sync")
        ideal_drift, ideal_end = ideal_errors(OnsetScene().params, samples, in_sync, seconds)
        row |= {"ideal_drift_error_ppm": ideal_drift, "ideal_end_error_ms": ideal_end}
    if found is None:
        return row
    end_ms = seconds * 1e3
    true = {t: offset_ms + drift_ppm * 1e-6 * t for t in (found.at_ms, end_ms)}
    return row | {
        "locked": found.locked,
        "lag_error_ms": found.lag_ms(found.at_ms) - true[found.at_ms],
        "end_error_ms": found.lag_ms(end_ms) - true[end_ms],
        "drift_error_ppm": found.drift_ppm - drift_ppm,
        "lag_se_ms": found.lag_se_ms,
        "drift_se_ppm": found.drift_se_ppm,
    }


def table(rows: list[dict[str, Any]]) -> str:
    """A row for each kind of stream: errors and how often the limits are exceeded."""
    cells = []
    lengths = sorted({row["seconds"] for row in rows})
    for kind, seconds in [(kind, seconds) for kind in STREAMS for seconds in lengths]:
        found = [row for row in rows if (row["kind"], row["seconds"]) == (kind, seconds)]
        if not found:
            continue
        locked = [row for row in found if row["locked"]]
        lag, end, drift, error = (
            np.array([row[key] for row in locked])
            for key in ("lag_error_ms", "end_error_ms", "drift_error_ppm", "drift_se_ppm")
        )
        # What the sensors take to answer is a constant part of the lag, which no clock explains.
        delay = float(np.mean(lag)) if kind.startswith("sensors") else 0.0
        n = len(found)
        late = np.abs(end - delay) > WITHIN_MS
        cells.append(
            [
                kind,
                f"{seconds}",
                f"{len(locked)} of {n}",
                f"{delay:.2f}",
                f"{np.std(lag):.2f}",
                f"{np.std(drift):.1f} ({np.median(error):.1f})",
                f"{int(late.sum())} of {n}",
                f"{int((np.abs(drift) > WITHIN_PPM).sum())} of {n}",
                *_ideal_cells(found),
            ]
        )
    header = [
        "stream",
        "s",
        "locked",
        "sensors' delay, ms",
        "sd of the lag amid the stream, ms",
        "sd of the drift, ppm (its stated error)",
        f"lag at the end off by more than {WITHIN_MS:g} ms",
        f"drift off by more than {WITHIN_PPM:g} ppm",
        "an ideal observer's sd of the drift, ppm",
        f"its lag at the end off by more than {WITHIN_MS:g} ms",
        f"its drift off by more than {WITHIN_PPM:g} ppm",
    ]
    return markdown_table(header, cells)


def _ideal_cells(rows: list[dict[str, Any]]) -> list[str]:
    """What the ideal observer's errors are, of bare streams."""
    if "ideal_drift_error_ppm" not in rows[0]:
        return ["-"] * 3
    drift = np.array([row["ideal_drift_error_ppm"] for row in rows])
    end = np.array([row["ideal_end_error_ms"] for row in rows])
    n = len(rows)
    return [
        f"{np.std(drift):.1f}",
        f"{int((np.abs(end) > WITHIN_MS).sum())} of {n}",
        f"{int((np.abs(drift) > WITHIN_PPM).sum())} of {n}",
    ]


def main(
    json_path: Annotated[Path, typer.Option("--json", help="Rows, one a line; those there stay.")],
    document: Annotated[Path | None, typer.Option("--document")] = None,
    seeds: Annotated[int, typer.Option("--seeds", min=1)] = 128,
    rendered_seeds: Annotated[int, typer.Option("--rendered-seeds", min=0)] = 16,
    longer: Annotated[
        int, typer.Option("--longer", help="Bare streams of so many seconds besides; 0: none.")
    ] = 2 * SECONDS,
) -> None:
    """Run what is missing, then write the table."""
    lines = json_path.read_text().splitlines() if json_path.is_file() else []
    rows: list[dict[str, Any]] = [json.loads(line) for line in lines]
    there = {(row["kind"], row["seed"], row["seconds"]) for row in rows}
    bare = [kind for kind in STREAMS if kind.startswith("bare")]
    wanted = [
        (kind, seed, SECONDS)
        for kind in STREAMS
        for seed in range(seeds if kind in bare else rendered_seeds)
    ]
    wanted += [(kind, seed, longer) for kind in bare for seed in range(seeds) if longer]
    for kind, seed, seconds in wanted:
        if (kind, seed, seconds) in there:
            continue
        rows.append(one_stream(kind, seed, seconds))
        with json_path.open("a") as file:
            file.write(json.dumps(rows[-1]) + "\n")
    text = table(rows)
    print(text)
    if document is not None:
        write_tables(document, {"clocks": text})


if __name__ == "__main__":
    typer.run(main)
