"""TIFF as tifffile reads it: levels of series. Names in the tree are refmaker's, so its own table of them is used."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any, cast

import numpy as np
import numpy.typing as npt
import tifffile

from refmaker.errors import RefmakerError
from refmaker.model.array import VirtualArray
from refmaker.model.attributes import JSON
from refmaker.model.keys import child_path
from refmaker.scanners.tiff.series import Level, Series, read_series
from refmaker.scanners.tiff.tiff_file import TiffFile
from refmaker.scanners.tiff.tree import COORDINATES, group_names, level_name, variable_name
from refmaker.source.blocks import BlockFile
from refmaker.source.location import OpenedFile
from refmaker.verify.native import NativeArray, NativeError

__all__ = ["Tiff"]

JPEG_XR = "tifffile decodes JPEG XR in this process, which a broken picture may end"
NOT_READ = {22610: JPEG_XR, 34887: "tifffile reads LERC without its masks", 34934: JPEG_XR}
"""Compressions of which tifffile's values are not asked for, and why."""
MOST_IN_MEMORY = 1 << 29
"""Bytes of a level, which tifffile reads as a whole."""


class Tiff:
    """A file open in tifffile."""

    def __init__(self, opened: OpenedFile) -> None:
        self.library = f"tifffile {tifffile.__version__}"
        self._values: tuple[str, npt.NDArray[Any]] | None = None
        try:
            with TiffFile(opened) as named:
                self._names = dict(_named(read_series(named)))
        except RefmakerError as error:
            raise NativeError(error.message) from error
        with _asked("open it"):
            if opened.path is not None:
                self._file = tifffile.TiffFile(opened.path)
            else:
                name = opened.url.partition("?")[0].rpartition("/")[2]
                self._file = tifffile.TiffFile(cast("IO[bytes]", BlockFile(opened.source)), name=name, mode="r")

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _level(self, path: str) -> Any:
        title, number = self._names[path]
        kind, _, rank = title.partition(" ")
        if kind == "page":
            return self._file.pages.get(int(rank))
        return self._file.series[int(rank)].levels[number]

    def find(self, path: str, array: VirtualArray) -> NativeArray | None:
        """Return a level of a series, or a page."""
        if path not in self._names:
            return None
        with _asked("read it"):
            level = self._level(path)
            dtype, shape = level.dtype, tuple(int(n) for n in level.shape)
            keyframe = level.keyframe
            fills = _nodata(keyframe)
        if dtype is None:
            raise NativeError("tifffile does not know its data type")
        if len(shape) != len(array.metadata.shape):
            shape = tuple(n for n in shape if n != 1)
        return NativeArray(shape=shape, dtype=np.dtype(dtype), fill_values=fills)

    def read(self, path: str, window: tuple[slice, ...]) -> npt.NDArray[Any]:
        """Return values; the level's are kept for the next window."""
        if self._values is None or self._values[0] != path:
            self._values = None
            with _asked("read it"):
                level = self._level(path)
                if why := NOT_READ.get(int(level.keyframe.compression)):
                    raise NativeError(why)
                if level.nbytes > MOST_IN_MEMORY:
                    raise NativeError(f"tifffile would need all of its {level.nbytes} bytes in memory")
                self._values = path, np.asarray(level.asarray())
        values = self._values[1]
        if values.ndim != len(window):
            values = values.reshape([n for n in values.shape if n != 1])
        return values[window]

    def groups(self) -> list[str]:
        """No others."""
        return []

    def group_attributes(self, path: str) -> Mapping[str, JSON] | None:  # noqa: ARG002
        """Nothing: they are computed from tags."""
        return None

    def is_computed(self, path: str) -> bool:
        """Whether it is a coordinate."""
        name = path.rpartition("/")[2]
        return name in COORDINATES or name.partition("_")[0] in COORDINATES


def _nodata(page: Any) -> tuple[Any, ...]:
    """Return what GDAL's tag says; tifffile's own reading of it gives up on some spellings."""
    tag = page.tags.get("GDAL_NODATA")
    if tag is None:
        return ()
    try:
        return page.nodata, float(str(tag.value).strip(" \0").replace(",", "."))
    except ValueError:
        return (page.nodata,)


def _named(series: tuple[Series, ...]) -> Iterator[tuple[str, tuple[str, int]]]:
    """Yield (path, (title, level number)) of every level."""
    for one, group in zip(series, group_names(list(series)), strict=True):
        for level in one.levels:
            yield child_path(_group_of(one, level, group), variable_name(one)), (one.title, level.number)


def _group_of(series: Series, level: Level, group: str) -> str:
    return group if level is series.levels[0] else child_path(group, level_name(level.number))


@contextmanager
def _asked(what: str) -> Iterator[None]:
    """Turn whatever tifffile raises into one error, and keep what it logs from the terminal."""
    logger = logging.getLogger("tifffile")
    before = logger.disabled
    logger.disabled = True
    try:
        yield
    except NativeError:
        raise
    except Exception as error:
        raise NativeError(f"tifffile cannot {what}: {type(error).__name__}: {error}") from error
    finally:
        logger.disabled = before
