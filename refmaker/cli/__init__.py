"""The command line: ``refmaker VERB ...``, a module a verb.

Nothing here knows formats or encodings: a verb checks its options, calls the library, prints what came of it and
returns an exit code. Starting costs click and nothing else; verbs import the library when they run.
"""

from refmaker.cli.commands import main, run

__all__ = ["main", "run"]
