"""What fuzzing found, each once and as small as it gets."""

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from refmaker import BrokenFileError, BrokenReferencesError, ChunkManifest, OptionError, SourceFile, UnsupportedError
from refmaker.codecs import get_codec
from refmaker.references.kerchunk_read import parse_document, read_json
from refmaker.references.parquet_partition import partition_manifest, read_table
from refmaker.scanners.tiff.gdal import read_gdal_metadata

ZARRAY = {"zarr_format": 2, "shape": [2], "chunks": [2], "dtype": "<i4", "compressor": None, "fill_value": None}
ZARR_JSON = {
    "zarr_format": 3, "node_type": "array", "shape": [2], "data_type": "int32", "fill_value": 0, "attributes": {},
    "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [2]}},
    "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
    "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
}  # fmt: skip


def v2(**changes: Any) -> dict[str, Any]:
    zarray = json.dumps({**ZARRAY, "order": "C", "filters": None, **changes})
    return {"version": 1, "refs": {".zgroup": '{"zarr_format":2}', "a/.zarray": zarray}}


def v3(**changes: Any) -> dict[str, Any]:
    root = json.dumps({"zarr_format": 3, "node_type": "group"})
    return {"version": 1, "refs": {"zarr.json": root, "a/zarr.json": json.dumps({**ZARR_JSON, **changes})}}


def encoding(separator: Any) -> dict[str, Any]:
    return {"chunk_key_encoding": {"name": "default", "configuration": {"separator": separator}}}


def keyed(key: str, value: Any = "text") -> dict[str, Any]:
    return {"version": 1, "refs": {**v2()["refs"], key: value}}


RAW = {"name": "raw_bytes", "configuration": {"length_bytes": 3}}
STRUCTURE = {"name": "structured", "configuration": {"fields": [["a", "int32"], ["b", "float32"]]}}


def reported(**dataset: Any) -> dict[str, Any]:
    return {**v2(), "refmaker": {"format": 1, "report": {"datasets": [{"state": "referenced", **dataset}]}}}


@pytest.mark.parametrize(
    "document",
    [
        v2(dimension_separator=[[]]),
        v2(dimension_separator={"a": 1}),
        v3(**encoding([])),
        v3(**encoding({})),
        reported(path=None),
        v2(shape=[7, 1 << 62], chunks=[1, 1]),
        v3(shape=[1 << 40] * 3),
        v3(fill_value="0x" + "f" * 20, data_type="float32"),
        v3(fill_value=[""], data_type="variable_length_bytes"),
        v3(fill_value=[None], data_type=RAW),
        v3(fill_value={}, data_type=STRUCTURE),
        v3(data_type={"name": "raw_bytes", "configuration": {"length_bytes": 1 << 31}}),
        v3(data_type={"name": "numpy.datetime64", "configuration": {"unit": "s],f8[", "scale_factor": 1}}),
        v3(data_type={"name": "numpy.datetime64", "configuration": {"unit": "s", "scale_factor": "1"}}),
        keyed("a/" + "9" * 5000),
        keyed("\ud800/.zgroup", "{}"),
    ],
    ids=lambda document: json.dumps(document)[-60:],
)
def test_documents_that_say_impossible_things_are_refused(document: Any) -> None:
    with pytest.raises(BrokenReferencesError):
        parse_document(document)


@pytest.mark.parametrize("data_type", ["uint64", "int32", "float32"])
def test_no_fill_value_is_none(data_type: str) -> None:
    references = parse_document(v3(fill_value=None, data_type=data_type))
    assert references.root.arrays["a"].metadata.fill_value is None


@pytest.mark.parametrize("make", [ChunkManifest.empty])
def test_a_grid_that_no_index_numbers_is_refused(make: Callable[[tuple[int, ...]], object]) -> None:
    make(((1 << 63) - 1,))
    with pytest.raises(OptionError, match="positions"):
        make((1 << 62, 2))


@pytest.mark.parametrize("key", [None, "a/c/4611686018427387903/3", "a/c/0/0"])
def test_a_document_of_such_a_grid_is_refused(key: str | None) -> None:
    """The position of a chunk overflowed."""
    document = v3(shape=[1 << 62, 4], chunk_grid={"name": "regular", "configuration": {"chunk_shape": [1, 1]}})
    with pytest.raises(BrokenReferencesError, match=r"a/zarr\.json: .*positions"):
        parse_document({**document, "refs": {**document["refs"], **({key: ["x", 0, 4]} if key else {})}})


@pytest.mark.parametrize(
    "config",
    [
        {"id": "refmaker_optional", "codecs": [{"id": "zlib"}], "nbytes": "x"},
        {"id": "refmaker_pad", "unheard": 1},
        {"id": "zlib", "level": [], "more": 2},
        {"id": ["zlib"]},
        {"id": "refmaker_hdf5_szip", "options_mask": None, "pixels_per_block": 2, "bits_per_pixel": 32}
        | {"pixels_per_scanline": 10},
        {"id": "refmaker_hdf5_nbit", "cd_values": [8, 0, 16, 1, 2147483648, 1, 11, 2]},
        {"id": "refmaker_pad", "nbytes": 1.5},
        {"id": "refmaker_pad", "nbytes": 1 << 63},
        {"id": "refmaker_pad", "nbytes": True},
        {},
    ],
)
def test_codecs_that_take_no_such_configuration_are_refused(config: Any) -> None:
    with pytest.raises((OptionError, UnsupportedError, BrokenFileError)):
        get_codec(config)


