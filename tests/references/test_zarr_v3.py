"""Zarr v3 documents: spelled as zarr-python reads them, and read back the same."""

import base64
import json
import struct
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr

from refmaker import (
    ArrayMetadata,
    ChunkManifest,
    Codec,
    ReferenceSet,
    SourceFile,
    UnsupportedError,
    VirtualArray,
    VirtualGroup,
    open_references,
    write_references,
)
from refmaker.references.v3_types import data_type_v3, parse_data_type_v3
from refmaker.references.zarr_v3 import array_document, parse_array_v3
from tests.references.encodings import stock_store, through
from tests.references.test_zarr_v2 import FILL_VALUES, PIPELINES
from tests.virtual import RawFile

pytestmark = [
    pytest.mark.filterwarnings("ignore:Numcodecs codecs are not in the Zarr version 3"),
    pytest.mark.filterwarnings("ignore:The data type .* does not have a Zarr V3 specification"),
    pytest.mark.filterwarnings("ignore:The codec .* is currently not part in the Zarr format 3"),
]
TYPES = ["?", "i1", "<u2", ">i8", "<f2", ">f8", "<c8", ">c16", "S10", "<U5", ">U5", "V7", "<M8[10ms]", ">m8[s]",
         [("i", "<i4"), ("f", "<f8"), ("s", "S3")]]  # fmt: skip


def read_back(metadata: ArrayMetadata) -> ArrayMetadata:
    return parse_array_v3(json.loads(json.dumps(array_document(metadata))), lambda shape: ())[0]


@pytest.mark.parametrize("data_type", TYPES, ids=str)
def test_values_of_every_type_are_read(data_type: Any, tmp_path: Path) -> None:
    data_type = np.dtype(data_type)
    values = np.frombuffer((np.arange(data_type.itemsize * 4) % 64).astype("u1").tobytes(), data_type)
    if data_type.kind == "U":
        values = np.array(["a", "é", "", "abcde"], data_type)
    elif data_type.kind == "b":
        values = np.array([True, False, True, True])
    file = RawFile()
    array = file.array(values, (3,), ("x",), codecs=(Codec("zlib", {"level": 1}),))
    (tmp_path / "data").write_bytes(file.data)
    references = ReferenceSet(VirtualGroup({"a": array}), (SourceFile(f"file://{tmp_path}/data"),))
    write_references(references, tmp_path / "refs.json", zarr_format=3)
    found = through(stock_store(tmp_path / "refs.json"), 3)["a"]
    assert found.dtype.newbyteorder("=") == data_type.newbyteorder("=")
    np.testing.assert_array_equal(found, values)
    assert read_back(array.metadata) == array.metadata


@pytest.mark.parametrize("name", PIPELINES)
def test_zarr_decodes_every_pipeline(name: str, tmp_path: Path) -> None:
    values = np.arange(24, dtype="<i4").reshape(4, 6)
    file = RawFile()
    array = file.array(values, (2, 3), ("y", "x"), codecs=tuple(PIPELINES[name]))
    (tmp_path / "data").write_bytes(file.data)
    references = ReferenceSet(VirtualGroup({"a": array}), (SourceFile(f"file://{tmp_path}/data"),))
    write_references(references, tmp_path / "refs.json", zarr_format=3)
    np.testing.assert_array_equal(through(stock_store(tmp_path / "refs.json"), 3)["a"], values)
    assert [codec.id for codec in read_back(array.metadata).codecs] == [codec.id for codec in PIPELINES[name]]


@pytest.mark.parametrize(("data_type", "fill_value", "spelled"), FILL_VALUES, ids=str)
def test_absent_chunks_read_as_the_fill_value(data_type: Any, fill_value: Any, spelled: Any, tmp_path: Path) -> None:
    data_type = np.dtype(data_type)
    if data_type.names is not None:
        pytest.skip("a big-endian field")
    codecs = (Codec("vlen-utf8"),) if data_type.hasobject else ()
    metadata = ArrayMetadata((2,), (2,), data_type, fill_value, codecs, ("x",))
    references = ReferenceSet(VirtualGroup({"a": VirtualArray(metadata, ChunkManifest.empty((1,)))}))
    write_references(references, tmp_path / "refs.json", zarr_format=3)
    found = through(stock_store(tmp_path / "refs.json"), 3)["a"]
    if data_type.hasobject:
        assert found.tolist() == [fill_value or ""] * 2
    else:
        expected = np.zeros(2, data_type)
        if fill_value is not None:
            expected[:] = np.frombuffer(fill_value.ljust(3, b"\0"), "V3") if spelled == "AQAA" else fill_value
        np.testing.assert_array_equal(found, expected.astype(found.dtype))
    back = open_references(tmp_path / "refs.json").root.arrays["a"].metadata
    if fill_value is not None and spelled not in ("", 0, False):
        np.testing.assert_array_equal(np.asarray(back.fill_value, found.dtype), found[0])


