"""Whether the pages of a stack agree on tags of which an array has only one: the first page's."""

from collections.abc import Mapping, Sequence

from refmaker.model.reference_set import Note
from refmaker.scanners.tiff.directories import Directories, Entry
from refmaker.scanners.tiff.georeference import GEO_TAGS
from refmaker.scanners.tiff.series import Level, page_offsets
from refmaker.scanners.tiff.tables import ITEM_SIZES, Tag
from refmaker.scanners.tiff.tiff_file import TiffFile
from refmaker.scanners.tiff.view import View

__all__ = ["note_differences"]

CHECKED: Mapping[str, Sequence[Tag]] = {"georeference": GEO_TAGS, "no-data value": (Tag.GDAL_NODATA,)}
"""What pages may say each for themselves -> the tags that say it."""


def note_differences(level: Level, file: TiffFile, notes: list[Note], path: str) -> None:
    """Note, for the array at ``path``, what other pages say otherwise than the first one, whose word is taken."""
    offsets = page_offsets(level, file.directories.chain)
    for what, tags in CHECKED.items():
        if count := _differing(offsets, tags, file.directories, file.view):
            sentence = f"{count} of its {len(offsets)} pages have another {what} than the first one, which is used"
            notes.append(Note(path, "stack", sentence))


def _differing(offsets: Sequence[int], tags: Sequence[Tag], directories: Directories, view: View) -> int:
    """Return how many pages have other values of the tags than the first one."""
    read = [directories.by_offset[offset].entries for offset in offsets if offset in directories.by_offset]
    if not any(tag in entries for entries in read for tag in tags):
        return 0
    first = read[0]
    return sum(any(not _same(first.get(tag), entries.get(tag), view) for tag in tags) for entries in read[1:])


def _same(one: Entry | None, other: Entry | None, view: View) -> bool:
    if one is None or other is None:
        return one is other
    if (one.type, one.count) != (other.type, other.count):
        return False
    return one.values_at == other.values_at or _bytes(one, view) == _bytes(other, view)


def _bytes(entry: Entry, view: View) -> bytes:
    return view.at(entry.values_at, entry.count * int(ITEM_SIZES[entry.type]))
