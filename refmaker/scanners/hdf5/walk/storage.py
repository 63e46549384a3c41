"""A dataset's bytes, as far as a scan reads them: the chunk index, and values where these are pointers.

Values of variable length and references go into the references decoded, so h5py will read them: their chunks, and the
heaps that their elements point into. To find these, the everyday filters are undone here.
"""

import zlib
from collections.abc import Sequence
from math import prod

import numpy as np

from refmaker.scanners.hdf5.chunk_index import ChunkIndex, read_chunk_index
from refmaker.scanners.hdf5.datatypes import Pointers, heap_addresses, pointers_of
from refmaker.scanners.hdf5.layout import DataLayout, LayoutClass, parse_data_layout
from refmaker.scanners.hdf5.messages import (
    DATA_LAYOUT,
    DATASPACE,
    DATATYPE,
    FILTER_PIPELINE,
    SHARED,
    Filter,
    extent_of,
    filters_of,
    shared_at,
)
from refmaker.scanners.hdf5.object_header import HeaderMessage, read_object_header
from refmaker.scanners.hdf5.walk.heaps import global_heap
from refmaker.scanners.hdf5.walk.walked import Walked
from refmaker.source.base import Bytes, Parser, Wish

__all__ = ["walk_data"]

VALUES_BELOW = 64 << 20
"""Bytes of values beyond which a scan refuses to store them in references, so does not read them."""
ODD_VALUES_UP_TO = 64 << 10
"""Bytes of values up to which a scan stores decoded what would need codecs of ours."""
DEFLATE, SHUFFLE, FLETCHER32 = 1, 2, 3


def walk_data(walked: Walked, messages: Sequence[HeaderMessage]) -> Parser[None]:
    """Wish for a dataset's chunk index, and for its values if h5py has to read them; nothing for other objects."""
    found = {message.type: message for message in reversed(messages)}
    if not {DATASPACE, DATATYPE, DATA_LAYOUT} <= found.keys() or found[DATASPACE].flags & SHARED:
        return
    layout = parse_data_layout(walked.addressing, found[DATA_LAYOUT])
    filters = filters_of(found[FILTER_PIPELINE].body) if FILTER_PIPELINE in found else ()
    extent = extent_of(walked.addressing, found[DATASPACE].body)
    if extent is None:
        return
    index = None
    if layout.layout_class == LayoutClass.CHUNKED:
        index = yield from read_chunk_index(
            walked.superblock, layout, extent.shape, extent.maxshape, filtered=bool(filters)
        )
    pointers = yield from _pointers(walked, found[DATATYPE])
    if pointers.is_read or (pointers.is_odd and prod(extent.shape) * pointers.size <= ODD_VALUES_UP_TO):
        if layout.layout_class == LayoutClass.CHUNKED and index is not None:
            yield from _chunks(walked, index, filters, pointers)
        else:
            yield from _run(walked, found[DATA_LAYOUT], layout, prod(extent.shape) * pointers.size, pointers)


def _pointers(walked: Walked, message: HeaderMessage) -> Parser[Pointers]:
    """Return the pointers of a dataset's datatype, which may be a committed one."""
    if not message.flags & SHARED:
        return pointers_of(message.body)
    holder = shared_at(walked.addressing, message.body)
    if holder is not None:
        for each in (yield from read_object_header(walked.addressing, holder + walked.addressing.base_address)):
            if each.type == DATATYPE and not each.flags & SHARED:
                return pointers_of(each.body)
    return Pointers(0)


def _run(walked: Walked, message: HeaderMessage, layout: DataLayout, size: int, pointers: Pointers) -> Parser[None]:
    """Wish for compact or contiguous values of ``size`` bytes, and for the heaps they point into."""
    if layout.layout_class == LayoutClass.COMPACT and layout.compact_offset is not None:
        start = layout.compact_offset - message.offset
        _follow(walked, pointers, message.body[start : start + size])
    elif layout.layout_class == LayoutClass.CONTIGUOUS and layout.address is not None and 0 < size <= VALUES_BELOW:
        [block] = yield [walked.addressing.wish(layout.address, size)]
        _follow(walked, pointers, block.tobytes())


def _chunks(walked: Walked, index: ChunkIndex, filters: tuple[Filter, ...], pointers: Pointers) -> Parser[None]:
    """Do the same for chunks."""
    if int(index.length.sum()) > VALUES_BELOW:
        return
    places = zip(index.offset.tolist(), index.length.tolist(), strict=True)
    blocks = yield [Wish.one(offset, length) for offset, length in places]
    if any(each.id not in {DEFLATE, SHUFFLE, FLETCHER32} for each in filters):
        return
    room = VALUES_BELOW
    for block, mask in zip(blocks, index.filter_mask.tolist(), strict=True):
        data = _decoded(block[0], filters, mask, room)
        room -= len(data)
        _follow(walked, pointers, data)
        if room <= 0:
            return


def _decoded(block: Bytes, filters: tuple[Filter, ...], mask: int, room: int) -> bytes:
    """Return a chunk's elements; no more than ``room`` bytes of them."""
    data = block.tobytes()
    for bit, each in reversed(list(enumerate(filters))):
        if mask >> bit & 1:
            continue
        if each.id == FLETCHER32:
            data = data[:-4]
        elif each.id == DEFLATE:
            try:
                data = zlib.decompressobj().decompress(data, room)
            except zlib.error:
                return b""
        elif each.values and (size := each.values[0]) > 1:
            count = len(data) // size
            planes = np.frombuffer(data, np.uint8, count * size).reshape(size, count)
            data = planes.T.tobytes() + data[count * size :]
    return data


def _follow(walked: Walked, pointers: Pointers, data: bytes) -> None:
    walked.follow_all(global_heap, heap_addresses(walked.addressing, pointers, data))