@pytest.mark.parametrize(("codec", "values"), [("vlen-utf8", ["a", "", "é"]), ("vlen-bytes", [b"a", b"", b"\xff"])])
def test_strings_of_variable_length_are_read(codec: str, values: list[Any], tmp_path: Path) -> None:
    file = RawFile()
    chunk = np.empty(3, object)
    chunk[:] = values
    array = file.array(chunk, (3,), ("x",), codecs=(Codec(codec), Codec("zlib", {"level": 1})))
    (tmp_path / "data").write_bytes(file.data)
    references = ReferenceSet(VirtualGroup({"a": array}), (SourceFile(f"file://{tmp_path}/data"),))
    write_references(references, tmp_path / "refs.json", zarr_format=3)
    assert through(stock_store(tmp_path / "refs.json"), 3)["a"].tolist() == values
    assert read_back(array.metadata).codecs == array.metadata.codecs


def test_the_mask_is_spelled_as_xarray_decodes_it() -> None:
    metadata = ArrayMetadata((2,), (1,), np.dtype("<f4"), np.float32(-9.5), (), ("x",), {"_FillValue": -9.5, "n": 1})
    document: Any = array_document(metadata)
    assert document["attributes"] == {"n": 1, "_FillValue": base64.b64encode(struct.pack("<d", -9.5)).decode()}
    assert read_back(metadata) == metadata


@pytest.mark.parametrize("data_type", ["<f4", "<f8", "<i2", "<u1", "<c8"])
def test_xarray_masks_in_v3_what_it_masks_in_v2(data_type: str, tmp_path: Path) -> None:
    values = np.array([0, 1, 7, 3]).astype(data_type)
    found = []
    for fill_value in (None, values[2]):
        file = RawFile()
        array = file.array(values, (1,), ("x",), fill_value=fill_value, missing=(3,))
        (tmp_path / "data").write_bytes(file.data)
        references = ReferenceSet(VirtualGroup({"a": array}), (SourceFile(f"file://{tmp_path}/data"),))
        for zarr_format in (2, 3):
            write_references(references, tmp_path / "refs.json", zarr_format=zarr_format)
            store = stock_store(tmp_path / "refs.json")
            found.append(xr.open_zarr(store, zarr_format=zarr_format)["a"].load())
    xr.testing.assert_equal(found[0], found[1])
    xr.testing.assert_equal(found[2], found[3])


def test_a_zero_that_nobody_masks_is_none_when_read() -> None:
    metadata = ArrayMetadata((2,), (1,), np.dtype("<f4"), None, (), ("x",))
    assert read_back(metadata) == metadata


@pytest.mark.parametrize(
    ("metadata", "code"),
    [
        (ArrayMetadata((1,), (1,), np.dtype([("a", ">i4")]), None, (), ("x",)), "dtype"),
        (ArrayMetadata((1,), (1,), np.dtype([("a", "<i4", (2,))]), None, (), ("x",)), "dtype"),
        (ArrayMetadata((1,), (1,), np.dtype("longdouble"), None, (), ("x",)), "dtype"),
        (ArrayMetadata((1,), (1,), np.dtype("<i4"), None, (Codec("imagecodecs_jpeg"),), ("x",)), "codec"),
        (ArrayMetadata((1,), (1,), np.dtype("<i4"), None, (Codec("zlib"), Codec("delta")), ("x",)), "codec"),
    ],
)
def test_what_v3_cannot_say_is_refused_by_name(metadata: ArrayMetadata, code: str, tmp_path: Path) -> None:
    references = ReferenceSet(VirtualGroup({"bad": VirtualArray(metadata, ChunkManifest.empty((1,)))}))
    with pytest.raises(UnsupportedError, match="bad") as caught:
        write_references(references, tmp_path / "x.json", zarr_format=3)
    assert caught.value.code == code


V3: dict[str, Any] = {
    "zarr_format": 3, "node_type": "array", "shape": [4], "data_type": "int8", "fill_value": 0,
    "codecs": [{"name": "bytes"}],
    "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [2]}},
}  # fmt: skip


