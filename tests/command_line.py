"""The command line in this process."""

import sys

from experiments.cli import main


def spikefuse(*arguments: object) -> int:
    """Run ``spikefuse`` with these arguments; its exit code."""
    argv = sys.argv
    sys.argv = ["spikefuse", *map(str, arguments)]
    try:
        main()
    except SystemExit as leave:
        return int(leave.code or 0)
    finally:
        sys.argv = argv
    return 0
