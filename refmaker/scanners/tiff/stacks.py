"""Whether the pages of a stack agree on tags of which an array has only one: the first page's.

tifffile takes the pages of OME-TIFF and the like for copies of the first one, and decodes them as it.
"""

from collections.abc import Mapping, Sequence

from refmaker.errors import UnsupportedError
from refmaker.model.reference_set import Note
from refmaker.scanners.tiff.companions import Companions
from refmaker.scanners.tiff.directories import Directories, Entry
from refmaker.scanners.tiff.georeference import GEO_TAGS
from refmaker.scanners.tiff.pipeline import FAX, JPEG
from refmaker.scanners.tiff.series import Level, page_offsets
from refmaker.scanners.tiff.tables import ITEM_SIZES, Tag
from refmaker.scanners.tiff.tiff_file import TiffFile
from refmaker.scanners.tiff.view import View

__all__ = ["check_alike", "note_differences"]

DECODING: Mapping[Tag, int | None] = {
    Tag.IMAGE_WIDTH: None,
    Tag.IMAGE_LENGTH: None,
    Tag.BITS_PER_SAMPLE: 1,
    Tag.COMPRESSION: 1,
    Tag.PHOTOMETRIC: None,
    Tag.FILL_ORDER: 1,
    Tag.SAMPLES_PER_PIXEL: 1,
    Tag.ROWS_PER_STRIP: None,
    Tag.PLANAR_CONFIGURATION: 1,
    Tag.T4_OPTIONS: 0,
    Tag.PREDICTOR: 1,
    Tag.TILE_WIDTH: None,
    Tag.TILE_LENGTH: None,
    Tag.SAMPLE_FORMAT: 1,
}
"""Tags that say how strips and tiles decode -> the value where there is none; TIFF 6.0, section 8."""
ONLY: Mapping[Tag, frozenset[int]] = {Tag.PHOTOMETRIC: JPEG, Tag.T4_OPTIONS: FAX}
"""Tags that only matter to some compressions."""

CHECKED: Mapping[str, Sequence[Tag]] = {"georeference": GEO_TAGS, "no-data value": (Tag.GDAL_NODATA,)}
"""What pages may say each for themselves -> the tags that say it."""


def check_alike(level: Level, files: Companions) -> None:
    """Refuse a level of which a page decodes otherwise than the first one.

    Raises:
        UnsupportedError: it names the tag.
    """
    pages = [(files.of(page), page.offset) for page in level.pages if page is not None]
    if len(files.files) == 1:
        pages = [(files.main, offset) for offset in page_offsets(level, files.main)]
    if len(pages) < 2:
        return
    (main, first), *others = pages
    compression = int(level.keyframe.compression)
    tags = [tag for tag in DECODING if tag not in ONLY or compression in ONLY[tag]]
    told, wanted = _told(main, first, tags), [_values(main, first, tag) for tag in tags]
    for file, offset in others:
        other = _told(file, offset, tags)
        if told is None or other is None or (file is main and other == told):
            continue
        for number, tag in enumerate(tags):
            is_same = file is main and other[number] == told[number]
            if not is_same and _values(file, offset, tag) != wanted[number]:
                name = tag.name.lower().replace("_", " ")
                raise UnsupportedError(f"its pages differ in their {name}: they are no stack", code="pages")


def _told(file: TiffFile, offset: int, tags: Sequence[Tag]) -> list[tuple[int, int, int] | None] | None:
    """Return what entries say of themselves, or None where there is no directory that was read."""
    directory = file.directories.by_offset.get(offset)
    if directory is None:
        return None
    entries = [directory.entries.get(tag) for tag in tags]
    return [None if entry is None else (entry.type, entry.count, entry.field) for entry in entries]


def _values(file: TiffFile, offset: int, tag: Tag) -> frozenset[int] | None:
    """Return the values of a tag, those for all samples alike once; None where there is no saying."""
    found = file.directories.column(offset, tag, file.view)
    if tag == Tag.ROWS_PER_STRIP:  # none, or more than there are: all
        rows = file.directories.first(offset, Tag.IMAGE_LENGTH, file.view)
        values = [] if found is None else found.tolist()
        return None if rows is None else frozenset(min(value, rows) for value in (values or [rows]))
    if found is None or not found.size:
        default = DECODING.get(tag)
        return None if default is None else frozenset([default])
    return frozenset(found.tolist())


def note_differences(level: Level, file: TiffFile, notes: list[Note], path: str) -> None:
    """Note, for the array at ``path``, what other pages say otherwise than the first one, whose word is taken."""
    offsets = page_offsets(level, file)
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
    return one.field == other.field or _bytes(one, view) == _bytes(other, view)


def _bytes(entry: Entry, view: View) -> bytes:
    return view.at(entry.values_at, entry.count * int(ITEM_SIZES[entry.type]))
