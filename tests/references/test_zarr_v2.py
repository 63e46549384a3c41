"""Zarr v2 documents: spelled as the specification says, read back the same, and decoded by zarr-python."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from refmaker.errors import UnsupportedError
from refmaker.model.array import ArrayMetadata, Codec, VirtualArray
from refmaker.model.chunks import ChunkManifest
from refmaker.model.group import VirtualGroup
from refmaker.model.reference_set import ReferenceSet, SourceFile
from refmaker.references.v2_types import data_type_json, fill_value_json, parse_data_type, parse_fill_value
from refmaker.references.zarr_v2 import array_documents, parse_array, parse_json
from refmaker.serve.filesystem import ReferenceFileSystem
from tests.virtual import SHUFFLE, ZLIB, RawFile

FLETCHER = Codec("fletcher32")
STRUCTURE = np.dtype([("i", ">i4"), ("f", "<f8"), ("s", "S3")])
NESTED = np.dtype([("n", [("x", "<i2"), ("y", "S3")]), ("m", ">f4", (2, 3))])

DATA_TYPES: list[tuple[Any, Any]] = [
    ("?", "|b1"), ("i1", "|i1"), ("<u2", "<u2"), (">i8", ">i8"), ("<f2", "<f2"), (">f8", ">f8"), ("<c8", "<c8"),
    (">c16", ">c16"), ("S10", "|S10"), ("<U5", "<U5"), (">U5", ">U5"), ("V7", "|V7"), ("<M8[10ms]", "<M8[10ms]"),
    (">m8[s]", ">m8[s]"), ("O", "|O"),
    (STRUCTURE, [["i", ">i4"], ["f", "<f8"], ["s", "|S3"]]),
    (NESTED, [["n", [["x", "<i2"], ["y", "|S3"]]], ["m", ">f4", [2, 3]]]),
]  # fmt: skip


@pytest.mark.parametrize(("data_type", "spelled"), DATA_TYPES, ids=str)
def test_data_types_are_spelled_and_read_back(data_type: Any, spelled: Any) -> None:
    assert data_type_json(np.dtype(data_type)) == spelled
    assert parse_data_type(json.loads(json.dumps(spelled))) == np.dtype(data_type)


def test_gaps_in_a_structure_become_fields() -> None:
    gappy = np.dtype({"names": ["a", "b"], "formats": ["i1", "<i4"], "offsets": [1, 4], "itemsize": 12})
    spelled = data_type_json(gappy)
    assert spelled == [["_padding_0", "|V1"], ["a", "|i1"], ["_padding_2", "|V2"], ["b", "<i4"], ["_padding_8", "|V4"]]
    back = parse_data_type(spelled)
    assert back.itemsize == 12
    assert [back.fields[name][1] for name in "ab"] == [1, 4]


@pytest.mark.parametrize(
    "data_type",
    [
        np.dtype("longdouble"), np.dtype("S0"), np.dtype("U0"), np.dtype([("a", "O")]), np.dtype("V0"),
        np.dtype({"names": ["a", "b"], "formats": ["<i4", "<i4"], "offsets": [0, 2]}),
    ],
    ids=str,
)  # fmt: skip
def test_data_types_that_no_reader_has_are_refused(data_type: np.dtype[Any]) -> None:
    with pytest.raises(UnsupportedError) as caught:
        data_type_json(data_type)
    assert caught.value.code == "dtype"


@pytest.mark.parametrize(
    "spelled",
    ["", "i4,f8", "x9", "(2,3)i4", 4, None, [], [["a"]], [["a", "<i4", -1]], [["a", "<i4", ["x"]]], [["a", ["b"]]],
     {"a": 1}, "|S99999999999", "|V99999999999999999999", [["a", "<i4"], ["a", "<i4"]], "float128", "|S0"],
    ids=str,
)  # fmt: skip
def test_spellings_of_no_data_type_are_errors(spelled: Any) -> None:
    with pytest.raises((ValueError, UnsupportedError)):
        data_type_json(parse_data_type(spelled))


FILL_VALUES: list[tuple[str | np.dtype[Any], Any, Any]] = [
    ("<f4", None, None), ("<f4", np.float32(1.5), 1.5), ("<f8", np.float64("nan"), "NaN"),
    (">f8", np.float64("inf"), "Infinity"), ("<f4", np.float32("-inf"), "-Infinity"),
    ("<i8", np.int64(-(2**63)), -(2**63)),
    ("<u8", np.uint64(2**64 - 1), 2**64 - 1), ("?", np.True_, True), ("<c8", np.complex64(1 - 2j), [1.0, -2.0]),
    ("<c16", complex(math.nan, math.inf), ["NaN", "Infinity"]), ("S4", np.bytes_(b"ab"), "YWI="), ("S4", b"", ""),
    ("<U3", np.str_("aé"), "aé"), ("V2", np.void(b"\0\1"), "AAE="), ("V3", b"\1", "AQAA"),
    ("<M8[s]", np.datetime64(5, "s"), 5), ("<m8[ns]", np.timedelta64("NaT", "ns"), -(2**63)), ("O", "text", "text"),
    (STRUCTURE, np.array((1, 2.0, b"ab"), STRUCTURE)[()], "AAAAAQAAAAAAAABAYWIA"),
]  # fmt: skip


@pytest.mark.parametrize(("data_type", "fill_value", "spelled"), FILL_VALUES, ids=str)
def test_fill_values_are_spelled_and_read_back(data_type: Any, fill_value: Any, spelled: Any) -> None:
    data_type = np.dtype(data_type)
    assert fill_value_json(fill_value, data_type) == spelled
    back = parse_fill_value(json.loads(json.dumps(spelled)), data_type)
    assert fill_value_json(back, data_type) == spelled


@pytest.mark.parametrize(("data_type", "fill_value", "spelled"), FILL_VALUES, ids=str)
def test_zarr_reads_absent_chunks_as_the_fill_value(data_type: Any, fill_value: Any, spelled: Any) -> None:
    data_type = np.dtype(data_type)
    codecs = (Codec("vlen-utf8"),) if data_type.hasobject else ()
    metadata = ArrayMetadata((2,), (2,), data_type, fill_value, codecs, ("x",))
    array = VirtualArray(metadata, ChunkManifest.empty((1,)))
    read = through_zarr(ReferenceSet(VirtualGroup({"a": array})))
    if data_type.hasobject:
        expected = np.full(2, fill_value, object)
    else:
        expected = np.zeros(2, data_type)
        if fill_value is not None:
            expected[:] = np.frombuffer(fill_value.ljust(3, b"\0"), "V3") if spelled == "AQAA" else fill_value
    np.testing.assert_array_equal(read, expected.astype(read.dtype))


@pytest.mark.parametrize(
    ("data_type", "spelled"),
    [("<i4", "NaN"), ("<i4", 1.5), ("<i4", 2**40), ("<f4", "nan"), ("<f4", [1]), ("S3", "é"), ("S3", 5), ("V2", "AAEC"),
     ("?", 2), ("<c8", [1]), ("<c8", {"re": 1}), ("<U3", 5), ("<u1", -1), ("<f8", {}), ("<M8[s]", 2**70), ("O", 5)],
)  # fmt: skip
def test_values_that_do_not_fit_the_type_are_errors(data_type: str, spelled: Any) -> None:
    with pytest.raises(ValueError, match="fill value"):
        parse_fill_value(spelled, np.dtype(data_type))


PIPELINES: dict[str, Sequence[Codec]] = {
    "raw": (),
    "shuffle": (SHUFFLE,),
    "deflate": (ZLIB,),
    "deflate twice": (ZLIB, Codec("zlib", {"level": 1})),
    "usual": (SHUFFLE, ZLIB),
    "fletcher32 last": (SHUFFLE, ZLIB, FLETCHER),
    "fletcher32 first": (FLETCHER, SHUFFLE, ZLIB),
    "fletcher32 between": (SHUFFLE, FLETCHER, ZLIB),
    "fletcher32 twice": (FLETCHER, ZLIB, FLETCHER),
    "shuffle after fletcher32": (FLETCHER, SHUFFLE),
    "shuffle after deflate": (ZLIB, Codec("shuffle", {"elementsize": 1})),
    "zstd, bz2, lzma": (Codec("zstd", {"level": 1}), Codec("bz2", {"level": 1}), Codec("lzma")),
    "blosc": (Codec("blosc", {"cname": "lz4", "clevel": 5, "shuffle": 1}),),
    "lz4 inside": (Codec("lz4"), Codec("gzip", {"level": 1})),
}


@pytest.mark.parametrize("name", PIPELINES)
def test_zarr_decodes_every_pipeline(name: str, tmp_path: Path) -> None:
    values = np.arange(24, dtype="<i4").reshape(4, 6)
    file = RawFile()
    array = file.array(values, (2, 3), ("y", "x"), codecs=tuple(PIPELINES[name]))
    (tmp_path / "data").write_bytes(file.data)
    references = ReferenceSet(VirtualGroup({"a": array}), (SourceFile(str(tmp_path / "data")),))
    np.testing.assert_array_equal(through_zarr(references), values)


@pytest.mark.parametrize("name", PIPELINES)
def test_pipelines_are_read_back(name: str) -> None:
    metadata = ArrayMetadata((4,), (2,), np.dtype("<i4"), codecs=tuple(PIPELINES[name]), dimension_names=("x",))
    assert read_back(metadata) == metadata


def test_the_usual_pipeline_is_spelled_as_people_expect() -> None:
    metadata = ArrayMetadata((4,), (2,), np.dtype("<i4"), codecs=(SHUFFLE, ZLIB), dimension_names=("x",))
    assert json.loads(array_documents(metadata)[".zarray"]) == {
        "zarr_format": 2,
        "shape": [4],
        "chunks": [2],
        "dtype": "<i4",
        "compressor": {"id": "zlib", "level": 4},
        "fill_value": None,
        "order": "C",
        "filters": [{"id": "shuffle", "elementsize": 4}],
        "dimension_separator": ".",
    }


@pytest.mark.parametrize(("codec", "values"), [("vlen-utf8", ["a", "", "é"]), ("vlen-bytes", [b"a", b"", b"\xff"])])
def test_zarr_decodes_strings_of_variable_length(codec: str, values: list[Any], tmp_path: Path) -> None:
    text = np.array(values, object)
    file = RawFile()
    whole = (Codec(codec), ZLIB)
    chunk = np.empty(3, object)
    chunk[:] = text
    array = file.array(chunk, (3,), ("x",), codecs=whole)
    (tmp_path / "data").write_bytes(file.data)
    read = through_zarr(ReferenceSet(VirtualGroup({"a": array}), (SourceFile(str(tmp_path / "data")),)))
    assert read.tolist() == values
    assert read_back(array.metadata) == array.metadata


def test_a_bytes_fill_value_of_an_object_array_is_read_back() -> None:
    metadata = ArrayMetadata((1,), (1,), np.dtype("O"), np.bytes_(b"\xff"), (Codec("vlen-bytes"),), ("x",))
    assert read_back(metadata) == metadata


def test_dimension_names_win_over_an_attribute_of_that_name() -> None:
    metadata = ArrayMetadata((1,), (1,), np.dtype("i1"), dimension_names=("x",), attributes={"_ARRAY_DIMENSIONS": "no"})
    assert json.loads(array_documents(metadata)[".zattrs"]) == {"_ARRAY_DIMENSIONS": ["x"]}


def test_non_finite_attributes_are_bare_tokens_as_zarr_writes_them() -> None:
    attributes = {"a": math.nan, "b": [math.inf, -math.inf], "c": 0.1}
    metadata = ArrayMetadata((), (), np.dtype("i1"), attributes=attributes)
    text = array_documents(metadata)[".zattrs"]
    assert text == '{"a":NaN,"b":[Infinity,-Infinity],"c":0.1,"_ARRAY_DIMENSIONS":[]}'
    back = read_back(metadata).attributes
    assert math.isnan(back["a"])
    assert back["b"] == [math.inf, -math.inf]


def read_back(metadata: ArrayMetadata) -> ArrayMetadata:
    documents = array_documents(metadata)
    attributes = parse_json(documents[".zattrs"])
    return parse_array(parse_json(documents[".zarray"]), attributes, lambda shape: ())[0]


def through_zarr(references: ReferenceSet) -> np.ndarray:
    store = zarr.storage.FsspecStore(ReferenceFileSystem(references, asynchronous=True), read_only=True, path="")
    return np.asarray(zarr.open_array(store, path="a", mode="r", zarr_format=2)[...])
