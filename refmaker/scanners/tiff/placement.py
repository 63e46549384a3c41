"""Where the chunks of a level lie: strips and tiles of its pages, or pieces of what is contiguous.

Strategy: an array's chunk is a strip or tile as it is stored, and the stack of pages makes the leading axes, so the
columns of offsets and lengths of one page after the other *are* the manifest in C order. Plain elements that lie in
one block, of all pages or of each, are cut anew: nothing but the reader's need decides their chunks.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from refmaker.errors import BrokenFileError, TruncatedFileError, UnsupportedError
from refmaker.model.array import Codec, grid_of
from refmaker.model.chunks import ChunkManifest
from refmaker.model.contiguous import Cut, cut
from refmaker.scanners.tiff.companions import Companions
from refmaker.scanners.tiff.pipeline import FAX, JPEG, PICTURES, Pipeline, check_data_type, pipeline_of
from refmaker.scanners.tiff.series import Level
from refmaker.scanners.tiff.tiff_file import TiffFile

__all__ = ["Placement", "place"]

U64 = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Placement:
    """A level as chunks.

    Attributes:
        chunk_shape: elements of a chunk along each axis of the level.
        data_type: the decoded elements.
        codecs: in the order of encoding.
        manifest: where the chunks are.
        complaints: what is odd about it, for the report.
    """

    chunk_shape: tuple[int, ...]
    data_type: np.dtype[Any]
    codecs: tuple[Codec, ...]
    manifest: ChunkManifest
    complaints: tuple[str, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class Grid:
    """The strips or tiles of one page.

    The five axes are those of tifffile's ``shaped``: separate samples, depth, length, width, samples of a pixel.

    Attributes:
        shape: elements of the page along each axis.
        segment: elements of a whole strip or tile along each axis.
        is_tiled: whether they are tiles, which are never short.
    """

    shape: tuple[int, ...]
    segment: tuple[int, ...]
    is_tiled: bool

    @property
    def counts(self) -> tuple[int, ...]:
        """Strips or tiles along each axis."""
        return grid_of(self.shape, self.segment)

    @property
    def number(self) -> int:
        """How many strips or tiles the page has."""
        return math.prod(self.counts)

    @property
    def kept(self) -> tuple[int, ...]:
        """The axes that are not left out: length, width, and all longer than 1."""
        return tuple(axis for axis, n in enumerate(self.shape) if axis in {2, 3} or n > 1)

    @property
    def short_rows(self) -> int:
        """Rows of the last strip; all of them where none is short."""
        length, rows = self.shape[2], self.segment[2]
        return rows if self.is_tiled or length % rows == 0 else length % rows

    def stored_nbytes(self, row_nbytes: int, count: int) -> npt.NDArray[np.uint64]:
        """Return the bytes of each of the first ``count`` uncompressed strips or tiles."""
        rows, across = self.counts[2:4]
        is_last = np.arange(count, dtype=np.uint64) // np.uint64(across) % np.uint64(rows) == rows - 1
        whole, short = (self.segment[1] * n * row_nbytes for n in (self.segment[2], self.short_rows))
        return np.where(is_last, np.uint64(short), np.uint64(whole))


def place(level: Level, files: Companions, chunk_bytes: int | None) -> Placement:
    """Return the chunks of a level.

    Raises:
        UnsupportedError: they cannot be expressed.
        TruncatedFileError: the file ends before they do.
        BrokenFileError: its tags make no sense together.
    """
    page = level.keyframe
    check_data_type(page)
    if 0 in level.shape or 0 in page.shaped:
        chunk_shape = tuple(max(n, 1) for n in level.shape)
        return Placement(
            chunk_shape, page.dtype.newbyteorder("<"), (), ChunkManifest.empty(grid_of(level.shape, chunk_shape))
        )
    if level.data_offset is not None and len({files.of(p) for p in level.pages if p is not None}) == 1:
        return _contiguous(level, files, chunk_bytes)
    grid = _grid(page, files.main)
    rows = grid.segment[1] * grid.segment[2]
    pipeline = pipeline_of(page, rows, grid.segment[3], grid.segment[4])
    if grid.segment[1] > 1 and int(page.compression) in PICTURES:
        raise UnsupportedError("tiles of several planes, each compressed as a picture", code="layout")
    chunk_shape, inner = _chunk_shape(level, grid)
    stored = _Stored(level, files, grid, pipeline)
    if whole := stored.blocks():
        pieces = cut(inner, pipeline.data_type.itemsize, chunk_bytes)
        return _recut(level, whole, pieces, pipeline)
    codecs = pipeline.codecs
    if grid.short_rows != grid.segment[2] and int(page.compression) not in PICTURES | FAX:
        codecs = (Codec("refmaker_pad", {"nbytes": math.prod(grid.segment) * pipeline.data_type.itemsize}), *codecs)
    return Placement(chunk_shape, pipeline.data_type, codecs, stored.manifest(chunk_shape), stored.complaints())


def _grid(page: Any, file: TiffFile) -> Grid:
    if page.is_tiled:
        segment = (1, page.tiledepth, page.tilelength, page.tilewidth, page.shaped[4])
    else:
        segment = (1, 1, page.rowsperstrip, page.imagewidth, page.shaped[4])
    if min(segment) < 1:
        raise BrokenFileError(f"strips or tiles of {segment[1:4]} pixels", location=file.opened.url, offset=page.offset)
    return Grid(tuple(page.shaped), segment, bool(page.is_tiled))


def _chunk_shape(level: Level, grid: Grid) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the shape of a chunk of the level, and what of the level's shape is one page."""
    inner = tuple(grid.shape[axis] for axis in grid.kept)
    lead = level.shape[: len(level.shape) - len(inner)]
    if level.shape[len(lead) :] == inner and math.prod(lead) == len(level.pages):
        return (*(1,) * len(lead), *(grid.segment[axis] for axis in grid.kept)), inner
    if grid.number == 1:  # a page that is one segment may have any shape of as many elements
        for axes in range(len(level.shape) + 1):
            inner = level.shape[axes:]
            fits = math.prod(inner) == math.prod(grid.shape) == math.prod(grid.segment)
            if fits and math.prod(level.shape[:axes]) == len(level.pages):
                return (*(1,) * axes, *inner), inner
    raise UnsupportedError(
        f"{len(level.pages)} pages of {'x'.join(map(str, inner))} pixels do not make an array of "
        f"{'x'.join(map(str, level.shape))}",
        code="shape",
    )


