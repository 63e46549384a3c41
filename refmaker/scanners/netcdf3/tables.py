"""The NetCDF Classic Format Specification as tables: versions, list tags and external types.

The names are the specification's ("The NetCDF Classic Format Specification", in the netCDF user guide; CDF-5 from the
PnetCDF project's "CDF-5 format specification"). Everything in these files is big-endian.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np

__all__ = ["ABSENT", "TYPES", "VERSIONS", "ExternalType", "Tag", "Version", "padded"]


@dataclass(frozen=True, slots=True)
class ExternalType:
    """An ``nc_type``: its name in the specification and its elements as they lie in the file."""

    name: str
    dtype: np.dtype[Any]


TYPES: dict[int, ExternalType] = {
    1: ExternalType("NC_BYTE", np.dtype("i1")),
    2: ExternalType("NC_CHAR", np.dtype("S1")),
    3: ExternalType("NC_SHORT", np.dtype(">i2")),
    4: ExternalType("NC_INT", np.dtype(">i4")),
    5: ExternalType("NC_FLOAT", np.dtype(">f4")),
    6: ExternalType("NC_DOUBLE", np.dtype(">f8")),
    7: ExternalType("NC_UBYTE", np.dtype("u1")),
    8: ExternalType("NC_USHORT", np.dtype(">u2")),
    9: ExternalType("NC_UINT", np.dtype(">u4")),
    10: ExternalType("NC_INT64", np.dtype(">i8")),
    11: ExternalType("NC_UINT64", np.dtype(">u8")),
}
"""Specification, "nc_type". 7 to 11 are defined for CDF-5 alone, as ``Version.types`` says."""


@dataclass(frozen=True, slots=True)
class Version:
    """What the version byte behind ``CDF`` decides.

    Attributes:
        name: as users know it.
        count_width: bytes of NON_NEG (counts, lengths, dimension ids, ``vsize``, ``numrecs``).
        begin_width: bytes of OFFSET, where a variable's data begin.
        types: how many entries of ``TYPES`` it knows.
    """

    name: str
    count_width: int
    begin_width: int
    types: int

    @property
    def streaming(self) -> int:
        """The ``numrecs`` that means "count the records by the file's size"."""
        return (1 << 8 * self.count_width) - 1


VERSIONS: dict[int, Version] = {
    1: Version("CDF-1", count_width=4, begin_width=4, types=6),
    2: Version("CDF-2", count_width=4, begin_width=8, types=6),
    5: Version("CDF-5", count_width=8, begin_width=8, types=11),
}
"""Specification, "magic" and "VERSION": classic, 64-bit offset and 64-bit data."""

ABSENT = 0
"""The tag of a list that is not there; its count is zero too."""


class Tag(IntEnum):
    """What a list holds."""

    DIMENSION = 0x0A
    VARIABLE = 0x0B
    ATTRIBUTE = 0x0C


def padded(nbytes: int) -> int:
    """Return ``nbytes`` rounded up to the 4-byte boundary that names, values and records are padded to."""
    return -(-nbytes // 4) * 4
