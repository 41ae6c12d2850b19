"""What a recipe's head comment says: data, split, seeds, time, what it shows."""

from __future__ import annotations

import re
from dataclasses import dataclass

from experiments.config import recipe_names, recipe_text
from spikefuse.errors import ConfigError

FIELDS = ("Data", "Split", "Seeds", "Time", "Shows")
_KEY = re.compile(r"([A-Z][a-z]+): (.*)")


@dataclass(frozen=True)
class RecipeHead:
    """The head comment of a recipe.

    Parameters
    ----------
    name : str
    title : str
        What the recipe is, in a sentence or two.
    data, split, seeds, time, shows : str
        Where recordings come from, how they are split, seeds, time on a CPU (measured, or why
        not), and what a run shows.
    needs : str
        What must be given or fetched; empty where nothing is.
    """

    name: str
    title: str
    data: str
    split: str
    seeds: str
    time: str
    shows: str
    needs: str = ""


def recipe_heads() -> list[RecipeHead]:
    """Heads of all packaged recipes, by name."""
    return [parse_head(name, recipe_text(name)) for name in recipe_names()]


def parse_head(name: str, text: str) -> RecipeHead:
    """The head of a recipe: ``# Key: text`` in the comment it begins with, long ones indented.

    Raises
    ------
    ConfigError
        If one of `FIELDS` is missing or empty.
    """
    found: dict[str, str] = {}
    key = "Title"
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        words = line.removeprefix("#").strip()
        named = _KEY.fullmatch(words) if not line.startswith("#  ") else None
        if named is not None and named[1] in (*FIELDS, "Needs"):
            key, words = named[1], named[2]
        found[key] = f"{found[key]} {words}" if key in found else words
    missing = [field for field in ("Title", *FIELDS) if not found.get(field)]
    if missing:
        raise ConfigError(f"recipe {name} must say {', '.join(missing)} in its head, got {found}")
    return RecipeHead(
        name,
        found["Title"],
        found["Data"],
        found["Split"],
        found["Seeds"],
        found["Time"],
        found["Shows"],
        found.get("Needs", ""),
    )
