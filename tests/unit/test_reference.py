"""The API reference: every public name is documented, references lead somewhere."""

import re
from pathlib import Path

import pytest

griffe = pytest.importorskip("griffe", reason="griffe is in the extra [docs]")

from experiments.reference import (  # noqa: E402
    Entry,
    broken_references,
    load_packages,
    public_names,
    write_reference,
)

# Up to so many arguments a sentence may say what they are.
FEW = 4


@pytest.fixture(scope="module")
def roots():
    return load_packages()


@pytest.fixture(scope="module")
def pages(roots) -> dict[str, list[Entry]]:
    return public_names(roots)


def test_public_names_are_those_that_packages_export(pages) -> None:
    assert {e.name for e in pages["spikefuse"]} >= {"EventStream", "SpikeBatch", "bin_events"}
    assert {e.name for e in pages["spikefuse.fusion"]} >= {"build", "ConcatFusion"}
    assert {"draw_raster", "draw_delays"} <= {e.name for e in pages["analysis.figures"]}
    assert "Cochlea" in {e.name for e in pages["sensors"]}  # its package exports nothing itself
    assert not any(name.startswith("spikefuse.kernels.") for name in pages)


def test_every_public_name_has_a_docstring(pages) -> None:
    bare = [e.item.path for entries in pages.values() for e in entries if e.item.docstring is None]
    assert bare == []


def test_many_arguments_are_all_explained(pages) -> None:
    silent = {}
    for entry in (e for entries in pages.values() for e in entries):
        names = [p.name.lstrip("*") for p in entry.item.parameters if p.name not in ("self", "cls")]
        text = entry.item.docstring.value
        missing = [name for name in names if not re.search(rf"\b{name}\b", text)]
        if len(names) > FEW and missing and "As of" not in text:
            silent[entry.item.path] = missing
    assert silent == {}


def test_references_lead_somewhere(roots, pages) -> None:
    assert broken_references(roots, pages) == []


def test_a_broken_reference_is_found(tmp_path: Path) -> None:
    package = tmp_path / "planted"
    package.mkdir()
    (package / "__init__.py").write_text('"""A package."""\n')
    (package / "one.py").write_text(
        'def used(n):\n    """Of ``foreign``, `n` and `other`."""\n\n\ndef other():\n'
        '    """See `used` and `gone`."""\n'
    )
    roots = {"planted": griffe.load("planted", search_paths=[str(tmp_path)])}
    assert broken_references(roots, public_names(roots)) == ["planted.one.other: `gone`"]


def test_pages_hold_signatures_formulas_and_links(tmp_path: Path) -> None:
    written = write_reference(tmp_path)
    page = (tmp_path / "spikefuse.fusion.md").read_text()
    assert "## `ConcatFusion`" in page
    assert "**Parameters**" in page
    assert "```math" in page
    assert written[-1] == tmp_path / "README.md"
    for path in written:
        for target in re.findall(r"\]\(([\w.]+\.md)(?:#\w+)?\)", path.read_text()):
            assert (tmp_path / target).is_file()
