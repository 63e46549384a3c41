"""A checked file opened by tifffile: what it says the images are, and where their strips and tiles lie."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import IO, Any, cast

import numpy as np
import numpy.typing as npt

from refmaker.errors import BrokenFileError, RefmakerError, UnsupportedError
from refmaker.scanners.tiff.directories import Directories, read_directories
from refmaker.scanners.tiff.tables import Tag
from refmaker.scanners.tiff.view import View
from refmaker.source.location import OpenedFile
from refmaker.source.traced import Traced

__all__ = ["Segments", "TiffFile", "asking", "listening"]

MANY = 4096
"""Tiles or strips beyond which tifffile is shown ``SHOWN`` of them."""
SHOWN = 16
"""Large enough not to fit into an entry, so that the entry still holds an offset."""

Segments = tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]
"""Offsets and stored lengths of a page's strips or tiles, in the order of the specification."""


@contextmanager
def asking(location: str) -> Iterator[None]:
    """Turn whatever tifffile raises over a file into one BrokenFileError."""
    try:
        yield
    except RefmakerError:
        raise
    except Exception as error:
        raise BrokenFileError(f"tifffile: {type(error).__name__}: {error}", location=location) from error


class TiffFile:
    """A file whose directories have been checked, open in tifffile while scanned.

    Raises:
        BrokenFileError, TruncatedFileError: its directories are broken.
        UnsupportedError: it is a slide of Hamamatsu's (NDPI) of more than 4 GiB.

    Attributes:
        opened: the file.
        directories: its directories.
        complaints: what tifffile logged about it.
    """

    def __init__(self, opened: OpenedFile) -> None:
        import tifffile

        self.opened = opened
        self.source = Traced(opened.source)
        self.view = View(self.source, is_local=opened.path is not None)
        self.directories = read_directories(self.view)
        self.view.patch(_fewer_segments(self.directories, self.view))
        self.complaints: list[str] = []
        name = opened.url.partition("?")[0].rpartition("/")[2]
        with asking(opened.url), listening(self.complaints):
            self.tifffile = tifffile.TiffFile(cast("IO[bytes]", self.view), name=name, mode="r")
        if self.tifffile.tiff.is_ndpi and self.view.size >> 32:
            self.tifffile.close()
            raise UnsupportedError(
                "a slide of Hamamatsu's beyond 4 GiB, whose offsets stand in no TIFF's place",
                code="layout",
                location=opened.url,
            )

    def reopen(self) -> None:
        """Have tifffile open the file by its path, as it must to open others beside it; it is local."""
        import tifffile

        self.tifffile.close()
        with asking(self.opened.url), listening(self.complaints):
            self.tifffile = tifffile.TiffFile(str(self.opened.path), mode="r")

    def __enter__(self) -> "TiffFile":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.tifffile.close()

    def segments(self, page: Any) -> Segments:
        """Return the offsets and lengths of a page's strips or tiles: from the file where tifffile does no repairs."""
        keyframe = page.keyframe
        own = None
        if page.offset and keyframe.jpegheader is None and not self.tifffile.is_lsm:
            own = self._columns(page.offset)
        if own is not None:
            return own
        with asking(self.opened.url):
            offset, length = (np.asarray(column, np.uint64) for column in (page.dataoffsets, page.databytecounts))
            return offset.ravel(), length.ravel()

    def data_offset(self, offset: int) -> int | None:
        """Return where the first strip or tile of the directory at ``offset`` is, or None if it has none."""
        first = self.directories.first(offset, Tag.TILE_OFFSETS, self.view)
        return self.directories.first(offset, Tag.STRIP_OFFSETS, self.view) if first is None else first

    def _columns(self, offset: int) -> Segments | None:
        """Return the columns as they stand in the directory at ``offset``, or None if one of them is not there."""
        for offsets, lengths in (
            (Tag.TILE_OFFSETS, Tag.TILE_BYTE_COUNTS),
            (Tag.STRIP_OFFSETS, Tag.STRIP_BYTE_COUNTS),
        ):
            found = self.directories.column(offset, offsets, self.view)
            if found is not None:
                length = self.directories.column(offset, lengths, self.view)
                return None if length is None or length.size != found.size else (found, length)
        return None


def _fewer_segments(directories: Directories, view: View) -> dict[int, bytes]:
    """Return patches by which the longest columns of offsets and lengths look short.

    Only where tifffile cannot take the image for contiguous, which it would judge by all of them: where tiles are not
    as wide as the image, or data are compressed.
    """
    patches: dict[int, bytes] = {}
    width = 8 if directories.layout.is_big else 4
    order = "little" if directories.layout.byte_order == "<" else "big"
    for offset, directory in directories.by_offset.items():
        entries = directory.entries
        long = [
            entries[tag]
            for tag in (Tag.TILE_OFFSETS, Tag.TILE_BYTE_COUNTS, Tag.STRIP_OFFSETS, Tag.STRIP_BYTE_COUNTS)
            if tag in entries and entries[tag].count > MANY
        ]
        if not long:
            continue
        compression, tile, image = (
            directories.column(offset, tag, view) for tag in (Tag.COMPRESSION, Tag.TILE_WIDTH, Tag.IMAGE_WIDTH)
        )
        is_raw = compression is None or not compression.size or int(compression[0]) == 1
        if not is_raw or (tile is not None and image is not None and not np.array_equal(tile, image)):
            for entry in long:
                patches[entry.at + 4] = SHOWN.to_bytes(width, order)  # type: ignore[arg-type]
    return patches


@contextmanager
def listening(heard: list[str]) -> Iterator[None]:
    """Collect what tifffile logs in this thread, rather than have it printed."""

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.thread == threading.get_ident():
                heard.append(record.getMessage())

    listener, logger = Listener(logging.WARNING), logging.getLogger("tifffile")
    logger.addHandler(listener)
    try:
        yield
    finally:
        logger.removeHandler(listener)
