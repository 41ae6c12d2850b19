"""The report in a real browser: headless Chromium, from a file, with and without scripts."""

import copy
import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tiny_run import tiny

from analysis.report import write_report

pytestmark = pytest.mark.slow

OPENS_WITHIN_S = 2.0
N_RUNS = 30


class Quiet:
    """Says nothing."""

    def stage(self, text: str) -> None: ...

    def progress(self, done: int, total: int, text: str) -> None: ...


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium of this system, driven by playwright; skips with the reason without either."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("no chromium on this system (apt-get install chromium)")
    reason = "playwright is not installed (pip install -e '.[browser]')"
    api = pytest.importorskip("playwright.sync_api", reason=reason)
    with api.sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--disable-gpu", "--disable-quic"]
        )
        yield started
        started.close()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real run of the size of a test."""
    from experiments.run import run_experiment

    folder = tmp_path_factory.mktemp("browser") / "tiny"
    config = tiny("train.epochs=1", "train.dense_epochs=1", "cost.latency_repeats=3")
    run_experiment(config, folder, Quiet())
    return folder


@pytest.fixture(scope="module")
def report(run: Path) -> Path:
    return write_report([run], run.parent / "one.html")


@contextmanager
def opened(browser: Any, path: Path, **options: Any) -> Iterator[tuple[Any, list[str], list[str]]]:
    """A page with what it asked for beside its own file, and what it complained of."""
    asked: list[str] = []
    complaints: list[str] = []
    context = browser.new_context(**options)
    page = context.new_page()
    inside = ("data:", "blob:")
    page.on("request", lambda r: None if r.url.startswith(inside) else asked.append(r.url))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: complaints.append(said.text))
    page.goto(path.as_uri())
    try:
        yield page, asked, complaints
    finally:
        context.close()


def test_it_asks_for_nothing_and_complains_of_nothing(browser: Any, report: Path) -> None:
    with opened(browser, report) as (page, asked, complaints):
        page.wait_for_selector("body[data-ready='1']")
        assert asked == [report.as_uri()]
        assert complaints == []


def test_shown_numbers_are_those_of_the_result(browser: Any, run: Path, report: Path) -> None:
    result = json.loads((run / "result.json").read_text())
    with opened(browser, report) as (page, _, _):
        for entry in result["models"].values():
            assert page.get_by_text(f"{entry['accuracy']:.3f}", exact=True).count() > 0
        cards = page.locator(".card b").all_inner_texts()
        shown = [f"{entry['accuracy']:.3f}" for entry in result["models"].values()]
        assert cards[: len(shown)] == shown
        with page.expect_download() as download:
            page.get_by_role("link", name="result.json").click()
        assert json.loads(Path(download.value.path()).read_text()) == result
        assert download.value.suggested_filename == f"{result['name']}.json"


def test_tab_reaches_every_control(browser: Any, report: Path) -> None:
    with opened(browser, report) as (page, _, _):
        controls = "a[href], summary, input, button"
        visible = page.locator(controls).evaluate_all(
            "all => all.filter(e => e.checkVisibility()).map((e, i) => (e.dataset.number = i))"
        )
        # A group of radio buttons is one stop, at the one that is chosen.
        stops = page.locator(controls).evaluate_all(
            "all => all.filter(e => e.checkVisibility() && (e.type !== 'radio' || e.checked))"
            ".map(e => e.dataset.number)"
        )
        assert len(visible) > len(stops) > 5
        reached = []
        for _ in stops:
            page.keyboard.press("Tab")
            reached.append(page.evaluate("document.activeElement.dataset.number"))
        assert reached == stops


def test_arrow_keys_move_the_cursor(browser: Any, report: Path) -> None:
    with opened(browser, report) as (page, _, _):
        slider = page.locator("#time-1")
        said = page.locator("output[for='time-1']")
        assert said.inner_text().startswith("0 ms: event camera ")
        slider.focus()
        for _ in range(3):
            page.keyboard.press("ArrowRight")
        assert said.inner_text().startswith("3 ms: ")
        assert page.locator("svg.raster .cursor").get_attribute("transform") != "translate(0.0 0)"
        page.locator("svg.raster").hover(position={"x": 500, "y": 60})
        assert not said.inner_text().startswith("3 ms: ")


def test_the_cursor_tells_the_rate_of_its_step(browser: Any, run: Path, report: Path) -> None:
    import numpy as np

    with np.load(run / "raster.npz") as raster:
        times_ms, bin_ms = raster["vision_t_ms"], float(raster["dt_ms"])
    with opened(browser, report) as (page, _, _):
        page.locator("#time-1").fill("90")
        at = int(90 // bin_ms)
        n_events = int(((times_ms >= at * bin_ms) & (times_ms < (at + 1) * bin_ms)).sum())
        rate = f"{round(n_events / (bin_ms / 1e3)):,}"
        assert f"90 ms: event camera {rate}/s" in page.locator("output[for='time-1']").inner_text()


def test_arrow_keys_go_along_the_points_of_the_front(browser: Any, report: Path) -> None:
    with opened(browser, report) as (page, _, _):
        page.locator("#point-1").focus()
        said = page.locator("output[for='point-1']")
        first = said.inner_text()
        page.keyboard.press("ArrowRight")
        assert "accuracy 0." in first
        assert said.inner_text() != first


def test_the_axis_of_the_waterfall_is_a_choice_without_scripts(browser: Any, report: Path) -> None:
    with opened(browser, report, java_script_enabled=False) as (page, _, _):
        linear = page.locator("svg[aria-label^='Energy waterfall']").first
        log = page.locator("svg[aria-label^='Energy by path and kind']").first
        assert (linear.is_visible(), log.is_visible()) == (True, False)
        page.get_by_label("logarithmic axis").first.check()
        assert (linear.is_visible(), log.is_visible()) == (False, True)


def test_without_scripts_tables_and_pictures_are_there(browser: Any, report: Path) -> None:
    with opened(browser, report, java_script_enabled=False) as (page, _, _):
        assert page.get_by_role("cell", name="SNN fusion").first.is_visible()
        assert page.locator("svg.raster").is_visible()
        assert page.locator("svg.raster .spikes").count() > 2
        assert not page.locator("#time-1").is_visible()
        link = page.get_by_role("link", name="result.json, packed")
        assert str(link.get_attribute("href")).startswith("data:application/gzip")


@pytest.mark.parametrize(("scheme", "dark"), [("light", False), ("dark", True)])
def test_the_page_follows_the_colour_scheme(
    browser: Any, report: Path, scheme: str, dark: bool
) -> None:
    with opened(browser, report, color_scheme=scheme) as (page, _, _):
        style = "getComputedStyle(document.body)"
        ground = page.evaluate(f"{style}.backgroundColor.match(/\\d+/g).map(Number)")
        text = page.evaluate(f"{style}.color.match(/\\d+/g).map(Number)")
        assert (sum(ground) < sum(text)) is dark
        label = page.locator("svg .label").first
        assert label.evaluate("e => getComputedStyle(e).fill") == page.evaluate(f"{style}.color")


@pytest.mark.parametrize("width", [400, 1200])
def test_the_page_itself_never_scrolls_sideways(browser: Any, report: Path, width: int) -> None:
    with opened(browser, report, viewport={"width": width, "height": 800}) as (page, _, _):
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_print_is_light_and_unfolds_what_is_folded(browser: Any, report: Path) -> None:
    with opened(browser, report, color_scheme="dark") as (page, _, _):
        page.emulate_media(media="print")
        assert page.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
        page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
        assert page.locator("details:not([open])").count() == 0
        page.evaluate("window.dispatchEvent(new Event('afterprint'))")
        assert page.locator("details[open]").count() == 0


def test_many_spikes_are_drawn_on_a_canvas(
    browser: Any, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from analysis.report import raster_svg

    monkeypatch.setattr(raster_svg, "MOST_SVG_SPIKES", 10)
    report = write_report([run], run.parent / "canvas.html")
    drawn = (
        "canvas => canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height)"
        ".data.filter((v, i) => i % 4 === 3 && v > 0).length"
    )
    with opened(browser, report) as (page, _, complaints):
        assert page.locator("canvas").evaluate(drawn) > 1000
        assert page.locator(".raster .spikes").count() == 0
        assert complaints == []


def test_thirty_runs_open_in_time(browser: Any, run: Path, tmp_path: Path) -> None:
    result = json.loads((run / "result.json").read_text())
    runs: list[Path] = []
    for i in range(N_RUNS):
        changed = copy.deepcopy(result)
        for entry in changed["models"].values():
            entry["accuracy"] = min(1.0, entry["accuracy"] + 0.01 * i)
            for estimate in entry["energy"].values():
                if estimate["dynamic_pj"] is not None:
                    estimate["dynamic_pj"] *= 1.0 + 0.02 * i
        folder = tmp_path / f"run-{i:02}"
        shutil.copytree(run, folder, ignore=shutil.ignore_patterns("checkpoints", "*.html"))
        (folder / "result.json").write_text(json.dumps(changed))
        settings = (folder / "config.toml").read_text()
        assert "seeds" in settings
        (folder / "config.toml").write_text(f"trial = {i}\n{settings}")
        runs.append(folder)
    report = write_report(runs, tmp_path / "all.html")
    assert report.stat().st_size < 1_000_000
    context = browser.new_context()
    page = context.new_page()
    started = time.perf_counter()
    page.goto(report.as_uri(), wait_until="load")
    page.wait_for_selector("body[data-ready='1']")
    spent_s = time.perf_counter() - started
    print(f"{N_RUNS} runs, {report.stat().st_size / 1e3:.0f} kB: open after {spent_s:.2f} s")
    rows = page.locator(".sortable tbody tr")
    assert rows.count() == N_RUNS * len(result["models"])
    page.get_by_role("button", name="accuracy", exact=True).click()
    column = [float(t) for t in page.locator(".sortable td:nth-child(3)").all_inner_texts()]
    assert column == sorted(column, reverse=True)
    page.locator("#point-1").focus()
    assert "trial = " in page.locator("output[for='point-1']").inner_text()
    context.close()
    assert spent_s < OPENS_WITHIN_S
