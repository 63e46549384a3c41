"""Notes of scans and combinations, for people: counted, listed when asked for; some are told in any case."""

from collections.abc import Iterator, Sequence

import click

from refmaker.cli.text import counted, shown
from refmaker.model.reference_set import Note

__all__ = ["note_lines", "warn"]

WARNINGS = frozenset({"no-ranges"})
"""Codes of notes about what readers of the references will trip over."""


def note_lines(notes: Sequence[Note], *, verbose: bool) -> Iterator[str]:
    """Yield how many notes there are, and the notes themselves if they are asked for."""
    if notes:
        yield f"{counted(len(notes), 'note')}{':' if verbose else '; -v lists them'}"
    if verbose:
        yield from ("  " + shown(f"{note.path or '/'}: {note.code}: {note.sentence}") for note in notes)


def warn(name: str, notes: Sequence[Note]) -> None:
    """Print to stderr what of the notes about a file or document is too important to be only counted."""
    for note in notes:
        if note.code in WARNINGS:
            click.echo(f"warning: {shown(f'{name}: {note.sentence}')}", err=True)