@pytest.mark.parametrize("url", ["a\0b", "file:///a\0b", "\ud800"])
@pytest.mark.parametrize("whole", [True, False])
def test_urls_that_can_name_no_file_are_refused(url: str, whole: bool) -> None:
    document = v2()
    document["refs"]["a/0"] = [url] if whole else [url, 0, 8]
    with pytest.raises(BrokenReferencesError, match="cannot spell"):
        parse_document(document, "file:///refs.json")
    with pytest.raises(UnsupportedError):
        SourceFile(url)


@pytest.mark.parametrize(
    "data",
    [
        gzip.compress(b'{"version":1}', mtime=0)[:-8] + b"\xff" * 8,
        gzip.compress(b'{"version":1}', mtime=0)[:12] + b"\xff" * 30,
        b"\x1f\x8b\x08" + b"\x00" * 9,
        b"\x28\xb5\x2f\xfd" + b"f" * 9,
    ],
)
def test_compressed_documents_that_are_damaged_are_refused(data: bytes) -> None:
    with pytest.raises(BrokenReferencesError):
        read_json(data)


def test_refusing_a_damaged_document_keeps_no_memory() -> None:
    data = b"\x28\xb5\x2f\xfd" + b"f" * 9
    before = address_space()
    for _ in range(100):
        with pytest.raises(BrokenReferencesError):
            read_json(data)
    assert address_space() - before < 500 << 20


def address_space() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")


def test_a_partition_with_two_columns_of_one_name_is_refused() -> None:
    table = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["path", "path"])
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    with pytest.raises(BrokenReferencesError, match="two columns"):
        read_table(sink.getvalue().to_pybytes())


@pytest.mark.parametrize("codecs", [{"id": "zlib"}, ["zlib"], [None]])
def test_codecs_inside_codecs_that_are_no_configurations_are_refused(codecs: Any) -> None:
    with pytest.raises((OptionError, UnsupportedError)):
        get_codec({"id": "refmaker_optional", "codecs": codecs, "nbytes": 160})


@pytest.mark.parametrize("compression", ["lz4", "zstd"])
def test_bitshuffled_chunks_of_nothing_are_empty(compression: str) -> None:
    codec = get_codec({"id": "refmaker_hdf5_bitshuffle", "itemsize": 2, "compression": compression})
    assert codec.decode(bytes(12)).size == 0


def golden(name: str) -> tuple[Any, bytes]:
    cases = json.loads((Path(__file__).parents[1] / "codecs" / "golden.json").read_text())
    case = next(case for case in cases if case["name"] == name)
    return get_codec(case["config"]), bytes.fromhex(case["encoded"])


def test_blosc2_frames_of_chunks_of_no_length_are_refused() -> None:
    """c-blosc2 divides by it: the process ended."""
    codec, chunk = golden("blosc2 1-D")
    with pytest.raises(BrokenFileError, match="no length"):
        codec.decode(chunk[:58] + bytes(4) + chunk[62:])


def test_pictures_that_crash_the_jpeg_xr_decoder_are_refused() -> None:
    """jxrlib writes outside of its memory: the process ended."""
    codec, chunk = golden("tiff jpegxr")
    with pytest.raises(BrokenFileError, match="refmaker_tiff_jpegxr"):
        codec.decode(chunk[:148] + bytes.fromhex("4949bc012000") + chunk[154:])
    assert codec.decode(chunk).size == 256


def test_zfp_headers_of_more_blocks_than_the_chunk_has_bits_are_refused() -> None:
    codec = get_codec({"id": "refmaker_hdf5_zfp", "cd_values": [269504785, 91252346, 2159017984, 2159017984]})
    with pytest.raises(BrokenFileError, match="blocks"):
        codec.decode(bytes(14))


def test_scaleoffset_chunks_of_fewer_than_no_elements_are_refused() -> None:
    with pytest.raises(BrokenFileError, match="-20"):
        get_codec({"id": "refmaker_hdf5_scaleoffset", "cd_values": [0, 2, -20, 1, 4, *[0] * 15]})


def test_items_of_bands_that_no_number_counts_are_left_out() -> None:
    document = f'<GDALMetadata><Item name="a" sample="{"9" * 5000}">1</Item></GDALMetadata>'
    tags = SimpleNamespace(valueof=lambda _: document)
    assert read_gdal_metadata(tags).of_bands(1) == {}


@pytest.mark.parametrize("index", [1, -1])
def test_a_path_that_the_dictionary_of_a_partition_does_not_have_is_refused(index: int) -> None:
    indices = pa.array([0, index], pa.int32())
    paths = pa.DictionaryArray.from_arrays(indices, pa.array(["a.nc"]), safe=False)
    numbers = pa.array([1, 2], pa.int64())
    table = pa.table({"path": paths, "offset": numbers, "size": numbers, "raw": pa.nulls(2, pa.binary())})
    with pytest.raises(BrokenReferencesError, match="names path"):
        partition_manifest(table, 2, lambda names: [0] * len(names), lambda _: 0)
