"""``refmaker_hdf5_bitshuffle``: HDF5 filter 32008, alone or with LZ4 or Zstandard blocks.

A block of n elements (n a multiple of 8) of s bytes becomes 8s rows of n/8 bytes: row 8j+b holds bit b of byte j of
every element, eight elements to a byte, the first in the lowest bit. The elements after the last multiple of 8 stay
raw, at the end of the chunk. Compressed blocks stand in the frame of ``hdf5_blocks``; uncompressed ones in no frame.
Source: the description of bitshuffle (Masui et al. 2015) and of its HDF5 filter; measured, FORMATS.md section 5.
"""

from typing import Literal

import numpy as np

from refmaker.codecs.base import U8, BytesCodec
from refmaker.codecs.hdf5_blocks import (
    BLOCK_LENGTH,
    HEADER_LENGTH,
    FrameHeader,
    Lz4Block,
    join_frame,
    read_header,
    take_block,
)
from refmaker.codecs.zstd_block import ZstdBlock
from refmaker.errors import BrokenFileError, UnsupportedError

__all__ = ["Hdf5Bitshuffle"]

Compression = Literal["none", "lz4", "zstd"]
COMPRESSIONS: dict[int, Compression] = {0: "none", 2: "lz4", 3: "zstd"}
"""The filter's ``cd_values[4]``."""
BLOCK_CODECS: dict[str, type[Lz4Block] | type[ZstdBlock]] = {"lz4": Lz4Block, "zstd": ZstdBlock}

TARGET_BLOCK, MULTIPLE, MINIMUM = 8192, 8, 128
"""A block is about 8192 bytes by default, of a multiple of 8 elements, and of no fewer than 128."""

SWAPS = ((4, 0x0F), (2, 0x33), (1, 0x55))
"""Distance and mask of the three rounds of swaps that transpose 8 x 8 bits."""

GROUP = 1 << 18
"""Bytes transposed at once: what stays in the cache."""

WIDE = 8
"""Longer items are moved in one copy, shorter ones byte by byte."""


