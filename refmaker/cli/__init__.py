"""The command line: ``refmaker VERB ...``, a module a verb.

Nothing here knows formats or encodings: a verb checks its options, calls the library, prints what came of it and
returns an exit code. Starting costs click and nothing else; verbs import the library when they run.
"""

import sys
from collections.abc import Sequence
from typing import NoReturn

__all__ = ["INTERRUPTED", "main", "run"]

INTERRUPTED = 130
"""What shells report of a program that Ctrl-C ended: 128 + SIGINT."""


def run(arguments: Sequence[str]) -> int:
    """Run the command line and return its exit code; whatever goes wrong is one line on stderr."""
    try:
        from refmaker.cli.commands import run_verb

        return run_verb(arguments)
    except KeyboardInterrupt:  # also while modules are imported
        sys.stderr.write("interrupted\n")
        return INTERRUPTED


def main() -> NoReturn:
    """Run the command line and leave with its exit code."""
    sys.exit(run(sys.argv[1:]))
