"""One Zstandard frame of a known length, through numcodecs; its sizes are read before it is decoded.

Source: RFC 8878 sections 3.1.1 (frames) and 3.1.1.2 (blocks).
"""

import numpy as np

from refmaker.codecs.base import U8
from refmaker.errors import BrokenFileError, TruncatedFileError

__all__ = ["ZstdBlock"]

MAGIC = b"\x28\xb5\x2f\xfd"
SINGLE_SEGMENT, CHECKSUM, RESERVED, DICTIONARY = 0x20, 0x04, 0x08, 0x03
CONTENT_SIZE_WIDTH = (0, 2, 4, 8)
RLE_BLOCK = 1
HEADER_LONGEST = 14


class ZstdBlock:
    """A Zstandard frame that says its content's size, as ZSTD_compress writes it."""

    @staticmethod
    def check(block: U8, nbytes: int, codec_id: str) -> None:
        """Raise BrokenFileError unless ``block`` is exactly one frame of ``nbytes`` decoded bytes."""
        size, end = frame_sizes(block, codec_id)
        if size != nbytes or end != block.size:
            raise BrokenFileError(
                f"{codec_id}: a Zstandard frame of {end} bytes holds {size}, expected {block.size} holding {nbytes}"
            )

    @staticmethod
    def decode(block: U8, out: U8, codec_id: str) -> None:
        """Decode ``block`` into the whole of ``out``; BrokenFileError when it does not fill it."""
        from numcodecs.zstd import decompress

        try:
            decompress(np.ascontiguousarray(block), out)
        except (RuntimeError, ValueError) as error:
            raise BrokenFileError(f"{codec_id}: {error}") from error

    @staticmethod
    def encode(data: U8) -> bytes:
        """Return ``data`` as one frame."""
        from numcodecs.zstd import compress

        return bytes(compress(np.ascontiguousarray(data)))


def frame_sizes(block: U8, codec_id: str) -> tuple[int | None, int]:
    """Return the frame's content size (None: not said) and its own length, both in bytes."""
    head = block[:HEADER_LONGEST].tobytes()
    if len(head) < 6 or not head.startswith(MAGIC) or head[4] & (RESERVED | DICTIONARY):
        raise BrokenFileError(f"{codec_id}: no Zstandard frame in a block that starts with {head[:5].hex()}")
    single = bool(head[4] & SINGLE_SEGMENT)
    width = CONTENT_SIZE_WIDTH[head[4] >> 6] or int(single)
    position = 5 if single else 6
    size = int.from_bytes(head[position : position + width], "little") + (256 if width == 2 else 0)
    position += width
    last = False
    while not last:
        if position + 3 > block.size:
            raise TruncatedFileError(f"{codec_id}: a Zstandard frame ends after {block.size} bytes")
        word = int.from_bytes(block[position : position + 3].tobytes(), "little")
        last, kind = bool(word & 1), word >> 1 & 3
        position += 3 + (1 if kind == RLE_BLOCK else word >> 3)
    return (size if width else None), position + (4 if head[4] & CHECKSUM else 0)
