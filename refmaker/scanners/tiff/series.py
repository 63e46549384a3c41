"""What tifffile says the images of a file are, as plain values: series, their levels, and the pages of these."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from refmaker.errors import BrokenFileError
from refmaker.scanners.tiff.tiff_file import TiffFile, asking, listening

__all__ = ["Level", "Role", "Series", "page_offsets", "read_series"]

Role = Literal["image", "mask", "reduced", "label", "page"]
"""What a series is for: an image; a transparency mask; a smaller copy of another image that fits no pyramid; a picture
of the slide's label and the like; a page that tifffile puts into no series."""

MASK, REDUCED = 0b100, 0b001
"""Bits of NewSubfileType; TIFF 6.0, section 8."""
LABELS = frozenset({"label", "macro", "thumbnail", "map", "overview"})
"""Series of slide scanners that are not the slide."""
SLIDES = frozenset({"svs", "scn", "qpi", "ndpi", "bif", "avs", "philips", "indica"})
"""tifffile's names for slide scanners' files."""


@dataclass(frozen=True, slots=True, eq=False)
class Level:
    """One resolution of a series.

    Attributes:
        shape: elements along each axis, axes of length 1 left out as tifffile leaves them out.
        axes: tifffile's letter for each axis: Y, X, S (sample), Z, C, T, I (sequence) ...
        number: its number among tifffile's levels of the series.
        keyframe: the page whose tags hold for all pages.
        pages: the pages in the C order of the leading axes; None where the source has none.
        data_offset: where all of it lies as one contiguous block of plain elements, or None.
    """

    shape: tuple[int, ...]
    axes: str
    number: int
    keyframe: Any
    pages: tuple[Any, ...]
    data_offset: int | None = None

    def length(self, axis: str) -> int:
        """Return the length of the axis of that letter; 1 if there is none."""
        return self.shape[self.axes.index(axis)] if axis in self.axes else 1


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """An image with all its resolutions, the largest first.

    Attributes:
        title: what messages call it: ``"series 3"``, ``"page 7"``.
        name: what the file calls it, or "".
        kind: the flavour of TIFF it was recognised as: generic, ome, imagej, shaped, svs ...
        role: what it is for.
        levels: its resolutions.
        is_transformed: whether its values are not those stored (MD GEL files).
    """

    title: str
    name: str
    kind: str
    role: Role
    levels: tuple[Level, ...]
    is_transformed: bool = False


def read_series(file: TiffFile) -> tuple[Series, ...]:
    """Return all series of a file, then the pages that are in none.

    Raises:
        BrokenFileError: tifffile cannot make sense of it.
    """
    with asking(file.opened.url), listening(file.complaints):
        listed = file.tifffile.series
        for series in listed:
            for level in series.levels:
                _checked(level.keyframe, file.opened.url)
        found = [_series(number, series) for number, series in enumerate(listed)]
        return (*found, *_left_over(file, found))


def _series(number: int, series: Any) -> Series:
    keyframe = series.keyframe
    levels = tuple(_level(number, level) for number, level in enumerate(series.levels))
    return Series(
        title=f"series {number}",
        name=series.name or "",
        kind=series.kind,
        role=_role(keyframe, series.kind, series.name or ""),
        levels=levels,
        is_transformed=any(level.transform is not None for level in series.levels),
    )


def _role(keyframe: Any, kind: str, name: str) -> Role:
    if int(keyframe.subfiletype) & MASK:
        return "mask"
    if kind in SLIDES and name.lower() in LABELS:
        return "label"
    return "reduced" if int(keyframe.subfiletype) & REDUCED else "image"


INTEGERS = (
    *("imagewidth", "imagelength", "imagedepth", "tilewidth", "tilelength", "tiledepth", "rowsperstrip"),
    *("samplesperpixel", "compression", "predictor", "fillorder", "photometric", "planarconfig", "subfiletype"),
)
"""Attributes of a page that are tags, and in a broken file anything."""


def _checked(page: Any, location: str) -> Any:
    """Return a page once its attributes are what they are taken for.

    Raises:
        BrokenFileError: a tag is of another type than the specification says.
    """
    found = {name: getattr(page, name) for name in INTEGERS}
    wrong = [name for name, value in found.items() if not isinstance(value, int)]
    for name in ("bitspersample", "sampleformat"):
        value = getattr(page, name)
        if not all(isinstance(part, int) for part in (value if isinstance(value, tuple) else (value,))):
            wrong.append(name)
    if not (isinstance(page.extrasamples, tuple) and isinstance(page.jpegtables, bytes | None)):
        wrong.append("extrasamples or jpegtables")
    if wrong or min(found.values()) < 0:
        raise BrokenFileError(f"impossible tags: {', '.join(wrong) or found}", location=location, offset=page.offset)
    return page


def _level(number: int, level: Any) -> Level:
    shape = tuple(int(n) for n in level.shape)
    if level.dataoffset is not None:
        return Level(shape, level.axes, number, level.keyframe, _first_pages(level), level.dataoffset)
    return Level(shape, level.axes, number, level.keyframe, tuple(level))


def _first_pages(level: Any) -> tuple[Any, ...]:
    """Return the pages that tifffile holds of a contiguous level: often the first one alone."""
    return tuple(level._pages)  # the public way reads all of them


def page_offsets(level: Level, file: TiffFile) -> list[int]:
    """Return where the directories of a level's pages are.

    Of a contiguous level tifffile holds the first page alone, and the file may have no other: the next ones are its
    pages if their data lie where its next planes do.
    """
    held = [page.offset for page in level.pages if page is not None]
    chain = file.directories.chain
    size = math.prod(level.keyframe.shape)
    count = math.prod(level.shape) // size if size else 1
    if level.data_offset is None or len(held) != 1 or count < 2 or held[0] not in chain:
        return held
    first = chain.index(held[0])
    place = level.data_offset
    for offset in chain[first + 1 : first + count]:
        place += size * level.keyframe.dtype.itemsize
        if file.data_offset(offset) != place:
            break
        held.append(offset)
    return held


def _left_over(file: TiffFile, found: Sequence[Series]) -> Iterator[Series]:
    """Yield the pages of the chain that no level consists of, each as a series of its own."""
    pages = file.tifffile.pages
    offsets = file.directories.chain
    used = {offset for series in found for level in series.levels for offset in page_offsets(level, file)}
    for number, offset in enumerate(offsets):
        if offset not in used and number < len(pages):
            page = _checked(pages.get(number), file.opened.url)
            if page.shape:
                level = Level(tuple(page.shape), page.axes, 0, page, (page,))
                role = _role(page, "page", "")
                yield Series(f"page {number}", "", "page", "page" if role == "image" else role, (level,))
