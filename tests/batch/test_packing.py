"""Scan results as bytes: what comes back is what went in."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import refmaker
from refmaker.batch.packing import pack, unpack
from refmaker.errors import BrokenFileError
from refmaker.model.array import ArrayMetadata, Codec, VirtualArray
from refmaker.model.chunks import ChunkManifest
from refmaker.model.group import VirtualGroup, walk
from refmaker.model.reference_set import ReferenceSet, SourceFile
from tests.samples import SAMPLES

TYPES: list[Any] = [
    np.dtype(">f4"),
    np.dtype("S5"),
    np.dtype("<U3"),
    np.dtype(object),
    np.dtype("V7"),
    np.dtype("<M8[s]"),
    np.dtype("longdouble"),
    np.dtype("complex64"),
    np.dtype("?"),
    np.dtype({"names": ["a", "b"], "formats": ["<i2", (">f8", (2, 3))], "offsets": [4, 16], "itemsize": 80}),
    np.dtype([("outer", [("inner", "S3"), ("other", "<u8")])]),
]


def of_one_array(array: VirtualArray) -> ReferenceSet:
    return ReferenceSet(VirtualGroup({"x": array}), (SourceFile("file:///x"),))


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
def test_samples_come_back(path: Path) -> None:
    before = refmaker.scan(str(path), on_unsupported="skip")
    after = unpack(pack(before))
    assert after.sources == before.sources
    assert after.report == before.report
    nodes = list(zip(walk(before.root), walk(after.root), strict=True))
    for (path_before, one), (path_after, other) in nodes:
        assert path_before == path_after
        if isinstance(one, VirtualArray):
            assert isinstance(other, VirtualArray)
            assert one.manifest == other.manifest
            assert repr(one.metadata) == repr(other.metadata)
        else:
            assert repr(dict(one.attributes)) == repr(dict(other.attributes))


@pytest.mark.parametrize("data_type", TYPES, ids=str)
def test_data_types_and_fill_values_come_back(data_type: np.dtype[Any]) -> None:
    fill = "text" if data_type.hasobject else np.zeros((), data_type)[()]
    metadata = ArrayMetadata((4,), (2,), data_type, fill, (Codec("zlib", {"level": 3}),), ("n",), {"a": [1, None]})
    found = unpack(pack(of_one_array(VirtualArray(metadata, ChunkManifest.empty((2,)))))).root.arrays["x"].metadata
    assert found.data_type == data_type
    assert found.data_type.itemsize == data_type.itemsize
    assert repr(found) == repr(metadata)
    assert type(found.fill_value) is type(fill)


def test_every_layout_of_columns_comes_back() -> None:
    position = np.array([1, 5, 900], np.uint64)
    layouts = [
        ChunkManifest.empty((1000,)),
        ChunkManifest.affine((10,), location_id=0, start=100, strides=(8,), length=8),
        ChunkManifest.inlined((3,), [b"a", None, b"ccc"]),
        ChunkManifest.from_positions(
            (1000,), position, location_id=0, offset=position * 2**40, length=np.array([1, 2, 2**33], np.uint64)
        ),
    ]
    for manifest in layouts:
        shape = manifest.grid_shape
        array = VirtualArray(ArrayMetadata(shape, (1,), np.dtype("i1"), dimension_names=("n",)), manifest)
        found = unpack(pack(of_one_array(array))).root.arrays["x"].manifest
        assert found == manifest
        assert found.memory_nbytes == manifest.memory_nbytes


def test_a_shared_manifest_stays_shared() -> None:
    manifest = ChunkManifest.inlined((1,), [b"x"])
    array = VirtualArray(ArrayMetadata((1,), (1,), np.dtype("i1"), dimension_names=("n",)), manifest)
    found = unpack(pack(ReferenceSet(VirtualGroup({"a": array, "b": array})))).root.arrays
    assert found["a"].manifest is found["b"].manifest


def test_anything_else_is_refused() -> None:
    packed = pack(of_one_array(VirtualArray(ArrayMetadata((), (), np.dtype("i1")), ChunkManifest.inlined((), [b"x"]))))
    for wrong in (b"", b"x" * 100, packed[: len(packed) // 2], io.BytesIO(packed).read(10)):
        with pytest.raises(BrokenFileError):
            unpack(wrong)
