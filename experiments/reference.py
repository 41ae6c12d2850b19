"""``python -m experiments.reference FOLDER``: the API reference, from docstrings alone.

A page per package lists what its ``__init__`` exports; of a package that exports nothing, every
public name of its modules. Names between single backticks must exist, else nothing is written.
"""

from __future__ import annotations

import argparse
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.files import write_text
from spikefuse.errors import ConfigError

if TYPE_CHECKING:
    import griffe

ROOTS = ("spikefuse", "sensors", "analysis")
# Reached through the registry only; docs/cuda.md and ARCHITECTURE.md say how.
_INNER = ("spikefuse.kernels.cpu", "spikefuse.kernels.gpu")
_REFERENCE = re.compile(r"(?<![`\w:])`([A-Za-z_][\w.]*)`(?!`)")
_LITERAL = re.compile(r"(?<!`)``([^`]+)``(?!`)")
_MATH_BLOCK = re.compile(r"^( *)\.\. math::[ ]*(.*(?:\n(?:\1 +.*|[ ]*(?=\n\1 )))*)", re.MULTILINE)


@dataclass(frozen=True, eq=False)
class Entry:
    """A public name.

    Parameters
    ----------
    name : str
        As it is imported from ``package``.
    package : str
    item : griffe.Object
        A function or class.
    """

    name: str
    package: str
    item: Any


def load_packages() -> dict[str, griffe.Module]:
    """The packages, read and not imported.

    Raises
    ------
    ConfigError
        If griffe is not installed.
    """
    try:
        import griffe
    except ImportError as error:
        raise ConfigError(
            "griffe must be installed for the API reference, got none: pip install '.[docs]'"
        ) from error
    here = str(Path(__file__).resolve().parents[1])
    found: dict[str, griffe.Module] = {}
    for root in ROOTS:
        module = griffe.load(root, docstring_parser="numpy", search_paths=[here])
        if not isinstance(module, griffe.Module):
            raise ConfigError(f"{root} must be a package, got {type(module).__name__}")
        found[root] = module
    return found


def public_names(roots: Mapping[str, griffe.Module]) -> dict[str, list[Entry]]:
    """Functions and classes by package, each package's in alphabetical order."""
    pages: dict[str, list[Entry]] = {}
    for root in roots.values():
        for package in _packages(root):
            entries = {e.name: e for e in _exported(package, roots)}
            for entry in () if entries else _of_modules(package):
                entries.setdefault(entry.name, entry)
            if entries:
                ordered = sorted(entries.values(), key=lambda e: (e.name.lower(), e.name))
                pages[package.path] = ordered
    return pages


def broken_references(
    roots: Mapping[str, griffe.Module], pages: Mapping[str, Sequence[Entry]]
) -> list[str]:
    """One line for each single-backticked name in a public docstring that is nowhere."""
    known = _every_name(roots)
    broken: list[str] = []
    for entries in pages.values():
        for entry in entries:
            parameters = {p.name for p in getattr(entry.item, "parameters", ())}
            own = known | parameters
            for text in (_docstring(entry.item), *(_docstring(m) for m in _methods(entry.item))):
                broken += [
                    f"{entry.item.path}: `{name}`"
                    for name in _REFERENCE.findall(text)
                    if name not in own
                ]
    return sorted(set(broken))


def write_reference(folder: Path) -> list[Path]:
    """Write a page per package and an index, ``README.md``.

    Parameters
    ----------
    folder : Path

    Returns
    -------
    list of Path
        The pages, the index last.

    Raises
    ------
    ConfigError
        If griffe is missing or a docstring refers to what does not exist.
    """
    roots = load_packages()
    pages = public_names(roots)
    broken = broken_references(roots, pages)
    if broken:
        raise ConfigError(f"references must exist, got {len(broken)} broken: {'; '.join(broken)}")
    where = {e.name: package for package, entries in pages.items() for e in entries}
    written: list[Path] = []
    for package, entries in pages.items():
        path = folder / f"{package}.md"
        body = "\n\n".join(_entry(entry, where) for entry in entries)
        root, _, below = package.partition(".")
        about = _marked_up(_docstring(roots[root][below] if below else roots[root]), package, where)
        title = f"# `{package}`"
        write_text(path, f"{title}\n\n[All packages](README.md)\n\n{about}\n\n{body}\n")
        written.append(path)
    index = ["# API reference", "", "Written by `python -m experiments.reference docs/api`.", ""]
    for package, entries in pages.items():
        names = ", ".join(f"[`{e.name}`]({package}.md#{e.name.lower()})" for e in entries)
        index += [f"- [`{package}`]({package}.md): {names}"]
    write_text(folder / "README.md", "\n".join(index) + "\n")
    return [*written, folder / "README.md"]


def _packages(module: griffe.Module) -> Iterator[griffe.Module]:
    """A package and those below it, from the top."""
    if module.path in _INNER or module.name.startswith("_"):
        return
    if module.is_package or module.is_subpackage:
        yield module
    for child in module.modules.values():
        if not child.is_alias and (child.is_package or child.is_subpackage):
            yield from _packages(child)


