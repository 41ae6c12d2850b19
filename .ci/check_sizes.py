#!/usr/bin/env python3
"""Fail when a file is too long to read in one sitting: 400 lines, or 500 for a test.

Usage: check_sizes.py [ROOT], where ROOT defaults to the checkout that holds this file.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

LIMIT_LINES = {
    "spikefuse": 400,
    "sensors": 400,
    "experiments": 400,
    "analysis": 400,
    "tests": 500,
}
SUFFIXES = {".py", ".cu", ".cuh", ".j2", ".js", ".css", ".toml"}


def too_long(root: Path) -> Iterator[str]:
    """One line of text for each file under ``root`` that is over its folder's limit."""
    for folder, limit in LIMIT_LINES.items():
        for path in sorted((root / folder).rglob("*")):
            if path.suffix not in SUFFIXES or not path.is_file():
                continue
            n_lines = len(path.read_text(encoding="utf-8").splitlines())
            if n_lines > limit:
                yield f"{path.relative_to(root)} must have at most {limit} lines, got {n_lines}"


def main() -> int:
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parents[1]
    missing = [folder for folder in LIMIT_LINES if not (root / folder).is_dir()]
    if missing:
        print(f"{root} must hold the folders {list(LIMIT_LINES)}, got none named {missing}")
        return 2
    problems = list(too_long(root))
    print("\n".join(problems) if problems else "every file is within its limit of lines")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
