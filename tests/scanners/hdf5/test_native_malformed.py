"""Broken files: the native readers give a result or one typed error, in bounded time and memory."""

import struct
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from io import BytesIO

import h5py
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from refmaker.errors import BrokenFileError, RefmakerError, TruncatedFileError, UnsupportedError
from refmaker.scanners.hdf5.addressing import Addressing
from refmaker.scanners.hdf5.chunk_index import ChunkIndex, read_chunk_index
from refmaker.scanners.hdf5.layout import parse_data_layout, read_data_layout
from refmaker.scanners.hdf5.object_header import HeaderMessage, read_object_header
from refmaker.scanners.hdf5.superblock import SIGNATURE, read_superblock
from refmaker.source.base import MemorySource, drive
from tests.scanners.hdf5.native import Case, header_offset, rows, written
from tests.scanners.hdf5.test_native_index import CASES

NAMES = [
    "v1 of two levels",
    "v1 with K in the extension",
    "single filtered",
    "implicit below its maximum",
    "fixed filtered",
    "fixed paged",
    "extensible with super blocks",
    "extensible, axis 1 grows",
    "v2 filtered",
    "v2 of depth 1",
]


class Sample:
    """A good file, and how to read its index from bytes that may have been changed."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.data = written(case)
        with h5py.File(BytesIO(self.data)) as file:
            superblock = drive(read_superblock(len(self.data)), MemorySource(self.data))
            self.header = header_offset(superblock, file["d"])
            self.shape, self.maxshape = file["d"].shape, file["d"].maxshape

    def read(self, data: bytes | bytearray, *, promised_size: bool = True) -> ChunkIndex:
        """Read the index from ``data``; without ``promised_size`` whatever the superblock says about its length."""
        source = MemorySource(data)
        if promised_size:
            superblock = drive(read_superblock(source.size), source)
        else:
            superblock = drive(read_superblock(len(self.data)), MemorySource(self.data))
            superblock = replace(superblock, addressing=replace(superblock.addressing, end_of_file=len(data)))
        layout = drive(read_data_layout(superblock.addressing, self.header), source)
        filtered = self.case.filtered
        return drive(read_chunk_index(superblock, layout, self.shape, self.maxshape, filtered=filtered), source)

    def read_or_refuse(self, data: bytes | bytearray) -> None:
        """Read, and check that whatever comes back keeps the promises of ``ChunkIndex``."""
        try:
            index = self.read(data)
        except RefmakerError:
            return
        assert (index.offset + index.length <= len(data)).all()
        assert (np.diff(index.position.astype(np.int64)) > 0).all()
        grid = [-(-extent // chunk) for extent, chunk in zip(self.shape, self.case.chunks, strict=True)]
        assert not index.position.size or int(index.position[-1]) < np.prod(grid, dtype=int)


SAMPLES = {case.name: Sample(case) for case in CASES if case.name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_a_file_cut_anywhere_is_refused(name: str) -> None:
    sample = SAMPLES[name]
    lengths = set(range(0, len(sample.data), max(1, len(sample.data) // 300))) | set(range(200))
    for length in sorted(lengths):
        with pytest.raises(RefmakerError):
            sample.read(sample.data[:length])
        with pytest.raises(RefmakerError):
            sample.read(sample.data[:length], promised_size=False)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_flipped_bytes_are_read_or_refused(name: str, data: st.DataObject) -> None:
    sample = SAMPLES[name]
    changed = bytearray(sample.data)
    places = st.integers(0, len(changed) - 1)
    for place in data.draw(st.lists(places, min_size=1, max_size=8)):
        changed[place] = data.draw(st.sampled_from([0, 1, 0x7F, 0x80, 0xFF]) | st.integers(0, 255))
    sample.read_or_refuse(changed)


def structures(data: bytes) -> Iterator[int]:
    """Yield where structures with a signature begin."""
    for signature in (SIGNATURE, b"TREE", b"FAHD", b"FADB", b"EAHD", b"EAIB", b"EASB", b"BTHD", b"BTIN", b"BTLF"):
        found = data.find(signature)
        if found >= 0:
            yield found


@pytest.mark.parametrize("name", NAMES)
def test_every_field_of_every_structure_may_hold_nonsense(name: str) -> None:
    sample = SAMPLES[name]
    for start in [*structures(sample.data), sample.header]:
        for place in range(start, min(start + 128, len(sample.data) - 8)):
            for nonsense in (b"\xff", b"\x00", b"\xff" * 4, b"\xff" * 7 + b"\x7f", struct.pack("<Q", start)):
                changed = bytearray(sample.data)
                changed[place : place + len(nonsense)] = nonsense
                sample.read_or_refuse(changed)


def tree_that_points_at_its_root(data: bytearray) -> None:
    """Make every child of a version 1 root its own parent."""
    root = max(place for place in range(len(data)) if data[place : place + 6] == b"TREE\x01\x01")
    entry = 4 + 4 + 8 * 3 + 8
    for place in range(root + 24 + entry - 8, root + 24 + 2 * entry, entry):
        data[place : place + 8] = struct.pack("<Q", root)


def tree_with_one_leaf_many_times(data: bytearray) -> None:
    """Make all children of a version 1 root the same leaf."""
    root = max(place for place in range(len(data)) if data[place : place + 6] == b"TREE\x01\x01")
    entry = 4 + 4 + 8 * 3 + 8
    leaf = data[root + 24 + entry - 8 : root + 24 + entry]
    data[root + 6 : root + 8] = struct.pack("<H", 64)
    for place in range(root + 24 + entry - 8, root + 24 + 64 * entry, entry):
        data[place : place + 8] = leaf


def array_of_2_to_the_60(data: bytearray) -> None:
    """Make a fixed array claim more elements than any disk holds."""
    head = data.find(b"FAHD")
    data[head + 8 : head + 16] = struct.pack("<Q", 1 << 60)


def tree_of_depth_65535(data: bytearray) -> None:
    """Make a version 2 B-tree absurdly deep."""
    head = data.find(b"BTHD")
    data[head + 12 : head + 14] = b"\xff\xff"


HOSTILE = [
    ("v1 of two levels", tree_that_points_at_its_root),
    ("v1 of two levels", tree_with_one_leaf_many_times),
    ("fixed paged", array_of_2_to_the_60),
    ("v2 of depth 1", tree_of_depth_65535),
]


@pytest.mark.parametrize(("name", "break_"), HOSTILE, ids=lambda value: getattr(value, "__name__", ""))
def test_hostile_counts_and_cycles_are_refused_without_allocating(
    name: str, break_: Callable[[bytearray], None]
) -> None:
    sample = SAMPLES[name]
    changed = bytearray(sample.data)
    break_(changed)
    tracemalloc.start()
    with pytest.raises(BrokenFileError):
        sample.read(changed)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 * len(changed) + 500_000


def old_header(*messages: bytes) -> bytes:
    """Return a version 1 object header."""
    body = b"".join(messages)
    return struct.pack("<BxHII4x", 1, len(messages), 1, len(body)) + body


def old_message(type_: int, body: bytes) -> bytes:
    """Return a version 1 header message."""
    return struct.pack("<HHB3x", type_, len(body), 0) + body


def read_header(data: bytes) -> tuple[HeaderMessage, ...]:
    """Return the messages of a header at position 0."""
    return drive(read_object_header(Addressing(0, 8, 8, len(data), "file.h5"), 0), MemorySource(data))


def test_continuations_are_followed_in_order() -> None:
    tail = old_message(9, b"ninth..." * 200)
    first = old_header(old_message(5, b"fifth..."), old_message(0, bytes(8)), old_message(0x10, bytes(16)))
    first = first[:-16] + struct.pack("<QQ", len(first), len(tail))
    messages = read_header(first + tail)
    assert [(message.type, message.body[:8]) for message in messages] == [(5, b"fifth..."), (9, b"ninth...")]
    assert [(first + tail)[message.offset :][:8] for message in messages] == [b"fifth...", b"ninth..."]


@pytest.mark.parametrize(
    "data",
    [
        old_header(old_message(0x10, struct.pack("<QQ", 0, 40))),
        old_header(old_message(0x10, struct.pack("<QQ", 16, 24)), old_message(1, bytes(8))),
        old_header(old_message(0x10, struct.pack("<QQ", 1 << 40, 40))),
        old_header(old_message(0x10, bytes(8))),
        old_header(old_message(1, bytes(8)))[:-1],
        struct.pack("<BxHII4x", 1, 1, 1, 0xFFFF_FFFF),
        b"OHDR\x02\x03" + bytes(1) + b"\xff" * 8 + bytes(20),
        b"OHDR\x03\x00" + bytes(30),
        bytes(40),
        bytes(3),
    ],
    ids=[
        "loop",
        "loop inside",
        "beyond the file",
        "short continuation",
        "cut",
        "absurd size",
        "absurd size 2",
        "version 3",
        "zeros",
        "tiny",
    ],
)
def test_a_broken_header_is_refused(data: bytes) -> None:
    with pytest.raises(BrokenFileError):
        read_header(data)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", TruncatedFileError),
        (b"\x03", TruncatedFileError),
        (b"\x06\x02", UnsupportedError),
        (b"\x03\x04", UnsupportedError),
        (b"\x03\x02\x01" + bytes(8) + struct.pack("<I", 4), BrokenFileError),
        (b"\x03\x02\x03" + bytes(8) + struct.pack("<III", 4, 0, 2), BrokenFileError),
        (b"\x04\x02\x00\x03\x09" + bytes(40), BrokenFileError),
        (b"\x04\x02\x00\x02\x01\x05\x02\x09" + bytes(8), UnsupportedError),
    ],
    ids=["empty", "short", "version 6", "class 4", "rank 0", "zero chunk", "width 9", "index type 9"],
)
def test_a_layout_message_that_makes_no_sense_is_refused(body: bytes, error: type[RefmakerError]) -> None:
    message = HeaderMessage(8, 0, 1000, body)
    with pytest.raises(error):
        parse_data_layout(Addressing(0, 8, 8, 10_000, "file.h5"), message)


@pytest.mark.parametrize("version", [1, 2])
def test_old_layout_messages_are_read(version: int) -> None:
    addressing = Addressing(0, 8, 8, 10_000, "file.h5")
    head = bytes([version, 3, 2]) + bytes(5)
    chunked = head + struct.pack("<QIII", 800, 4, 5, 2)
    layout = parse_data_layout(addressing, HeaderMessage(8, 0, 0, chunked))
    assert (layout.address, layout.chunk_shape, layout.element_size) == (800, (4, 5), 2)
    compact = bytes([version, 1, 0]) + bytes(5) + struct.pack("<II", 3, 6) + b"abcdef"
    layout = parse_data_layout(addressing, HeaderMessage(8, 0, 1000, compact))
    assert (layout.compact_offset, layout.size) == (1016, 6)
    contiguous = bytes([version, 1, 1]) + bytes(5) + struct.pack("<QI", 4096, 3)
    assert parse_data_layout(addressing, HeaderMessage(8, 0, 0, contiguous)).address == 4096


def test_no_signature_anywhere_is_a_broken_file() -> None:
    for size in (0, 1, 8, 600, 5000):
        with pytest.raises(BrokenFileError):
            drive(read_superblock(size), MemorySource(bytes(size)))


def test_a_file_shorter_than_its_superblock_promises_is_truncated() -> None:
    sample = SAMPLES["fixed filtered"]
    with pytest.raises(TruncatedFileError):
        sample.read(sample.data[:-1])


def test_exotic_offset_sizes_are_unsupported() -> None:
    data = bytearray(SAMPLES["v2 filtered"].data)
    place = data.index(SIGNATURE)
    data[place + 9] = 16
    with pytest.raises(UnsupportedError):
        drive(read_superblock(len(data)), MemorySource(data))


def test_the_good_files_are_good() -> None:
    assert all(rows(sample.read(sample.data)) for sample in SAMPLES.values())
