"""One self-contained HTML file per set of runs: no request, no script needed, same bytes again."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from analysis.records import RunRecord, load_run
from analysis.style import MODEL_NAMES, format_pj

_FIGURES = (
    ("raster", "One test sample on one clock: events, cochlea, fused spikes, evidence, decision."),
    ("energy", "Modelled dynamic energy per sample, by part of the model."),
    ("anytime", "Test accuracy of the answer after each time of stimulus."),
)


def write_report(run_dirs: Sequence[Path], out: Path | None = None) -> Path:
    """Write the report of finished runs whose figures have been drawn.

    Parameters
    ----------
    run_dirs : sequence of Path
    out : Path, optional
        Defaults to ``report.html`` in the first run directory.

    Returns
    -------
    Path
        The file, at most about 1 MB a run.
    """
    import jinja2

    runs = [load_run(path) for path in run_dirs]
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    source = (resources.files("analysis") / "report.html.j2").read_text()
    html = environment.from_string(source).render(runs=[_view(run) for run in runs])
    path = out if out is not None else runs[0].path / "report.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.draft")
    draft.write_text(html)
    draft.replace(path)
    return path


def embedded_json(result: Mapping[str, Any]) -> str:
    """JSON that cannot end a script element."""
    return json.dumps(result, sort_keys=True).replace("<", "\\u003c")


def _view(run: RunRecord) -> dict[str, Any]:
    """What the template shows of one run."""
    import markupsafe

    result = run.result
    figures = [
        {"name": name, "caption": caption, "uri": _data_uri(run.path / "figures" / f"{name}.png")}
        for name, caption in _FIGURES
        if (run.path / "figures" / f"{name}.png").is_file()
    ]
    text = json.dumps(result, indent=1, sort_keys=True)
    download = base64.b64encode(text.encode()).decode()
    return {
        "result": result,
        "rows": [_row(name, model) for name, model in result["models"].items()],
        "profiles": list(next(iter(result["models"].values()))["energy"]),
        "ratios": _ratio_rows(result),
        "assumptions": _assumptions(result),
        "figures": figures,
        "json": markupsafe.Markup(embedded_json(result)),
        "download": f"data:application/json;base64,{download}",
    }


def _row(name: str, model: Mapping[str, Any]) -> dict[str, Any]:
    """One line of the summary table, as text."""
    low, high = model["accuracy_interval"]
    return {
        "name": MODEL_NAMES.get(name, name),
        "accuracy": f"{model['accuracy']:.3f}",
        "interval": f"{low:.3f} to {high:.3f}",
        "seeds": ", ".join(f"{a:.3f}" for a in model["accuracy_by_seed"]),
        "energy": [
            {
                "dynamic": format_pj(e["dynamic_pj"]),
                "static": format_pj(e["with_static_pj"]),
                "sensors": format_pj(e["with_sensors_pj"]),
                "reason": e["reason"] or "",
            }
            for e in model["energy"].values()
        ],
        "latency": f"{model['latency']['p50_ms']:.0f} / {model['latency']['p95_ms']:.0f} ms",
        "evidence": f"{model['latency']['evidence_ms']:.0f} ms",
        "compute": f"{model['latency']['compute_ms']:.1f} ms",
        "params": f"{model['params']:,}",
        "acs": f"{model['counts']['total']['effective_acs']:,.0f}",
        "macs": f"{model['counts']['total']['effective_macs']:,.0f}",
    }


def _ratio_rows(result: Mapping[str, Any]) -> list[dict[str, str]]:
    """dense / SNN of each energy total and profile, with the winner in words."""
    rows: list[dict[str, str]] = []
    for metric, by_profile in result.get("ratios", {}).items():
        for profile, value in by_profile.items():
            if value is None:
                said = "no ratio: not priced on both sides"
            else:
                winner = "SNN" if value >= 1 else "dense twin"
                verb = "is sooner" if metric.startswith("evidence") else "uses less"
                said = f"{winner} {verb} (dense / SNN = {value:.3g})"
            rows.append({"metric": metric, "profile": profile, "said": said})
    return rows


def _assumptions(result: Mapping[str, Any]) -> list[str]:
    """Every assumption and source of every estimate, once."""
    found: dict[str, None] = {}
    for model in result["models"].values():
        for estimate in model["energy"].values():
            for line in estimate["assumptions"]:
                found[line] = None
            for field, why in estimate["reasons"].items():
                found[f"{estimate['profile']}, {field} is null: {why}."] = None
    return list(found)


def _data_uri(path: Path) -> str:
    """A picture as a data URI."""
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"
