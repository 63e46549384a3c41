"""The directories (IFDs) of a file: found, checked and read by our own code before any library sees the file.

Strategy: follow the chain from the header and one level of SubIFDs from each directory, each as one block of entries.
A directory is visited once, lies inside the file, holds a sane number of entries, and all directories together fit
into the file, as do (with room for sharing) the values they point to. So a loop, a count out of this world or a
directory bomb is one error here, and what a library does with the file afterwards is bounded by the file's size.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from refmaker.errors import BrokenFileError, TruncatedFileError
from refmaker.scanners.tiff.tables import FIELD_TYPES, ITEM_SIZES, LAYOUTS, Layout, Tag
from refmaker.scanners.tiff.view import View

__all__ = ["Directories", "Directory", "Entry", "read_directories"]

MOST_ENTRIES = 4096
"""Entries of one directory; real ones have at most some hundred, and tifffile takes no more either."""
MOST_SHARED = 4
"""How many times the file's size all values may add up to: directories share descriptions and JPEG tables."""
SLACK = 1 << 24
"""Bytes of values that are never too many."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One tag of a directory.

    Attributes:
        at: the file position of the entry.
        type: the field type.
        count: how many values.
        values_at: the file position of the first value: in the entry itself where they fit.
        field: the entry's last field as a number: the values, where they fit, else their offset.
    """

    at: int
    type: int
    count: int
    values_at: int
    field: int


@dataclass(frozen=True, slots=True)
class Directory:
    """One image file directory: entries by tag, the first of each."""

    offset: int
    entries: Mapping[int, Entry]


@dataclass(frozen=True, slots=True)
class Directories:
    """All directories of a file, by offset.

    Attributes:
        layout: byte order and width of offsets.
        by_offset: the directories of the chain, in its order, then the SubIFDs.
        chain: offsets of the chain alone.
    """

    layout: Layout
    by_offset: Mapping[int, Directory]
    chain: tuple[int, ...]

    def column(self, offset: int, tag: int, view: View) -> npt.NDArray[np.uint64] | None:
        """Return the integer values of a tag of the directory at ``offset``, or None if it has no such tag."""
        return self._integers(offset, tag, view, None)

    def first(self, offset: int, tag: int, view: View) -> int | None:
        """Return the first integer value of a tag, or None if it has none."""
        found = self._integers(offset, tag, view, 1)
        return None if found is None or not found.size else int(found[0])

    def _integers(self, offset: int, tag: int, view: View, most: int | None) -> npt.NDArray[np.uint64] | None:
        directory = self.by_offset.get(offset)
        entry = directory.entries.get(tag) if directory else None
        if entry is None or FIELD_TYPES[entry.type] not in {"u1", "u2", "u4", "u8"}:
            return None
        kind = np.dtype(self.layout.byte_order + FIELD_TYPES[entry.type])
        count = entry.count if most is None else min(entry.count, most)
        return np.frombuffer(view.at(entry.values_at, count * kind.itemsize), kind).astype(np.uint64)


def read_directories(view: View) -> Directories:
    """Return the directories of the file behind ``view``.

    Raises:
        BrokenFileError: they loop, overlap, or hold more than the file has room for.
        TruncatedFileError: the file ends before a directory, or before values one points to.
    """
    layout = _layout(view)
    chain = _chain(view, layout)
    found: dict[int, Directory] = {}
    total, values = 0, 0
    pending = deque((offset, True) for offset in chain)
    while pending:
        offset, in_chain = pending.popleft()
        if offset in found:
            continue
        directory, entries_nbytes, values_nbytes = _directory(view, layout, offset)
        found[offset] = directory
        total += entries_nbytes
        values += values_nbytes
        if total > view.size:
            raise BrokenFileError("its directories overlap", location=view.location, offset=offset)
        if values > MOST_SHARED * view.size + SLACK:
            raise BrokenFileError("its directories point to more than it holds", location=view.location, offset=offset)
        if in_chain:
            pending.extend((sub, False) for sub in _sub_ifds(view, layout, directory))
    return Directories(layout, found, tuple(chain))


def _layout(view: View) -> Layout:
    head = view.at(0, 16) if view.size >= 16 else view.at(0, 8)
    layout = LAYOUTS.get(head[:4])
    if layout is None:
        raise BrokenFileError(f"it starts with {head[:4]!r}, not with a TIFF header", location=view.location, offset=0)
    if layout.is_big and (len(head) < 16 or _integers(head[4:8], layout, "u2") != [8, 0]):
        raise BrokenFileError("a BigTIFF header without 8-byte offsets", location=view.location, offset=4)
    return layout


