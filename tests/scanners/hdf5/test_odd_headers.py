"""What libhdf5 refuses in headers without checksums is not read otherwise by us."""

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from h5py import h5d, h5p, h5s

from refmaker import scan
from refmaker.errors import RefmakerError
from refmaker.scanners.hdf5.addressing import Addressing
from refmaker.scanners.hdf5.datatypes import pointers_of
from refmaker.scanners.hdf5.messages import attribute_of, extent_of, fill_of, filters_of

ADDRESSING = Addressing(0, 8, 8, 1 << 20)


def dataspace(
    shape: tuple[int, ...], limits: tuple[int, ...] | None = None, *, version: int = 1, kind: int = 0
) -> bytes:
    numbers = (*shape, *(limits or ()))
    head = struct.pack("<BBBB", version, len(shape), limits is not None, kind)
    return head + bytes(4 if version == 1 else 0) + struct.pack(f"<{len(numbers)}Q", *numbers)


def attribute(name: bytes, *, version: int = 1, name_size: int | None = None) -> bytes:
    """An attribute message of one little-endian integer, by version 1's padding."""
    datatype = bytes.fromhex("10080000 02000000 0000 1000".replace(" ", ""))
    space = dataspace(())
    parts = [part + bytes(-len(part) % 8) for part in (name, datatype, space)]
    head = struct.pack("<BBHHH", version, 0, name_size or len(name), len(datatype), len(space))
    return head + b"".join(parts) + b"\x07\0"


BROKEN: dict[str, Callable[[], Any]] = {
    "more than allowed": lambda: extent_of(ADDRESSING, dataspace((67,), (3,))),
    "more than 63 bits count": lambda: extent_of(ADDRESSING, dataspace(((1 << 63) + 6,), ((1 << 64) - 1,))),
    "a scalar with axes": lambda: extent_of(ADDRESSING, dataspace((3,), version=2, kind=0)),
    "a dataspace of another version": lambda: extent_of(ADDRESSING, dataspace((3,), version=3, kind=1)),
    "a fill value of another version": lambda: fill_of(bytes([131, 2, 0, 1]) + struct.pack("<Ii", 4, 3)),
    "a fill value that is and is not": lambda: fill_of(bytes([3, 0x30]) + struct.pack("<Ii", 4, 3)),
    "filters of another version": lambda: filters_of(bytes([9, 1])),
    "an attribute of another version": lambda: attribute_of(attribute(b"units\0", version=9)),
    "a name with a NUL inside": lambda: attribute_of(attribute(b"un\0ts\0")),
    "a name that is longer than it is": lambda: attribute_of(attribute(b"l\0", name_size=10)),
    "a name of no bytes": lambda: attribute_of(struct.pack("<BBHHH", 1, 0, 0, 0, 0)),
    "text of unknown padding": lambda: pointers_of(bytes.fromhex("1303000004000000")),
    "text of an unknown character set": lambda: pointers_of(bytes.fromhex("1320000004000000")),
    "references to regions too short": lambda: pointers_of(bytes.fromhex("1701000008000000")),
}


@pytest.mark.parametrize("read", BROKEN.values(), ids=BROKEN)
def test_messages_that_make_no_sense_are_refused(read: Callable[[], Any]) -> None:
    with pytest.raises(RefmakerError):
        read()


def test_messages_that_make_sense_are_read() -> None:
    """The ones above differ from these in one thing each."""
    assert extent_of(ADDRESSING, dataspace((3,), (3,))) == ((3,), (3,))
    assert extent_of(ADDRESSING, dataspace((), version=2, kind=0)) == ((), ())
    assert fill_of(bytes([2, 2, 0, 1]) + struct.pack("<Ii", 4, 3)) == (True, struct.pack("<i", 3))
    assert attribute_of(attribute(b"units\0")).name == b"units"
    assert attribute_of(attribute(b"units\0")).data == b"\x07\0"
    assert pointers_of(bytes.fromhex("1312000004000000")).size == 4


def patched(path: Path, old: bytes, new: bytes) -> None:
    data = path.read_bytes()
    assert data.count(old) == 1
    path.write_bytes(data.replace(old, new))


def refused(path: Path) -> list[str]:
    result = scan(str(path), on_unsupported="skip")
    assert not result.root.arrays
    return [dataset.path for dataset in result.report.skipped]


def test_chunks_of_another_element_size_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", libver="earliest") as file:
        file.create_dataset("d", data=np.arange(77, dtype="<i4"), chunks=(77,), compression="gzip")
    patched(path, struct.pack("<II", 77, 4), struct.pack("<II", 77, 2))
    assert refused(path) == ["d"]


def test_contiguous_data_at_the_superblock_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", libver="earliest") as file:
        file.create_dataset("d", data=np.arange(77, dtype="<i4"))
        offset = file["d"].id.get_offset()
    patched(path, struct.pack("<QQ", offset, 308), struct.pack("<QQ", 0, 308))
    assert refused(path) == ["d"]


def test_a_fill_value_that_is_too_short_is_refused(tmp_path: Path) -> None:
    """libhdf5 would read past it."""
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", libver="earliest") as file:
        file.create_dataset("d", (10,), "<i4", chunks=(5,), fillvalue=0x51525354)
    value = struct.pack("<Ii", 4, 0x51525354)
    data = path.read_bytes()
    path.write_bytes(data.replace(value, struct.pack("<Ii", 2, 0x51525354)))
    assert refused(path) == ["d"]


def test_a_file_open_for_writing_is_read_as_the_library_knows_it(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["x"] = np.arange(5.0)
        file.flush()
        del file["x"]
        file["y"] = np.full(5, 77.0)
        references = scan(str(path))
        assert list(references.root.arrays) == ["y"]


def test_data_never_written_behind_a_user_block_are_absent(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", libver="earliest", userblock_size=512) as file:
        file["type"] = np.dtype("<i4")
        dcpl = h5p.create(h5p.DATASET_CREATE)
        dcpl.set_alloc_time(h5d.ALLOC_TIME_LATE)
        h5d.create(file.id, b"d", file["type"].id, h5s.create_simple((100_000,)), dcpl)
    array = scan(str(path)).root.arrays["d"]
    assert array.manifest.present == 0


def test_heap_ids_longer_than_their_records_are_refused(tmp_path: Path) -> None:
    """A heap of attributes whose header (and its checksum) promises longer IDs than the B-tree keeps."""
    from numcodecs.jenkins import jenkins_lookup3

    path = tmp_path / "a.h5"
    with h5py.File(path, "w", libver="latest") as file:
        for number in range(30):
            file.attrs[f"n{number}"] = number
        file["d"] = [1, 2]
    data = bytearray(path.read_bytes())
    heap = data.index(b"FRHP")
    data[heap + 5] = 24
    end = heap + 26 + 12 * 8 + 3 * 8
    data[end - 4 : end] = struct.pack("<I", jenkins_lookup3(bytes(data[heap : end - 4])))
    path.write_bytes(data)
    result = scan(str(path), on_unsupported="skip")
    assert list(result.root.arrays) == ["d"]
    assert not result.root.attributes
    assert [note.code for note in result.report.notes] == ["attribute"]
