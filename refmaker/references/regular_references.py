"""The regular references of a JSON document, ``"path/0.3": ["url", 10, 20],``, as columns, without parsing them.

Nearly all of a large document is such entries. They are found by their quotation marks, in windows of some megabytes,
whatever white space or escaped slashes the writer used. What remains (documents, inlined data, anything odd) is a small
JSON text in which a marker stands for each run of entries that was taken out; the generic parser reads that, and every
marker must turn up among the references, or the whole document goes through the generic parser. An entry is taken only
if it is complete and followed by another one, so the rest is valid JSON exactly if the document is.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from refmaker.errors import BrokenReferencesError
from refmaker.references.text_columns import (
    Bytes,
    Flags,
    Positions,
    interned,
    numbers_after,
    numbers_before,
    spaces_after,
)

__all__ = ["MARKER", "RegularReferences", "decoded", "find_regular"]

MARKER = "\0"
"""How the keys of markers begin: no key of a store has this character."""
WINDOW = 4 << 20
"""Bytes looked at at once: numpy's temporaries stay in the cache."""
REACH = 16 << 10
"""Bytes around an entry's middle in which all of it lies; longer ones are left to the generic parser."""
INDENT = 64
"""Bytes of white space between a key and its URL, at most."""
QUOTE, COLON, COMMA, OPENING, CLOSING, SLASH, ESCAPE = (np.uint8(ord(c)) for c in '":,[]/\\')


@dataclass(frozen=True, slots=True)
class RegularReferences:
    """Entries as columns, one row each, in the order of the document.

    Attributes:
        text: the whole document.
        rest: the document with markers for runs of entries.
        runs: how many markers.
        key_start: where the key begins in ``text``.
        key_end: where it ends.
        prefix: number of what stands before the key's last slash, in ``prefixes``.
        url: number of the URL, in ``urls``.
        offset: as written.
        length: as written.
        prefixes: raw JSON strings by number.
        urls: raw JSON strings by number.
    """

    text: Bytes
    rest: bytes
    runs: int
    key_start: Positions
    key_end: Positions
    prefix: npt.NDArray[np.uint32]
    url: npt.NDArray[np.uint32]
    offset: npt.NDArray[np.uint64]
    length: npt.NDArray[np.uint64]
    prefixes: Sequence[bytes]
    urls: Sequence[bytes]

    def positions(
        self, row: Positions, separator: str, prefix: str, grid_shape: tuple[int, ...]
    ) -> npt.NDArray[np.uint64] | None:
        """Return the C-order positions of chunk keys of the array at ``prefix``, or None if one is no such key.

        Args:
            row: the entries.
            separator: between the indices.
            prefix: the array's path, and what else stands before the indices.
            grid_shape: at least one axis.
        """
        position = np.zeros(row.size, np.uint64)
        at, step = self.key_end[row], 1
        fine = np.ones(row.size, np.bool_)
        for axis in reversed(range(len(grid_shape))):
            value, at, proper = numbers_before(self.text, at)
            fine &= proper & (value < grid_shape[axis])
            position += value * np.uint64(step)
            step *= grid_shape[axis]
            mark = SLASH if axis == 0 or separator == "/" else np.uint8(ord(separator))
            fine &= self.text[at - 1] == mark
            at = at - 1
            if mark == SLASH:
                at = at - (self.text[at - 1] == ESCAPE)
        if not fine.all() or (at < self.key_start[row]).any():
            return None
        found: dict[bytes, int] = {}
        interned(self.text, self.key_start[row], at - self.key_start[row], found)
        return position if all(decoded(name) == prefix for name in found) else None

    def key(self, row: int) -> str:
        """Return a row's key."""
        return decoded(self.text[self.key_start[row] : self.key_end[row]].tobytes())


def decoded(raw: bytes) -> str:
    """Return the text of a JSON string's inside.

    Raises:
        BrokenReferencesError: it is not one.
    """
    try:
        text: str = json.loads(b'"' + raw + b'"')
        text.encode()
    except ValueError as error:
        raise BrokenReferencesError(f"{raw[:100]!r} is not a JSON string: {error}") from error
    return text


