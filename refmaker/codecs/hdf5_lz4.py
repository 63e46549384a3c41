"""``refmaker_hdf5_lz4``: HDF5 filter 32004: LZ4 blocks in the frame of ``hdf5_blocks``.

A block whose stored length is its decoded length is stored raw; the last block may be short.
"""

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
from refmaker.errors import BrokenFileError

__all__ = ["Hdf5Lz4", "encode_lz4"]

ENCODED_BLOCK = 1 << 30
"""The filter's own default length of a block, in bytes."""


class Hdf5Lz4(BytesCodec):
    """HDF5's LZ4 filter. It has no parameters: a chunk says its own sizes."""

    codec_id = "refmaker_hdf5_lz4"

    def decode_bytes(self, data: U8) -> U8:
        """Return the decoded chunk."""
        header = read_header(data, self.codec_id)
        blocks = self._blocks(data, header)
        decoded = np.empty(header.nbytes, np.uint8)
        position = 0
        for block, nbytes in blocks:
            part = decoded[position : position + nbytes]
            if block.size == nbytes:
                part[:] = block
            else:
                Lz4Block.decode(block, part, self.codec_id)
            position += nbytes
        return decoded

    def _blocks(self, data: U8, header: FrameHeader) -> list[tuple[U8, int]]:
        """Return each block with its decoded length, all checked."""
        if header.nbytes and not header.block_nbytes:
            raise BrokenFileError(f"{self.codec_id}: blocks of 0 bytes")
        blocks = []
        position, left = HEADER_LENGTH, header.nbytes
        while left:
            nbytes = min(left, header.block_nbytes)
            block = take_block(data, position, self.codec_id)
            if block.size != nbytes:
                Lz4Block.check(block, nbytes, self.codec_id)
            blocks.append((block, nbytes))
            position += BLOCK_LENGTH.size + block.size
            left -= nbytes
        return blocks

    def encode_bytes(self, data: U8) -> U8:
        """Return ``data`` as the filter writes it with its default block length."""
        return encode_lz4(data, block_nbytes=ENCODED_BLOCK)


def encode_lz4(data: U8, *, block_nbytes: int) -> U8:
    """Return ``data`` in blocks of ``block_nbytes`` bytes; a block that LZ4 does not shrink is stored raw."""
    block_nbytes = min(block_nbytes, max(data.size, 1))
    blocks = []
    for start in range(0, data.size, block_nbytes):
        raw = data[start : start + block_nbytes]
        packed = Lz4Block.encode(raw)
        blocks.append(packed if len(packed) < raw.size else raw.tobytes())
    return join_frame(FrameHeader(data.size, block_nbytes), blocks)
