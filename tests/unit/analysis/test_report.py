"""The report: one file, no request, the numbers of result.json."""

import base64
import gzip
import json
import re
from html.parser import HTMLParser

import pytest

from analysis.report import FIGURES, write_report
from spikefuse.errors import ConfigError

VOID = {"meta", "img", "br", "hr", "input", "link"}


class Page(HTMLParser):
    """Links, ids, cells, text and embedded JSON; fails on a tag closed out of order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.rows: list[list[str]] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.text = ""

    def handle_starttag(self, tag, attrs) -> None:
        self.links += [value for name, value in attrs if name in ("src", "href", "srcset")]
        self.ids += [value for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag == "script":
            self.scripts.append((dict(attrs), ""))

    def handle_startendtag(self, tag, attrs) -> None:
        """An element of a picture: it is closed at once."""

    def handle_endtag(self, tag) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data) -> None:
        if "script" in self.open:
            attributes, text = self.scripts[-1]
            self.scripts[-1] = (attributes, text + data)
        elif "style" not in self.open:
            self.text += data
            if {"td", "th"} & set(self.open[-2:]):
                self.rows[-1][-1] += data

    def embedded(self, kind: str) -> list:
        """JSON of the script elements whose id begins with ``kind``."""
        return [
            json.loads(text)
            for attributes, text in self.scripts
            if str(attributes.get("id", "")).startswith(f"{kind}-")
        ]


def read(path) -> Page:
    page = Page()
    page.feed(path.read_text(encoding="utf-8"))
    page.close()
    assert page.open == []
    assert len(set(page.ids)) == len(page.ids)
    return page


def test_it_is_one_small_file_that_asks_for_nothing(drawn_run, tmp_path) -> None:
    path = write_report([drawn_run], tmp_path / "report.html")
    assert path.stat().st_size < 1_000_000
    page = read(path)
    assert len([link for link in page.links if link.startswith("data:image/png")]) == len(FIGURES)
    assert all(link.startswith(("data:", "#")) for link in page.links)
    text = path.read_text()
    assert not re.search(r"url\(|@import|fetch\(|XMLHttp|import\(", text)
    assert [a for a, _ in page.scripts if a.get("type") != "application/json"] == [{}]


def downloads(page: Page) -> list[dict]:
    """The results that a page holds, one a run."""
    packed = [link for link in page.links if link.startswith("data:application/gzip")]
    return [json.loads(gzip.decompress(base64.b64decode(p.partition(",")[2]))) for p in packed]


def test_the_download_and_the_data_in_the_page_are_the_result(drawn_run, tmp_path) -> None:
    page = read(write_report([drawn_run], tmp_path / "report.html"))
    result = json.loads((drawn_run / "result.json").read_text())
    assert downloads(page) == [result]
    assert page.embedded("result") == [result]


def test_the_same_bytes_again(drawn_run, tmp_path) -> None:
    first = write_report([drawn_run], tmp_path / "a.html").read_bytes()
    assert write_report([drawn_run], tmp_path / "b.html").read_bytes() == first


def test_cells_equal_the_result(drawn_run, tmp_path, result) -> None:
    page = read(write_report([drawn_run], tmp_path / "report.html"))
    rows = {row[0]: row for row in reversed(page.rows) if len(row) == 10}
    header = rows["model"]
    for name, model in (("SNN fusion", "snn"), ("dense twin", "dense")):
        cells = dict(zip(header, rows[name], strict=True))
        entry = result["models"][model]
        assert float(cells["test accuracy"]) == pytest.approx(entry["accuracy"], abs=5e-4)
        p50_ms = entry["latency"]["p50_ms"]
        assert float(cells["latency p50 (ms)"]) == pytest.approx(p50_ms, abs=0.05)
        assert int(cells["parameters"].replace(",", "")) == entry["params"]
        macs = entry["counts"]["total"]["effective_macs"]
        assert int(cells["MACs per sample"].replace(",", "")) == round(macs)
    assert ["horowitz_45nm_fp32", "dense twin", "2.50 uJ", "n/a (1)", "9.00 mJ"] in page.rows


def test_every_section_and_source_is_there(drawn_run, tmp_path, result) -> None:
    text = read(write_report([drawn_run], tmp_path / "report.html")).text
    for part in (
        "modelled",
        "measured",
        "The speech is synthetic.",
        "No verdict: it needs 5 seeds",
        "Sensor dvs128 23 mW: Lichtsteiner 2008.",
        "Modelled energy is not measured energy",
        "spikefuse demo",
        "a <fast> one",
        result["data"]["manifest_sha256"],
        *result["data"]["notes"],
        *result["data"]["attribution"],
    ):
        assert part in text


def test_a_name_cannot_break_out(result, write) -> None:
    bad = '</script><script>alert(1)</script>"<img src=x onerror=alert(1)>'
    result["name"] = bad
    result["data"]["notes"] = [bad]
    result["models"]["snn"]["energy"]["horowitz_45nm_fp32"]["assumptions"] = [bad]
    path = write_report([write(result)])
    page = read(path)
    assert [found["name"] for found in downloads(page)] == [bad]
    assert page.embedded("result") == [result]
    assert "x" not in page.links
    assert path.read_text().count("<script") == 3  # the result, what the script needs, the script


def test_a_run_of_one_model_without_prices_or_figures(result, write) -> None:
    result["models"] = {"snn_audio": result["models"]["snn_audio"]}
    model = result["models"]["snn_audio"]
    model["accuracy_interval"] = None
    for estimate in model["energy"].values():
        estimate.update(dynamic_pj=None, with_static_pj=None, with_sensors_pj=None)
        estimate.update(reason="no price", reasons={})
    result["ratios"], result["comparison"] = {}, {}
    page = read(write_report([write(result)]))
    assert "No comparison: this run holds no SNN fusion and no dense twin." in page.text
    assert "(1) no price." in page.text
    assert not any(link.startswith("data:image") for link in page.links)


def test_an_accuracy_that_was_never_reached(result, write) -> None:
    result["comparison"]["at_equal_accuracy"].update(snn_ms=None, dense_ms=None)
    assert "never / never" in read(write_report([write(result)])).text


def test_several_runs_share_a_page(drawn_run, tmp_path) -> None:
    page = read(write_report([drawn_run, drawn_run], tmp_path / "deep" / "both.html"))
    assert len(downloads(page)) == 2
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["both.html"]


def test_no_run_is_an_error() -> None:
    with pytest.raises(ConfigError, match="at least one run"):
        write_report([])


def test_calibration_cells_equal_the_result(drawn_run, tmp_path) -> None:
    page = read(write_report([drawn_run], tmp_path / "report.html"))
    row = next(row for row in page.rows if row[0] == "SNN fusion" and "0.400" in row[2])
    assert row[1:] == [
        "1.50",
        "0.400 → 0.300",
        "0.200 → 0.100",
        "0.080 → 0.050",
        "0.025",
        "0.020 → 0.015",
    ]


def test_a_run_made_before_calibration_has_no_such_section(result, write) -> None:
    for model in result["models"].values():
        del model["calibration"]
    assert "Calibration" not in read(write_report([write(result)])).text


def test_the_ratio_on_top_has_its_range(drawn_run) -> None:
    page = write_report([drawn_run]).read_text(encoding="utf-8")
    assert "0.91 [0.63, 1.26]" in page
    assert "The SNN needs less in 25% of draws" in page
    assert "Who needs less" not in page
