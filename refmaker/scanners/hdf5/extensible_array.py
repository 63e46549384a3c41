"""Extensible arrays: the index of chunked datasets with exactly one unlimited axis.

HDF5 File Format Specification, section VII.C. A header (EAHD), an index block (EAIB) with the first elements, super
blocks (EASB) and data blocks (EADB). Super block u stands for 2^(u//2) data blocks of min_elements * 2^((u+1)//2)
elements each. The data blocks of the first super blocks are listed in the index block itself; the others have a
block of their own, which also tells which pages of their data blocks were ever written. Four rounds: header, index
block, all super blocks, all data blocks; loops run over super blocks, of which there are at most 64.

Elements are numbered over the maximum grid with the unlimited axis *first*, which libhdf5's own chunk iteration
forgets when that is not axis 0.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from refmaker.scanners.hdf5.addressing import Addressing
from refmaker.scanners.hdf5.checksums import CHECKSUM, check_block, check_blocks
from refmaker.scanners.hdf5.chunk_grid import ChunkGrid
from refmaker.scanners.hdf5.chunk_record import ChunkColumns, record_dtype, select_elements
from refmaker.scanners.hdf5.layout import ExtensibleArrayParameters
from refmaker.source.base import Bytes, Parser

__all__ = ["read_extensible_array"]

MAX_BITS = 56
"""HDF5 always writes 32; element numbers must fit 64 bits with room to spare."""
UIntArray = npt.NDArray[np.uint64]


class _Array(NamedTuple):
    """What the header says, and what every other block repeats of it."""

    addressing: Addressing
    header_address: int
    client: int
    parameters: ExtensibleArrayParameters
    record: np.dtype[np.void]
    max_index_set: int
    index_block: int

    def head_of_block(self, signature: bytes) -> bytes:
        """Return signature, version, client and header address: how each block begins."""
        width = self.addressing.size_of_offsets
        return signature + bytes([0, self.client]) + self.header_address.to_bytes(width, "little")

    @property
    def block_offset_size(self) -> int:
        """Bytes of the field that tells a block's first element."""
        return -(-self.parameters.max_bits // 8)

    @property
    def direct_super_blocks(self) -> int:
        """Super blocks whose data blocks the index block lists itself."""
        return 2 * (self.parameters.min_pointers.bit_length() - 1)

    @property
    def super_blocks(self) -> int:
        """All super blocks there may ever be."""
        return 1 + self.parameters.max_bits - (self.parameters.min_elements.bit_length() - 1)


class _SuperBlock(NamedTuple):
    """The data blocks of one super block.

    Attributes:
        block_elements: elements in each data block.
        first: number of the first element of each allocated data block, counted after the index block's elements.
        address: of the allocated data blocks, shape (n,).
        written: which pages of these data blocks were written, shape (n, pages); None if not paged.
    """

    block_elements: int
    first: UIntArray
    address: UIntArray
    written: npt.NDArray[np.bool_] | None


def read_extensible_array(
    addressing: Addressing,
    address: int,
    grid: ChunkGrid,
    parameters: ExtensibleArrayParameters,
    *,
    filtered: bool,
) -> Parser[ChunkColumns]:
    """Read the chunks of the extensible array whose header is at ``address``; positions are inside the grid.

    Raises:
        BrokenFileError: a wrong signature, or counts and sizes that fit neither dataset nor file.
    """
    axes = _axes(addressing, address, grid)
    array = yield from _read_header(addressing, address, parameters, filtered=filtered)
    if array.index_block == addressing.undefined:
        return ChunkColumns.empty()
    columns = yield from _read_elements(array)
    if columns.position.size and int(columns.position.max()) >= array.max_index_set:
        raise addressing.broken(f"element set beyond the maximum index {array.max_index_set}", address)
    position, inside = grid.positions_of_indexes(columns.position, axes)
    columns = columns._replace(position=position)
    return columns if inside is None else columns.where(inside)


def _axes(addressing: Addressing, address: int, grid: ChunkGrid) -> list[int]:
    """Return the axes in the order in which elements are numbered: the unlimited one first."""
    unlimited = [axis for axis, extent in enumerate(grid.max_grid_shape) if extent is None]
    if len(unlimited) != 1:
        raise addressing.broken(f"extensible array over a grid of {grid.max_grid_shape}", address)
    return unlimited + [axis for axis in range(len(grid.max_grid_shape)) if axis != unlimited[0]]


def _read_header(
    addressing: Addressing, address: int, expected: ExtensibleArrayParameters, *, filtered: bool
) -> Parser[_Array]:
    size = 12 + 6 * addressing.size_of_lengths + addressing.size_of_offsets + CHECKSUM
    [block] = yield [addressing.wish(address, size)]
    head = addressing.signed_cursor(block[0], address, b"EAHD", 0)
    check_block(addressing, block[0].tobytes(), address)
    client, element_size, max_bits, index_block_elements, min_elements, min_pointers, page_bits = head.unpack("7B")
    parameters = ExtensibleArrayParameters(max_bits, index_block_elements, min_pointers, min_elements, page_bits)
    if client != int(filtered) or parameters != expected:
        raise addressing.broken("extensible array header that contradicts the layout message", address)
    powers = parameters.min_pointers, parameters.min_elements
    if parameters.max_bits > MAX_BITS or any(value & (value - 1) or not value for value in powers):
        raise addressing.broken(f"impossible extensible array: {parameters}", address)
    head.skip(4 * addressing.size_of_lengths)  # statistics
    max_index_set = head.uint(addressing.size_of_lengths)
    head.skip(addressing.size_of_lengths)
    record = record_dtype(addressing, element_size, filtered=filtered)
    index_block = head.uint(addressing.size_of_offsets)
    array = _Array(addressing, address, client, parameters, record, max_index_set, index_block)
    if array.super_blocks < array.direct_super_blocks:
        raise addressing.broken(f"impossible extensible array: {parameters}", address)
    return array


def _read_elements(array: _Array) -> Parser[ChunkColumns]:
    """Read index block, super blocks and data blocks, and return all defined elements by their number."""
    addressing, parameters, record = array.addressing, array.parameters, array.record
    head = array.head_of_block(b"EAIB")
    width = addressing.size_of_offsets
    data_blocks = 2 * (parameters.min_pointers - 1)
    own_super_blocks = array.super_blocks - array.direct_super_blocks
    first_address = len(head) + parameters.index_block_elements * record.itemsize
    size = first_address + (data_blocks + own_super_blocks) * width + CHECKSUM
    [block] = yield [addressing.wish(array.index_block, size)]
    if block[0, : len(head)].tobytes() != head:
        raise addressing.broken("extensible array index block expected", array.index_block)
    check_blocks(addressing, block, array.index_block)
    elements = block[:, len(head) : first_address].view(record)
    parts = [select_elements(addressing, elements, np.zeros(1, np.uint64))]
    addresses = block[0, first_address:-CHECKSUM].view(f"<u{width}").astype(np.uint64)
    if (addresses == addressing.undefined).all():  # small datasets end here
        return parts[0]
    super_blocks = _direct_super_blocks(array, addresses[:data_blocks])
    super_blocks += yield from _read_super_blocks(array, addresses[data_blocks:])
    wishes = [addressing.wishes(each.address, _data_block_size(array, each)) for each in super_blocks]
    blocks = (yield addressing.checked(wishes)) if wishes else []
    for each, data in zip(super_blocks, blocks, strict=True):
        parts.append(_data_block_elements(array, each, data))
    return ChunkColumns.concatenate(parts)


def _block_count(number: int) -> int:
    """Return the data blocks of super block ``number``."""
    return 1 << number // 2


def _block_elements(array: _Array, number: int) -> int:
    """Return the elements in each data block of super block ``number``."""
    return array.parameters.min_elements << (number + 1) // 2


def _first_elements(array: _Array, number: int) -> UIntArray:
    """Return the number of the first element of each data block of a super block, after the index block's."""
    start = sum(_block_count(before) * _block_elements(array, before) for before in range(number))
    count = _block_count(number)
    return np.uint64(start) + np.arange(count, dtype=np.uint64) * np.uint64(_block_elements(array, number))


def _direct_super_blocks(array: _Array, addresses: UIntArray) -> list[_SuperBlock]:
    """Return the super blocks that the index block stands for."""
    super_blocks = []
    start = 0
    for number in range(array.direct_super_blocks):
        count = _block_count(number)
        here = addresses[start : start + count]
        start += count
        allocated = here != array.addressing.undefined
        if not allocated.any():
            continue
        block_elements = _block_elements(array, number)
        if block_elements > 1 << array.parameters.page_bits:
            raise array.addressing.broken("paged data blocks without a super block", array.index_block)
        first = _first_elements(array, number)[allocated]
        super_blocks.append(_SuperBlock(block_elements, first, here[allocated], None))
    return super_blocks


def _read_super_blocks(array: _Array, addresses: UIntArray) -> Parser[list[_SuperBlock]]:
    """Read all super blocks that have a block of their own and are allocated."""
    addressing = array.addressing
    allocated = np.flatnonzero(addresses != addressing.undefined).tolist()
    if not allocated:
        return []
    numbers = [index + array.direct_super_blocks for index in allocated]
    wishes = [
        addressing.wish(int(addresses[index]), _super_block_size(array, number))
        for index, number in zip(allocated, numbers, strict=True)
    ]
    blocks = yield addressing.checked(wishes)
    return [
        super_block
        for number, block in zip(numbers, blocks, strict=True)
        if (super_block := _super_block(array, number, block[0])).address.size
    ]


def _pages(array: _Array, number: int) -> int:
    """Return the pages of each data block of super block ``number``; 0 when it is not paged."""
    elements = _block_elements(array, number)
    page = 1 << array.parameters.page_bits
    return elements // page if elements > page else 0


def _super_block_size(array: _Array, number: int) -> int:
    head = 6 + array.addressing.size_of_offsets + array.block_offset_size
    bitmap = _block_count(number) * -(-_pages(array, number) // 8)
    return head + bitmap + _block_count(number) * array.addressing.size_of_offsets + CHECKSUM


def _super_block(array: _Array, number: int, block: Bytes) -> _SuperBlock:
    addressing = array.addressing
    head = array.head_of_block(b"EASB")
    first = _first_elements(array, number)
    bitmap = len(head) + array.block_offset_size
    if block[:bitmap].tobytes() != head + int(first[0]).to_bytes(array.block_offset_size, "little"):
        raise addressing.broken("extensible array super block expected", array.index_block)
    check_block(addressing, block.tobytes(), array.index_block)
    count, pages = _block_count(number), _pages(array, number)
    addresses_start = bitmap + count * -(-pages // 8)
    address = block[addresses_start:-CHECKSUM].view(f"<u{addressing.size_of_offsets}").astype(np.uint64)
    allocated = address != addressing.undefined
    written = None
    if pages:
        # The bits of all data blocks follow each other without a gap, although room is made for whole bytes each.
        bits = np.unpackbits(block[bitmap:addresses_start], count=count * pages)
        written = bits.view(np.bool_).reshape(count, pages)[allocated]
    return _SuperBlock(_block_elements(array, number), first[allocated], address[allocated], written)


def _data_block_size(array: _Array, super_block: _SuperBlock) -> int:
    """Return the bytes of each data block: with pages, one checksum after the head and one after every page."""
    checksums = 1 if super_block.written is None else 1 + super_block.written.shape[1]
    head = 6 + array.addressing.size_of_offsets + array.block_offset_size
    return head + super_block.block_elements * array.record.itemsize + checksums * CHECKSUM


def _data_block_elements(array: _Array, super_block: _SuperBlock, blocks: Bytes) -> ChunkColumns:
    """Return the defined elements in written pages of all data blocks of one super block."""
    addressing = array.addressing
    head = np.frombuffer(array.head_of_block(b"EADB"), np.uint8)
    start = head.size + array.block_offset_size
    # The block offset is not compared: libhdf5 writes a wrong one into the blocks that the index block lists.
    if not (blocks[:, : head.size] == head).all():
        raise addressing.broken("extensible array data block expected", int(super_block.address[0]))
    first = super_block.first + np.uint64(array.parameters.index_block_elements)
    written = super_block.written
    if written is None:
        check_blocks(addressing, blocks, array.index_block)
        return select_elements(addressing, blocks[:, start:-CHECKSUM].view(array.record), first)
    count, pages = written.shape
    check_blocks(addressing, blocks[:, : start + CHECKSUM], array.index_block)
    page = super_block.block_elements // pages
    paged = blocks[:, start + CHECKSUM :].reshape(count, pages, page * array.record.itemsize + CHECKSUM)
    page_first = first[:, None] + np.arange(pages, dtype=np.uint64) * np.uint64(page)
    paged, page_first = paged[written], page_first[written]
    check_blocks(addressing, paged, array.index_block)
    return select_elements(addressing, paged[:, :-CHECKSUM].view(array.record), page_first)