class Hdf5Bitshuffle(BytesCodec):
    """HDF5's bitshuffle filter.

    Attributes:
        itemsize: bytes in an element: ``cd_values[2]``.
        block_size: elements in a block, 0 for the default: ``cd_values[3]``. Compressed chunks say their own.
        compression: ``"none"``, ``"lz4"`` or ``"zstd"``: ``cd_values[4]``.
    """

    codec_id = "refmaker_hdf5_bitshuffle"

    def __init__(self, *, itemsize: int, block_size: int = 0, compression: Compression = "none") -> None:
        if itemsize < 1 or block_size < 0 or block_size % MULTIPLE:
            raise BrokenFileError(f"{self.codec_id}: itemsize {itemsize}, block_size {block_size} (not 8 times n)")
        if compression not in COMPRESSIONS.values():
            raise UnsupportedError(f"{self.codec_id}: compression {compression!r} is unknown", code="filter")
        self.itemsize = itemsize
        self.block_size = block_size
        self.compression = compression

    def decode_bytes(self, data: U8) -> U8:
        """Return the elements."""
        if self.compression == "none":
            return unshuffled(data, self.itemsize, self._block_size(), self.codec_id)
        header = read_header(data, self.codec_id)
        block_size = header.block_nbytes // self.itemsize
        if header.block_nbytes % self.itemsize or block_size % MULTIPLE or (header.nbytes and not block_size):
            raise BrokenFileError(f"{self.codec_id}: blocks of {header.block_nbytes} bytes, items {self.itemsize}")
        return unshuffled(self._decompressed(data, header), self.itemsize, block_size, self.codec_id)

    def _decompressed(self, data: U8, header: FrameHeader) -> U8:
        """Return the shuffled blocks and the raw tail, one after the other."""
        codec = BLOCK_CODECS[self.compression]
        blocks = []
        position = HEADER_LENGTH
        whole = header.nbytes - header.nbytes % (MULTIPLE * self.itemsize)
        left = whole
        while left:
            block = take_block(data, position, self.codec_id)
            nbytes = min(left, header.block_nbytes)
            codec.check(block, nbytes, self.codec_id)
            blocks.append((block, nbytes))
            position += BLOCK_LENGTH.size + block.size
            left -= nbytes
        tail = data[position : position + header.nbytes - whole]
        if whole + tail.size != header.nbytes:
            raise BrokenFileError(f"{self.codec_id}: {whole + tail.size} bytes found, {header.nbytes} expected")
        shuffled = np.empty(header.nbytes, np.uint8)
        position = 0
        for block, nbytes in blocks:
            codec.decode(block, shuffled[position : position + nbytes], self.codec_id)
            position += nbytes
        shuffled[whole:] = tail
        return shuffled

    def encode_bytes(self, data: U8) -> U8:
        """Return what the filter writes, Zstandard at its default level."""
        block_size = self._block_size()
        shuffled = reshuffled(data, self.itemsize, block_size, self.codec_id)
        if self.compression == "none":
            return shuffled
        codec = BLOCK_CODECS[self.compression]
        block_nbytes = block_size * self.itemsize
        whole = data.size - data.size % (MULTIPLE * self.itemsize)
        blocks = [codec.encode(shuffled[at : min(at + block_nbytes, whole)]) for at in range(0, whole, block_nbytes)]
        return join_frame(FrameHeader(data.size, block_nbytes), blocks, shuffled[whole:].tobytes())

    def _block_size(self) -> int:
        return self.block_size or max(TARGET_BLOCK // self.itemsize // MULTIPLE * MULTIPLE, MINIMUM)


def runs(nbytes: int, itemsize: int, block_size: int, codec_id: str) -> list[tuple[int, int, int]]:
    """Return (start byte, blocks, elements a block) of every run of equal blocks; BrokenFileError on a broken item."""
    if nbytes % itemsize:
        raise BrokenFileError(f"{codec_id}: {nbytes} bytes are no whole number of items of {itemsize}")
    if not nbytes:
        return []
    count = nbytes // itemsize
    full, rest = divmod(count, block_size)
    step = max(GROUP // (block_size * itemsize), 1)
    found = [(at * block_size * itemsize, min(step, full - at), block_size) for at in range(0, full, step)]
    if rest >= MULTIPLE:
        found.append((full * block_size * itemsize, 1, rest - rest % MULTIPLE))
    return found


def unshuffled(data: U8, itemsize: int, block_size: int, codec_id: str) -> U8:
    """Return the elements of shuffled blocks; the tail is copied."""
    elements = np.empty_like(data)
    end = 0
    for start, blocks, size in runs(data.size, itemsize, block_size, codec_id):
        end = start + blocks * size * itemsize
        rows = data[start:end].reshape(blocks, itemsize, 8, size // 8).copy()
        transpose_bits(rows)
        copy_bytes(rows, elements[start:end].reshape(blocks, size // 8, 8, itemsize).transpose(0, 3, 2, 1))
    elements[end:] = data[end:]
    return elements


def reshuffled(data: U8, itemsize: int, block_size: int, codec_id: str) -> U8:
    """Return the shuffled blocks of elements; the tail is copied."""
    shuffled = np.empty_like(data)
    end = 0
    for start, blocks, size in runs(data.size, itemsize, block_size, codec_id):
        end = start + blocks * size * itemsize
        rows = shuffled[start:end].reshape(blocks, itemsize, 8, size // 8)
        copy_bytes(data[start:end].reshape(blocks, size // 8, 8, itemsize).transpose(0, 3, 2, 1), rows)
        transpose_bits(rows)
    shuffled[end:] = data[end:]
    return shuffled


def copy_bytes(source: U8, target: U8) -> None:
    """Copy between (blocks, items, 8, bytes) arrays whose axes lie differently in memory."""
    if source.shape[1] > WIDE:
        target[...] = source
        return
    for byte in range(source.shape[1]):  # up to 3 times as fast as one copy
        for bit in range(8):
            target[:, byte, bit] = source[:, byte, bit]


def transpose_bits(rows: U8) -> None:
    """Swap, in place, bit t of byte m of row b with bit b of byte m of row t; rows: (blocks, items, 8, bytes)."""
    lanes = rows.view(np.uint64) if rows.shape[-1] % 8 == 0 else rows
    for distance, mask in SWAPS:
        wide = lanes.dtype.type(int.from_bytes(bytes([mask]) * lanes.itemsize, "little"))
        shift = lanes.dtype.type(distance)
        pairs = lanes.reshape(*rows.shape[:2], 8 // (2 * distance), 2, distance, -1)
        low, high = pairs[:, :, :, 0], pairs[:, :, :, 1]
        moved = low >> shift
        moved ^= high
        moved &= wide
        high ^= moved
        moved <<= shift
        low ^= moved
