"""The frame that the HDF5 filters lz4 (32004) and bitshuffle (32008) put around their compressed blocks.

    0   u64 big-endian   length of the decoded chunk, in bytes
    8   u32 big-endian   length of a decoded block, in bytes
    12  per block: u32 big-endian length, then that many bytes

Every length is checked before anything is allocated or decoded.
Source: the filter descriptions registered with The HDF Group; measured, FORMATS.md section 5.
"""

import struct
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from refmaker.codecs.base import U8
from refmaker.errors import BrokenFileError, TruncatedFileError

__all__ = ["BLOCK_LENGTH", "HEADER_LENGTH", "FrameHeader", "Lz4Block", "join_frame", "read_header", "take_block"]

HEADER = struct.Struct(">QI")
HEADER_LENGTH = HEADER.size
BLOCK_LENGTH = struct.Struct(">I")
LZ4_RATIO = 255
"""No LZ4 block expands more: each further byte of a match length stands for 255 bytes."""
LZ4_SLACK = 64


@dataclass(frozen=True, slots=True)
class FrameHeader:
    """Sizes in bytes that a frame starts with.

    Attributes:
        nbytes: length of the decoded chunk.
        block_nbytes: length of each decoded block but the last.
    """

    nbytes: int
    block_nbytes: int


def read_header(data: U8, codec_id: str) -> FrameHeader:
    """Return the frame's sizes; TruncatedFileError when there are no 12 bytes."""
    if data.size < HEADER.size:
        raise TruncatedFileError(f"{codec_id}: {data.size} bytes found, {HEADER.size} expected for the header")
    return FrameHeader(*HEADER.unpack_from(data.data))


def take_block(data: U8, position: int, codec_id: str) -> U8:
    """Return the bytes of the block whose length stands at ``position``; TruncatedFileError past the end."""
    start = position + BLOCK_LENGTH.size
    if start > data.size:
        raise TruncatedFileError(f"{codec_id}: the chunk ends at {data.size}, before the block at {position}")
    (length,) = BLOCK_LENGTH.unpack_from(data.data, position)
    if start + length > data.size:
        raise TruncatedFileError(f"{codec_id}: block of {length} bytes at {position}, chunk ends at {data.size}")
    return data[start : start + length]


def join_frame(header: FrameHeader, blocks: Iterable[bytes], tail: bytes = b"") -> U8:
    """Return a frame of encoded blocks, followed by bytes that stay outside them."""
    parts = [HEADER.pack(header.nbytes, header.block_nbytes)]
    for block in blocks:
        parts += BLOCK_LENGTH.pack(len(block)), block
    parts.append(tail)
    return np.frombuffer(b"".join(parts), np.uint8)


class Lz4Block:
    """One LZ4 block without a frame of its own, through numcodecs, which wants its length before it."""

    @staticmethod
    def check(block: U8, nbytes: int, codec_id: str) -> None:
        """Raise BrokenFileError when a block cannot hold ``nbytes`` decoded bytes."""
        if not 0 < nbytes <= min(LZ4_RATIO * block.size + LZ4_SLACK, 2**31 - 1):
            raise BrokenFileError(f"{codec_id}: an LZ4 block of {block.size} bytes cannot hold {nbytes}")

    @staticmethod
    def decode(block: U8, out: U8, codec_id: str) -> None:
        """Decode ``block`` into the whole of ``out``; BrokenFileError when it is not that long."""
        from numcodecs.lz4 import decompress

        try:
            decompress(struct.pack("<i", out.size) + block.tobytes(), out)
        except (RuntimeError, ValueError) as error:
            raise BrokenFileError(f"{codec_id}: {error}") from error

    @staticmethod
    def encode(data: U8) -> bytes:
        """Return ``data`` as an LZ4 block."""
        from numcodecs.lz4 import compress

        return bytes(compress(np.ascontiguousarray(data)))[4:]
