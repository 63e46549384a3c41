"""Fixed arrays: the index of chunked datasets whose maximum shape is fixed.

HDF5 File Format Specification, section VII.B. A header (FAHD) and one data block (FADB) with an element for every
chunk of the maximum grid. Above 2^page_bits elements the block is paged, and a bitmap, most significant bit first,
tells which pages were ever written: the others hold whatever was on the disk and are not read. A small paged
block is fetched whole together with its bitmap, which saves a round.
"""

from math import prod

import numpy as np

from refmaker.scanners.hdf5.addressing import Addressing
from refmaker.scanners.hdf5.checksums import CHECKSUM, check_block, check_blocks
from refmaker.scanners.hdf5.chunk_grid import ChunkGrid
from refmaker.scanners.hdf5.chunk_record import ChunkColumns, record_dtype, select_elements
from refmaker.source.base import Bytes, Parser

__all__ = ["read_fixed_array"]

HEADER = b"FAHD"
DATA_BLOCK = b"FADB"
WHOLE_BLOCK = 1 << 20
"""Bytes up to which a paged data block is fetched without looking at its bitmap first."""


def read_fixed_array(
    addressing: Addressing, address: int, grid: ChunkGrid, page_bits: int, *, filtered: bool
) -> Parser[ChunkColumns]:
    """Read the chunks of the fixed array whose header is at ``address``; positions are inside the grid.

    Raises:
        BrokenFileError: a wrong signature, or counts and sizes that fit neither dataset nor file.
    """
    widths = addressing.size_of_lengths + addressing.size_of_offsets
    [block] = yield [addressing.wish(address, 8 + widths + CHECKSUM)]
    head = addressing.signed_cursor(block[0], address, HEADER, 0)
    check_block(addressing, block[0].tobytes(), address)
    client, element_size, found_page_bits = head.unpack("BBB")
    count = head.uint(addressing.size_of_lengths)
    data_block = head.uint(addressing.size_of_offsets)
    if (client, found_page_bits) != (int(filtered), page_bits):
        raise addressing.broken("fixed array header that contradicts the layout message", address)
    if None in grid.max_grid_shape or count != prod(extent or 0 for extent in grid.max_grid_shape):
        raise addressing.broken(f"fixed array of {count} chunks over a grid of {grid.max_grid_shape}", address)
    if data_block == addressing.undefined:
        return ChunkColumns.empty()
    record = record_dtype(addressing, element_size, filtered=filtered)
    head_of_block = DATA_BLOCK + bytes([0, client]) + address.to_bytes(addressing.size_of_offsets, "little")
    if count > 1 << page_bits:
        columns = yield from _read_pages(addressing, data_block, (count, page_bits), head_of_block, record)
    else:
        start = len(head_of_block)
        [block] = yield [addressing.wish(data_block, start + count * element_size + CHECKSUM)]
        _check_data_block(addressing, data_block, block, head_of_block)
        check_blocks(addressing, block, data_block)
        elements = block[:, start:-CHECKSUM].view(record)
        columns = select_elements(addressing, elements, np.zeros(1, np.uint64))
    position, inside = grid.positions_of_indexes(columns.position, range(len(grid.grid_shape)))
    columns = columns._replace(position=position)
    return columns if inside is None else columns.where(inside)


def _read_pages(
    addressing: Addressing,
    data_block: int,
    count: tuple[int, int],
    head_of_block: bytes,
    record: np.dtype[np.void],
) -> Parser[ChunkColumns]:
    """Read a paged data block: bitmap, then the pages it marks; the last page may be shorter."""
    elements, page_bits = count
    page = 1 << page_bits
    page_size = page * record.itemsize + CHECKSUM
    full_pages, tail = divmod(elements, page)
    page_count = full_pages + (tail > 0)
    bitmap = len(head_of_block)
    bitmap_size = -(-page_count // 8)
    start = bitmap + bitmap_size + CHECKSUM
    tail_start = start + full_pages * page_size
    tail_size = tail * record.itemsize + CHECKSUM if tail else 0
    whole = tail_start + tail_size
    addressing.offset(data_block, whole)
    [block] = yield [addressing.wish(data_block, whole if whole <= WHOLE_BLOCK else start)]
    _check_data_block(addressing, data_block, block, head_of_block)
    check_blocks(addressing, block[:, :start], data_block)
    written = np.unpackbits(block[0, bitmap : bitmap + bitmap_size], count=page_count).view(np.bool_)
    full = np.flatnonzero(written[:full_pages]).astype(np.uint64)
    has_tail = tail > 0 and bool(written[-1])
    if whole <= WHOLE_BLOCK:
        pages = block[:, start:tail_start].reshape(full_pages, page_size)[full]
        tails = [block[:, tail_start:]] if has_tail else []
    else:
        places = np.uint64(data_block + start) + full * np.uint64(page_size)
        wishes = [addressing.wishes(places, page_size)]
        if has_tail:
            wishes.append(addressing.wish(data_block + tail_start, tail_size))
        pages, *tails = yield wishes
    for each in (pages, *tails):
        check_blocks(addressing, each, data_block)
    parts = [select_elements(addressing, pages[:, :-CHECKSUM].view(record), full * np.uint64(page))]
    for last in tails:
        first = np.array([full_pages * page], np.uint64)
        parts.append(select_elements(addressing, last[:, :-CHECKSUM].view(record), first))
    return ChunkColumns.concatenate(parts)


def _check_data_block(addressing: Addressing, address: int, block: Bytes, head_of_block: bytes) -> None:
    """Check signature, version, client and the address of the header, which every data block repeats."""
    if block[0, : len(head_of_block)].tobytes() != head_of_block:
        raise addressing.broken("fixed array data block expected that belongs to its header", address)
