"""The stress section of a report: there with stress.json, and only then."""

import json
from typing import Any

import pytest

from analysis.report import write_report
from analysis.stress_tables import figure_text, read_stress
from spikefuse.errors import DataError


def _figure(value: float, low: float, high: float) -> dict[str, Any]:
    return {"value": value, "interval": [low, high]}


def _stress() -> dict[str, Any]:
    """A suite of one family, by hand."""
    curve = {
        "time_ms": [10.0, 20.0],
        "accuracy": [_figure(0.25, 0.2, 0.3), _figure(0.875, 0.75, 1.0)],
        "mean_accuracy": _figure(0.5625, 0.5, 0.625),
        "ms_to_95_percent": _figure(20.0, 10.0, 20.0),
    }
    return {
        "schema": 2,
        "name": "small",
        "seeds": [0],
        "n_pairs": 41,
        "n_classes": 10,
        "interval": "95 %, by hand",
        "notes": ["A note & its sign."],
        "models": {"snn": {"kind": "spiking", "modalities": ["vision", "audio"]}},
        "conditions": {
            "clean": {"models": {"snn": {"energy": {"horowitz_45nm_fp32": {"dynamic_pj": 1.0}}}}}
        },
        "measures": {"snn": {"anytime": {"clean": curve}}},
    }


def test_the_section_is_there_with_its_file_alone(result, write) -> None:
    run = write(result)
    assert "damaged test inputs" not in write_report([run]).read_text()
    (run / "stress.json").write_text(json.dumps(_stress()))
    page = write_report([run]).read_text()
    assert "damaged test inputs: 41 test pairs" in page
    for text in ("0.875 [0.750, 1.000]", "20 [10, 20]", "0.562 [0.500, 0.625]"):
        assert f"<td>{text}</td>" in page
    assert "A note &amp; its sign." in page


def test_a_damaged_file_is_named(result, write) -> None:
    run = write(result)
    (run / "stress.json").write_text("{")
    with pytest.raises(DataError, match="must be the result of a stress suite"):
        read_stress(run)
    (run / "stress.json").write_text('{"schema": 7}')
    with pytest.raises(DataError, match="must be of schema 2, got 7"):
        read_stress(run)
    (run / "stress.json").unlink()
    assert read_stress(run) is None


def test_a_figure_as_text() -> None:
    figure = {"value": 0.5, "interval": [0.4, 0.625]}
    assert figure_text(figure, sign=True) == "+0.500 [+0.400, +0.625]"
    assert figure_text(figure, digits=1, interval=False) == "0.5"
    assert figure_text({"value": None, "interval": None}) == "n/a"
    assert figure_text(None) == "n/a"
