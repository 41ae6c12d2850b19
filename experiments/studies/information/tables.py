"""Tables of the information study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from experiments.studies.runs import Row, mean_and_range
from spikefuse.pages import markdown_table

NONE_READ = "No such row was found."


def tables(rows: Sequence[Row]) -> dict[str, str]:
    """Text between the marks of the page."""
    runs = [row for row in rows if "run" in row]
    scenes = [row for row in rows if "scene" in row]
    return {
        "information runs": runs_table(runs),
        "information dependence": dependence_table(runs),
        "information paths": paths_table(runs),
        "information scenes": scenes_table(scenes),
        "information parts": parts_table(scenes),
    }


def runs_table(rows: Sequence[Row]) -> str:
    """Bits of every decoder of every run."""
    lines = []
    for row in rows:
        for model, found in row["information"].items():
            low, high = found["interval"]
            label = f"{model} (`{row['fusion']}`)" if model == "snn" else model
            each = [f"{bits:.2f}" for bits in sorted(found["by_seed"])]
            bits = f"{found['bits']:.2f} [{low:.2f}, {high:.2f}]"
            lines.append([row["name"], label, f"{found['entropy_bits']:.2f}", bits, " ".join(each)])
    return _or_none(["run", "decoder", "H(Y)", "I(X; Y) at least [95 %]", "by seed"], lines)


def dependence_table(rows: Sequence[Row]) -> str:
    """What goes with an exchange within the class, of every run."""
    lines = [
        [row["name"], f"`{row['fusion']}`", str(len(row["seeds"])), *_dependence(row["dependence"])]
        for row in rows
        if "dependence" in row
    ]
    return _or_none(["run", "fusion", "seeds", *_DEPENDENCE_HEADS], lines)


_DEPENDENCE_HEADS = [
    "I(V; A given Y) in use, bits [95 %]",
    "accuracy lost, points [95 %]",
    "cross-entropy gained, bits",
]


def _dependence(found: Mapping[str, Any]) -> list[str]:
    low, high = found["interval"]
    fewest, most = (100 * end for end in found["lost_interval"])
    return [
        f"{found['bits']:+.3f} [{low:+.3f}, {high:+.3f}]",
        f"{100 * found['accuracy_lost']:+.1f} [{fewest:+.1f}, {most:+.1f}]",
        f"{found['cross_entropy_lost']:+.3f}",
    ]


def paths_table(rows: Sequence[Row]) -> str:
    """Points that every path causes, mean over seeds with their range."""
    lines = []
    for row in rows:
        for path in row.get("paths", [{}])[0]:
            found = [of_seed[path] for of_seed in row["paths"]]
            cells = [
                mean_and_range([100 * effect[kind] for effect in found])
                for kind in ("same", "other", "follows")
            ]
            lines.append([row["name"], f"`{row['fusion']}`", f"`{path}`", *cells])
    heads = ["run", "fusion", "path", "lost, same class", "lost, other class"]
    return _or_none([*heads, "answers won by the other class"], lines)


def scenes_table(rows: Sequence[Row]) -> str:
    """Bits and dependence of every net on every scene, means over seeds."""
    lines = []
    for (scene, net), found in _groups(rows).items():
        bits = [row["information"]["bits"] for row in found]
        cells = ["", ""]
        if "dependence" in found[0]:
            cells = [
                mean_and_range([row["dependence"]["bits"] for row in found], 2),
                mean_and_range([100 * row["dependence"]["accuracy_lost"] for row in found]),
            ]
        label = f"`{net}`" if net in ("late", "concat", "cross_synapse", "coincidence") else net
        label = f"{net} alone" if net in ("vision", "audio") else label
        lines.append([scene, label, str(len(found)), mean_and_range(bits, 2), *cells])
    heads = ["scene", "decoder", "seeds", "I(X; Y) at least"]
    # Brackets are the range over seeds here, no interval.
    heads += [head.removesuffix(" [95 %]") for head in _DEPENDENCE_HEADS[:2]]
    return _or_none(heads, lines)


def parts_table(rows: Sequence[Row]) -> str:
    """Parts of what the cues tell of each net's answer, means over seeds."""
    lines = []
    for (scene, net), found in _groups([row for row in rows if "parts" in row]).items():
        cells = [
            mean_and_range([row["parts"][part] for row in found], 2)
            for part in ("redundancy", "unique_first", "unique_second", "synergy")
        ]
        lines.append([scene, net, str(len(found)), *cells])
    heads = ["scene", "answers of", "seeds", "redundant", "vision's own", "sound's own", "synergy"]
    return _or_none(heads, lines)


def _groups(rows: Sequence[Row]) -> dict[tuple[str, str], list[Row]]:
    """Rows of each scene and net, in the order of their first."""
    found: dict[tuple[str, str], list[Row]] = {}
    for row in sorted(rows, key=lambda row: [r["scene"] for r in rows].index(row["scene"])):
        found.setdefault((row["scene"], row["net"]), []).append(row)
    return found


def _or_none(heads: list[str], lines: list[list[str]]) -> str:
    return markdown_table(heads, lines) if lines else NONE_READ
