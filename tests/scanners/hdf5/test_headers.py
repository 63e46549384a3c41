"""Object headers and attributes as we read them, beside what libhdf5 says of the same objects."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from h5py import h5a, h5d, h5s, h5t

from refmaker import scan
from refmaker.errors import RefmakerError
from refmaker.scanners.hdf5.attribute_values import StoredAttribute
from refmaker.scanners.hdf5.attributes import LibraryAttribute, object_address, read_attributes
from refmaker.scanners.hdf5.dataset_header import DatasetHeader, header_by_library
from refmaker.scanners.hdf5.element_types import element_type
from refmaker.scanners.hdf5.fill_values import native_fill
from refmaker.scanners.hdf5.hdf5_file import H5PY_ERRORS, Hdf5File, open_hdf5
from refmaker.scanners.hdf5.nodes import DatasetNode
from refmaker.scanners.hdf5.storage import Dataset
from refmaker.source.location import open_file
from tests import samples
from tests.scanners.hdf5.test_native_corpus import MANIFEST, corpus_files

SAMPLES = [path for path in samples.SAMPLES if h5py.is_hdf5(path)]


def objects(file: h5py.File) -> Iterator[Any]:
    """Yield the identifiers of the root and of every group and dataset that hard links lead to and h5py opens."""
    names: list[str] = []
    file.visititems_links(lambda name, link: names.append(name) if isinstance(link, h5py.HardLink) else None)
    yield file["/"].id
    for name in names:
        try:
            thing = file[name]
        except (*H5PY_ERRORS, UnicodeError):
            continue
        if isinstance(thing, h5py.Group | h5py.Dataset):
            yield thing.id


def fill_of(file: Hdf5File, dataset: h5d.DatasetID, header: DatasetHeader) -> str:
    """Return a dataset's fill value by that header, or why it has none."""
    node = DatasetNode(file, object_address(dataset), lambda: dataset)
    node._header = header
    files: Any = None
    try:
        element = element_type(header.datatype)
        if element.dtype.kind == "O":  # never asked for, and libhdf5 frees it twice
            return ""
        return repr(native_fill(Dataset(files, node, "", element)))
    except RefmakerError as error:
        return str(error)


def assert_same_attributes(file: Hdf5File, thing: Any, messages: tuple[Any, ...]) -> None:
    assert file.heaps is not None
    names: list[bytes] = []
    h5a.iterate(thing, names.append)
    by_library = {name: LibraryAttribute(partial(lambda same: same, thing), name) for name in names}
    by_us = [StoredAttribute(file.heaps, message, by_library[message.name]) for message in sorted(messages)]
    theirs = read_attributes(list(by_library.values()), file.id, is_file_root=False)
    ours = read_attributes(by_us, file.id, is_file_root=False)
    np.testing.assert_equal(ours.shown, theirs.shown)
    assert list(ours.shown) == list(theirs.shown)
    assert ours.hidden.keys() == theirs.hidden.keys()
    assert [name for name, _ in ours.dropped] == [name for name, _ in theirs.dropped]


def assert_same_dataset(file: Hdf5File, thing: h5d.DatasetID, ours: DatasetHeader) -> None:
    theirs = header_by_library(thing, thing.get_create_plist())
    assert ours.datatype.equal(theirs.datatype)
    fill = fill_of(file, thing, theirs)
    assert fill_of(file, thing, ours) == fill or "cannot be read" in fill  # UTF-8 text is too much for h5py
    for name in ("shape", "maxshape", "layout_class", "chunk_shape", "has_fill", "is_external"):
        assert getattr(ours, name) == getattr(theirs, name), name
    assert [(f.id, f.values) for f in ours.filters] == [(f.id, f.values) for f in theirs.filters]


def assert_same_headers(path: Path) -> int:
    """Compare all objects of a file; return how many datasets were read without the library."""
    opened = open_file(str(path))
    file = open_hdf5(opened, 0)
    count = 0
    for thing in objects(file.handle):
        header = file.object_header(object_address(thing))
        if header is not None and header.attributes is not None:
            assert_same_attributes(file, thing, header.attributes)
        if header is not None and header.dataset is not None:
            assert_same_dataset(file, thing, header.dataset)
            count += 1
    file.close()
    opened.source.close()
    return count


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
def test_headers_say_what_the_library_says(path: Path) -> None:
    assert assert_same_headers(path)


@pytest.mark.skipif(not MANIFEST.exists(), reason="no corpus of public files: set REFMAKER_CORPUS")
def test_headers_of_every_corpus_file_say_what_the_library_says() -> None:
    assert sum(map(assert_same_headers, corpus_files())) > 1000


