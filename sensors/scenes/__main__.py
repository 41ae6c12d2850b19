"""``python -m sensors.scenes``: a scene's test of itself, and the tables of docs/scenes.md."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from sensors.scenes.catalogue import SCENES, scene_by_name
from sensors.scenes.pilot import pilot_table
from sensors.scenes.report import (
    latency_table,
    observer_table,
    probe_table,
    wake_table,
)
from sensors.scenes.self_test import Level, Verdict, self_test
from spikefuse.atomic import write_bytes
from spikefuse.pages import write_tables


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the self-tests; 0 if every scene passed, 1 if one failed, 2 for wrong usage."""
    parser = argparse.ArgumentParser(prog="python -m sensors.scenes", description=__doc__)
    parser.add_argument("names", nargs="+", metavar="NAME", help=f"{', '.join(SCENES)}, or all")
    parser.add_argument("--level", choices=["bare", "sensor", "both"], default="bare")
    parser.add_argument("--n-train", type=int, default=2000)
    parser.add_argument("--n-test", type=int, default=2000)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure to FILE")
    parser.add_argument("--docs", type=Path, metavar="PAGE", help="rewrite the tables of PAGE")
    chosen = parser.parse_args(arguments)
    names = list(SCENES) if chosen.names == ["all"] else chosen.names
    try:
        scenes = [scene_by_name(name) for name in names]
    except ValueError as error:
        parser.error(str(error))
    levels = get_args(Level) if chosen.level == "both" else (chosen.level,)
    verdicts: list[Verdict] = []
    for scene in scenes:
        for level in levels:
            verdict = self_test(scene, level, chosen.n_train, chosen.n_test)
            verdicts.append(verdict)
            outcome = "passed" if verdict.passed else "FAILED"
            if not verdict.probes:
                outcome = "claims nothing to stay at chance"
            print(f"{scene.name} ({level}): {outcome}", flush=True)
    print(f"\n{observer_table(verdicts)}\n\n{probe_table(verdicts)}")
    if chosen.json is not None:
        content = json.dumps([verdict.as_dict() for verdict in verdicts], indent=1)
        write_bytes(chosen.json, content.encode())
    if chosen.docs is not None:
        tables = {
            "pilot": pilot_table(),
            "observers": observer_table(verdicts),
            "probes": probe_table(verdicts),
            "latency": latency_table(scenes),
            "wake": wake_table(),
        }
        write_tables(chosen.docs, tables)
    return 0 if all(verdict.passed for verdict in verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
