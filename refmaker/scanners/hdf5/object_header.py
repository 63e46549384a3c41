"""Object headers: the messages that describe one group or dataset.

HDF5 File Format Specification, sections IV.A.1.a (version 1) and IV.A.1.b (version 2). A header is one block and a
chain of continuation blocks (message 0x10). The first read is a little longer than most headers, so that one round
is the rule; all continuations known at a time are asked for together. Checksums, which version 2 has, are verified.
"""

import struct
from typing import NamedTuple

from refmaker.scanners.hdf5.addressing import Addressing
from refmaker.scanners.hdf5.checksums import CHECKSUM, check_block
from refmaker.source.base import Parser, Wish

__all__ = ["HeaderMessage", "read_object_header"]

FIRST_READ = 512
CONTINUATION = 0x10
REFERENCE_COUNT = 0x16
MAX_MESSAGES = 1 << 17
"""More than any writer makes: version 1 counts messages in 2 bytes, version 2 keeps many attributes elsewhere."""
MAX_HEADER_BYTES = 16 << 20

_V1_PREFIX = struct.Struct("<BxHII4x")
_V1_MESSAGE = struct.Struct("<HHB3x")
_V2_MESSAGE = struct.Struct("<BHB")


class HeaderMessage(NamedTuple):
    """One message of an object header, its body not yet parsed.

    Attributes:
        type: what the message is about, e.g. 0x08 for the data layout.
        flags: bit 1 set: the body says where the message is shared.
        offset: file position of the body.
        body: the bytes.
    """

    type: int
    flags: int
    offset: int
    body: bytes


class _Block(NamedTuple):
    """Part of a header that holds messages: ``data[start:end]``; ``offset`` is the file position of ``data[0]``."""

    offset: int
    data: bytes
    start: int
    end: int


def read_object_header(addressing: Addressing, offset: int) -> Parser[tuple[HeaderMessage, ...]]:
    """Read all messages of the object header at file position ``offset`` (base address included).

    NIL messages (type 0), which mark free room, and continuations are left out.

    Raises:
        BrokenFileError: no header there, a message that leaves its block, a loop, or absurd counts.
        TruncatedFileError: the header reaches past the end of the file.
    """
    address = offset - addressing.base_address
    first = min(FIRST_READ, addressing.end_of_file - offset)
    if first < 16 or address < 0:
        raise addressing.broken("no room for an object header", address)
    [block] = yield [Wish.one(offset, first)]
    data = block.tobytes()
    head = (
        _parse_prefix_v2(addressing, address, data)
        if data[:4] == b"OHDR"
        else _parse_prefix_v1(addressing, address, data)
    )
    start, end, message_head = head
    is_signed = message_head != _V1_MESSAGE.size
    whole = end + CHECKSUM if is_signed else end
    if whole > len(data):
        _check_total(addressing, address, whole)
        rest = addressing.wish(address + len(data), whole - len(data))
        [block] = yield [rest]
        data += block.tobytes()
    if is_signed:
        check_block(addressing, data[:whole], address)
    messages: list[HeaderMessage] = []
    visited = {offset}
    total = end
    pending = _parse_messages(addressing, _Block(offset, data, start, end), message_head, messages)
    while pending:
        total += sum(length for _, length in pending)
        _check_total(addressing, address, total)
        places = [addressing.offset(next_address, length) for next_address, length in pending]
        if len(visited.union(places)) != len(visited) + len(places):
            raise addressing.broken("the object header's continuations form a loop", address)
        visited.update(places)
        lengths = [length for _, length in pending]
        blocks = yield [Wish.one(place, length) for place, length in zip(places, lengths, strict=True)]
        pending = []
        for place, block in zip(places, blocks, strict=True):
            part = _continuation(addressing, place, block.tobytes(), signed=is_signed)
            pending += _parse_messages(addressing, part, message_head, messages)
    return tuple(messages)


def _parse_prefix_v1(addressing: Addressing, address: int, data: bytes) -> tuple[int, int, int]:
    """Return where in ``data`` the messages start and end, and the bytes of a message's head."""
    version, _count, _references, size = _V1_PREFIX.unpack_from(data)
    if version != 1:
        raise addressing.broken(f"object header expected, {data[:4]!r} found", address)
    return _V1_PREFIX.size, _V1_PREFIX.size + size, _V1_MESSAGE.size


def _parse_prefix_v2(addressing: Addressing, address: int, data: bytes) -> tuple[int, int, int]:
    """Return the same for a version 2 header; flags: bits 0-1 width of the size, 2 creation order, 4, 5 fields."""
    version, flags = data[4], data[5]
    if version != 2:
        raise addressing.broken(f"object header version {version} with signature 'OHDR', 2 expected", address)
    position = 6 + (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
    start = position + (1 << (flags & 3))
    if start > len(data):
        raise addressing.broken("no room for an object header", address)
    size = int.from_bytes(data[position:start], "little")
    return start, start + size, 6 if flags & 4 else 4


def _continuation(addressing: Addressing, offset: int, data: bytes, *, signed: bool) -> _Block:
    """Return the messages of a continuation block; version 2 puts them between a signature and a checksum."""
    if not signed:
        return _Block(offset, data, 0, len(data))
    if data[:4] != b"OCHK" or len(data) < 4 + CHECKSUM:
        raise addressing.broken(f"'OCHK' expected, {data[:4]!r} found", offset - addressing.base_address)
    check_block(addressing, data, offset - addressing.base_address)
    return _Block(offset, data, 4, len(data) - CHECKSUM)


def _check_total(addressing: Addressing, address: int, length: int) -> None:
    if length > min(MAX_HEADER_BYTES, addressing.end_of_file):
        raise addressing.broken(f"an object header of {length} bytes", address)


def _parse_messages(
    addressing: Addressing, block: _Block, message_head: int, messages: list[HeaderMessage]
) -> list[tuple[int, int]]:
    """Append the messages of ``block`` and return its continuations as (address, length)."""
    data, end = block.data, block.end
    head = _V1_MESSAGE if message_head == _V1_MESSAGE.size else _V2_MESSAGE
    position = block.start
    continuations: list[tuple[int, int]] = []
    while position + message_head <= end:  # fewer bytes left: the gap that version 2 allows
        type_, size, flags = head.unpack_from(data, position)
        position += message_head
        if position + size > end:
            raise addressing.broken(
                f"header message 0x{type_:02x} of {size} bytes leaves its block",
                block.offset + position - addressing.base_address,
            )
        if type_ == CONTINUATION:
            continuations.append(_parse_continuation(addressing, data[position : position + size]))
        elif type_ == REFERENCE_COUNT and head is _V1_MESSAGE:
            raise addressing.broken("a reference count in an object header of version 1", block.offset)
        elif type_:
            body = data[position : position + size]
            messages.append(HeaderMessage(type_, flags, block.offset + position, body))
        position += size
    if len(messages) > MAX_MESSAGES:
        raise addressing.broken(f"more than {MAX_MESSAGES} header messages", block.offset)
    return continuations


def _parse_continuation(addressing: Addressing, body: bytes) -> tuple[int, int]:
    """Section IV.A.2.q: address and length of the next block."""
    widths = addressing.size_of_offsets, addressing.size_of_lengths
    if len(body) < sum(widths):
        raise addressing.broken(f"header continuation of {len(body)} bytes", 0)
    address = int.from_bytes(body[: widths[0]], "little")
    length = int.from_bytes(body[widths[0] : sum(widths)], "little")
    return address, length