def _contiguous(level: Level, files: Companions, chunk_bytes: int | None) -> Placement:
    """Return the pieces of a level that is one block of plain elements."""
    page = level.keyframe
    file = files.of(next(p for p in level.pages if p is not None))
    kind = page.dtype.newbyteorder(page.parent.byteorder)
    start, nbytes = int(level.data_offset or 0), math.prod(level.shape) * kind.itemsize
    _check_end(start + nbytes, start, file)
    if start == 0:
        return Placement(level.shape, kind, (), ChunkManifest.empty((1,) * len(level.shape)))
    pieces = cut(level.shape, kind.itemsize, chunk_bytes)
    manifest = pieces.manifest(level.shape, location_id=files.location_id(file), start=start)
    return Placement(pieces.chunk_shape, kind, pieces.codecs, manifest)


def _check_end(end: int, start: int, file: TiffFile) -> None:
    if end > file.view.size:
        raise TruncatedFileError(
            f"its data reach to byte {end}, the file only to {file.view.size}; fetch it again, or exclude the image",
            location=file.opened.url,
            offset=start,
        )


def _recut(level: Level, blocks: Sequence[tuple[int, int]], pieces: Cut, pipeline: Pipeline) -> Placement:
    """Return the pieces of pages each of which is one block, given as (location id, offset) in the stack's order."""
    lead = level.shape[: len(level.shape) - len(pieces.chunk_shape)]
    inner = pieces.manifest(level.shape[len(lead) :], location_id=0, start=0).to_dense()
    chunk_shape = (*(1,) * len(lead), *pieces.chunk_shape)
    location, start = np.array(blocks, np.uint64).T
    offset = (start[:, np.newaxis] + np.asarray(inner.offset, np.uint64)).ravel()
    length = np.tile(np.asarray(inner.length), len(blocks))
    manifest = ChunkManifest.from_positions(
        grid_of(level.shape, chunk_shape),
        np.arange(offset.size, dtype=np.uint64),
        location_id=_uniform(np.repeat(location, len(inner)).astype(np.uint32)),
        offset=offset,
        length=length,
    )
    return Placement(chunk_shape, pipeline.data_type, pieces.codecs, manifest)


def _uniform(ids: npt.NDArray[np.uint32]) -> int | npt.NDArray[np.uint32]:
    """Return one id where all rows have the same."""
    return int(ids[0]) if ids.size and bool((ids == ids[0]).all()) else ids