@pytest.mark.parametrize(
    "changes",
    [
        {"shape": "4"},
        {"shape": [-1]},
        {"shape": [2, 2]},
        {"data_type": None},
        {"data_type": "int7"},
        {"data_type": {}},
        {"data_type": {"name": "raw_bytes"}},
        {"data_type": {"name": "raw_bytes", "configuration": {"length_bytes": 1 << 40}}},
        {"data_type": {"name": "structured", "configuration": {"fields": [["a"]]}}},
        {"fill_value": "x"},
        {"fill_value": []},
        {"fill_value": 1 << 70},
        {"codecs": []},
        {"codecs": None},
        {"codecs": [5]},
        {"chunk_grid": 5},
        {"chunk_grid": {}},
        {"codecs": [{"name": "bytes", "configuration": {"endian": "middle"}}]},
        {"dimension_names": ["a", "b"]},
        {"dimension_names": [5]},
        {"attributes": []},
        {"chunk_key_encoding": {"name": "default", "configuration": {"separator": "-"}}},
        {"data_type": {"name": "numpy.datetime64", "configuration": {"unit": "x", "scale_factor": 1}}},
        {"codecs": [{"name": "blosc", "configuration": {"shuffle": "much"}}]},
        {"data_type": "r9999999999999"},
    ],
    ids=str,
)
def test_broken_documents_are_value_errors(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  whatever it says
        parse_array_v3({**V3, **changes}, lambda shape: tuple(f"d{n}" for n in range(len(shape))))


@pytest.mark.parametrize("compressor", ["zstd", "gzip", "blosc"])
def test_documents_that_zarr_writes_are_read(compressor: str, tmp_path: Path) -> None:
    codec = {"zstd": zarr.codecs.ZstdCodec, "gzip": zarr.codecs.GzipCodec, "blosc": zarr.codecs.BloscCodec}[
        compressor
    ]()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        array = zarr.create_array(
            tmp_path / "z", shape=(6, 4), chunks=(2, 4), dtype=">f4", fill_value=np.nan, compressors=codec, filters=None
        )
    array[...] = np.arange(24.0).reshape(6, 4)
    refs = {"zarr.json": '{"zarr_format":3,"node_type":"group"}'}
    refs["a/zarr.json"] = (tmp_path / "z" / "zarr.json").read_text()
    for n in range(3):
        refs[f"a/c/{n}/0"] = [str(tmp_path / "z" / "c" / str(n) / "0")]  # type: ignore[assignment]
    (tmp_path / "refs.json").write_text(json.dumps(refs))
    references = open_references(tmp_path / "refs.json")
    for zarr_format in (2, 3):
        write_references(references, tmp_path / "out.json", zarr_format=zarr_format)
        np.testing.assert_array_equal(through(stock_store(tmp_path / "out.json"), zarr_format)["a"], array[...])


def test_zarr_knows_our_names_of_types() -> None:
    for data_type in TYPES[:-1]:
        spelled = zarr.dtype.parse_data_type(np.dtype(data_type), zarr_format=3).to_json(zarr_format=3)
        assert spelled == data_type_v3(np.dtype(data_type))
        endian = "big" if str(data_type).startswith(">") else "little"
        assert parse_data_type_v3(spelled, endian) == np.dtype(data_type)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("data_type", "mask"),
    [("<i2", -999.0), ("<i2", -999), ("<f4", -999.0), ("<f8", -999), ("<f4", [-999.0]), ("<u1", 7), ("<f4", None)],
    ids=str,
)
def test_a_mask_that_is_an_attribute_only_masks_in_v3_what_it_masks_in_v2(
    data_type: str, mask: Any, tmp_path: Path
) -> None:
    values = np.array([0, 1, 7, 249 if data_type == "<u1" else -999]).astype(data_type)
    file = RawFile()
    attributes = {} if mask is None else {"_FillValue": mask}
    array = file.array(values, (4,), ("x",))
    array = replace(array, metadata=replace(array.metadata, attributes=attributes))
    (tmp_path / "data").write_bytes(file.data)
    references = ReferenceSet(VirtualGroup({"a": array}), (SourceFile(f"file://{tmp_path}/data"),))
    found = []
    for zarr_format in (2, 3):
        write_references(references, tmp_path / "refs.json", zarr_format=zarr_format)
        found.append(xr.open_zarr(stock_store(tmp_path / "refs.json"), zarr_format=zarr_format)["a"].load())
    xr.testing.assert_equal(found[0], found[1])
    assert bool(found[1].isnull().any()) == (mask is not None)
    back = open_references(tmp_path / "refs.json").root.arrays["a"].metadata
    assert back.fill_value is None
    assert back.attributes == ({} if mask is None else {"_FillValue": mask[0] if isinstance(mask, list) else mask})


@pytest.mark.parametrize(
    ("data_type", "mask"), [("S1", "x"), ("<U2", "x"), ("<M8[s]", "1970-01-01"), ("V2", "AAA="), ("<i2", -9.5)]
)
def test_a_mask_that_v3_cannot_say_is_set_aside(data_type: str, mask: Any) -> None:
    metadata = ArrayMetadata((2,), (1,), np.dtype(data_type), None, (), ("x",), {"_FillValue": mask})
    document: Any = array_document(metadata)
    assert document["attributes"] == {"refmaker_FillValue": mask}
    assert read_back(metadata) == metadata


def test_several_masks_are_refused() -> None:
    metadata = ArrayMetadata((2,), (1,), np.dtype("<i2"), None, (), ("x",), {"_FillValue": [1, 2]})
    with pytest.raises(UnsupportedError, match="mask one value"):
        array_document(metadata)


def test_storage_transformers_are_refused() -> None:
    """They change what lies behind a key: without them, bytes would be decoded that nobody encoded."""
    document = array_document(ArrayMetadata((2,), (1,), np.dtype("<i2"), None, (), ("x",), {}))
    with pytest.raises(UnsupportedError, match="storage transformers"):
        parse_array_v3({**document, "storage_transformers": [{"name": "other"}]}, lambda _: ("x",))