def _integers(data: bytes, layout: Layout, kind: str) -> list[int]:
    found: list[int] = np.frombuffer(data, layout.byte_order + kind).tolist()
    return found


def _one(data: bytes, layout: Layout) -> int:
    return int.from_bytes(data, "little" if layout.byte_order == "<" else "big")


def _chain(view: View, layout: Layout) -> dict[int, None]:
    """Return the offsets of the chain of directories, in order."""
    chain: dict[int, None] = {}
    at = layout.first_offset_at
    while offset := _one(view.at(at, layout.offset_width), layout):
        if offset in chain:
            raise BrokenFileError(
                f"its chain of {len(chain)} directories comes back to one of them", location=view.location, offset=at
            )
        if offset < 8:
            raise BrokenFileError(f"a directory at byte {offset}, inside the header", location=view.location, offset=at)
        chain[offset] = None
        at = offset + layout.count_width + _entry_count(view, layout, offset) * layout.entry.itemsize
    if not chain:
        raise BrokenFileError("it has no directory", location=view.location, offset=layout.first_offset_at)
    return chain


def _entry_count(view: View, layout: Layout, offset: int) -> int:
    count = _one(view.at(offset, layout.count_width), layout)
    if count > MOST_ENTRIES:
        raise BrokenFileError(f"a directory of {count} entries", location=view.location, offset=offset)
    return count


def _directory(view: View, layout: Layout, offset: int) -> tuple[Directory, int, int]:
    """Return the directory at ``offset``, the bytes it takes, and the bytes its values take elsewhere."""
    count = _entry_count(view, layout, offset)
    start, kind = offset + layout.count_width, layout.entry
    raw = np.frombuffer(view.at(start, count * kind.itemsize), kind)
    sizes = ITEM_SIZES[raw["type"]]
    counts = raw["count"].astype(np.uint64)
    inside = np.uint64(layout.offset_width)
    huge = (counts > np.uint64(view.size)) & (sizes > 0)
    nbytes = np.where(huge, np.uint64(0), counts) * sizes
    offsets = raw["offset"].astype(np.uint64)
    away = nbytes > inside
    past = huge | (away & (offsets + nbytes > np.uint64(view.size)))
    used = ~past & (sizes > 0)
    entries: dict[int, Entry] = {}
    here = [start + i * kind.itemsize + kind.itemsize - layout.offset_width for i in range(count)]
    rows = zip(
        *(column.tolist() for column in (raw["tag"], raw["type"], counts, offsets, away, used)), here, strict=True
    )
    for tag, field_type, number, value_offset, is_away, is_used, value_here in rows:
        if is_used and tag not in entries:
            at = value_here + layout.offset_width - kind.itemsize
            entries[tag] = Entry(at, field_type, number, value_offset if is_away else value_here, value_offset)
        elif not is_used and tag in _NEEDED:
            raise TruncatedFileError(
                f"{number} values of tag {tag} ({_NEEDED[tag]}) reach past its end at byte {view.size}",
                location=view.location,
                offset=value_offset,
            )
    return Directory(offset, entries), layout.count_width + count * kind.itemsize, int(nbytes[away & used].sum())


_NEEDED = {
    tag.value: tag.name
    for tag in (Tag.STRIP_OFFSETS, Tag.STRIP_BYTE_COUNTS, Tag.TILE_OFFSETS, Tag.TILE_BYTE_COUNTS, Tag.SUB_IFDS)
}
"""Tags without which data would be lost; others that lead nowhere are left to tifffile, which leaves them out."""


def _sub_ifds(view: View, layout: Layout, directory: Directory) -> list[int]:
    """Return the offsets of a directory's SubIFDs; those that nothing can be at are left out, as tifffile does."""
    entry = directory.entries.get(Tag.SUB_IFDS)
    if entry is None or FIELD_TYPES[entry.type] not in {"u4", "u8"}:
        return []
    kind = FIELD_TYPES[entry.type]
    listed = _integers(view.at(entry.values_at, entry.count * int(kind[1])), layout, kind)
    return [offset for offset in listed if 8 <= offset < view.size]