@pytest.mark.parametrize("many", [1, 30], ids=["in the header", "in a heap"])
def test_attributes_with_a_wrong_checksum_are_the_librarys_to_refuse(many: int, tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", libver="latest") as file:
        for number in range(many):
            file.attrs[f"name{number}"] = np.int64(0x1122334455667788)
    data = path.read_bytes()
    place = data.index(bytes.fromhex("8877665544332211"))
    path.write_bytes(data[:place] + b"\0" + data[place + 1 :])
    try:
        attributes = scan(str(path)).root.attributes
    except RefmakerError:
        return
    assert 0x1122334455667700 not in attributes.values()


CHUNK_INDEXES = {
    "fixed array": ((64, 4), (64, 4)),
    "paged fixed array": ((4096, 4), (4096, 4)),
    "extensible array": ((512, 4), (None, 4)),
    "B-tree v2": ((64, 4), (None, None)),
}


@pytest.mark.parametrize("shapes", CHUNK_INDEXES.values(), ids=CHUNK_INDEXES)
def test_a_flipped_bit_in_a_chunks_address_is_never_another_chunks_data(shapes: Any, tmp_path: Path) -> None:
    path = tmp_path / "chunks.h5"
    shape, maxshape = shapes
    with h5py.File(path, "w", libver="latest") as file:
        dataset = file.create_dataset("d", shape, "i8", maxshape=maxshape, chunks=(2, 4))
        dataset[:] = np.arange(np.prod(shape)).reshape(shape)
        offset = dataset.id.get_chunk_info(dataset.id.get_num_chunks() - 2).byte_offset
    data = path.read_bytes()
    place = data.rindex(offset.to_bytes(8, "little"))
    path.write_bytes(data[:place] + bytes([data[place] ^ 64]) + data[place + 1 :])
    with pytest.raises(RefmakerError):
        scan(str(path))


def heap_with_an_endless_free_object(path: Path, text: bytes) -> None:
    """Break the global heap that holds ``text``: its free room claims a size of 0, on which libhdf5 loops for ever."""
    data = bytearray(path.read_bytes())
    heap = data.rindex(b"GCOL", 0, data.index(text))
    size = int.from_bytes(data[heap + 8 : heap + 16], "little")
    position = heap + 16
    while index := int.from_bytes(data[position : position + 2], "little"):
        assert index
        length = int.from_bytes(data[position + 8 : position + 16], "little")
        position += 16 + -(-length // 8) * 8
        assert position < heap + size
    data[position + 8 : position + 16] = bytes(8)
    path.write_bytes(data)


@pytest.mark.parametrize("libver", ["earliest", "latest"])
@pytest.mark.parametrize("many", [1, 30], ids=["one", "many"])
def test_attributes_in_a_heap_without_end_are_dropped(libver: str, many: int, tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", libver=libver) as file:
        for number in range(many):
            file.attrs[f"n{number}"] = number
        file.attrs["text"] = "in the heap"
        file.attrs["pair"] = np.array([("in the heap", 1)], [("t", h5py.string_dtype()), ("n", "i4")])
    heap_with_an_endless_free_object(path, b"in the heap")
    result = scan(str(path))
    assert set(result.root.attributes) == {f"n{number}" for number in range(many)}
    assert len(result.report.notes) == 2


@pytest.mark.parametrize("options", [{}, {"chunks": (2,)}, {"chunks": (2,), "compression": "gzip"}], ids=str)
def test_text_in_a_heap_without_end_is_skipped(options: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("text", data=["in the heap", "b", "c"], dtype=h5py.string_dtype(), **options)
        file["numbers"] = [1, 2]
    heap_with_an_endless_free_object(path, b"in the heap")
    result = scan(str(path), on_unsupported="skip")
    assert list(result.root.arrays) == ["numbers"]
    assert [dataset.code for dataset in result.report.skipped] == ["broken"]


@pytest.mark.parametrize("inner", ["/", "group/"])
def test_a_group_whose_free_names_form_a_loop_is_told_as_broken(inner: str, tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", libver="earliest") as file:
        file["numbers"] = [1, 2]
        file["group/one"] = 1
        file["group/two"] = 2
    data = bytearray(path.read_bytes())
    heaps = [place for place in range(0, len(data), 8) if data[place : place + 4] == b"HEAP"]
    heap = heaps[0 if inner == "/" else 1]
    segment = int.from_bytes(data[heap + 24 : heap + 32], "little")
    free = int.from_bytes(data[heap + 16 : heap + 24], "little")
    data[segment + free : segment + free + 8] = data[heap + 16 : heap + 24]
    path.write_bytes(data)
    result = scan(str(path), on_unsupported="skip")
    assert [(dataset.path, dataset.code) for dataset in result.report.skipped] == [(inner.strip("/") or "/", "broken")]
    assert list(result.root.arrays) == ([] if inner == "/" else ["numbers"])


def test_compound_members_that_h5py_would_read_over_their_neighbours_are_refused(tmp_path: Path) -> None:
    """A float of another exponent bias is a wider one to h5py, which then writes past its place, and crashes."""
    odd = h5t.IEEE_F32LE.copy()
    odd.set_ebias(234)
    kind = h5t.create(h5t.COMPOUND, 10)
    for place, (name, member) in zip(
        (0, 4, 8), ((b"a", odd), (b"b", h5t.IEEE_F32LE), (b"c", h5t.STD_I16LE)), strict=True
    ):
        kind.insert(name, place, member)
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        dataset = h5d.create(file.id, b"d", kind, h5s.create_simple((200,)))
        dataset.write(h5s.ALL, h5s.ALL, np.zeros((200, 10), np.uint8), mtype=kind)
        h5a.create(file.id, b"a", kind, h5s.create(h5s.SCALAR)).write(np.zeros(10, np.uint8), mtype=kind)
    result = scan(str(path), on_unsupported="skip")
    assert [dataset.code for dataset in result.report.skipped] == ["dtype"]
    assert not result.root.attributes
    assert [note.code for note in result.report.notes] == ["attribute"]