def find_regular(data: bytes) -> RegularReferences | None:
    """Return the regular references of a document, or None if it has none."""
    text = np.frombuffer(data, np.uint8)
    prefixes: dict[bytes, int] = {}
    urls: dict[bytes, int] = {}
    parts = []
    for start in range(0, text.size, WINDOW):
        first = max(start - REACH, 0)
        window = np.zeros(min(start + WINDOW + REACH, text.size) - first + 2 * MOST_OVERRUN, np.uint8)
        window[: -2 * MOST_OVERRUN] = text[first : start + WINDOW + REACH]
        found = _entries(window, start - first, start - first + WINDOW, prefixes, urls)
        parts.append([first + column for column in found[:3]] + found[3:])
    start_of, key_end, end, prefix, url, offset, length = (
        np.concatenate(column) for column in zip(*parts, strict=True)
    )
    if not start_of.size:
        return None
    begins = np.ones(start_of.size, np.bool_)
    begins[1:] = start_of[1:] != end[:-1]
    run_start = start_of[begins]
    run_end = end[np.append(np.flatnonzero(begins)[1:] - 1, end.size - 1)]
    if (run_start[1:] < run_end[:-1]).any():
        return None
    return RegularReferences(
        text=text,
        rest=_without(data, run_start, run_end),
        runs=run_start.size,
        key_start=start_of + 1,
        key_end=key_end,
        prefix=prefix,
        url=url,
        offset=offset,
        length=length,
        prefixes=list(prefixes),
        urls=list(urls),
    )


MOST_OVERRUN = 64
"""Bytes after a window's end that a look-ahead may touch: a number, white space and marks."""


def _entries(
    text: Bytes, start: int, stop: int, prefixes: dict[bytes, int], urls: dict[bytes, int]
) -> list[npt.NDArray[np.generic]]:
    """Return the entries whose key ends in [start, stop): key start, key end, end, prefix, url, offset, length."""
    quote = np.flatnonzero(text == QUOTE)
    if quote.size < 5:
        quote = np.zeros(4, np.int64)  # no entry has so few
    key_open, key_close, url_open, url_close, following = (quote[n : quote.size - 4 + n] for n in range(5))
    gap = url_open - key_close
    fine = (gap > 2) & (gap < INDENT) & (text[key_close + 1] == COLON) & (key_close >= start) & (key_close < stop)
    for mark in (key_open, key_close, url_close, following):
        fine &= text[mark - 1] != ESCAPE
    columns: list[Positions] = [c[fine] for c in (key_open, key_close, url_open, url_close, following)]
    key_open, key_close, url_open, url_close, following = columns
    at, fine = _marked(text, key_close + 2, OPENING)
    fine &= at == url_open
    at, there = _marked(text, url_close + 1, COMMA)
    offset, at, proper = numbers_after(text, at)
    at, comma = _marked(text, at, COMMA)
    length, at, proper_too = numbers_after(text, at)
    at, closing = _marked(text, at, CLOSING)
    at, last = _marked(text, at, COMMA)
    fine &= there & proper & comma & proper_too & closing & last & (at == following)
    slash, has_slash = _last_slash(text, key_open, key_close)
    row = np.flatnonzero(fine & has_slash)
    key_open, key_close, url_open, url_close, following = (column[row] for column in columns)
    slash = slash[row]
    path_end = slash - (text[slash - 1] == ESCAPE)  # some writers spell a slash so
    prefix = interned(text, key_open + 1, path_end - key_open - 1, prefixes)
    url = interned(text, url_open + 1, url_close - url_open - 1, urls)
    return [key_open, key_close, following, prefix, url, offset[row], length[row]]


def _marked(text: Bytes, position: Positions, mark: np.uint8) -> tuple[Positions, Flags]:
    """Return the positions after a mark that may have white space around it, and where it is there."""
    at = spaces_after(text, position)
    there = text[at] == mark
    return spaces_after(text, at + there), there


def _last_slash(text: Bytes, start: Positions, end: Positions) -> tuple[Positions, Flags]:
    """Return the position of each string's last slash, and which have one behind their first character."""
    at = end - 1
    while (seek := (text[at] != SLASH) & (at > start)).any():
        at = at - seek
    return at, at > start + 1


def _without(data: bytes, start: Positions, end: Positions) -> bytes:
    """Return the document with a marker for every run."""
    parts: list[bytes] = []
    at = 0
    for number, (first, last) in enumerate(zip(start.tolist(), end.tolist(), strict=True)):
        parts += [data[at:first], b'"\\u0000%d":0,' % number]
        at = last
    return b"".join([*parts, data[at:]])
