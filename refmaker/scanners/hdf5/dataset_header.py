"""What a dataset's object header says of it: read by us, or where we do not understand all of it, by libhdf5.

HDF5 File Format Specification, section IV.A. Opening a dataset through h5py and asking for each of its properties
costs several times what all of the rest costs. Both readers give the same record; a header that says anything unusual
(shared messages, virtual and external storage, unknown messages) is left to the library.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from h5py import h5d, h5p, h5s, h5t

from refmaker.errors import BrokenFileError
from refmaker.scanners.hdf5 import messages as say
from refmaker.scanners.hdf5.addressing import Addressing
from refmaker.scanners.hdf5.attributes import H5PY_ERRORS
from refmaker.scanners.hdf5.datatypes import pointers_of
from refmaker.scanners.hdf5.dense import read_members
from refmaker.scanners.hdf5.layout import DataLayout, LayoutClass, parse_data_layout
from refmaker.scanners.hdf5.object_header import HeaderMessage
from refmaker.source.base import Parser

__all__ = [
    "DatasetHeader",
    "ObjectHeader",
    "datatype_of",
    "header_by_library",
    "object_header_of",
    "read_dense_attributes",
]

ENCODED_DATATYPE = b"\x03\x00"
"""What ``H5Tencode`` puts before a datatype message: the message's type, and the version of the encoding."""
OF_DATASETS = frozenset(
    {
        *(say.DATASPACE, say.DATATYPE, say.FILL_VALUE_OLD, say.FILL_VALUE, say.DATA_LAYOUT, say.FILTER_PIPELINE),
        *(say.ATTRIBUTE, say.ATTRIBUTE_INFO, say.COMMENT, say.TIME_OLD, say.TIME, say.REFERENCE_COUNT),
    }
)
"""Types of the messages that we expect of a dataset."""
TIME_OLD_SIZE = 16
"""Bytes of the old message of the time of modification."""
FAIL_IF_UNKNOWN = 0x80
"""Flag of a header message: whoever does not know its type must not read the object."""


@dataclass(frozen=True, slots=True)
class DatasetHeader:
    """A dataset as its object header defines it.

    Attributes:
        shape: None for a null dataspace.
        maxshape: None along unlimited axes.
        datatype: of the elements, as they look in memory.
        layout_class: compact, contiguous, chunked or virtual.
        chunk_shape: empty unless chunked.
        filters: in encoding order.
        has_fill: whether the user defined a fill value.
        fill: that value's bytes as ``datatype`` lays them out; None: only the library can tell.
        is_external: whether the elements lie in other, raw files.
        layout: the whole layout message; None: only the library can tell.
    """

    shape: tuple[int, ...] | None
    maxshape: tuple[int | None, ...]
    datatype: h5t.TypeID
    layout_class: int
    chunk_shape: tuple[int, ...]
    filters: tuple[say.Filter, ...]
    has_fill: bool
    fill: bytes | None = None
    is_external: bool = False
    layout: DataLayout | None = None


class ObjectHeader(NamedTuple):
    """The header of any object.

    Attributes:
        attributes: the attribute messages; None: only the library can list them.
        elsewhere: where they are kept instead of in the header, if they are.
        dataset: None if it is no dataset's, or says what only libhdf5 knows.
        group: the messages that tell of links; None if it is no group's.
        problem: why its attributes cannot be listed, by the library neither: it might crash.
    """

    attributes: tuple[say.Attribute, ...] | None
    elsewhere: say.Dense | None
    dataset: DatasetHeader | None
    group: tuple[HeaderMessage, ...] | None
    problem: str = ""


@lru_cache(2048)
def datatype_of(body: bytes) -> h5t.TypeID:
    """Return the datatype that a message describes.

    Raises:
        BrokenFileError, TruncatedFileError: it makes no sense (libhdf5's decoder would read beyond its end).
    """
    pointers_of(body)
    try:
        return h5t.decode(ENCODED_DATATYPE + body)
    except H5PY_ERRORS as error:
        raise BrokenFileError(f"a datatype that HDF5 cannot decode: {error}") from error


def object_header_of(addressing: Addressing, messages: tuple[HeaderMessage, ...]) -> ObjectHeader:
    """Return what the messages of an object header say.

    Raises:
        BrokenFileError, TruncatedFileError, UnsupportedError: a message makes no sense to us.
    """
    if any(message.type > say.LAST_KNOWN and message.flags & FAIL_IF_UNKNOWN for message in messages):
        return ObjectHeader(None, None, None, None)
    is_group = any(message.type in {say.SYMBOL_TABLE, say.LINK_INFO} for message in messages)
    of_links = {say.SYMBOL_TABLE, say.LINK_INFO, say.LINK}
    group = tuple(message for message in messages if message.type in of_links) if is_group else None
    dataset = None if is_group else _dataset(addressing, messages)
    return ObjectHeader(*_attributes(addressing, messages), dataset, group)


