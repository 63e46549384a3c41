"""Text for people and for ``grep``: quantities, columns, names made safe. Lines are never wrapped."""

import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

__all__ = ["aligned", "bytes_text", "counted", "followed", "shown"]

T = TypeVar("T")
R = TypeVar("R")

WIDEST = 60
"""A cell longer than this pushes its own row aside, not every row."""


def shown(text: str) -> str:
    """Return ``text`` on one line: names in a file may hold line breaks, escape sequences and half characters."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def bytes_text(count: int) -> str:
    """Return a number of bytes with three digits and a decimal unit."""
    if count < 1000:
        return f"{count} B"
    value = float(count)
    for unit in ("kB", "MB", "GB", "TB", "PB"):
        value /= 1000
        if value < 999.5:
            return f"{value:.{2 if value < 9.995 else 1 if value < 99.95 else 0}f} {unit}"
    return f"{value / 1000:.0f} EB"


def counted(count: int, noun: str) -> str:
    """Return ``"1 file"``, ``"2 files"``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def aligned(rows: Sequence[Sequence[str]], sides: str) -> list[str]:
    """Return rows of cells as lines in columns, ``sides`` saying to which side (``<``, ``>``) each leans."""
    widths = [
        max((len(cell) for cell in column if len(cell) <= WIDEST), default=0) for column in zip(*rows, strict=True)
    ]
    return [
        "  ".join(f"{cell:{side}{width}}" for cell, side, width in zip(row, sides, widths, strict=True)).rstrip()
        for row in rows
    ]


def followed(items: Sequence[T], work: Callable[[T], R], label: Callable[[T], str]) -> list[R]:
    """Return ``work`` of every item; when there are several and stderr is a terminal, behind a progress bar."""
    if len(items) < 2 or not sys.stderr.isatty():
        return [work(item) for item in items]
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        return list(_advancing(items, work, label, progress.update, progress.add_task("", total=len(items))))


def _advancing(
    items: Sequence[T], work: Callable[[T], R], label: Callable[[T], str], update: Callable[..., None], task: object
) -> Iterable[R]:
    for item in items:
        update(task, description=shown(label(item)))
        yield work(item)
        update(task, advance=1)