def _exported(package: griffe.Module, roots: Mapping[str, griffe.Module]) -> Iterator[Entry]:
    """What the package's own file imports from the packages for others to use."""
    for name, target in package.imports.items():
        root, _, rest = target.partition(".")
        if root not in roots or name.startswith("_") or not rest:
            continue
        item = roots[root][rest]
        if item.is_function or item.is_class:
            yield Entry(name, package.path, item)


def _of_modules(package: griffe.Module) -> Iterator[Entry]:
    """Public functions and classes of the package's modules."""
    for module in package.modules.values():
        if module.name.startswith("_") or module.is_package or module.is_subpackage:
            continue
        for name, item in module.members.items():
            if not (name.startswith("_") or item.is_alias) and (item.is_function or item.is_class):
                yield Entry(name, package.path, item)


def _every_name(roots: Mapping[str, griffe.Module]) -> set[str]:
    """Every end of every dotted path: ``c``, ``b.c`` and ``a.b.c``."""
    known: set[str] = set()

    def walk(item: Any) -> None:
        parts = item.path.split(".")
        known.update(".".join(parts[i:]) for i in range(len(parts)))
        for name, member in item.members.items():
            if member.is_alias:
                known.add(f"{item.path}.{name}")
            else:
                walk(member)

    for root in roots.values():
        walk(root)
    return known


def _docstring(item: Any) -> str:
    """Text of a docstring, empty without."""
    return "" if item.docstring is None else str(item.docstring.value)


def _methods(item: Any) -> list[Any]:
    """Public documented methods of a class, in the order of its file."""
    if not item.is_class:
        return []
    return [
        member
        for name, member in item.members.items()
        if not (name.startswith("_") or member.is_alias) and member.docstring is not None
    ]


def _entry(entry: Entry, where: Mapping[str, str]) -> str:
    """One name: how it is called, where it is, what its docstring says."""
    item = entry.item
    source = f"{item.module.path.replace('.', '/')}.py"
    if item.module.is_package or item.module.is_subpackage:
        source = f"{item.module.path.replace('.', '/')}/__init__.py"
    parts = [
        f"## `{entry.name}`",
        f"```python\n{'class ' if item.is_class else ''}{_call(entry.name, item)}\n```",
        f"[{source}](../../{source})",
        _marked_up(_docstring(item), entry.package, where),
    ]
    for method in _methods(item):
        call = _call(method.name, method) if method.is_function else method.name
        text = textwrap.indent(_marked_up(_docstring(method), entry.package, where), "  ").strip()
        parts.append(f"- **`{call}`** {text}")
    return "\n\n".join(part for part in parts if part)


def _call(name: str, item: Any) -> str:
    """Name with arguments and defaults, without types: the docstring has them."""
    shown: list[str] = []
    starred = False
    for parameter in getattr(item, "parameters", ()):
        if parameter.name in ("self", "cls"):
            continue
        kind = parameter.kind.value if parameter.kind is not None else ""
        if kind == "variadic positional":
            starred = True
            shown.append(f"*{parameter.name.lstrip('*')}")
        elif kind == "variadic keyword":
            shown.append(f"**{parameter.name.lstrip('*')}")
        else:
            if kind == "keyword-only" and not starred:
                shown.append("*")
                starred = True
            default = "" if parameter.default is None else f"={parameter.default}"
            shown.append(f"{parameter.name}{default}")
    return f"{name}({', '.join(shown)})"


def _marked_up(text: str, package: str, where: Mapping[str, str]) -> str:
    """A NumPy docstring as Markdown: sections in bold, items as a list, formulas, links."""
    text = _MATH_BLOCK.sub(
        lambda m: "\n```math\n" + textwrap.dedent("     " + m[2]).strip() + "\n```\n", text
    )
    text = re.sub(r":math:`([^`]*)`", r"$\1$", text)
    text = re.sub(r"^([A-Z][A-Za-z ]+)\n-{3,}$", r"**\1**\n", text, flags=re.MULTILINE)
    lines: list[str] = []
    section, fenced = "", False
    for line in text.splitlines():
        fenced ^= line.startswith("```")
        title = re.fullmatch(r"\*\*([A-Z][A-Za-z ]+)\*\*", line)
        section = title[1] if title else section
        listed = section in ("Parameters", "Returns", "Attributes", "Raises", "Yields")
        if listed and not fenced and line and not title and not line.startswith((" ", "`", "\\")):
            name, colon, kind = line.partition(" : ")
            plain = f"- `{line}`" if section in ("Parameters", "Attributes") else f"- *{line}*"
            line = f"- `{name}`: *{kind}*" if colon else plain
        lines.append(line)

    def link(match: re.Match[str]) -> str:
        name = match[1]
        if name not in where:
            return match[0]
        page = "" if where[name] == package else f"{where[name]}.md"
        return f"[`{name}`]({page}#{name.lower()})"

    linked = _REFERENCE.sub(link, "\n".join(lines))
    return _LITERAL.sub(r"`\1`", linked).strip()


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the reference into a folder."""
    parser = argparse.ArgumentParser(prog="python -m experiments.reference", description=__doc__)
    parser.add_argument("folder", type=Path)
    written = write_reference(parser.parse_args(arguments).folder)
    print(f"{written[-1]}: {len(written) - 1} packages")


if __name__ == "__main__":
    main()