def _attributes(
    addressing: Addressing, messages: tuple[HeaderMessage, ...]
) -> tuple[tuple[say.Attribute, ...] | None, say.Dense | None]:
    """Return the attributes that an object header holds, or else where they are."""
    found = []
    for message in messages:
        if message.type == say.ATTRIBUTE:
            if message.flags & say.SHARED:
                return None, None
            found.append(say.attribute_of(message.body))
        elif message.type == say.ATTRIBUTE_INFO:
            if message.flags & say.SHARED:
                return None, None
            elsewhere = say.attribute_info(addressing, message.body)
            if elsewhere.heap != addressing.undefined:
                return None, elsewhere
    return tuple(found), None


def _dataset(addressing: Addressing, messages: tuple[HeaderMessage, ...]) -> DatasetHeader | None:
    """Return what the messages say of a dataset."""
    found: dict[int, HeaderMessage] = {}
    for message in messages:
        is_odd = message.type not in OF_DATASETS or (
            message.type == say.TIME_OLD and len(message.body) != TIME_OLD_SIZE
        )
        if is_odd or (message.flags & say.SHARED and message.type != say.ATTRIBUTE):
            return None
        found.setdefault(message.type, message)
    if not {say.DATASPACE, say.DATATYPE, say.DATA_LAYOUT} <= found.keys():
        return None
    layout = parse_data_layout(addressing, found[say.DATA_LAYOUT])
    extent = say.extent_of(addressing, found[say.DATASPACE].body)
    size = pointers_of(found[say.DATATYPE].body).size
    is_odd_chunk = layout.layout_class == LayoutClass.CHUNKED and (
        extent is None or len(layout.chunk_shape) != len(extent.shape) or layout.element_size != size
    )
    only_old_fill = say.FILL_VALUE_OLD in found and say.FILL_VALUE not in found
    if layout.layout_class == LayoutClass.VIRTUAL or is_odd_chunk or only_old_fill:
        return None
    fill = say.fill_of(found[say.FILL_VALUE].body) if say.FILL_VALUE in found else say.Fill(False)
    filters = found.get(say.FILTER_PIPELINE)
    return DatasetHeader(
        shape=extent.shape if extent else None,
        maxshape=extent.maxshape if extent else (),
        datatype=datatype_of(found[say.DATATYPE].body),
        layout_class=layout.layout_class,
        chunk_shape=layout.chunk_shape,
        filters=say.filters_of(filters.body) if filters else (),
        has_fill=fill.is_defined,
        fill=fill.value,
        layout=layout,
    )


def read_dense_attributes(addressing: Addressing, place: say.Dense) -> Parser[tuple[say.Attribute, ...] | None]:
    """Read the attributes of an object that has many, None where only the library can.

    Raises:
        BrokenFileError, TruncatedFileError, UnsupportedError: heap or B-tree make no sense to us.
    """
    members = yield from read_members(addressing, place)
    found = []
    for rest, body in members.bodies():
        if body is None or not rest or rest[0] & say.SHARED:
            return None
        found.append(say.attribute_of(body))
    return tuple(found)


def header_by_library(dataset: h5d.DatasetID, properties: h5p.PropDCID) -> DatasetHeader:
    """Return what libhdf5 says of an open dataset."""
    space = dataset.get_space()
    layout_class = properties.get_layout()
    is_null = space.get_simple_extent_type() == h5s.NULL
    filters = []
    for i in range(properties.get_nfilters()):
        number, _, values, raw_name = properties.get_filter(i)
        name = raw_name.decode("latin-1") if isinstance(raw_name, bytes) else str(raw_name)
        filters.append(say.Filter(number, name, tuple(values)))
    maxshape = space.get_simple_extent_dims(True) or ()
    return DatasetHeader(
        shape=None if is_null else space.get_simple_extent_dims(),
        maxshape=tuple(None if n == h5s.UNLIMITED else n for n in maxshape),
        datatype=dataset.get_type(),
        layout_class=layout_class,
        chunk_shape=tuple(properties.get_chunk()) if layout_class == h5d.CHUNKED else (),
        filters=tuple(filters),
        has_fill=properties.fill_value_defined() == h5d.FILL_VALUE_USER_DEFINED,
        is_external=properties.get_external_count() > 0,
    )