class _Stored:
    """The columns of all pages of a level, checked."""

    def __init__(self, level: Level, files: Companions, grid: Grid, pipeline: Pipeline) -> None:
        self._level = level
        self._grid = grid
        self._plain = not pipeline.codecs
        self._row_nbytes = pipeline.row_nbytes
        self._rows: list[tuple[int, U64, U64, U64]] = []  # location id, position, offset, length
        self._incomplete = 0
        for number, page in enumerate(level.pages):
            if page is not None:
                self._check_tables(page)
                file = files.of(page)
                self._rows.append((files.location_id(file), *self._page(number, page, file)))

    def _check_tables(self, page: Any) -> None:
        """Refuse a stack whose pages have JPEG tables of their own: an array has one configuration."""
        if int(page.keyframe.compression) in JPEG and page.jpegtables != self._level.keyframe.jpegtables:
            raise UnsupportedError("its pages have different JPEG tables", code="jpeg-tables")

    def _page(self, number: int, page: Any, file: TiffFile) -> tuple[U64, U64, U64]:
        """Return the positions, offsets and lengths of the strips or tiles that a page has."""
        offset, length = file.segments(page)
        if length.size < min(offset.size, self._grid.number):
            if self._row_nbytes is None:
                raise UnsupportedError(
                    f"page {number} lists {offset.size} strips or tiles but the lengths of {length.size}",
                    code="segment",
                )
            length = self._grid.stored_nbytes(self._row_nbytes, min(offset.size, self._grid.number))
        count = min(offset.size, length.size, self._grid.number)
        if count < self._grid.number:
            self._incomplete += 1
        offset, length = offset[:count], length[:count]
        there = (offset > 0) & (length > 0)
        if self._row_nbytes is not None:
            expected = self._grid.stored_nbytes(self._row_nbytes, count)
            if self._plain and self._grid.number == 1:
                there = offset > 0  # its length is known from its shape, as libtiff and tifffile agree
                length = expected
            elif bool((length[there] < expected[there]).any()):
                first = int(np.flatnonzero(there & (length < expected))[0])
                raise UnsupportedError(
                    f"strip or tile {first} of page {number} has {int(length[first])} of {int(expected[first])} bytes",
                    code="segment",
                )
            length = np.minimum(length, expected)
        rows = np.flatnonzero(there).astype(np.uint64)
        offset, length = offset[there], length[there]
        if rows.size:
            end = offset + length
            last = int(np.argmax(end))
            _check_end(int(end[last]) if bool((end >= offset).all()) else 1 << 64, int(offset[last]), file)
        return rows + np.uint64(number * self._grid.number), offset, length

    def blocks(self) -> list[tuple[int, int]] | None:
        """Return (location id, offset) of every page where each is one block of plain elements, else None."""
        grid = self._grid
        whole_rows = not grid.is_tiled or (
            grid.segment[3] == grid.shape[3] and grid.shape[2] % grid.segment[2] == 0 and grid.shape[1] == 1
        )
        if not (self._plain and whole_rows and len(self._rows) == len(self._level.pages)):
            return None
        found = []
        for location_id, _, offset, length in self._rows:
            if offset.size != grid.number or bool((offset[:-1] + length[:-1] != offset[1:]).any()):
                return None
            found.append((location_id, int(offset[0])))
        return found

    def manifest(self, chunk_shape: tuple[int, ...]) -> ChunkManifest:
        """Return the manifest of the strips and tiles as they are stored."""
        shape = grid_of(self._level.shape, chunk_shape)
        if not self._rows:
            return ChunkManifest.empty(shape)
        ids = [np.full(position.size, location_id, np.uint32) for location_id, position, _, _ in self._rows]
        position, offset, length = (np.concatenate([row[k] for row in self._rows]) for k in (1, 2, 3))
        return ChunkManifest.from_positions(
            shape, position, location_id=_uniform(np.concatenate(ids)), offset=offset, length=length
        )

    def complaints(self) -> tuple[str, ...]:
        """Return what the report should say."""
        told = []
        if absent := len(self._level.pages) - len(self._rows):
            told.append(f"{absent} of {len(self._level.pages)} pages are not in the source and read as fill")
        if self._incomplete:
            told.append(f"{self._incomplete} pages list fewer strips or tiles than they have; the rest reads as fill")
        return tuple(told)
