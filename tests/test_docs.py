"""What the documents name exists: links, pictures, modules, commands, options, recipes, keys."""

import ast
import re
import shlex
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.core import TyperGroup

from experiments.cli import app
from experiments.config import load_config, recipe_names
from spikefuse.errors import ConfigError

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
SOURCES = [p for top in ("experiments", "sensors") for p in sorted((ROOT / top).rglob("*.py"))]
# Options of other programs (torchrun, tensorboard), and the one that typer adds.
OTHERS_OPTIONS = {"--standalone", "--nproc-per-node", "--logdir", "--help"}

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))


def _anchors(page: Path) -> set[str]:
    """Names that a heading can be linked by."""
    heads = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.strip().lower()).replace(" ", "-") for h in heads}


def broken_links(page: Path) -> list[str]:
    """Relative targets of links and pictures that are not there, headings included."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = page.parent / name if name else page
        missing = not file.exists() or (anchor and anchor not in _anchors(file))
        broken += [target] if missing else []
    return broken


def code_pieces(text: str) -> Iterator[str]:
    """Lines of code blocks, with their continuations, and code spans."""
    text = re.sub(r"\\\n\s*", " ", text)
    for block in re.findall(r"```.*?\n(.*?)```", text, flags=re.DOTALL):
        yield from block.splitlines()
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    yield from re.findall(r"^ {4,}(\S.*)$", prose, flags=re.MULTILINE)
    for span in re.findall(r"`([^`]+)`", prose):
        yield " ".join(span.split())


def commands(text: str) -> Iterator[list[str]]:
    """Words of every call of ours: of spikefuse, of a module of Python."""
    for piece in code_pieces(text):
        for part in re.split(r"&&|\|", piece):
            try:
                words = shlex.split(part, comments=True)
            except ValueError:  # not a command
                continue
            while words and re.fullmatch(r"[A-Z_]+=\S+", words[0]):
                words = words[1:]
            if words and re.fullmatch(r"(.*/)?(spikefuse|python3?|torchrun)", words[0]):
                yield words


def faults(words: list[str]) -> list[str]:
    """What a call names that is not there."""
    if words[0].endswith("spikefuse"):
        return _cli_faults(words[1:])
    if "-m" not in words:
        return []
    module, rest = words[words.index("-m") + 1], words[words.index("-m") + 2 :]
    if module in ("venv", "pip", "pytest", "experiments.studies.NAME"):
        return []
    if module == "experiments":
        return _cli_faults(rest)
    return _module_faults(module, rest)


@cache
def cli() -> TyperGroup:
    """The command line, as it was declared."""
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    return group


def _cli_faults(words: list[str]) -> list[str]:
    command: Any = cli()
    while isinstance(command, TyperGroup) and words and not words[0].startswith("-"):
        if words[0] not in command.commands:
            return [words[0]]
        command, words = command.commands[words[0]], words[1:]
    known = {o for p in command.params for o in (*p.opts, *p.secondary_opts)} | {"--help"}
    wrong = [w for w in words if w.startswith("--") and w.split("=")[0] not in known]
    return wrong + _config_faults(words)


def _config_faults(words: list[str]) -> list[str]:
    """Recipes and keys that are not there; values are not looked at."""
    wrong = []
    for option, value in pairwise(words):
        if option == "--config" and re.fullmatch(r"[a-z_0-9]+", value):
            wrong += [value] if value not in recipe_names() else []
        if option in ("--set", "--over") and "=" in value and not value.startswith("a.b="):
            wrong += [] if _known_key(value.split("=")[0]) else [value]
    return wrong


@cache
def _known_key(key: str) -> bool:
    try:
        load_config("demo", [f"{key}=?"])
    except ConfigError as error:
        return "unknown config key" not in str(error)
    return True


def _module_faults(module: str, words: list[str]) -> list[str]:
    try:
        spec = find_spec(module)
        if spec is not None and spec.submodule_search_locations:
            spec = find_spec(f"{module}.__main__")
    except ModuleNotFoundError:
        spec = None
    if spec is None or spec.origin is None:
        return [module]
    source = Path(spec.origin).read_text(encoding="utf-8")
    wrong = [] if '__name__ == "__main__"' in source else [f"{module} does not run"]
    parameters = {a.arg for f in ast.walk(ast.parse(source)) for a in _arguments(f)}
    for word in words:
        named = f'"{word}"' in source or word[2:].replace("-", "_") in parameters
        wrong += [word] if word.startswith("--") and not named else []
    return wrong


def _arguments(node: ast.AST) -> list[ast.arg]:
    return [*node.args.args, *node.args.kwonlyargs] if isinstance(node, ast.FunctionDef) else []


@cache
def all_options() -> frozenset[str]:
    """Options of every command and module, and those of tests."""
    text = "".join(p.read_text(encoding="utf-8") for p in (*SOURCES, ROOT / "tests/conftest.py"))
    return frozenset(re.findall(r'["/](--[a-z][a-z-]+)(?=["/])', text)) | OTHERS_OPTIONS


@every_page
def test_links_and_pictures_exist(page: Path) -> None:
    assert broken_links(page) == []


@every_page
def test_commands_name_what_exists(page: Path) -> None:
    wrong = {" ".join(w): f for w in commands(page.read_text(encoding="utf-8")) if (f := faults(w))}
    assert wrong == {}


@every_page
def test_options_named_in_passing_exist(page: Path) -> None:
    pieces = "\n".join(code_pieces(page.read_text(encoding="utf-8")))
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", pieces))
    assert named - all_options() == set()


@every_page
def test_files_of_the_checkout_exist(page: Path) -> None:
    tops = "analysis|docs|experiments|sensors|spikefuse|tests"
    named = re.findall(rf"`((?:{tops})/[\w./]+)`", page.read_text(encoding="utf-8"))
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_readme_lists_every_command() -> None:
    listed = (ROOT / "README.md").read_text(encoding="utf-8").split("## Commands")[1]
    named = set(re.findall(r"`(\w+)`", listed.split(";")[0]))
    assert named == set(cli().commands)


@pytest.mark.parametrize(
    ("call", "fault"),
    [
        ("spikefuse trian --config demo", ["trian"]),
        ("spikefuse train --confg demo", ["--confg"]),
        ("spikefuse train --config demmo", ["demmo"]),
        ("spikefuse train --set model.fusoin=late", ["model.fusoin=late"]),
        ("spikefuse bench kernals", ["kernals"]),
        ("python -m experiments.studies.nowhere", ["experiments.studies.nowhere"]),
        ("python -m experiments.studies.necessity --jsno F", ["--jsno"]),
        ("torchrun -m experiments train --resum RUN", ["--resum"]),
    ],
)
def test_a_wrong_name_is_found(call: str, fault: list[str]) -> None:
    (words,) = commands(f"```\nA=1 {call} \\\n   # why\n```")
    assert faults(words) == fault


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# One head\n[a](#one-head) [b](#two) [c](no.md) [d](https://x.org)")
    assert broken_links(page) == ["#two", "no.md"]
