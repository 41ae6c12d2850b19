"""Tables between marks: placed whole, and a page without its marks is refused."""

from pathlib import Path

import pytest

from experiments.commands.listing import constants_table
from spikefuse.errors import ConfigError
from spikefuse.pages import markdown_table, placed, write_tables


def test_only_what_stands_between_the_marks_changes() -> None:
    page = "a\n<!-- t -->\nold\n<!-- /t -->\nb <!-- u --><!-- /u -->"
    assert placed(page, {"t": "new"}) == page.replace("old", "new")
    assert placed(placed(page, {"t": "x"}), {"t": "old"}) == page


def test_a_page_without_a_mark_is_refused_and_stays(tmp_path) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- t -->")
    with pytest.raises(ConfigError, match="page must hold <!-- t --> and <!-- /t -->"):
        write_tables(page, {"t": "x"})
    assert page.read_text() == "<!-- t -->"


def test_a_page_that_is_not_there_is_named(tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"page must be a file .* got .*nowhere"):
        write_tables(tmp_path / "nowhere.md", {"t": "x"})


def test_a_bar_in_a_cell_does_not_break_the_row() -> None:
    assert markdown_table(["a"], [["x|y"]]) == "| a |\n|---|\n| x\\|y |"


def test_the_page_on_energy_holds_every_shipped_constant() -> None:
    page = (Path(__file__).parents[2] / "docs" / "energy.md").read_text(encoding="utf-8")
    assert placed(page, {"constants": constants_table()}) == page, (
        "run: spikefuse profiles --document docs/energy.md"
    )
