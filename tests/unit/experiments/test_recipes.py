"""Heads of recipes: what each must say, and how it is read."""

from pathlib import Path

import pytest
from unit.analysis.conftest import make_result, write_run

from analysis.naming import format_pj
from experiments.commands.recipe_tables import operators_table, recipe_tables
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


def test_operators_of_a_sweep_stand_by_falling_accuracy(tmp_path: Path) -> None:
    for operator, accuracy in (("concat", 0.8), ("coincidence", 0.9)):
        result = make_result()
        result["data"]["ideal"] = {"accuracy": 0.95, "interval": [0.9, 0.99], "additive": 0.5}
        result["models"]["snn"] |= {"accuracy": accuracy, "accuracy_by_seed": [accuracy] * 2}
        run = write_run(tmp_path / operator, result)
        (run / "config.toml").write_text(f'name = "{operator}"\n[model]\nfusion = "{operator}"\n')
    rows = [line.split(" | ") for line in operators_table(tmp_path).splitlines()[2:]]
    assert [row[0].strip("| ") for row in rows] == [
        "`coincidence`", "`concat`", "ideal observer", "additive observer"
    ]  # fmt: skip
    energy = make_result()["models"]["snn"]["energy"]["horowitz_45nm_fp32"]["dynamic_pj"]
    assert rows[0][2:4] == ["0.900 0.900", format_pj(energy)]
    (tmp_path / "concat" / "config.toml").write_text('name = "c"\n[train]\nepochs = 3\n')
    with pytest.raises(ConfigError, match=r"--sweep must be .* 2 runs .* 'train.epochs'"):
        operators_table(tmp_path)
