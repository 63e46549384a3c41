"""The header of a classic file, parsed without I/O.

Strategy: ask for the first block of the file, parse it in one go; when the header goes on beyond the block, ask for
four times as much (or for what is known to be needed) and parse again, so an ordinary header costs one request and
the longest a handful. Every count and length is measured against the file's size before anything is allocated or
looped over: an element of a list takes a known least number of bytes, so a count the file has no room for is an error
at once. ``vsize`` is not believed (it overflows for large variables): sizes are computed in ``layout``.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from refmaker.errors import BrokenFileError, TruncatedFileError, UnsupportedError
from refmaker.model.attributes import text_of
from refmaker.scanners.netcdf3.tables import ABSENT, TYPES, VERSIONS, ExternalType, Tag, Version, padded
from refmaker.source.base import Parser, Wish
from refmaker.source.cursor import Cursor

__all__ = ["Attribute", "Dimension", "Header", "Variable", "parse_header", "read_header"]

FIRST_BLOCK = 64 << 10
"""Bytes asked for first: nearly every header, and most small files whole."""
GROWTH = 4
"""How many times more is asked for when the header did not fit."""
LONGEST_HEADER = 64 << 20
"""Bytes beyond which a header is not read: some thousand times the ordinary, and Python objects take ten times more."""


@dataclass(frozen=True, slots=True)
class Dimension:
    """A ``dim``: ``length`` 0 marks the record (unlimited) dimension."""

    name: str
    length: int


@dataclass(frozen=True, slots=True)
class Attribute:
    """An ``attr``: its type and its values as they lie in the file, padding left off."""

    name: str
    type: ExternalType
    data: bytes

    @property
    def values(self) -> np.ndarray[Any, Any]:
        """The values, one-dimensional, in the type's own (big-endian) elements."""
        return np.frombuffer(self.data, self.type.dtype)


@dataclass(frozen=True, slots=True)
class Variable:
    """A ``var``, without the ``vsize`` that nobody may trust.

    Attributes:
        name: as readers show it.
        dimension_ids: indices into ``Header.dimensions``, in range.
        attributes: in the file's order.
        type: of the elements.
        begin: file position of the first element.
    """

    name: str
    dimension_ids: tuple[int, ...]
    attributes: tuple[Attribute, ...]
    type: ExternalType
    begin: int


@dataclass(frozen=True, slots=True)
class Header:
    """All that a classic file says of itself.

    Attributes:
        version: CDF-1, CDF-2 or CDF-5.
        numrecs: records along the record dimension, or None: streaming, the file's size tells.
        dimensions: at most one of length 0; names differ.
        attributes: the global attributes.
        variables: names differ.
        nbytes: length of the header, from the start of the file.
    """

    version: Version
    numrecs: int | None
    dimensions: tuple[Dimension, ...]
    attributes: tuple[Attribute, ...]
    variables: tuple[Variable, ...]
    nbytes: int


def read_header(size: int, location: str) -> Parser[Header]:
    """Parse the header of a file of ``size`` bytes; a sans-I/O parser, to be driven over any source.

    Raises:
        TruncatedFileError: the file ends inside its header.
        BrokenFileError: the header breaks the specification.
        UnsupportedError: it is longer than ``LONGEST_HEADER`` (code ``"header"``).
    """
    data = b""
    wanted = FIRST_BLOCK
    while True:
        stop = min(wanted, size)
        (part,) = yield [Wish.one(len(data), stop - len(data))]
        data += part.tobytes()
        try:
            return parse_header(data, size, location)
        except _GoesOnError as more:
            if more.stop > LONGEST_HEADER:
                raise UnsupportedError(
                    f"a header of more than {LONGEST_HEADER >> 20} MiB", code="header", location=location
                ) from None
            wanted = max(len(data) * GROWTH, more.stop + FIRST_BLOCK)


def parse_header(data: bytes, size: int, location: str = "<memory>") -> Header:
    """Return the header that starts with ``data``, the first bytes of a file of ``size`` bytes.

    Raises:
        TruncatedFileError: the file ends inside its header.
        BrokenFileError: the header breaks the specification.
    """
    magic = data[:4]
    if len(magic) < 4:
        raise TruncatedFileError("ends before its version byte", location=location, offset=len(magic))
    if magic[:3] != b"CDF" or magic[3] not in VERSIONS:
        raise BrokenFileError(f"{magic!r} is not a NetCDF classic signature", location=location, offset=0)
    return _HeaderReader(data, 4, ">", location, file_size=size, version=VERSIONS[magic[3]]).header()


class _GoesOnError(Exception):
    """The header goes on beyond the bytes at hand, at least to byte ``stop`` of the file."""

    def __init__(self, stop: int) -> None:
        super().__init__(stop)
        self.stop = stop


