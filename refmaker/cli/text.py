"""Text for people and for ``grep``: quantities, columns, names made safe. Lines are never wrapped."""

import re
from collections.abc import Sequence

__all__ = ["aligned", "bytes_text", "counted", "shown"]

WIDEST = 60
"""A cell longer than this pushes its own row aside, not every row."""


LOCAL = re.compile(r"(?<!:)\bfile://(?=/)")


def shown(text: str) -> str:
    """Return ``text`` on one line: names in a file may hold line breaks, escape sequences and half characters.

    URLs of local files become plain paths, so that a file has one name in all that is printed.
    """
    text = LOCAL.sub("", text)
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
