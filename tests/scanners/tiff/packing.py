"""TIFFs packed by hand: directories of any entries, for files that no writer would write."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Entry", "grey", "pack"]

WIDTHS = {1: 1, 2: 1, 3: 2, 4: 4, 13: 4, 16: 8}
LETTERS = {1: "B", 2: "B", 3: "H", 4: "I", 13: "I", 16: "Q"}


@dataclass(frozen=True)
class Entry:
    """A tag with its values; ``count`` and ``offset`` lie where they are given."""

    tag: int
    type: int
    values: Sequence[int]
    count: int | None = None
    offset: int | None = None


def grey(width: int = 4, height: int = 3, *more: Entry, offset: int = 8, length: int | None = None) -> list[Entry]:
    """Return the entries of an uncompressed image of bytes in one strip."""
    entries = [
        Entry(256, 3, [width]),
        Entry(257, 3, [height]),
        Entry(258, 3, [8]),
        Entry(259, 3, [1]),
        Entry(262, 3, [1]),
        Entry(273, 4, [offset]),
        Entry(277, 3, [1]),
        Entry(278, 3, [height]),
        Entry(279, 4, [width * height if length is None else length]),
    ]
    replaced = {entry.tag for entry in more}
    return sorted([e for e in entries if e.tag not in replaced] + list(more), key=lambda entry: entry.tag)


def pack(
    *directories: Sequence[Entry], order: str = "<", big: bool = False, data: bytes = bytes(range(12)), last: int = 0
) -> bytes:
    """Return a file: header, ``data`` (at byte 8, or 16), directories, the last of which points to ``last``."""
    head = b"II" if order == "<" else b"MM"
    wide, count_letter = ("Q", "Q") if big else ("I", "H")
    width = 8 if big else 4
    out = bytearray(head + struct.pack(order + ("HHHQ" if big else "HI"), *((43, 8, 0, 0) if big else (42, 0))) + data)
    link = width if not big else 8
    for number, entries in enumerate(directories):
        out += bytes(-len(out) % 2)
        start = len(out)
        out[link : link + width] = struct.pack(order + wide, start)
        size = struct.calcsize(order + count_letter) + len(entries) * (4 + 2 * width) + width
        beyond = bytearray()
        out += struct.pack(order + count_letter, len(entries))
        for entry in entries:
            raw = struct.pack(f"{order}{len(entry.values)}{LETTERS[entry.type]}", *entry.values)
            if entry.offset is not None:
                value = struct.pack(order + wide, entry.offset)
            elif len(raw) <= width:
                value = raw.ljust(width, b"\0")
            else:
                value = struct.pack(order + wide, start + size + len(beyond))
                beyond += raw
            count = len(entry.values) if entry.count is None else entry.count
            out += struct.pack(order + "HH" + wide, entry.tag, entry.type, count) + value
        link = len(out)
        out += struct.pack(order + wide, last if number == len(directories) - 1 else 0) + beyond
    return bytes(out)
