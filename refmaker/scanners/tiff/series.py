"""What tifffile says the images of a file are, as plain values: series, their levels, and the pages these consist of."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from refmaker.scanners.tiff.tiff_file import TiffFile, asking, listening

__all__ = ["Level", "Role", "Series", "read_series"]

Role = Literal["image", "mask", "reduced", "label", "page"]
"""What a series is for: an image; a transparency mask; a smaller copy of another image that fits no pyramid; a picture
of the slide's label and the like; a page that tifffile puts into no series."""

MASK, REDUCED = 0b100, 0b001
"""Bits of NewSubfileType; TIFF 6.0, section 8."""
LABELS = frozenset({"label", "macro", "thumbnail", "map", "overview"})
"""Series of slide scanners that are not the slide."""


@dataclass(frozen=True, slots=True, eq=False)
class Level:
    """One resolution of a series.

    Attributes:
        shape: elements along each axis, axes of length 1 left out as tifffile leaves them out.
        axes: tifffile's letter for each axis: Y, X, S (sample), Z, C, T, I (sequence) ...
        keyframe: the page whose tags hold for all pages.
        pages: the pages in the C order of the leading axes; None where the source has none.
        data_offset: where all of it lies as one contiguous block of plain elements, or None.
    """

    shape: tuple[int, ...]
    axes: str
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
        found = [_series(number, series) for number, series in enumerate(file.tifffile.series)]
        return (*found, *_left_over(file, found))


def _series(number: int, series: Any) -> Series:
    keyframe = series.keyframe
    levels = tuple(_level(level) for level in series.levels)
    return Series(f"series {number}", series.name or "", series.kind, _role(keyframe, series.name or ""), levels,
                  any(level.transform is not None for level in series.levels))  # fmt: skip


def _role(keyframe: Any, name: str) -> Role:
    if keyframe.subfiletype & MASK:
        return "mask"
    if name.lower() in LABELS:
        return "label"
    return "reduced" if keyframe.subfiletype & REDUCED else "image"


def _level(level: Any) -> Level:
    if level.dataoffset is not None:
        return Level(tuple(level.shape), level.axes, level.keyframe, _first_pages(level), level.dataoffset)
    return Level(tuple(level.shape), level.axes, level.keyframe, tuple(level))


def _first_pages(level: Any) -> Sequence[Any]:
    """Return the pages that tifffile holds of a contiguous level: often the first one alone."""
    return tuple(level._pages)  # noqa: SLF001  the public way reads all of them


def _left_over(file: TiffFile, found: Sequence[Series]) -> Iterator[Series]:
    """Yield the pages of the chain that no level consists of, each as a series of its own."""
    pages = file.tifffile.pages
    offsets = file.directories.chain
    position = {offset: number for number, offset in enumerate(offsets)}
    used: set[int] = set()
    for series in found:
        for level in series.levels:
            held = [page.offset for page in level.pages if page is not None]
            used.update(held)
            if level.data_offset is not None and len(held) == 1 and held[0] in position:
                size = math.prod(level.keyframe.shape)
                count = math.prod(level.shape) // size if size else 1
                first = position[held[0]]
                used.update(offsets[first : first + count])
    for number, offset in enumerate(offsets):
        if offset not in used and number < len(pages):
            page = pages.get(number)
            if page.shape:
                level = Level(tuple(page.shape), page.axes, page, (page,))
                yield Series(f"page {number}", "", "page", _role(page, "") if page.subfiletype else "page", (level,))