@dataclass(slots=True, kw_only=True)
class _HeaderReader(Cursor):
    """A cursor over the first bytes of a file that knows how long the file is; a method for each rule of the grammar.

    Attributes:
        file_size: bytes in the whole file.
        version: decides the width of counts and offsets.
    """

    file_size: int
    version: Version

    def take(self, length: int) -> bytes:
        """Return the next ``length`` bytes; tell apart what the file lacks and what is only not fetched yet."""
        stop = self.position + length
        if stop > self.file_size:
            raise self.truncated(f"{length} bytes of its header")
        if stop > len(self.data):
            raise _GoesOnError(stop)
        return Cursor.take(self, length)  # not super(): slots make dataclasses anew, and it would look in the old one

    def truncated(self, what: str) -> TruncatedFileError:
        """Return the error for a file that has no room for ``what`` at this place."""
        return TruncatedFileError(
            f"has no room for {what}: it ends at byte {self.file_size}", location=self.location, offset=self.position
        )

    def broken(self, sentence: str, path: str | None = None) -> BrokenFileError:
        """Return the error for a header that breaks the specification at this place."""
        return BrokenFileError(sentence, location=self.location, path=path, offset=self.position)

    def header(self) -> Header:
        """``header = magic numrecs dim_list gatt_list var_list``."""
        numrecs = self.count()
        dimensions = self.dimensions()
        attributes = self.attributes()
        variables = self.variables(dimensions)
        streaming = numrecs == self.version.streaming
        return Header(self.version, None if streaming else numrecs, dimensions, attributes, variables, self.position)

    def count(self) -> int:
        """``NON_NEG``: 4 bytes, 8 in CDF-5."""
        return self.uint(self.version.count_width)

    def list_length(self, tag: Tag, least: int) -> int:
        """``ABSENT | tag nelems``, for elements of at least ``least`` bytes each."""
        found, length = self.uint(4), self.count()
        if found == ABSENT and length:
            raise self.broken(f"a list without a tag announces {length} elements")
        if found not in {ABSENT, tag}:
            raise self.broken(f"tag {found:#x} where the {tag.name.lower()} list ({int(tag):#x}) should start")
        if length * least > self.file_size - self.position:
            raise self.truncated(f"{length} elements of the {tag.name.lower()} list")
        return length

    def name(self) -> str:
        """``nelems namestring``, padded to 4 bytes. Some writers count a closing NUL, which readers do not show."""
        length = self.count()
        name = text_of(self.take(length).rstrip(b"\0"))
        self.take(padded(length) - length)
        if not name or "\0" in name:
            raise self.broken(f"{name!r} is not a name")
        return name

    def type(self) -> ExternalType:
        """``nc_type``, 4 bytes in every version."""
        code = self.uint(4)
        if not 1 <= code <= self.version.types:
            raise self.broken(f"type {code} is not defined for {self.version.name}")
        return TYPES[code]

    def dimensions(self) -> tuple[Dimension, ...]:
        """``dim_list``: at most one record dimension, and no name twice."""
        width = self.version.count_width
        dimensions: dict[str, Dimension] = {}
        record: str | None = None
        for _ in range(self.list_length(Tag.DIMENSION, 2 * width + 4)):
            name, length = self.name(), self.count()
            if name in dimensions:
                raise self.broken("a second dimension of that name", path=name)
            if length == 0 and record is not None:
                raise self.broken(f"a second record dimension beside {record!r}", path=name)
            record = record if length else name
            dimensions[name] = Dimension(name, length)
        return tuple(dimensions.values())

    def attributes(self) -> tuple[Attribute, ...]:
        """``att_list``: ``name nc_type nelems [values ...]``, the values padded to 4 bytes."""
        width = self.version.count_width
        found = []
        for _ in range(self.list_length(Tag.ATTRIBUTE, 2 * width + 8)):
            name, kind = self.name(), self.type()
            nbytes = self.count() * kind.dtype.itemsize
            found.append(Attribute(name, kind, self.take(nbytes)))
            self.take(padded(nbytes) - nbytes)
        return tuple(found)

    def variables(self, dimensions: tuple[Dimension, ...]) -> tuple[Variable, ...]:
        """``var_list``: no name twice."""
        least = 4 * self.version.count_width + 12 + self.version.begin_width
        variables: dict[str, Variable] = {}
        for _ in range(self.list_length(Tag.VARIABLE, least)):
            variable = self.variable(dimensions)
            if variable.name in variables:
                raise self.broken("a second variable of that name", path=variable.name)
            variables[variable.name] = variable
        return tuple(variables.values())

    def variable(self, dimensions: tuple[Dimension, ...]) -> Variable:
        """``name nelems [dimid ...] vatt_list nc_type vsize begin``."""
        name = self.name()
        rank, width = self.count(), self.version.count_width
        form = np.dtype(f">u{width}")
        dimension_ids = tuple(np.frombuffer(self.take(rank * width), form).tolist())
        if wrong := [n for n in dimension_ids if n >= len(dimensions)]:
            raise self.broken(f"dimension {wrong[0]} of {len(dimensions)}", path=name)
        if any(dimensions[n].length == 0 for n in dimension_ids[1:]):
            raise self.broken("the record dimension is not its first", path=name)
        attributes, kind = self.attributes(), self.type()
        self.count()  # vsize
        return Variable(name, dimension_ids, attributes, kind, self.uint(self.version.begin_width))
