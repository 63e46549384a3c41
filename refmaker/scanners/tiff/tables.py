"""TIFF 6.0, BigTIFF and their extensions as tables: tags, field types, and how a directory is laid out."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

__all__ = ["FIELD_TYPES", "ITEM_SIZES", "LAYOUTS", "Layout", "Tag"]


class Tag(IntEnum):
    """The tags that the scanner itself looks at; TIFF 6.0 section 8, GeoTIFF 1.1 annex, GDAL's GTiff driver."""

    NEW_SUBFILE_TYPE = 254
    IMAGE_WIDTH = 256
    IMAGE_LENGTH = 257
    BITS_PER_SAMPLE = 258
    COMPRESSION = 259
    PHOTOMETRIC = 262
    FILL_ORDER = 266
    IMAGE_DESCRIPTION = 270
    STRIP_OFFSETS = 273
    SAMPLES_PER_PIXEL = 277
    ROWS_PER_STRIP = 278
    STRIP_BYTE_COUNTS = 279
    PLANAR_CONFIGURATION = 284
    T4_OPTIONS = 292
    PREDICTOR = 317
    COLOR_MAP = 320
    TILE_WIDTH = 322
    TILE_LENGTH = 323
    TILE_OFFSETS = 324
    TILE_BYTE_COUNTS = 325
    SUB_IFDS = 330
    SAMPLE_FORMAT = 339
    MODEL_PIXEL_SCALE = 33550
    MODEL_TIEPOINT = 33922
    MODEL_TRANSFORMATION = 34264
    GEO_KEY_DIRECTORY = 34735
    GEO_DOUBLE_PARAMS = 34736
    GEO_ASCII_PARAMS = 34737
    GDAL_METADATA = 42112
    GDAL_NODATA = 42113


FIELD_TYPES: dict[int, str] = {
    1: "u1",
    2: "S1",
    3: "u2",
    4: "u4",
    5: "2u4",
    6: "i1",
    7: "V1",
    8: "i2",
    9: "i4",
    10: "2i4",
    11: "f4",
    12: "f8",
    13: "u4",
    16: "u8",
    17: "i8",
    18: "u8",
}
"""TIFF 6.0 section 2, technote 1 (13, IFD) and the BigTIFF design (16 to 18), as numpy spells them."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How directories lie in a file.

    Attributes:
        byte_order: ``"<"`` or ``">"``.
        is_big: whether it is a BigTIFF.
    """

    byte_order: str
    is_big: bool

    @property
    def count_width(self) -> int:
        """Bytes of a directory's number of entries."""
        return 8 if self.is_big else 2

    @property
    def offset_width(self) -> int:
        """Bytes of an offset, and of the values that stand in an entry itself."""
        return 8 if self.is_big else 4

    @property
    def first_offset_at(self) -> int:
        """Where the offset of the first directory stands."""
        return 8 if self.is_big else 4

    @property
    def entry(self) -> np.dtype[np.void]:
        """A directory entry: tag, field type, number of values, and the values or their offset."""
        order, wide = self.byte_order, "u8" if self.is_big else "u4"
        return np.dtype(
            [("tag", order + "u2"), ("type", order + "u2"), ("count", order + wide), ("offset", order + wide)]
        )


LAYOUTS: dict[bytes, Layout] = {
    b"II*\0": Layout("<", is_big=False),
    b"MM\0*": Layout(">", is_big=False),
    b"II+\0": Layout("<", is_big=True),
    b"MM\0+": Layout(">", is_big=True),
}
"""A file's first four bytes; TIFF 6.0 section 2, "Image File Header"."""

ITEM_SIZES: npt.NDArray[np.uint64] = np.zeros(1 << 16, np.uint64)
"""Bytes of a value of each field type; 0 where there is no such type."""
for code, spelled in FIELD_TYPES.items():
    ITEM_SIZES[code] = np.dtype(spelled).itemsize
