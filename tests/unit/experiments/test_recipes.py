"""Heads of recipes: what each must say, and how it is read."""

import pytest

from experiments.commands.recipe_tables import recipe_tables
from experiments.config import load_config, recipe_names, recipe_text
from experiments.config_recipes import FIELDS, parse_head, recipe_heads
from experiments.sweeps.grid import parse_axis, plan_sweep
from spikefuse.errors import ConfigError
from spikefuse.fusion import OPERATORS

HEAD = """# A title
# of two lines.
# Data: made up.
# Split: none.
# Seeds: one.
# Time: a minute: measured.
# Shows: how a head
#   Needs: more lines.
# Needs: nothing.
name = "x"
# Data: not of the head.
"""


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_says_all_five_and_loads_under_its_own_name(name: str) -> None:
    head = parse_head(name, recipe_text(name))
    assert all(len(getattr(head, field.lower())) > 4 for field in FIELDS)
    assert head.title.endswith(".") or head.title.endswith("?")
    assert load_config(name).name == name


def test_a_head_ends_with_its_comment_and_joins_indented_lines() -> None:
    head = parse_head("x", HEAD)
    assert head.title == "A title of two lines."
    assert head.data == "made up."
    assert head.time == "a minute: measured."
    assert head.shows == "how a head Needs: more lines."
    assert head.needs == "nothing."


@pytest.mark.parametrize("field", FIELDS)
def test_a_head_without_one_of_them_is_refused(field: str) -> None:
    text = "".join(f"{x}\n" for x in HEAD.splitlines()[:-2] if not x.startswith(f"# {field}: "))
    with pytest.raises(ConfigError, match=f"recipe x must say {field} in its head"):
        parse_head("x", text)


def test_recipes_of_data_that_must_be_fetched_say_what_they_need() -> None:
    for head in recipe_heads():
        fetched = load_config(head.name).data.source in ("sets", "nmnist_fsdd")
        assert bool(head.needs) == fetched, head.name


def test_the_operator_recipe_sweeps_every_operator() -> None:
    over = load_config("operators").over
    points = plan_sweep("operators", [], [parse_axis(text) for text in over])
    assert {config.model.fusion for _, config in points.values()} == set(OPERATORS)


def test_the_table_has_a_row_for_each_recipe() -> None:
    rows = recipe_tables(recipe_heads())["recipes"].splitlines()[2:]
    assert [row.split("|")[1].strip() for row in rows] == [f"`{name}`" for name in recipe_names()]
